"""Cascades in TeAAL's and AccelForge's YAML."""

import numpy as np
import pytest

from einloom.mapping.cascade.interpret import evaluate
from einloom.mapping.cascade.load import parse_cascade
from einloom.mapping.cascade.passes import analyse
from einloom.spec.errors import ConfigError

RNG = np.random.default_rng(3)


def test_a_teaal_specification_reads_as_it_is() -> None:
    text = """
einsum:
  declaration:
    A: [K, M]
    B: [K, N]
    T: [K, M, N]
    Z: [M, N]
  expressions:
    - T[k, m, n] = take(A[k, m], B[k, n], 1)
    - Z[m, n] = T[k, m, n] * A[k, m]
mapping:
  rank-order: {A: [K, M]}
"""
    a = np.where(RNG.random((4, 3)) < 0.5, 0.0, RNG.normal(size=(4, 3)))
    b = RNG.normal(size=(4, 5))
    assert np.allclose(evaluate(parse_cascade(text), {"A": a, "B": b})["Z"], a.T @ b)


def test_teaals_dotted_sum_and_its_convolution() -> None:
    text = """
einsum:
  declaration: {I: [W], F: [S], O: [Q], T: []}
  rank_sizes: {Q: 6}
  expressions:
    - O[q] = sum(S).(I[q + s] * F[s])
    - T = O[q]
"""
    i, f = RNG.normal(size=8), RNG.normal(size=3)
    result = evaluate(parse_cascade(text), {"I": i, "F": f})
    assert np.allclose(result["O"], np.correlate(i, f))
    assert np.allclose(result["T"], np.correlate(i, f).sum())


ACCELFORGE = """
workload:
  rank_sizes:
    {% set BATCH = BATCH | default(2) %}
    B: {{BATCH}}
    P: 5
    M: 5
    H: 3
    E: 4
    F: 4
  bits_per_value: {All: 8}
  einsums:
  - einsum: "I[b, m, e] = I_in[b, m, e]"
    is_copy_operation: True
  - "K[b, m, h, e] = I[b, m, e] * WK[h, e]"
  - einsum: "QK[b, m, p, h] = Q[b, m, h, e] * K[b, M: p, h, e]"
    renames: {input: Q}
  - "S[b, m, p, h] = QK[b, m, p, h]"
  - "AV[b, m, h, f] = S[b, m, p, h] * V[b, h, E: f, M: p]"
renames:
  einsums: []
"""


def test_an_accelforge_workload() -> None:
    cascade = parse_cascade(ACCELFORGE)
    data = {name: RNG.normal(size=(2, 5, 3, 4)) for name in "Q"}
    data |= {"I_in": RNG.normal(size=(2, 5, 4)), "WK": RNG.normal(size=(3, 4)), "V": RNG.normal(size=(2, 3, 4, 5))}
    k = np.einsum("bme,he->bmhe", data["I_in"], data["WK"])
    expected = np.einsum("bmhe,bphe,bhfp->bmhf", data["Q"], k, data["V"])
    assert np.allclose(evaluate(cascade, data)["AV"], expected)
    assert analyse(cascade).counts["P"].constant == 1


def test_an_accelforge_workload_spelt_out() -> None:
    text = """
workload:
  iteration_space_shape: {m: 0 <= m < 4, n0: 0 <= n0 < 3, n1: 0 <= n1 < 5, r: 0 <= r < 2}
  einsums:
  - name: Matmul
    tensor_accesses:
    - {name: T0, projection: [m, n0]}
    - {name: W0, projection: [n0, n1]}
    - {name: T1, projection: {M: m, N: n1}, output: True}
  - name: Slide
    tensor_accesses:
    - {name: T1, projection: {N: n1, M: m}}
    - {name: G, projection: {A: m + r}}
    - {name: Y, projection: [n1], output: True}
"""
    t0, w0, g = RNG.normal(size=(4, 3)), RNG.normal(size=(3, 5)), RNG.normal(size=5)
    result = evaluate(parse_cascade(text), {"T0": t0, "W0": w0, "G": g})
    assert np.allclose(result["Y"], (g[:4] + g[1:]) @ (t0 @ w0))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("workload: {einsums: [A]}", "an Einsum needs an output, '=' and inputs"),
        ("workload: {einsums: [{name: A}]}", "needs 'einsum' or 'tensor_accesses'"),
        ("workload: {einsums: [{tensor_accesses: [{name: A}]}]}", "needs 'name' and 'projection'"),
        ("workload: {einsums: [{tensor_accesses: []}]}", "needs one output and at least one input"),
        ("workload: {}", "there is no Einsum"),
        ("workload: {iteration_space_shape: {m: m < 3}, einsums: ['A[m] = B[m]']}", "0 <= variable < size"),
        ("workload:\n  {% for i in range(3) %}\n  - x\n", "must be rendered first"),
    ],
)
def test_what_cannot_be_converted(text: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        parse_cascade(text)


def test_template_variables_without_a_value_are_named_with_their_lines() -> None:
    text = ACCELFORGE.replace("    P: 5", "    P: {{SEQ}} # {{NOT_THIS}}").replace("    H: 3", "    H: {{ HEADS * 2 }}")
    with pytest.raises(ConfigError) as error:
        parse_cascade(text, "w.yaml")
    found = str(error.value)
    assert (
        "line 6: template variable 'SEQ' has no value: write a value in its place, or add {% set SEQ = VALUE %}"
        in found
    )
    assert "line 8: template variable 'HEADS * 2' has no value: render the template with AccelForge first" in found
    assert "NOT_THIS" not in found


def test_the_mend_of_an_unset_template_variable_works() -> None:
    parse_cascade("{% set SEQ = 5 %}\n" + ACCELFORGE.replace("    P: 5", "    P: {{SEQ}}"))
