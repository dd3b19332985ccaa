"""Arithmetic on rank sizes: polynomials with integer coefficients in the names of ranks."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod


@dataclass(frozen=True)
class Size:
    """A polynomial such as M0*M1 + 1; `terms` maps sorted products of rank names to coefficients other than 0."""

    terms: tuple[tuple[tuple[str, ...], int], ...] = ()

    @staticmethod
    def of(value: "int | str | Size") -> "Size":
        """A constant, the size of the rank of that name, or `value` itself."""
        if isinstance(value, Size):
            return value
        if isinstance(value, str):
            return Size((((value,), 1),))
        return Size((((), value),)) if value else Size()

    @staticmethod
    def _from(terms: Mapping[tuple[str, ...], int]) -> "Size":
        kept = {names: factor for names, factor in terms.items() if factor}
        return Size(tuple(sorted(kept.items(), key=lambda term: (-len(term[0]), term[0]))))

    def __add__(self, other: "int | str | Size") -> "Size":
        total = dict(self.terms)
        for names, factor in Size.of(other).terms:
            total[names] = total.get(names, 0) + factor
        return Size._from(total)

    def __mul__(self, other: "int | str | Size") -> "Size":
        total: dict[tuple[str, ...], int] = {}
        for names, factor in self.terms:
            for more, times in Size.of(other).terms:
                joined = tuple(sorted(names + more))
                total[joined] = total.get(joined, 0) + factor * times
        return Size._from(total)

    def __neg__(self) -> "Size":
        return self * -1

    def __sub__(self, other: "int | str | Size") -> "Size":
        return self + (-Size.of(other))

    @property
    def constant(self) -> int | None:
        """The number that this is, or None when it depends on a rank."""
        if not self.terms:
            return 0
        return self.terms[0][1] if self.terms[0][0] == () else None

    @property
    def names(self) -> frozenset[str]:
        """The ranks that this depends on."""
        return frozenset(name for names, _ in self.terms for name in names)

    @property
    def leading(self) -> int:
        """The coefficient of the first term; its sign says where the polynomial goes as ranks grow."""
        return self.terms[0][1] if self.terms else 0

    def evaluate(self, sizes: Mapping[str, int]) -> int:
        """The value at the sizes of ranks in `sizes`; KeyError names a rank that has none."""
        return sum(factor * prod(sizes[name] for name in names) for names, factor in self.terms)

    def __str__(self) -> str:
        text = ""
        for names, factor in self.terms:
            word = "*".join(([] if abs(factor) == 1 and names else [str(abs(factor))]) + list(names))
            text += (" - " if factor < 0 else " + ") + word if text else ("-" if factor < 0 else "") + word
        return text or "0"
