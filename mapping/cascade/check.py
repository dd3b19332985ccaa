"""Checks of a cascade whose lines all parse."""

from collections.abc import Iterable, Iterator

from einloom.mapping.cascade.dependencies import CyclicCascade, blocks, overlap
from einloom.mapping.cascade.expression import Affine, Expression, Name, affine, variables, walk
from einloom.mapping.cascade.model import Cascade, Einsum
from einloom.spec.errors import Problem
from einloom.spec.suggest import did_you_mean


def check(cascade: Cascade, lost: set[str], declared: Iterable[str]) -> list[Problem]:
    """Problems of the cascade. `lost` are tensors whose Einsum didn't parse, so nothing is known of them."""
    problems: list[Problem] = []
    known = dict.fromkeys([*declared, *(einsum.tensor for einsum in cascade.einsums), *sorted(lost)])
    for einsum in cascade.einsums:
        found = [*_output(einsum), *_names(cascade, einsum, known), *_arity(cascade, einsum), *_reductions(einsum)]
        problems += [Problem(message, str(einsum), einsum.line) for message in found]
    problems += _duplicates(cascade)
    if not problems:
        problems += _early(cascade, lost, set(declared))
    if not problems:
        problems += _cycles(cascade)
    return problems


def _output(einsum: Einsum) -> Iterator[str]:
    names = einsum.kept
    for index in einsum.output.indices:
        form = affine(index)
        if form is None or not _is_output_index(form):
            yield f"index {index} on the left: it must be a variable, a variable plus a count, or a constant"
    doubled = [name for name in names if sum(name in variables(index) for index in einsum.output.indices) > 1]
    for name in doubled:
        yield f"variable {name!r} stands twice on the left"


def _is_output_index(form: Affine) -> bool:
    if not form.factors:
        return True
    offset = form.constant.constant
    plain = [factor.constant for factor in form.factors.values()] == [1]
    return plain and offset is not None and offset >= 0


def _names(cascade: Cascade, einsum: Einsum, known: Iterable[str]) -> Iterator[str]:
    tensors = list(known)
    for access in einsum.reads:
        if access.tensor not in tensors:
            near = did_you_mean(access.tensor, tensors)
            yield f"unknown tensor {access.tensor!r}{near or ': declare it if it is an input'}"
    parts: list[Expression] = [einsum.output, einsum.value]
    parts += [part for part in (einsum.condition, einsum.otherwise) if part is not None]
    used = [part.name for whole in parts for part in walk(whole) if isinstance(part, Name)]
    for name in dict.fromkeys(used + einsum.reduced):
        rank = name.upper() if name[0].islower() else name
        if rank not in cascade.ranks:
            what = f"rank variable {name!r}: there is no rank {rank!r}" if name[0].islower() else f"rank {name!r}"
            near = did_you_mean(rank, cascade.ranks)
            mend = f"; declare a scalar input as '{name}: []'" if name[0].islower() and not near else ""
            yield f"unknown {what}{near}{mend}"
    if einsum.otherwise is not None:
        extra = [name for name in variables(einsum.otherwise) if name not in einsum.kept]
        for name in extra:
            yield f"the value after 'else' depends on {name!r}, which the output lacks"


def _arity(cascade: Cascade, einsum: Einsum) -> Iterator[str]:
    for access in [einsum.output, *einsum.reads]:
        ranks = cascade.tensors.get(access.tensor)
        if ranks is not None and len(ranks) != len(access.indices):
            has = f"{len(ranks)} rank(s) [{', '.join(ranks)}]"
            yield f"{access} has {len(access.indices)} index(es), but {access.tensor} has {has}"


def _reductions(einsum: Einsum) -> Iterator[str]:
    parts = [einsum.value] + ([einsum.condition] if einsum.condition is not None else [])
    right = {name for part in parts for name in variables(part)}
    for name in dict.fromkeys(einsum.reduced):
        if name in einsum.kept:
            yield f"{name!r} is reduced, so it cannot stand on the left"
        elif name not in right:
            yield f"{name!r} is reduced, but nothing on the right depends on it"
        if einsum.reduced.count(name) > 1:
            yield f"{name!r} is reduced twice"
    if einsum.otherwise is not None and einsum.condition is not None:
        for name in variables(einsum.condition):
            if name in einsum.reduced:
                yield f"'else' needs a condition on the output's ranks alone, and {name!r} is reduced"


def _duplicates(cascade: Cascade) -> Iterator[Problem]:
    """Two Einsums that write the same elements: only the initial values of an iterative rank may stand apart."""
    for number, einsum in enumerate(cascade.einsums):
        for earlier in cascade.einsums[:number]:
            if earlier.tensor == einsum.tensor and overlap(cascade, earlier.output, einsum.output):
                where = f" on line {earlier.line}" if earlier.line else ""
                message = f"{einsum.tensor} is written already{where}, as {earlier}"
                yield Problem(message, str(einsum), einsum.line)


def _early(cascade: Cascade, lost: set[str], declared: set[str]) -> Iterator[Problem]:
    """Tensors that are read before any Einsum writes them."""
    first = {einsum.tensor: n for n, einsum in reversed(list(enumerate(cascade.einsums)))}
    for number, einsum in enumerate(cascade.einsums):
        for tensor in dict.fromkeys(access.tensor for access in einsum.reads):
            if tensor in lost:
                continue
            if tensor not in first and tensor not in declared:
                yield Problem(f"unknown tensor {tensor!r}", str(einsum), einsum.line)
            elif first.get(tensor, -1) == number:
                yield Problem(_no_start(cascade, einsum), str(einsum), einsum.line)
            elif first.get(tensor, -1) > number:
                later = cascade.einsums[first[tensor]]
                where = f", on line {later.line}" if later.line else ""
                yield Problem(f"reads {tensor} before it is written{where}", str(einsum), einsum.line)


def _no_start(cascade: Cascade, einsum: Einsum) -> str:
    for index, rank in zip(einsum.output.indices, cascade.tensors[einsum.tensor], strict=True):
        form = affine(index)
        if form is not None and form.factors and form.constant.constant:
            indices = ["0" if part is index else str(part) for part in einsum.output.indices]
            start = f"{einsum.tensor}[{', '.join(indices)}]"
            return f"{einsum.tensor} reads itself, but has no value to start from: write {start} = ... before ({rank})"
    return f"reads {einsum.tensor}, which only this Einsum writes: a cyclic dependency"


def _cycles(cascade: Cascade) -> Iterator[Problem]:
    try:
        blocks(cascade)
    except CyclicCascade as error:
        path = " -> ".join(map(str, [*error.einsums, error.einsums[0]]))
        message = f"cyclic dependency: {path}; no iterative rank, such as RM[m+1] from RM[m], orders it"
        yield Problem(message, str(error.einsums[0]), error.einsums[0].line)
