"""Folder of results that need not be made twice."""

import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from einloom.spec.errors import ToolError


def cache_root() -> Path:
    """EINLOOM_CACHE, else a folder of ours in the user's cache folder; ToolError when there is no home for one."""
    named = os.environ.get("EINLOOM_CACHE")
    if named:
        return Path(named).absolute()
    try:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError as error:
        raise ToolError(f"no folder for builds: {error}: set EINLOOM_CACHE to one") from error
    return Path(base).absolute() / "einloom"


def tools_cache(otherwise: Path) -> Path:
    """A folder in which tools that want one can keep things: the user's, else ours, else `otherwise`.

    Amaranth's Yosys runs in a machine that keeps its compiled code, and doesn't start when it can't.
    """
    home = os.environ.get("HOME")
    users = os.environ.get("XDG_CACHE_HOME") or (f"{home}/.cache" if home else "")
    for candidate in ([Path(users)] if users else []) + [cache_root()]:
        try:
            candidate.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=candidate):
                return candidate
        except OSError:
            continue
    return otherwise


@cache
def package_texts(*packages: str) -> tuple[str, ...]:
    """Texts of all modules of `packages`, in an order that is always the same."""
    return tuple(text for package in packages for _, text in sorted(_sources(package)))


def _sources(package: str) -> Iterator[tuple[str, str]]:
    """Name and text of each file of a package, or of a module."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        return
    origin = Path(spec.origin)
    for path in origin.parent.rglob("*.py") if origin.name == "__init__.py" else [origin]:
        yield str(path), path.read_text()


def content_key(texts: Iterable[str]) -> str:
    """Name of a result that depends on `texts`, in this order, and on nothing else."""
    digest = hashlib.sha256()
    for text in texts:
        digest.update(len(text).to_bytes(8, "little") + text.encode())
    return digest.hexdigest()[:24]
