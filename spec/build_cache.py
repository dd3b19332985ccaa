"""Folder of results that need not be made twice."""

import hashlib
import os
import tempfile
from collections.abc import Iterable
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


def content_key(texts: Iterable[str]) -> str:
    """Name of a result that depends on `texts`, in this order, and on nothing else."""
    digest = hashlib.sha256()
    for text in texts:
        digest.update(len(text).to_bytes(8, "little") + text.encode())
    return digest.hexdigest()[:24]
