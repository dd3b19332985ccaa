"""The notation of cascades: what it accepts, and what each mistake is answered with."""

from pathlib import Path

import pytest
from hypothesis import strategies as st

from einloom.mapping.cascade.expression import affine
from einloom.mapping.cascade.grammar import SyntaxProblem, parse_einsum, parse_expression
from einloom.mapping.cascade.load import load_cascade, parse_cascade
from einloom.mapping.cascade.size import Size
from einloom.spec.errors import ConfigError
from tests.properties import given

HEAD = """einsum:
  rank_sizes: {M: 8, P: 4}
  declaration:
    X: [M, P]
    Y: [M]
  expressions:
"""


def message(*lines: str, head: str = HEAD) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_cascade(head + "".join(f"    - {line}\n" for line in lines), "c.yaml")
    return str(caught.value)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("Z[m] = X[m, p] +", "expected a name, found the end"),
        ("Z[m] = X[m, p", "expected ',' or ']' between indices, found the end"),
        ("Z[m] X[m, p]", "expected '=' after the output, found 'X'"),
        ("Z[m] = (Y[m]", "expected ')' to close the bracket, found the end"),
        ("Z[m] = Y[m] Y[m]", "'Y' follows where the Einsum should end"),
        ("Z[m] = Y[m] $ 2", "'$' in column 13 means nothing here"),
        ("Z[m] = expp(Y[m])", "no map operator 'expp', did you mean 'exp'?"),
        ("Z[m] = exp(Y[m], 2)", "exp takes 1 operand(s), not 2"),
        ("Z[m] = select(Y[m])", "select takes 3 operand(s), not 1"),
        ("Z[m] = mx(p) X[m, p]", "no reduce operator 'mx', did you mean 'max'?"),
        ("Z[m] = 1 + sum(Y[m])", "sum(Y[m]) reduces, so it must come first"),
        ("Z[m] = Y[m] else 3", "'else' without 'where'"),
        ("Z[m] = XX[m, p]", "unknown tensor 'XX', did you mean 'X'?"),
        ("Z[m] = Other[m]", "unknown tensor 'Other': declare it if it is an input"),
        ("Z[q] = Y[q]", "unknown rank variable 'q': there is no rank 'Q'; declare a scalar input as 'q: []'"),
        ("Z[m] = a * Y[m]", "unknown rank variable 'a': there is no rank 'A'; declare a scalar input as 'a: []'"),
        ("Z[m] = Y[m] / N", "unknown rank 'N'"),
        ("Z[m] = X[m]", "X[m] has 1 index(es), but X has 2 rank(s) [M, P]"),
        ("Y[m, p] = X[m, p]", "Y[m, p] has 2 index(es), but Y has 1 rank(s) [M]"),
        ("Z[2*m] = Y[m]", "index 2*m on the left: it must be a variable, a variable plus a count, or a constant"),
        ("Z[m, m] = Y[m]", "variable 'm' stands twice on the left"),
        ("Z[m] = sum(m) Y[m]", "'m' is reduced, so it cannot stand on the left"),
        ("Z[m] = sum(p) Y[m]", "'p' is reduced, but nothing on the right depends on it"),
        ("Z = sum(m) max(m) Y[m]", "'m' is reduced twice"),
        ("Z[m] = X[m, p] where p < m else 0", "'else' needs a condition on the output's ranks alone, and 'p' is"),
        ("Z[m] = Y[m] where m < 3 else p", "the value after 'else' depends on 'p', which the output lacks"),
        ("Z[m+1] = Z[m] + Y[m]", "has no value to start from: write Z[0] = ... before (M)"),
        ("Z[m] = Z[m] + Y[m]", "reads Z, which only this Einsum writes: a cyclic dependency"),
        ("{where: m < 2}", "an Einsum given by keys needs the key 'einsum'"),
        ("{einsum: 'Z[m] = Y[m]', wher: m < 2}", "unknown key, did you mean 'where'?"),
        ("{einsum: 'Z[m] = X[m, p]', reduce: {p: mex}}", "no reduce operator 'mex', did you mean 'max'?"),
        ("{einsum: 'Z[m] = X[m, p]', else: 1}", "'else' without 'where'"),
        ("[Z]", "an Einsum must be a mapping"),
    ],
)
def test_each_mistake_in_a_line_is_named_with_its_line(line: str, expected: str) -> None:
    found = message(line)
    assert expected in found
    assert found.startswith("c.yaml: line 7: ")


def test_mistakes_between_lines() -> None:
    assert "reads B before it is written, on line 8" in message("A[m] = B[m]", "B[m] = Y[m]")
    assert "A is written already on line 7, as A[m]" in message("A[m] = Y[m]", "A[m] = Y[m] + 1")
    assert "A is written already on line 7, as A[m]" in message("A[m] = Y[m]", "A[0] = 1")
    found = message("A[0] = 0", "B[m] = A[m+1] + Y[m]", "A[m+1] = B[m]")
    assert "cyclic dependency: B[m] -> A[m + 1] -> B[m]; no iterative rank" in found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[1, 2", "is no YAML"),
        ("a: \x00", "is no YAML"),
        ("a: [" * 5000, "more than 50 levels of nesting"),
        ("einsum: &a {declaration: *a}", "an alias inside what it stands for"),
        ("- 1", "the file must be a mapping"),
        ("einsums: {}", "unknown section, did you mean 'einsum'?"),
        ("description: x", "a cascade needs a section 'einsum'"),
        ("einsum: {expression: []}", "unknown key, did you mean 'expressions'?"),
        ("einsum: {expressions: []}", "there is no Einsum"),
        ("einsum: {expressions: 3}", "must be a list"),
        ("einsum: {declaration: {X: [m]}, expressions: [Z = 1]}", "'m' is no rank name: write it in capitals"),
        ("einsum: {rank_sizes: {m: 3}, expressions: [Z = 1]}", "'m' is no rank name: write it in capitals"),
        ("einsum: {rank_sizes: {M: 3 +}, expressions: [Z = 1]}", "'3 +': expected a name"),
        ("einsum: {rank_sizes: {M: exp(3)}, expressions: [Z = 1]}", "is no size"),
        ("einsum: {rank_sizes: {M: 0}, expressions: [Z = 1]}", "is no size"),
        ("einsum: {rank_sizes: {M: M1*2, MM1: 2}, expressions: [Z = 1]}", "unknown rank 'M1', did you mean 'MM1'?"),
        ("einsum: {rank_sizes: {A: B, B: 2*A}, expressions: [Z = 1]}", "sizes go in a circle: A -> B -> A"),
        ("einsum: {rank_sizes: {A: [1]}, expressions: [Z = 1]}", "must be a single value"),
        ("einsum: {rank_sizes: {A: 1, A: 2}, expressions: [Z = 1]}", "'A' stands here twice, first on line 1"),
    ],
)
def test_mistakes_in_the_file(text: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_cascade(text, "c.yaml")
    assert expected in str(caught.value)


def test_all_errors_come_at_once_and_a_broken_line_causes_no_others() -> None:
    found = message("A[m] = expp(Y[m])", "B[m] = A[m] * YY[m]", "C[q] = B[m, m]").splitlines()
    assert [line.split(":")[1].strip() for line in found] == ["line 7", "line 8", "line 9", "line 9"]


def test_an_unreadable_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_cascade(tmp_path / "none.yaml")


def test_reductions_are_told_from_maps() -> None:
    assert [r.operator for r in parse_einsum("Z[p] = max(m) X[m, p]").reductions] == ["max"]
    assert not parse_einsum("Z[m, p] = max(m, p)").reductions
    assert not parse_einsum("Z[m, p] = max(m, p) - 1").reductions
    assert [r.variables for r in parse_einsum("Z = sum(m, p) -X[m, p]").reductions] == [("m", "p")]
    assert [r.operator for r in parse_einsum("Z = max(p) sum(m) X[m, p]").reductions] == ["max", "sum"]
    with pytest.raises(SyntaxProblem, match="expected a name"):
        parse_expression("not")


def test_a_reducer_may_stand_in_a_key() -> None:
    lines = '{einsum: "Z = X[m, p]", reduce: {m: max, p: sum}, where: m <= p}'
    cascade = parse_cascade(HEAD + f"    - {lines}\n")
    assert [(r.operator, r.variables) for r in cascade.einsums[0].reductions] == [("max", ("m",)), ("sum", ("p",))]


SIZES = st.dictionaries(st.sampled_from("ABC"), st.integers(1, 9), min_size=3)


@given(st.lists(st.tuples(st.integers(-3, 3), st.sampled_from(["A", "B", "C", "A*B", "1"])), max_size=5), SIZES)
def test_sizes_are_polynomials(terms: list[tuple[int, str]], sizes: dict[str, int]) -> None:
    text = " + ".join(f"{factor}*{names}" for factor, names in terms) or "0"
    form = affine(parse_expression(text))
    assert form is not None
    assert form.constant.evaluate(sizes) == eval(text, {}, dict(sizes))
    printed = affine(parse_expression(str(form.constant)))
    assert printed is not None
    assert printed.constant == form.constant
    assert form.constant - form.constant == Size()
