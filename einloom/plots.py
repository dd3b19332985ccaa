"""What all plots share: which files they may be, and bytes that depend on nothing but the drawing."""

import importlib.util
import io
import re
from pathlib import Path
from typing import TYPE_CHECKING

from einloom.spec.errors import InputError
from einloom.spec.files import write_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SUFFIXES = (".svg", ".png", ".pdf")


def require_plots(path: Path, option: str = "--plot", suffixes: tuple[str, ...] = SUFFIXES) -> None:
    """InputError when nothing can be drawn into the file that `option` names: before minutes of work, not after."""
    if path.suffix not in suffixes:
        *first, last = suffixes
        named = f"{', '.join(first)} or {last}" if first else last
        raise InputError(f"{option} {path}: name a file that ends in {named}")
    if importlib.util.find_spec("matplotlib") is None:
        raise InputError(f'{option} needs matplotlib: pip install "einloom[docs]"')


def figure_bytes(figure: "Figure", suffix: str = ".svg") -> bytes:
    """The drawing as a file of that kind; the same drawing gives the same bytes."""
    import matplotlib as mpl

    drawn = io.BytesIO()
    undated = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
    # Names inside an SVG are the same each time, and its text stays text.
    with mpl.rc_context({"svg.hashsalt": "einloom", "svg.fonttype": "none"}):
        figure.savefig(drawn, format=suffix[1:], metadata=undated.get(suffix))
    return drawn.getvalue()


def save_figure(figure: "Figure", path: Path) -> None:
    """Write the drawing; InputError when the file can't be written."""
    write_file(path, figure_bytes(figure, path.suffix))


def inline_svg(figure: "Figure", name: str) -> str:
    """The drawing as an <svg> element inside a page, in which the names of its parts begin with `name`."""
    text = figure_bytes(figure).decode()
    text = re.sub("<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    for before in (' id="', "url(#", 'xlink:href="#'):
        text = text.replace(before, f"{before}{name}-")
    return text
