"""Names for folders that every tool can take.

make, the linker, Tcl and ABC take a name apart at characters that a folder may well have: spaces, `#`, `$`, quotes.
Such a folder gets a link with a plain name, in a folder of this user's beside other temporary files.
"""

import hashlib
import os
import re
import tempfile
from pathlib import Path

from einloom.spec.errors import ToolError

PLAIN = re.compile(r"[A-Za-z0-9_./+-]+")
OTHERS = ("/tmp", "/var/tmp")


def plain(folder: Path) -> Path:
    """The folder itself, or a link to it with a plain name; ToolError when there is nowhere to put one."""
    if PLAIN.fullmatch(str(folder)):
        return folder
    link = _links() / hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    if not link.is_symlink():
        staged = link.with_name(f"{link.name}-{os.getpid()}")
        staged.symlink_to(folder)
        os.replace(staged, link)
    return link


def is_plain(folder: Path) -> bool:
    """True when the folder's own name, links followed, is plain: make looks at that one."""
    return PLAIN.fullmatch(str(folder.resolve())) is not None


def plain_temporary() -> str:
    """A folder with a plain name of its own in which temporary folders can be made."""
    usual = Path(tempfile.gettempdir())
    return str(usual if is_plain(usual) else _links())


def _links() -> Path:
    """This user's folder of links; nobody else can write into it."""
    name = f"einloom-{os.getuid()}"
    for parent in (tempfile.gettempdir(), *OTHERS):
        if not PLAIN.fullmatch(parent):
            continue
        folder = Path(parent) / name
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            if not folder.is_symlink() and folder.stat().st_uid == os.getuid():
                return folder
        except OSError:
            continue
    raise ToolError(
        f"tools can't work in folders with names like {tempfile.gettempdir()}: set TMPDIR to one of letters and digits"
    )
