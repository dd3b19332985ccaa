"""Numbers for the ranks of a cascade, from what its user says, its data and its file, in that order."""

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from einloom.mapping.cascade.model import Cascade
from einloom.mapping.cascade.size import Size
from einloom.spec.errors import InputError
from einloom.spec.suggest import did_you_mean


def rank_sizes(cascade: Cascade, data: Mapping[str, NDArray[Any]], given: Mapping[str, int]) -> dict[str, int]:
    """The size of every rank; InputError when one is unknown or two sources of it differ.

    A product such as M: M1*M0 is solved for its one unknown factor; sizes in the file count only where nothing else
    settles them, first those that stand first.
    """
    known = _stated(cascade, data, given)
    waiting = [rank for rank in cascade.ranks if rank in cascade.sizes and cascade.sizes[rank].constant is not None]
    while True:
        if not _settle(cascade, known):
            rank = next((rank for rank in waiting if rank not in known), None)
            if rank is None:
                break
            known[rank] = cascade.sizes[rank].evaluate({})
    used = {name.upper() for einsum in cascade.einsums for name in einsum.kept + einsum.reduced}
    unknown = [rank for rank in cascade.ranks if rank in used and rank not in known]
    if unknown:
        raise InputError(f"{cascade.name}: no size for rank(s) {', '.join(unknown)}")
    return known


def _stated(cascade: Cascade, data: Mapping[str, NDArray[Any]], given: Mapping[str, int]) -> dict[str, int]:
    for rank, size in given.items():
        if rank not in cascade.ranks:
            raise InputError(f"{cascade.name}: unknown rank {rank!r}{did_you_mean(rank, cascade.ranks)}")
        if size < 1:
            raise InputError(f"{cascade.name}: rank {rank} must have a size of 1 or more, not {size}")
    known = dict(given)
    for name, value in data.items():
        ranks = cascade.tensors[name]
        if value.ndim != len(ranks):
            raise InputError(f"{cascade.name}: {name} has ranks [{', '.join(ranks)}], but its data has {value.ndim}")
        for rank, size in zip(ranks, value.shape, strict=True):
            if known.setdefault(rank, size) != size:
                raise InputError(f"{cascade.name}: rank {rank} is {known[rank]}, but {size} in {name}")
    return known


def _settle(cascade: Cascade, known: dict[str, int]) -> bool:
    """Derive one more size from the products and sums in the file; False when none can be."""
    for rank, expression in cascade.sizes.items():
        if expression.constant is not None:
            continue
        missing = [name for name in expression.names if name not in known]
        if not missing:
            size = expression.evaluate(known)
            if known.get(rank, size) != size:
                raise InputError(f"{cascade.name}: rank {rank} is {known[rank]}, but {expression} is {size}")
            if rank not in known:
                known[rank] = size
                return True
        elif len(missing) == 1 and rank in known and _solve(cascade, rank, expression, missing[0], known):
            return True
    return False


def _solve(cascade: Cascade, rank: str, expression: Size, missing: str, known: dict[str, int]) -> bool:
    if len(expression.terms) != 1 or expression.terms[0][0].count(missing) != 1:
        return False
    rest = expression.evaluate({**known, missing: 1})
    if known[rank] % rest:
        raise InputError(f"{cascade.name}: rank {rank} is {known[rank]}, which {expression} cannot be with {rest}")
    known[missing] = known[rank] // rest
    return True
