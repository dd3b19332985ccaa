"""Finds configs, models, cascades, graphs of operators and sweeps by path, or by the name of a shipped one."""

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from einloom.spec.config import Config, check_config, read_config
from einloom.spec.errors import InputError
from einloom.spec.suggest import did_you_mean

if TYPE_CHECKING:
    from einloom.mapping.allocation.graph import OperatorGraph
    from einloom.mapping.cascade.model import Cascade
    from einloom.models.decoder_graph import DecoderGraph
    from einloom.models.decoder_model import DecoderModel

DEFAULT_CONFIG = "default"
DEFAULT_MODEL = "shakespeare-1m"
LONGER = 4
"""Times a model's own context that a text with a window may be long, unless told otherwise."""


def examples_folder() -> Path:
    """The folder of examples on disk, in a checkout as well as in an installation."""
    return Path(str(files("einloom.examples")))


def shipped_configs() -> dict[str, Path]:
    """The shipped configs by name."""
    return {path.stem: path for path in sorted((examples_folder() / "configs").glob("*.yaml"))}


def shipped_models() -> dict[str, Path]:
    """The folders of the shipped models by name."""
    return {path.parent.name: path.parent for path in sorted((examples_folder() / "models").glob("*/config.json"))}


def shipped_cascades() -> dict[str, Path]:
    """The shipped cascades by name."""
    return {path.stem: path for path in sorted((examples_folder() / "cascades").glob("*.yaml"))}


def shipped_graphs() -> dict[str, Path]:
    """The shipped graphs of operators by name."""
    return {path.stem: path for path in sorted((examples_folder() / "graphs").glob("*.yaml"))}


def shipped_sweeps() -> dict[str, Path]:
    """The shipped sweeps by name."""
    return {path.stem: path for path in sorted((examples_folder() / "sweeps").glob("*.yaml"))}


def load_config(config: str | Path | Mapping[str, Any] | Config = DEFAULT_CONFIG) -> Config:
    """The config in a YAML file, the shipped one of a name, or one from a mapping; a Config is given back.

    ConfigError with every problem, its line and its key when the file or the mapping is no config. InputError when
    there is neither a file nor a shipped config of the name.
    """
    if isinstance(config, Config):
        return config
    if isinstance(config, Mapping):
        return check_config(config)
    path, shipped = Path(config), shipped_configs()
    if path.is_file():
        return read_config(path)
    if str(config) in shipped:
        return read_config(shipped[str(config)])
    near = did_you_mean(path.stem, shipped)
    raise InputError(f"{config}: neither a config file nor a shipped config{near}; shipped: {', '.join(shipped)}")


def find_model(model: str | Path | None = None) -> Path:
    """The path that `model` is, the folder of the shipped model of that name, or of the default one if None."""
    if model is None:
        return shipped_models()[DEFAULT_MODEL]
    path = Path(model)
    return path if path.exists() else shipped_models().get(str(model), path)


def load_model(model: "str | Path | DecoderModel | None" = None) -> "DecoderModel":
    """The model in a folder of the Hugging Face layout, in a GGUF file, or the shipped one of a name.

    The default one if None. InputError when there is no model that can be read.
    """
    from einloom.models.decoder_model import DecoderModel
    from einloom.models.importer.gguf_file import is_gguf
    from einloom.models.importer.gguf_model import load_gguf
    from einloom.models.importer.huggingface import load_folder

    if isinstance(model, DecoderModel):
        return model
    path = find_model(model)
    return load_gguf(path) if is_gguf(path) else load_folder(path)


def load_graph(model: "str | Path | None" = None) -> "DecoderGraph":
    """The shape of a model; of a folder it needs config.json alone. InputError when it can't be read."""
    from einloom.models.importer.gguf_file import is_gguf
    from einloom.models.importer.registry import load_keys

    path = find_model(model)
    if is_gguf(path):
        return load_model(path).graph
    if not path.is_dir():
        raise InputError(f"{path}: no such model folder")
    return load_keys(path / "config.json").graph()


def load_windowed(model: str | Path | None, window: int | None, sinks: int, context: int | None) -> "DecoderModel":
    """The model, with a window if these options ask for one; InputError for the others without it."""
    from einloom.models.sliding_window import with_window

    loaded = load_model(model)
    if window is None:
        for name, given in (("--context", context is not None), ("--sinks", sinks != 0)):
            if given:
                raise InputError(f"{name} is for --attention-window N: give both, or none")
        return loaded
    own = loaded.graph.context
    longest = own if loaded.graph.embedding.positions else LONGER * own
    return with_window(loaded, window, sinks, longest if context is None else context)


def load_cascade(cascade: str | Path) -> "Cascade":
    """The cascade in a file, or the shipped one of a name; InputError when there is neither."""
    from einloom.mapping.cascade.load import load_cascade as read_cascade

    return read_cascade(_file_of(cascade, "cascade", shipped_cascades()))


def load_operators(graph: str | Path) -> "OperatorGraph":
    """The graph of operators in a file, or the shipped one of a name; InputError when there is neither."""
    from einloom.mapping.allocation.load import load_graph as read_graph

    return read_graph(_file_of(graph, "graph", shipped_graphs()))


def sweep_file(sweep: str | Path) -> Path:
    """The file of a sweep, or of the shipped one of a name; InputError when there is neither."""
    return _file_of(sweep, "sweep", shipped_sweeps())


def _file_of(given: str | Path, kind: str, shipped: Mapping[str, Path]) -> Path:
    """The file itself, or the shipped one of that name; InputError when there is neither."""
    path = Path(given)
    if path.is_file():
        return path
    if str(given) in shipped:
        return shipped[str(given)]
    near = did_you_mean(path.stem, shipped)
    raise InputError(f"{given}: neither a {kind} file nor a shipped {kind}{near}; shipped: {', '.join(shipped)}")
