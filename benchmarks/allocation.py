"""Words moved beyond the compulsory ones: integer programs beside the greedy allocator with Belady's rule.

    python -m benchmarks.allocation [--seconds S] [NAME ...]

A layer of a decoder, one of an encoder, ResNet-50, and a random network of the kind that architecture search makes,
each at COSMA's three budgets (arXiv 2311.18246): M_R, what the largest operator needs; M_P, with which nothing has to
leave in the best order; M_H, halfway. Published means: 84 % fewer bytes, 0.296 s a network that people designed, 2
minutes for one of architecture search. NAMEs choose graphs by a part of their names. Every schedule is replayed. Seconds
are those that the process computed, on one core. The exit code is 1 when the greedy allocator moves less anywhere.
"""

import argparse
from dataclasses import dataclass
from statistics import mean

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.allocation_graphs import all_graphs
from einloom.mapping.allocation.allocate import Allocation, allocate, greedy_allocation
from einloom.mapping.allocation.graph import OperatorGraph
from einloom.mapping.allocation.orders import least_peak_order

PUBLISHED = 0.84
"""Mean share of the extra bytes that COSMA saves."""


@dataclass(frozen=True)
class Case:
    """A graph at a budget: what the greedy allocator moves in the list's order and in the frugal one, and the best."""

    graph: OperatorGraph
    budget: str
    words: int
    greedy: tuple[Allocation, Allocation]
    best: Allocation

    @property
    def saved(self) -> float | None:
        """Share of the better greedy allocation's extra words that is saved; None when it has none."""
        least = min(allocation.traffic.extra for allocation in self.greedy)
        return 1 - self.best.traffic.extra / least if least else None

    @property
    def saved_of_list(self) -> float | None:
        """The same of the list's order."""
        extra = self.greedy[0].traffic.extra
        return 1 - self.best.traffic.extra / extra if extra else None

    def row(self) -> list[str]:
        """Cells of the table."""
        listed, frugal = (f"{allocation.traffic.extra:,}" for allocation in self.greedy)
        saved = ("" if share is None else f"{share:.1%}" for share in (self.saved_of_list, self.saved))
        extra, bound = self.best.traffic.extra, self.best.bound
        proof = "best" if self.best.proven else f">= {bound:,}"
        cells = [self.graph.name, str(len(self.graph.operators)), self.budget, f"{self.words:,}", listed, frugal]
        return [*cells, f"{extra:,}", proof, *saved, f"{self.best.seconds:.2f}"]


def cases(graph: OperatorGraph, seconds: float) -> list[Case]:
    """The graph at its three budgets."""
    least, most = graph.largest_footprint, least_peak_order(graph).words
    found = []
    for budget, words in (("M_R", least), ("M_H", (least + most) // 2), ("M_P", most)):
        greedy = greedy_allocation(graph, words), greedy_allocation(graph, words, frugal=True)
        found.append(Case(graph, budget, words, greedy, allocate(graph, words, seconds)))
    return found


def main() -> int:
    """Print the table and the means; 1 if the greedy allocator moves less anywhere."""
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--seconds", type=float, default=120.0, help="of computing for each graph and budget")
    arguments = parser.parse_args()
    table = Table(title="words moved beyond the compulsory ones, a byte each", box=box.MARKDOWN)
    for heading in ("graph", "operators", "budget", "words", "list, Belady", "frugal, Belady", "integer program"):
        table.add_column(heading, justify="left" if heading in ("graph", "budget") else "right")
    for heading in ("proof", "fewer than list", "fewer than both", "seconds"):
        table.add_column(heading, justify="right")
    found = list[Case]()
    for graph in all_graphs():
        if arguments.names and not any(name.lower() in graph.name.lower() for name in arguments.names):
            continue
        for case in cases(graph, arguments.seconds):
            found.append(case)
            table.add_row(*case.row())
    Console(width=180).print(table)
    for budget in ("M_R", "M_H", "M_P"):
        of_budget = [case for case in found if case.budget == budget]
        shares = [[s for s in (c.saved_of_list for c in of_budget) if s is not None]]
        shares.append([s for s in (c.saved for c in of_budget) if s is not None])
        means = " and ".join(f"{mean(s):.1%} ({len(s)} graphs)" if s else "nothing to save" for s in shares)
        print(f"{budget}: fewer extra words than list, and than both, mean: {means}")
    print(f"published mean at M_R: {PUBLISHED:.0%}; seconds, mean: {mean(case.best.seconds for case in found):.2f}")
    return int(any(case.best.traffic.extra > a.traffic.extra for case in found for a in case.greedy))


if __name__ == "__main__":
    raise SystemExit(main())
