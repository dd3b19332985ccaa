"""Resources of a design on an FPGA or in cells of a library, from Yosys."""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from einloom.catalogue import load_config
from einloom.fpga.boards import BOARDS, Board
from einloom.fpga.depth import Path as LogicPath
from einloom.fpga.even_floorplan import even_floorplan
from einloom.fpga.floorplan import floorplan, on_dies
from einloom.fpga.recipes import Recipe, cell_library, ultrascale
from einloom.fpga.resources import Resources
from einloom.fpga.synthesise import LEVELS, Part, Synthesis
from einloom.fpga.synthesise import synthesise as synthesise_design
from einloom.generators.cached_designs import cached_designs
from einloom.html import rows_table
from einloom.memory_sizes import sized_for
from einloom.models.decoder_model import DecoderModel
from einloom.plots import require_plots
from einloom.spec.config import Config
from einloom.spec.errors import InputError
from einloom.spec.floorplan_config import FloorplanConfig
from einloom.spec.manifest import CoreManifest
from einloom.spec.suggest import did_you_mean

__all__ = [
    "FPGA",
    "LEVELS",
    "Board",
    "LogicPath",
    "Resources",
    "Synthesis",
    "SynthesisReport",
    "synthesise",
]

FPGA = ("lut", "ff", "carry8", "dsp", "bram36", "uram")
LIBRARY = ("cells", "area_um2", "memory_bits")
Progress = Callable[[str, int, int], None]
"""Told (design, modules done, modules in all)."""


@dataclass(frozen=True)
class SynthesisReport:
    """The synthesised designs of a config.

    Attributes
    ----------
    target : a board, or a name for a cell library.
    board : None for a library.
    ports : memory ports, whose logic in the shell is charged to the board.
    results : synthesis of each design, by the name of its top module.
    seconds : time that synthesis took.
    core : of a design that is one, else None.
    floorplan : the config's section; it says what is on each die of a board.
    """

    target: str
    board: Board | None
    ports: int
    results: Mapping[str, Synthesis]
    seconds: float
    core: CoreManifest | None = None
    floorplan: FloorplanConfig = FloorplanConfig()

    @property
    def total(self) -> Resources:
        """The resources of all designs together."""
        return sum((result.total for result in self.results.values()), Resources())

    @property
    def keys(self) -> tuple[str, ...]:
        """The resources that this target counts."""
        return FPGA if self.board else LIBRARY

    @property
    def reused(self) -> int:
        """Modules whose netlists were in the cache."""
        return sum(result.reused for result in self.results.values())

    def shares(self, of: Resources, total: Resources | None = None) -> dict[str, float]:
        """The share of each resource, 0 to 1 and beyond, that the designs (or `total`) take of `of`."""
        taken = self.total if total is None else total
        return {key: round(getattr(taken, key) / getattr(of, key), 4) for key in FPGA}

    @property
    def dies(self) -> dict[str, tuple[Resources, Resources]]:
        """(what a core's floorplan puts on it, what it has without shell and memory ports) of each die, by its name."""
        return self._dies(self.floorplan)

    @property
    def even_floorplan(self) -> FloorplanConfig | None:
        """The section `floorplan` with which the fullest die is least full; None where the config's own is as good, or
        the core has no parts in numbers."""
        if self.board is None or self.core is None or not (rooms := self.board.dies(self.ports)):
            return None
        ((top, result),) = self.results.items()
        found = even_floorplan(self.core, {part.name: part for part in result.parts}, top, rooms)
        return found if found and self._fullest(found) < self._fullest(self.floorplan) else None

    def _dies(self, section: FloorplanConfig) -> dict[str, tuple[Resources, Resources]]:
        if self.board is None or self.core is None:
            return {}
        ((top, result),) = self.results.items()
        held = on_dies(floorplan(self.core, section), {part.name: part for part in result.parts}, top)
        return {die: (held[die], has) for die, has in zip(held, self.board.dies(self.ports), strict=False)}

    def _fullest(self, section: FloorplanConfig) -> float:
        """The largest share of a resource that a die has in use."""
        return max(max(self.shares(has, held).values()) for held, has in self._dies(section).values())

    def plot(self, file: str | Path) -> None:
        """Draw a bar for each part into an .svg, .png or .pdf file; InputError without matplotlib."""
        require_plots(Path(file))
        from einloom.synthesis_plot import plot_parts  # needs an optional package

        plot_parts(Path(file), self.results, self.board)

    def figures(self) -> dict[str, Any]:
        """Figures that `einloom synth --json` prints."""
        results = self.results
        return {
            "target": self.target,
            **asdict(self.total),
            "shares": {name: self.shares(of) for name, of in self.board.regions(self.ports)} if self.board else {},
            "floorplan": even.model_dump(mode="json") if (even := self.even_floorplan) else None,
            "dies": {die: {**asdict(held), "shares": self.shares(has, held)} for die, (held, has) in self.dies.items()},
            "levels": max(result.levels for result in results.values()),
            "parts": [_part(part) for result in results.values() for part in result.parts],
            "paths": [{"part": name, **asdict(path)} for result in results.values() for name, path in result.deepest()],
            "seconds": self.seconds,
            "reused": self.reused,
        }

    def _repr_html_(self) -> str:
        parts = [part for result in self.results.values() for part in result.parts]
        rows = ([p.name, p.copies, *(getattr(p.own, key) * p.copies for key in self.keys), p.levels] for p in parts)
        return rows_table(f"{', '.join(self.results)} on {self.target}", ("part", "copies", *self.keys, "levels"), rows)


def synthesise(
    config: str | Path | Mapping[str, Any] | Config,
    target: str = "u280",
    *,
    liberty: Sequence[str | Path] = (),
    model: str | Path | DecoderModel | None = None,
    progress: Progress = lambda _design, _done, _of: None,
) -> SynthesisReport:
    """Synthesise the designs of a config: resources of each part, and logic depth.

    Parameters
    ----------
    target : a board (u280, u55c), or a name for the library of `liberty`.
    liberty : the .lib files of a cell library.
    model : memories of the core that are `auto` become as large as it needs.
    progress : told how many modules are done.

    InputError for an unknown target or a library that can't be read, ToolError without Yosys.
    """
    recipe = _recipe(target, [Path(path) for path in liberty])
    chosen, started = sized_for(load_config(config), model), time.perf_counter()
    designs = cached_designs(chosen)
    ports = sum(bool(re.fullmatch(r"m_axi_\w+_arvalid", p.name)) for design in designs for p in design.manifest.ports)
    results = {}
    for design in designs:
        top = design.manifest.top
        results[top] = synthesise_design(design.verilog, top, recipe, advance=partial(progress, top))
    core = designs[0].manifest.core if chosen.core is not None else None
    seconds = round(time.perf_counter() - started, 1)
    return SynthesisReport(target, BOARDS.get(target), ports, results, seconds, core, chosen.floorplan)


def _recipe(target: str, liberty: Sequence[Path]) -> Recipe:
    if target in BOARDS:
        if liberty:
            raise InputError(f"--liberty is for a cell library, and --target {target} is a board: name another target")
        return ultrascale()
    if not liberty:
        near = did_you_mean(target, BOARDS)
        raise InputError(
            f"--target {target}: not a board{near}; boards: {', '.join(BOARDS)}. For a cell library, name its files "
            "with --liberty"
        )
    texts = {}
    for path in liberty:
        try:
            texts[str(path)] = path.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: cannot be read as a Liberty file: {error}") from error
    return cell_library(texts)


def _part(part: Part) -> dict[str, object]:
    return {
        "name": part.name,
        "copies": part.copies,
        "levels": part.levels,
        "own": asdict(part.own),
        "total": asdict(part.total),
        "memories": dict(part.memories),
        "children": dict(part.children),
    }
