"""The comparison of FuseMax's paper, from cost models: FuseMax, FLAT and no fusion at 24 points.

    python -m benchmarks.fusemax_paper [--plot FILE] [--docs FILE]

Prints 2D utilisation and speed-ups of our models beside the published ones, with the difference in percent, and what
FLAT reaches with more softmax lanes. --plot draws the 24 points (needs matplotlib); --docs writes the tables into a
Markdown file between its two marker lines. The exit code is 1 if a point is more than 2 % from the published value.
"""

import argparse
import csv
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from math import log2
from pathlib import Path
from statistics import fmean, geometric_mean

from rich.console import Console
from rich.table import Table

from einloom.mapping.cost.attention.cost import Cost
from einloom.mapping.cost.attention.flat import PAPER_ROWS, best_mapping, flat_cost
from einloom.mapping.cost.attention.fusemax_paper import fusemax_cost
from einloom.mapping.cost.attention.hardware import FLAT, FUSEMAX, UNFUSED, Hardware
from einloom.mapping.cost.attention.unfused import unfused_cost
from einloom.mapping.cost.attention.workloads import ENCODERS, LENGTHS, Attention

PUBLISHED = Path(__file__).parent / "data" / "fusemax_published.csv"
BOUND = 0.02  # largest relative difference from a published value
ANY_ROWS = tuple(1 << bits for bits in range(4, 19))
BEGIN, END = "<!-- begin: written by benchmarks/fusemax_paper.py --docs -->", "<!-- end -->"


@dataclass(frozen=True)
class Machine:
    """A machine of the comparison and its model; `key` is its name in the published file."""

    key: str
    name: str
    hardware: Hardware
    cost: Callable[[Attention], Cost]


FUSEMAX_MODEL = Machine("fusemax", "FuseMax", FUSEMAX, fusemax_cost)
FLAT_MODEL = Machine("flat", "FLAT", FLAT, flat_cost)
UNFUSED_MODEL = Machine("unfused", "unfused", UNFUSED, unfused_cost)
MACHINES = (FUSEMAX_MODEL, FLAT_MODEL, UNFUSED_MODEL)


@dataclass(frozen=True)
class Result:
    """Figures of one machine at one point: seconds, share of peak (0 to 1), and bytes."""

    seconds: float
    utilisation: float
    dram_bytes: float


@dataclass(frozen=True)
class Point:
    """One of the 24 points; results by the machine's key."""

    model: str
    length: str
    ours: dict[str, Result]
    published: dict[str, Result]

    def speedup(self, over: Machine) -> tuple[float, float]:
        """Speed-up of FuseMax over `over`: ours, published."""
        ours, published = (side[over.key].seconds / side["fusemax"].seconds for side in (self.ours, self.published))
        return ours, published

    def utilisation(self, machine: Machine) -> tuple[float, float]:
        """2D utilisation of `machine`: ours, published."""
        return self.ours[machine.key].utilisation, self.published[machine.key].utilisation


@dataclass(frozen=True)
class Grid:
    """A table, and how to show it."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]

    def rich(self) -> Table:
        """The table for a terminal."""
        table = Table(title=self.title)
        for number, name in enumerate(self.header):
            table.add_column(name, justify="right" if number else "left")
        for row in self.rows:
            table.add_row(*row)
        return table

    def markdown(self) -> str:
        """The table for a page."""
        rule = ["---", *["---:"] * (len(self.header) - 1)]
        lines = ["| " + " | ".join(cells) + " |" for cells in (self.header, rule, *self.rows)]
        return "\n".join([f"**{self.title}**", "", *lines])


def published() -> dict[tuple[str, str], dict[str, Result]]:
    """The published results by model and length, then machine."""
    with PUBLISHED.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    fields = ("seconds", "utilisation", "bytes")
    return {
        (row["model"], row["length"]): {m.key: Result(*(float(row[f"{m.key}_{f}"]) for f in fields)) for m in MACHINES}
        for row in rows
    }


def points() -> list[Point]:
    """The 24 points, ours and published."""
    known = published()
    result = []
    for model, encoder in ENCODERS.items():
        for length, tokens in LENGTHS.items():
            ours = {}
            for machine in MACHINES:
                cost = machine.cost(encoder.attention(tokens))
                ours[machine.key] = Result(cost.seconds, cost.utilisation_2d(machine.hardware), cost.dram_bytes)
            result.append(Point(model, length, ours, known[model, length]))
    return result


def off(pair: tuple[float, float]) -> float:
    """The relative difference of ours from the published."""
    ours, published_value = pair
    return ours / published_value - 1


def percent(share: float) -> str:
    """A relative difference as text; "+0.00" also for what rounds to zero from below."""
    return f"{round(100 * share, 2) + 0.0:+.2f}"


def cells(pair: tuple[float, float], digits: int) -> list[str]:
    """Ours, published, difference in percent."""
    return [f"{pair[0]:.{digits}f}", f"{pair[1]:.{digits}f}", percent(off(pair))]


def utilisation_grid(found: Iterable[Point]) -> Grid:
    """2D utilisation at the 24 points."""
    header = ["model", "length", *(text for m in MACHINES for text in (m.name, "published", "%"))]
    rows = [[p.model, p.length, *(c for m in MACHINES for c in cells(p.utilisation(m), 4))] for p in found]
    return Grid("Utilisation of the 2D array", header, rows)


def speedup_grid(found: Sequence[Point]) -> Grid:
    """Speed-ups of FuseMax at the 24 points, and their means."""
    header = ["model", "length", "x FLAT", "published", "%", "x unfused", "published", "%"]
    over = (FLAT_MODEL, UNFUSED_MODEL)
    rows = [[p.model, p.length, *(c for m in over for c in cells(p.speedup(m), 3))] for p in found]
    for name, mean in (("mean", fmean), ("geometric mean", geometric_mean)):
        pairs = [(mean(p.speedup(m)[0] for p in found), mean(p.speedup(m)[1] for p in found)) for m in over]
        rows.append([name, "all", *(c for pair in pairs for c in cells(pair, 3))])
    return Grid("Speed-up of FuseMax", header, rows)


def difference_grid(found: Sequence[Point]) -> Grid:
    """The largest differences from the published values."""
    pairs: dict[str, list[tuple[float, float]]] = {}
    for m in MACHINES:
        pairs[f"2D utilisation, {m.name}"] = [p.utilisation(m) for p in found]
    for m in MACHINES:
        pairs[f"latency, {m.name}"] = [(p.ours[m.key].seconds, p.published[m.key].seconds) for p in found]
    for m in (FLAT_MODEL, UNFUSED_MODEL):
        pairs[f"speed-up over {m.name}"] = [p.speedup(m) for p in found]
    for m in MACHINES:
        pairs[f"DRAM bytes, {m.name}"] = [(p.ours[m.key].dram_bytes, p.published[m.key].dram_bytes) for p in found]
    rows = []
    for name, values in pairs.items():
        differences = [off(pair) for pair in values]
        within = sum(abs(difference) <= BOUND for difference in differences)
        rows.append([name, percent(max(differences, key=abs)), f"{within} of {len(found)}"])
    return Grid("Largest difference from the published value", ["quantity", "%", f"within {BOUND:.0%}"], rows)


@dataclass(frozen=True)
class Variant:
    """FLAT with other choices than the paper's."""

    name: str
    lanes: int = 1
    rows: Sequence[int] = PAPER_ROWS
    scores_stationary: bool = True

    def cost(self, attention: Attention) -> Cost:
        """The fastest mapping's cost."""
        hardware = replace(FLAT, lanes=FLAT.lanes * self.lanes)
        return best_mapping(attention, hardware, rows=self.rows, scores_stationary=self.scores_stationary)[1]


VARIANTS = (
    Variant("256 lanes (the paper's)"),
    Variant("8x lanes", 8),
    Variant("256x lanes", 256),
    Variant("8x lanes, outputs stationary in AV", 8, scores_stationary=False),
    Variant("256 lanes, any number of rows", rows=ANY_ROWS),
    Variant("8x lanes, any number of rows", 8, rows=ANY_ROWS),
)


def lanes_grids() -> list[Grid]:
    """Grids of FLAT with more softmax lanes: its utilisation, and the speed-up that FuseMax then has left."""
    bert = [ENCODERS["BERT"].attention(tokens) for tokens in LENGTHS.values()]
    every = [encoder.attention(tokens) for encoder in ENCODERS.values() for tokens in LENGTHS.values()]
    utilisation, speedup = [], []
    for variant in VARIANTS:
        costs = [variant.cost(attention) for attention in bert]
        shares = [f"{cost.utilisation_2d(FLAT):.3f}{'*' if cost.memory_bound else ''}" for cost in costs]
        ratios = [variant.cost(attention).seconds / fusemax_cost(attention).seconds for attention in every]
        utilisation.append([variant.name, *shares])
        speedup.append([variant.name, *(f"{ratio:.2f}" for ratio in ratios[: len(bert)]), f"{fmean(ratios):.2f}"])
    fusemax = [fusemax_cost(attention).mac_utilisation(attention, FUSEMAX) for attention in bert]
    utilisation.append(["FuseMax, the multiplications of QK and SLNV", *(f"{share:.3f}" for share in fusemax)])
    return [
        Grid("BERT: 2D utilisation of FLAT (* memory-bound)", ["FLAT with", *LENGTHS], utilisation),
        Grid("BERT: speed-up of FuseMax over it", ["FLAT with", *LENGTHS, "mean of 24"], speedup),
    ]


def over_unfused(point: Point, machine: Machine) -> tuple[float, float]:
    """Speed-up of `machine` over no fusion: ours, published."""
    ours, published = (side["unfused"].seconds / side[machine.key].seconds for side in (point.ours, point.published))
    return ours, published


def draw(found: Sequence[Point], file: Path) -> None:
    """Speed-up over no fusion and 2D utilisation: bars are ours, dots are published."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.rcParams["svg.hashsalt"] = "einloom"  # the same drawing gives the same bytes
    mpl.rcParams["svg.fonttype"] = "none"
    figure = Figure(figsize=(13, 6), layout="constrained")
    axes = figure.subplots(2, len(ENCODERS), sharex=True, sharey="row")
    for column, model in enumerate(ENCODERS):
        here = [p for p in found if p.model == model]
        for number, machine in enumerate(reversed(MACHINES)):
            places = [log2(LENGTHS[p.length]) / 2 - 5 + (number - 1) * 0.28 for p in here]
            speedups = [over_unfused(p, machine) for p in here]
            for row, values in enumerate((speedups, [p.utilisation(machine) for p in here])):
                label = "published" if number == len(MACHINES) - 1 else None
                axes[row][column].bar(places, [v[0] for v in values], 0.26, color=f"C{number}", label=machine.name)
                axes[row][column].plot(places, [v[1] for v in values], "k.", markersize=5, label=label)
        axes[0][column].set_title(model)
        axes[1][column].set_xticks(range(len(LENGTHS)), LENGTHS)
    axes[0][0].set_ylabel("speed-up over unfused")
    axes[1][0].set_ylabel("2D utilisation")
    axes[0][-1].legend(loc="upper left")  # where XLM leaves room
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None)


def write_docs(grids: Iterable[Grid], file: Path) -> None:
    """Replace what stands between the markers of `file` by the tables."""
    before, begin, rest = file.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"{file} lacks the lines {BEGIN!r} and {END!r}")
    tables = "\n\n".join(grid.markdown() for grid in grids)
    file.write_text(f"{before}{BEGIN}\n\n{tables}\n\n{END}{after}", encoding="utf-8")


def main() -> int:
    """Print the tables; 1 if a point is off."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the figure (.svg, .png, .pdf)")
    parser.add_argument("--docs", type=Path, metavar="FILE", help="write the tables into this Markdown file")
    options = parser.parse_args()
    found = points()
    grids = [utilisation_grid(found), speedup_grid(found), difference_grid(found), *lanes_grids()]
    console = Console()
    for grid in grids:
        console.print(grid.rich())
    if options.docs:
        write_docs(grids, options.docs)
    if options.plot:
        draw(found, options.plot)
    pairs = [p.utilisation(m) for p in found for m in MACHINES]
    pairs += [p.speedup(m) for p in found for m in (FLAT_MODEL, UNFUSED_MODEL)]
    return int(any(abs(off(pair)) > BOUND for pair in pairs))


if __name__ == "__main__":
    raise SystemExit(main())
