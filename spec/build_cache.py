"""Where results are kept that need not be made twice."""

import hashlib
import os
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


def content_key(texts: Iterable[str]) -> str:
    """A name for what follows from `texts`, in this order."""
    digest = hashlib.sha256()
    for text in texts:
        digest.update(len(text).to_bytes(8, "little") + text.encode())
    return digest.hexdigest()[:24]
