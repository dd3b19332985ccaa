"""Einsum cascades: their passes and footprints."""

from pathlib import Path

from einloom.catalogue import load_cascade
from einloom.html import rows_table
from einloom.mapping.cascade.model import Cascade
from einloom.mapping.cascade.report import CascadeReport, report_on


class AnalysedCascade(CascadeReport):
    """A cascade with its passes and footprints, as a notebook and a picture show them."""

    def plot(self, file: str | Path) -> None:
        """Draw the graph with its passes into a .png or .svg file; ToolError without matplotlib."""
        from einloom.mapping.cascade.plot import plot  # needs an optional package

        plot(self, Path(file))

    def _repr_html_(self) -> str:
        rows = ((entry.rank, str(entry.count)) for entry in self.passes.ranks)
        reasons = "".join(f"<p>{reason}</p>" for reason in self.why)
        return rows_table(f"{self.cascade.name}: passes", ("rank", "passes"), rows) + reasons


def cascade(cascade: str | Path | Cascade) -> AnalysedCascade:
    """Count the passes that any mapping of a cascade must make, say why, and what must stay live.

    InputError when there is no such file or shipped cascade, or it can't be read.
    """
    report = report_on(cascade if isinstance(cascade, Cascade) else load_cascade(cascade))
    return AnalysedCascade(report.cascade, report.passes, report.footprints)
