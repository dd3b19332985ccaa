"""Integer linear programs, solved by HiGHS (Huangfu and Hall, 2018)."""

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import numpy as np

from einloom.spec.errors import ToolError

INFINITY = float("inf")


@dataclass(frozen=True)
class Solution:
    """What the solver found.

    Attributes
    ----------
    values : of the variables, integers rounded; empty when nothing was found in time or nothing exists.
    objective, bound : of the values, and what no solution goes below.
    optimal : the values are proven best.
    infeasible : there is no solution.
    """

    values: tuple[float, ...]
    objective: float
    bound: float
    optimal: bool
    infeasible: bool

    @property
    def least(self) -> int:
        """The bound as a whole number that is at least 0."""
        return max(0, math.ceil(self.bound - 1e-6)) if math.isfinite(self.bound) else 0


@dataclass
class Program:
    """Minimise cost * x with lower <= x <= upper, and row_lower <= A x <= row_upper."""

    _cost: list[float] = field(default_factory=list)
    _lower: list[float] = field(default_factory=list)
    _upper: list[float] = field(default_factory=list)
    _integer: list[bool] = field(default_factory=list)
    _rows: list[tuple[float, float]] = field(default_factory=list)
    _starts: list[int] = field(default_factory=lambda: [0])
    _columns: list[int] = field(default_factory=list)
    _factors: list[float] = field(default_factory=list)

    @property
    def size(self) -> tuple[int, int]:
        """Variables and rows."""
        return len(self._cost), len(self._rows)

    def binary(self, cost: float = 0.0) -> int:
        """A new variable that is 0 or 1."""
        return self.variable(0, 1, cost, integer=True)

    def variable(self, lower: float, upper: float, cost: float = 0.0, *, integer: bool = False) -> int:
        """A new variable."""
        self._cost.append(cost)
        self._lower.append(lower)
        self._upper.append(upper)
        self._integer.append(integer)
        return len(self._cost) - 1

    def charge(self, variable: int, cost: float) -> None:
        """Set the cost of a variable."""
        self._cost[variable] = cost

    def at_least(self, terms: Mapping[int, float], bound: float) -> None:
        """A row: the sum of factor * variable is at least `bound`."""
        self._row(terms, bound, INFINITY)

    def at_most(self, terms: Mapping[int, float], bound: float) -> None:
        """A row: the sum is at most `bound`."""
        self._row(terms, -INFINITY, bound)

    def equal(self, terms: Mapping[int, float], bound: float) -> None:
        """A row: the sum is `bound`."""
        self._row(terms, bound, bound)

    def _row(self, terms: Mapping[int, float], lower: float, upper: float) -> None:
        self._rows.append((lower, upper))
        self._columns += terms.keys()
        self._factors += terms.values()
        self._starts.append(len(self._columns))

    def minimise(self, seconds: float, start: Sequence[float] = ()) -> Solution:
        """Solve, in so many seconds of this process at most, from `start` if that holds; ToolError without HiGHS."""
        highs = _highs()
        solver, clock = _quiet(highs), Clock(seconds)
        for option, value in (
            ("threads", 1),
            ("random_seed", 1),
            ("mip_rel_gap", 0.0),
            ("mip_abs_gap", 0.99),  # costs are integers
            ("mip_feasibility_tolerance", 1e-7),  # big-M rows must not leak
        ):
            solver.setOptionValue(option, value)
        solver.passModel(self._model(highs))
        if start:
            given = highs.HighsSolution()
            given.col_value = [float(value) for value in start]
            solver.setSolution(given)

        def stop(event: Any) -> None:
            if not clock.left:
                event.interrupt()

        solver.cbMipInterrupt += stop
        solver.cbSimplexInterrupt += stop
        solver.run()
        status, found = solver.getModelStatus(), solver.getInfo()
        kinds = highs.HighsModelStatus
        known = found.primal_solution_status == highs.kSolutionStatusFeasible
        values = solver.getSolution().col_value if known else ()
        return Solution(
            tuple(float(round(v)) if whole else float(v) for v, whole in zip(values, self._integer, strict=False)),
            float(found.objective_function_value) if known else INFINITY,
            float(found.mip_dual_bound) if any(self._integer) else float(found.objective_function_value),
            known and status == kinds.kOptimal,
            status in (kinds.kInfeasible, kinds.kUnboundedOrInfeasible),
        )

    def _model(self, highs: Any) -> Any:
        lp = highs.HighsLp()
        lp.num_col_, lp.num_row_ = self.size
        lp.col_cost_, lp.col_lower_, lp.col_upper_ = map(np.array, (self._cost, self._lower, self._upper))
        lp.row_lower_ = np.array([lower for lower, _ in self._rows], float)
        lp.row_upper_ = np.array([upper for _, upper in self._rows], float)
        lp.integrality_ = [
            highs.HighsVarType.kInteger if whole else highs.HighsVarType.kContinuous for whole in self._integer
        ]
        lp.a_matrix_.format_ = highs.MatrixFormat.kRowwise
        lp.a_matrix_.start_ = np.array(self._starts)
        lp.a_matrix_.index_ = np.array(self._columns, int)
        lp.a_matrix_.value_ = np.array(self._factors, float)
        return lp


def total(terms: Iterable[tuple[int, float]]) -> dict[int, float]:
    """A sum of terms, each variable once."""
    found: dict[int, float] = {}
    for variable, factor in terms:
        found[variable] = found.get(variable, 0.0) + factor
    return found


class Clock:
    """A budget of seconds in which this process computes, so that a busy machine finds what an idle one finds."""

    def __init__(self, seconds: float) -> None:
        self._end = time.process_time() + seconds

    @property
    def left(self) -> float:
        """Seconds that are left, 0 at least."""
        return max(0.0, self._end - time.process_time())


def _highs() -> Any:
    try:
        return import_module("highspy")
    except ImportError as error:
        raise ToolError("the optimal allocation needs HiGHS: install einloom with its extra 'allocation'") from error


def _quiet(highs: Any) -> Any:
    """A solver that prints nothing, not even its name, which it prints as callbacks are enabled."""

    class Quiet(highs.Highs):  # type: ignore[misc]
        def enableCallbacks(self) -> None:
            self.silent()
            super().enableCallbacks()

    return Quiet()
