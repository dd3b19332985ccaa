"""The interpreter against plain NumPy."""

import numpy as np
import pytest
from hypothesis import strategies as st
from numpy.typing import NDArray

import einloom.mapping.cascade.interpret as interpreter
from einloom.catalogue import load_cascade
from einloom.mapping.cascade.interpret import evaluate
from einloom.mapping.cascade.load import parse_cascade
from einloom.spec.errors import InputError
from tests.properties import given

Array = NDArray[np.float64]
ATTENTION = ["attention-3pass", "attention-3pass-deferred-division", "attention-2pass", "attention-1pass"]


def softmax_attention(q: Array, k: Array, v: Array, seen: NDArray[np.bool_] | None = None) -> Array:
    scores = k.T @ q
    if seen is not None:
        scores = np.where(seen, scores, -np.inf)
    weights = np.exp(scores - scores.max(axis=0))
    return np.asarray(v @ (weights / weights.sum(axis=0)))


def normal(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).normal(size=shape)


@given(
    st.sampled_from(ATTENTION),
    st.integers(1, 6),
    st.integers(1, 4),
    st.integers(1, 4),
    st.integers(1, 5),
    st.integers(),
)
def test_attention(name: str, tiles: int, tile: int, e: int, p: int, seed: int) -> None:
    seed = abs(seed) % 2**32
    m, f = tiles * tile, e + 1
    q, k, v = 30 * normal(seed, e, p), normal(seed + 1, e, m), normal(seed + 2, f, m)
    cascade = load_cascade(name)
    result = evaluate(cascade, {"Q": q, "K": k, "V": v}, {"M0": tile} if "M0" in cascade.ranks else {})
    assert np.allclose(result["AV"], softmax_attention(q, k, v), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ["attention-1pass-causal", "attention-1pass-window-sinks"])
def test_masked_attention(name: str) -> None:
    q, k, v = normal(1, 5, 24), normal(2, 5, 24), normal(3, 3, 24)
    key, query = np.mgrid[:24, :24]
    sizes = {"M0": 4}
    seen = key <= query
    if name.endswith("sinks"):
        sizes |= {"WINDOW": 6, "SINKS": 2}
        seen &= (key > query - 6) | (key < 2)
    result = evaluate(load_cascade(name), {"Q": q, "K": k, "V": v}, sizes)
    assert np.allclose(result["AV"], softmax_attention(q, k, v, seen))


def test_lightning_attention() -> None:
    q, k, v = normal(1, 24, 5), normal(2, 24, 5), normal(3, 24, 6)
    i, j = np.mgrid[:24, :24]
    expected = np.where(j <= i, (q @ k.T) * 0.9 ** (i - j).clip(0), 0) @ v
    result = evaluate(load_cascade("lightning-attention"), {"Q": q, "K": k, "V": v, "lambda": 0.9}, {"I": 4})
    assert np.allclose(result["O"].reshape(24, 6), expected)


def test_gated_linear_attention() -> None:
    q, k, v, x = normal(1, 24, 5), normal(2, 24, 5), normal(3, 24, 6), normal(4, 24, 5)
    state, expected = np.zeros((5, 6)), []
    for t in range(24):
        gate = (1 / (1 + np.exp(-x[t]))) ** (1 / 16)
        state = gate[:, None] * state + np.outer(k[t], v[t])
        expected.append(q[t] @ state)
    result = evaluate(load_cascade("gated-linear-attention"), {"Q": q, "K": k, "V": v, "X": x}, {"I": 4})
    assert np.allclose(result["O"].reshape(24, 6), expected)


def test_swiglu_and_rmsnorm() -> None:
    x, wg, wu, wd = normal(1, 3, 4), normal(2, 4, 6), normal(3, 4, 6), normal(4, 6, 4)
    gate = x @ wg
    expected = (gate / (1 + np.exp(-gate)) * (x @ wu)) @ wd
    assert np.allclose(evaluate(load_cascade("swiglu-ffn"), {"X": x, "WG": wg, "WU": wu, "WD": wd})["Y"], expected)
    gain = normal(5, 4)
    expected = (x / np.sqrt((x**2).mean(axis=1, keepdims=True) + 1e-5) * gain) @ wg
    assert np.allclose(evaluate(load_cascade("rmsnorm-gemm"), {"X": x, "GAIN": gain, "W": wg})["Y"], expected)


def run(lines: list[str], sizes: str = "M: 4", inputs: str = "X: [M]", **data: Array) -> dict[str, Array]:
    text = f"einsum:\n  rank_sizes: {{{sizes}}}\n  declaration: {{{inputs}}}\n  expressions:\n"
    return evaluate(parse_cascade(text + "".join(f"    - {line}\n" for line in lines)), data)


def test_operators() -> None:
    x = np.array([-2.0, -0.5, 0.5, 800.0])
    values = {
        "exp(min(X[m], 1))": np.exp(np.minimum(x, 1)),
        "2 ** -m": 2.0 ** -np.arange(4),
        "-X[m] ** 2": -(x**2),
        "relu(X[m]) // 2 % 3": np.maximum(x, 0) // 2 % 3,
        "sigmoid(X[m])": [1 / (1 + np.exp(2)), 1 / (1 + np.exp(0.5)), 1 / (1 + np.exp(-0.5)), 1],
        "select(X[m] < 0 and not m == 1, m, M)": [0, 4, 4, 4],
        "take(X[m], m, 1)": [0, 1, 2, 3],
        "max(X[m], 0, 3)": [3, 3, 3, 800],
        "logsigmoid(X[m])": [-np.log1p(np.exp(2)), -np.log1p(np.exp(0.5)), -np.log1p(np.exp(-0.5)), 0],
        "tanh(floor(abs(X[m])))": np.tanh(np.floor(np.abs(x))),
        "silu(X[m]) - X[m] * sigmoid(X[m])": np.zeros(4),
        "rsqrt(exp2(m)) * sqrt(2 ** m) + log2(2) - log(1)": 2 * np.ones(4),
        "m - 1 - 1": np.arange(4) - 2,
        "select(m >= 1 or m != 0, 1, inf)": [np.inf, 1, 1, 1],
    }
    for text, expected in values.items():
        assert np.allclose(run([f"Z[m] = {text}", "USED = sum(m) X[m]"], X=x)["Z"], expected), text


def test_reducers() -> None:
    x = np.array([1.0, 3.0, -2.0, 0.5])
    for reducer, expected in {
        "sum": x.sum(),
        "prod": x.prod(),
        "max": 3,
        "min": -2,
        "logsumexp": np.log(np.exp(x).sum()),
    }.items():
        assert np.allclose(run([f"Z = {reducer}(m) X[m]"], X=x)["Z"], expected)
    y = normal(1, 4, 3)
    assert np.allclose(run(["Z = max(p) sum(m) X[m, p]"], "M: 4, P: 3", "X: [M, P]", X=y)["Z"], y.sum(axis=0).max())


def test_conditions() -> None:
    x = np.arange(1.0, 5.0)
    assert np.allclose(run(["Z[m] = sum(j) X[j] where j <= m"], "M: 4, J: M", X=x)["Z"], x.cumsum())
    assert np.allclose(run(["Z[m] = X[m] where m > 1"], X=x)["Z"], [0, 0, 3, 4])
    assert np.allclose(run(["Z[m] = X[m] where m > 1 else -m"], X=x)["Z"], [0, -1, 3, 4])
    assert np.allclose(run(["Z[m] = X[m-1] where m > 0"], X=x)["Z"], [0, 1, 2, 3])
    assert run(["Z = max(m) X[m] where m > 9"], X=x)["Z"] == -np.inf


def test_scans_up_and_down_and_over_two_ranks() -> None:
    x = np.arange(1.0, 5.0)
    found = run(["F[0] = 0", "F[m+1] = F[m] + X[m]", "B[M] = 0", "B[m] = B[m+1] + X[m]"], X=x)
    assert np.allclose(found["F"], [0, 1, 3, 6, 10])
    assert np.allclose(found["B"], [10, 9, 7, 4, 0])
    lines = ["T[0, 0] = 1", "T[m+1, 0] = 1", "T[0, n+1] = 1", "T[m+1, n+1] = T[m, n+1] + T[m+1, n]"]
    assert np.allclose(run(lines, "M: 2, N: 2", "")["T"], [[1, 1, 1], [1, 2, 3], [1, 3, 6]])


def test_a_large_space_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interpreter, "LARGEST_SPACE", 10)
    a, b = normal(1, 5, 6), normal(2, 6, 7)
    found = run(["Z[m, n] = A[m, k] * B[k, n]"], "M: 5, K: 6, N: 7", "A: [M, K], B: [K, N]", A=a, B=b)
    assert np.allclose(found["Z"], a @ b)


@pytest.mark.parametrize(
    ("data", "sizes", "expected"),
    [
        ({"Q": (2, 3), "K": (2, 4)}, {}, r"no data for the input\(s\) V"),
        ({"Q": (2, 3), "K": (2, 4), "V": (2, 4), "W": (1,)}, {}, "'W' is no input"),
        ({"Q": (2, 3), "K": (5, 4), "V": (2, 4)}, {}, "rank E is 2, but 5 in K"),
        ({"Q": (2, 3), "K": (2,), "V": (2, 4)}, {}, r"K has ranks \[E, M\], but its data has 1"),
        ({"Q": (2, 3), "K": (2, 4), "V": (2, 4)}, {"MM": 2}, "unknown rank 'MM'"),
        ({"Q": (2, 3), "K": (2, 4), "V": (2, 4)}, {"M0": 0}, "rank M0 must have a size of 1 or more"),
        ({"Q": (2, 3), "K": (2, 4), "V": (2, 4)}, {"M0": 3}, "rank M is 4, which M0.M1 cannot be with 3"),
        ({"Q": (2, 3), "K": (2, 4), "V": (2, 4)}, {"M0": 2, "M1": 3}, "rank M is 4, but M0.M1 is 6"),
    ],
)
def test_data_that_does_not_fit(data: dict[str, tuple[int, ...]], sizes: dict[str, int], expected: str) -> None:
    arrays = {name: np.zeros(shape) for name, shape in data.items()}
    with pytest.raises(InputError, match=expected):
        evaluate(load_cascade("attention-1pass"), arrays, sizes)


def test_reading_outside_and_ranks_without_a_size() -> None:
    with pytest.raises(InputError, match=r"Z\[m\] reads X\[m \+ 1\] outside of its 4 coordinates in index 1"):
        run(["Z[m] = X[m+1]"], X=np.zeros(4))
    with pytest.raises(InputError, match=r"no size for rank\(s\) Q"):
        run(["Z[m] = X[m] * q"], "M: 4, Q: ", X=np.zeros(4))
