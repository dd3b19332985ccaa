"""The analysis in words and plain data: what `einloom cascade` prints."""

from dataclasses import dataclass

from einloom.mapping.cascade.footprint import Footprints, footprints
from einloom.mapping.cascade.model import Cascade, Einsum
from einloom.mapping.cascade.passes import PassAnalysis, RankPasses, analyse
from einloom.mapping.cascade.traverse import Barrier


@dataclass(frozen=True)
class CascadeReport:
    """A cascade with its passes and footprints."""

    cascade: Cascade
    passes: PassAnalysis
    footprints: Footprints

    @property
    def why(self) -> list[str]:
        """A sentence for each pass after a rank's first."""
        return [sentence for entry in self.passes.ranks for sentence in _reasons(entry)]

    def as_json(self) -> dict[str, object]:
        """Plain data; a number of passes that grows with a rank is an expression."""
        return {
            "cascade": self.cascade.name,
            "passes": {entry.rank: _count(entry) for entry in self.passes.ranks},
            "within_tiles": {entry.rank: _count(entry) for entry in self.passes.tiles},
            "why": self.why,
            "footprints": {tensor: str(size) for tensor, size in self.footprints.live.items()},
            "loop_order": list(self.footprints.order),
            "einsums": [self._einsum(einsum) for einsum in self.cascade.einsums],
        }

    def _einsum(self, einsum: Einsum) -> dict[str, object]:
        passes = {entry.rank: entry.pass_of(einsum) for entry in self.passes.ranks}
        return {
            "einsum": einsum.text,
            "passes": {rank: number for rank, number in passes.items() if number is not None},
            "map": einsum.map_operators,
            "reduce": [f"{reduction.operator}({', '.join(reduction.variables)})" for reduction in einsum.reductions],
        }


def report_on(cascade: Cascade) -> CascadeReport:
    """Analyse a cascade."""
    passes = analyse(cascade)
    return CascadeReport(cascade, passes, footprints(passes))


def _count(entry: RankPasses) -> int | str:
    constant = entry.count.constant
    return str(entry.count) if constant is None else constant


def _reasons(entry: RankPasses) -> list[str]:
    found = [f"{entry.rank}, pass {barrier.number}: {_reason(barrier, entry.rank)}" for barrier in entry.why]
    if entry.count.constant is None:
        found.append(f"{entry.rank}: and so on in every round of the iteration, {entry.count} passes in all")
    return found


def _reason(barrier: Barrier, rank: str) -> str:
    if barrier.whole is None:
        return f"{barrier.einsum} runs over {rank} the other way, so it reads {barrier.element} in a pass of its own"
    first, *between = barrier.chain[:-1] or (barrier.einsum,)
    through = f", which reaches {', '.join(map(str, between))}" if between else ""
    return (
        f"{first} is complete only after all of {rank}{through}; "
        f"{barrier.einsum} reads {barrier.element} again, with {barrier.whole}"
    )
