"""Where the things are that a user names: configs by path or shipped name, and the default model."""

from importlib.resources import files
from pathlib import Path

from einloom.spec.config import Config, load_config
from einloom.spec.errors import InputError
from einloom.spec.suggest import did_you_mean

DEFAULT_MODEL = "shakespeare-1m"


def examples_folder() -> Path:
    """The folder of examples on disk, in a checkout as well as in an installation."""
    return Path(str(files("einloom.examples")))


def shipped_configs() -> dict[str, Path]:
    """The shipped configs by name."""
    return {path.stem: path for path in sorted((examples_folder() / "configs").glob("*.yaml"))}


def find_config(name_or_path: str) -> Config:
    """The config in the file `name_or_path`, or the shipped one of that name; InputError when there is neither."""
    shipped = shipped_configs()
    path = Path(name_or_path)
    if path.is_file():
        return load_config(path)
    if name_or_path in shipped:
        return load_config(shipped[name_or_path])
    near = did_you_mean(path.stem, shipped)
    raise InputError(f"{name_or_path}: neither a config file nor a shipped config{near}; shipped: {', '.join(shipped)}")


def shipped_models() -> dict[str, Path]:
    """The folders of the shipped models by name."""
    return {path.parent.name: path.parent for path in sorted((examples_folder() / "models").glob("*/config.json"))}


def find_model(name_or_path: Path | None) -> Path:
    """The folder of the model `name_or_path`, or of the shipped one of that name, or of the default one."""
    if name_or_path is None:
        return default_model()
    if name_or_path.exists():
        return name_or_path
    return shipped_models().get(str(name_or_path), name_or_path)


def default_model() -> Path:
    """The folder of the model that comes with einloom."""
    return examples_folder() / "models" / DEFAULT_MODEL
