"""Words moved beyond the compulsory ones: integer programs beside the greedy allocator with Belady's rule.

    python -m benchmarks.allocation [--seconds S] [NAME ...]

A layer of a decoder, one of an encoder, ResNet-50, and a random network of the kind that architecture search makes,
each at COSMA's three budgets (arXiv 2311.18246): M_R, what the largest operator needs; M_P, with which nothing has to
leave in the best order; M_H, halfway. Published means: 84 % fewer bytes, 0.296 s a network that people designed, 2
minutes for one of architecture search. NAMEs choose graphs by a part of their names. Every schedule is replayed.
Seconds are those that the process computed, on one core. The exit code is 1 when the greedy allocator moves less
anywhere.
"""

import argparse
from dataclasses import dataclass
from statistics import mean

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.allocation_graphs import all_graphs
from einloom.mapping.allocation.allocate import Allocation, allocate, greedy_allocations
from einloom.mapping.allocation.graph import OperatorGraph
from einloom.mapping.allocation.orders import least_peak_order

PUBLISHED = 0.84
"""Mean share of the extra bytes that COSMA saves."""
FEWER = ("fewer than list, first fit", "fewer than any")


@dataclass(frozen=True)
class Case:
    """A graph at a budget, with what greedy allocators move and the best that is found."""

    graph: OperatorGraph
    budget: str
    words: int
    greedy: tuple[Allocation, ...]
    best: Allocation

    def least(self, *words: str) -> int | None:
        """Fewest extra words of the greedy allocations whose names have all these words; None if there are none."""
        extra = [a.traffic.extra for a in self.greedy if all(word in a.method for word in words)]
        return min(extra, default=None)

    def saved(self, *words: str) -> float | None:
        """Share of those extra words that is saved; None when there are none."""
        least = self.least(*words)
        return 1 - self.best.traffic.extra / least if least else None

    def row(self) -> list[str]:
        """Cells of the table."""
        greedy = (self.least(order, how) for order in ("list", "frugal") for how in ("first fit", "packed"))
        saved = (self.saved("list", "first fit"), self.saved())
        proof = "best" if self.best.proven else f">= {self.best.bound:,}"
        return [
            self.graph.name,
            str(len(self.graph.operators)),
            self.budget,
            f"{self.words:,}",
            *("none" if extra is None else f"{extra:,}" for extra in greedy),
            f"{self.best.traffic.extra:,}",
            proof,
            *("" if share is None else f"{share:.1%}" for share in saved),
            f"{self.best.seconds:.2f}",
        ]


def cases(graph: OperatorGraph, seconds: float) -> list[Case]:
    """The graph at its three budgets."""
    least, most = graph.largest_footprint, least_peak_order(graph).words
    return [
        Case(graph, budget, words, greedy_allocations(graph, words), allocate(graph, words, seconds))
        for budget, words in (("M_R", least), ("M_H", (least + most) // 2), ("M_P", most))
    ]


def main() -> int:
    """Print the table and the means; 1 if the greedy allocator moves less anywhere."""
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--seconds", type=float, default=120.0, help="of computing for each graph and budget")
    arguments = parser.parse_args()
    table = Table(title="words moved beyond the compulsory ones, a byte each", box=box.MARKDOWN)
    greedy = [f"{order}, {how}" for order in ("list", "frugal") for how in ("first fit", "packed")]
    for heading in ("graph", "operators", "budget", "words", *greedy, "integer program", "proof", *FEWER, "seconds"):
        table.add_column(heading, justify="left" if heading in ("graph", "budget") else "right")
    found = list[Case]()
    for graph in all_graphs():
        if arguments.names and not any(name.lower() in graph.name.lower() for name in arguments.names):
            continue
        for case in cases(graph, arguments.seconds):
            found.append(case)
            table.add_row(*case.row())
    Console(width=240).print(table)
    for budget in ("M_R", "M_H", "M_P"):
        for heading, words in zip(FEWER, (("list", "first fit"), ()), strict=True):
            saved = [share for case in found if case.budget == budget and (share := case.saved(*words)) is not None]
            told = f"{mean(saved):.1%} of {len(saved)} graphs" if saved else "nothing to save"
            print(f"{budget}: {heading}, mean: {told}")
    print(f"published mean at M_R: {PUBLISHED:.0%}; seconds, mean: {mean(case.best.seconds for case in found):.2f}")
    return int(any(case.best.traffic.extra > a.traffic.extra for case in found for a in case.greedy))


if __name__ == "__main__":
    raise SystemExit(main())
