"""Builds a cascade from the contents of a file: resolves names, adds implied sums, finds the ranks of every tensor."""

import re
from pathlib import Path

from einloom.mapping.cascade.check import check
from einloom.mapping.cascade.expression import Access, Expression, Name, affine, rebuild, variables
from einloom.mapping.cascade.grammar import ParsedEinsum, Reduction, SyntaxProblem, parse_einsum, parse_expression
from einloom.mapping.cascade.model import Cascade, Einsum
from einloom.mapping.cascade.operators import REDUCERS
from einloom.mapping.cascade.raw import RawCascade, RawEinsum
from einloom.mapping.cascade.size import Size
from einloom.spec.errors import Problem
from einloom.spec.suggest import did_you_mean

RANK = re.compile(r"[A-Z][A-Z0-9_]*")


def build(raw: RawCascade, problems: list[Problem], file: Path | str, name: str) -> Cascade | None:
    """The cascade; None when something is wrong, which is then added to `problems`."""
    parsed = [(entry, _parse(entry, problems)) for entry in raw.einsums]
    sizes = _sizes(raw, problems)
    for tensor, (ranks, line) in raw.declaration.items():
        for rank in ranks:
            if not RANK.fullmatch(rank):
                problems.append(Problem(f"{rank!r} is no rank name: write it in capitals", tensor, line))
    # A line that doesn't parse still says what it writes, which keeps its error from causing others.
    lost = {match.group(1) for entry, einsum in parsed if not einsum if (match := re.match(r"\s*(\w+)", entry.text))}
    tensors = {tensor: tuple(ranks) for tensor, (ranks, _) in raw.declaration.items()}
    written = {einsum.output.tensor for _, einsum in parsed if einsum} | lost
    einsums = [_resolve(entry, einsum, set(tensors) | written) for entry, einsum in parsed if einsum]
    tensors = {**_inferred(einsums), **tensors}
    known = dict.fromkeys([rank for ranks, _ in raw.declaration.values() for rank in ranks] + list(raw.sizes))
    cascade = Cascade(name, file, tensors, sizes, tuple(known), tuple(einsums))
    problems += check(cascade, lost, dict.fromkeys(raw.declaration))
    return None if problems else cascade


def _parse(entry: RawEinsum, problems: list[Problem]) -> ParsedEinsum | None:
    try:
        einsum = parse_einsum(entry.text)
        condition = parse_expression(entry.where) if entry.where else einsum.condition
        otherwise = parse_expression(entry.otherwise) if entry.otherwise else einsum.otherwise
    except SyntaxProblem as error:
        problems.append(Problem(str(error), entry.text, entry.line))
        return None
    for operator in entry.reduce.values():
        if operator not in REDUCERS:
            near = did_you_mean(operator, REDUCERS)
            problems.append(
                Problem(
                    f"no reduce operator {operator!r}{near}; there are {', '.join(REDUCERS)}", entry.text, entry.line
                )
            )
    if otherwise is not None and condition is None:
        problems.append(Problem("'else' without 'where'", entry.text, entry.line))
    return ParsedEinsum(einsum.output, einsum.value, einsum.reductions, condition, otherwise)


def _sizes(raw: RawCascade, problems: list[Problem]) -> dict[str, Size]:
    """The ranks that the file gives a size; a rank without one stays a symbol."""
    sizes: dict[str, Size] = {}
    for rank, (text, line) in raw.sizes.items():
        if not RANK.fullmatch(rank):
            problems.append(Problem(f"{rank!r} is no rank name: write it in capitals", "rank_sizes", line))
        if not text:
            continue
        try:
            form = affine(parse_expression(text))
        except SyntaxProblem as error:
            problems.append(Problem(f"{text!r}: {error}", f"rank_sizes.{rank}", line))
            continue
        if form is None or form.factors or not _is_positive(form.constant.constant):
            problems.append(Problem(f"{text!r} is no size: products and sums of ranks and counts are", rank, line))
            continue
        for used in sorted(form.constant.names - set(raw.sizes)):
            problems.append(
                Problem(f"unknown rank {used!r}{did_you_mean(used, raw.sizes)}", f"rank_sizes.{rank}", line)
            )
        sizes[rank] = form.constant
    circular = _circular(sizes)
    if circular:
        line = raw.sizes[circular[0]][1]
        problems.append(Problem(f"sizes go in a circle: {' -> '.join(circular)}", "rank_sizes", line))
    return sizes


def _is_positive(count: int | None) -> bool:
    return count is None or count > 0


def _circular(sizes: dict[str, Size]) -> list[str]:
    def follow(rank: str, path: list[str]) -> list[str]:
        if rank in path:
            return [*path[path.index(rank) :], rank]
        for used in sorted(sizes[rank].names & set(sizes)) if rank in sizes else ():
            if found := follow(used, [*path, rank]):
                return found
        return []

    return next((found for rank in sizes if (found := follow(rank, []))), [])


def _resolve(entry: RawEinsum, parsed: ParsedEinsum, tensors: set[str]) -> Einsum:
    """Bare names of tensors become accesses, and variables that only the right side has are reduced."""

    def scalar(part: Expression) -> Expression:
        return Access(part.name, ()) if isinstance(part, Name) and part.name in tensors else part

    value = rebuild(parsed.value, scalar)
    condition = None if parsed.condition is None else rebuild(parsed.condition, scalar)
    otherwise = None if parsed.otherwise is None else rebuild(parsed.otherwise, scalar)
    reductions = list(parsed.reductions)
    done = set(variables(parsed.output)) | {name for reduction in reductions for name in reduction.variables}
    left = [name for name in variables(value) if name not in done]
    if condition is not None:
        left += [name for name in variables(condition) if name not in done | set(left)]
    for name in left:
        operator = entry.reduce.get(name, entry.reduce.get("", "sum"))
        reductions.append(Reduction(operator if operator in REDUCERS else "sum", (name,)))
    stray = [name for name in entry.reduce if name and name not in left]
    reductions += [Reduction(entry.reduce[name], (name,)) for name in stray if entry.reduce[name] in REDUCERS]
    merged: list[Reduction] = []
    for reduction in reductions:
        if merged and merged[-1].operator == reduction.operator:
            merged[-1] = Reduction(reduction.operator, merged[-1].variables + reduction.variables)
        else:
            merged.append(reduction)
    return Einsum(parsed.output, value, tuple(merged), condition, otherwise, entry.text, entry.line)


def _inferred(einsums: list[Einsum]) -> dict[str, tuple[str, ...]]:
    """The ranks of written tensors: those of the variables that index them."""
    found: dict[str, list[str]] = {}
    for einsum in einsums:
        ranks = found.setdefault(einsum.tensor, [""] * len(einsum.output.indices))
        for position, index in enumerate(einsum.output.indices[: len(ranks)]):
            names = variables(index)
            if names and not ranks[position]:
                ranks[position] = names[0].upper()
    return {tensor: tuple(rank or f"{tensor}{n}" for n, rank in enumerate(ranks)) for tensor, ranks in found.items()}
