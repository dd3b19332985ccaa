"""The pass analysis: shipped cascades, and invented ones whose passes can be counted by hand."""

import pytest

from einloom.catalogue import load_cascade, shipped_cascades
from einloom.mapping.cascade.load import parse_cascade
from einloom.mapping.cascade.report import CascadeReport, report_on

SHIPPED: dict[str, tuple[dict[str, int], dict[str, str]]] = {
    "attention-3pass": ({"M": 3, "P": 1, "E": 1, "F": 1}, {"QK": "M", "SN": "M", "A": "1", "AV": "F", "GM": "1"}),
    "attention-3pass-deferred-division": ({"M": 2, "P": 1, "E": 1, "F": 1}, {"QK": "M", "SN": "1", "SNV": "F"}),
    "attention-2pass": (
        {"M": 2, "P": 1, "E": 1, "F": 1},
        {"BQK": "M0", "SLN": "M", "LM": "M1", "SLD": "M1", "CN": "M0", "CD": "1", "AV": "1"},
    ),
    "attention-1pass": (
        {"M": 1, "P": 1, "E": 1, "F": 1},
        {"Q": "E", "K": "M0", "V": "M0", "BQK": "M0", "SLN": "M0", "RM": "1", "RD": "1", "RNV": "F", "AV": "1"},
    ),
    "attention-1pass-causal": ({"M": 1, "P": 1, "E": 1, "F": 1}, {"BQK": "M0", "RM": "1", "RNV": "F"}),
    "attention-1pass-window-sinks": ({"M": 1, "P": 1, "E": 1, "F": 1}, {"BQK": "M0", "RM": "1", "RNV": "F"}),
    "lightning-attention": ({"S": 1, "D": 1, "F": 1}, {"KV": "D*F", "QK": "I*J"}),
    "gated-linear-attention": ({"S": 1, "D": 1, "F": 1}, {"ST": "D*F", "QK": "I*J"}),
    "swiglu-ffn": ({"D": 1, "H": 1, "T": 1}, {"G": "1", "U": "1", "A": "1", "X": "D", "Y": "D"}),
    "rmsnorm-gemm": ({"D": 2, "N": 1, "T": 1}, {"X": "D", "SS": "1", "R": "1"}),
}


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_cascades(name: str) -> None:
    report = report_on(load_cascade(name))
    passes, live = SHIPPED[name]
    found = report.as_json()
    assert found["passes"] == passes
    footprints = found["footprints"]
    assert isinstance(footprints, dict)
    assert {tensor: footprints[tensor] for tensor in live} == live


def test_every_shipped_cascade_is_tested() -> None:
    assert set(SHIPPED) == set(shipped_cascades())


def report_of(sizes: str, inputs: str, lines: str) -> CascadeReport:
    expressions = "".join(f"    - {line.strip()}\n" for line in lines.strip().splitlines())
    head = f"einsum:\n  rank_sizes: {{{sizes}}}\n  declaration: {{{inputs}}}\n  expressions:\n"
    return report_on(parse_cascade(head + expressions))


INVENTED: dict[str, tuple[str, str, str, dict[str, int | str]]] = {
    "the names of the 1-pass attention on the structure of the 3-pass one": (
        "M1: 8, P: 4, E: 4, F: 4",
        "Q: [E, P], BK: [E, M1], BV: [F, M1]",
        """BQK[m1, p] = Q[e, p] * BK[e, m1]
        RM[p] = max(m1) BQK[m1, p]
        SLN[m1, p] = exp(BQK[m1, p] - RM[p])
        RD[p] = sum(m1) SLN[m1, p]
        PRM[m1, p] = SLN[m1, p] / RD[p]
        RNV[f, p] = PRM[m1, p] * BV[f, m1]""",
        {"M1": 3},
    ),
    "variance from the mean": (
        "M: 8",
        "X: [M]",
        """MU = sum(m) X[m] / M
        D[m] = (X[m] - MU) ** 2
        VAR = sum(m) D[m] / M""",
        {"M": 2},
    ),
    "variance by Welford's running update": (
        "M: 8",
        "X: [M]",
        """MU[0] = 0
        S[0] = 0
        MU[m+1] = MU[m] + (X[m] - MU[m]) / (m + 1)
        S[m+1] = S[m] + (X[m] - MU[m]) * (X[m] - MU[m+1])
        VAR = S[M] / M""",
        {"M": 1},
    ),
    "variance from two sums": (
        "M: 8",
        "X: [M]",
        """S1 = sum(m) X[m]
        S2 = sum(m) X[m] ** 2
        VAR = S2 / M - (S1 / M) ** 2""",
        {"M": 1},
    ),
    "a softmax over one rank, then over the other": (
        "M: 8, N: 8",
        "X: [M, N]",
        """GM[n] = max(m) X[m, n]
        S[m, n] = exp(X[m, n] - GM[n])
        SD[n] = sum(m) S[m, n]
        A[m, n] = S[m, n] / SD[n]
        GN[m] = max(n) A[m, n]
        T[m, n] = exp(A[m, n] - GN[m])
        TD[m] = sum(n) T[m, n]
        B[m, n] = T[m, n] / TD[m]""",
        {"M": 3, "N": 3},
    ),
    "a chain of four normalisations": (
        "M: 8",
        "X: [M]",
        """N1 = sum(m) X[m]
        Y1[m] = X[m] / N1
        N2 = max(m) Y1[m]
        Y2[m] = Y1[m] / N2
        N3 = sum(m) Y2[m] ** 2
        Y3[m] = Y2[m] / sqrt(N3)
        N4 = min(m) Y3[m]
        Y4[m] = Y3[m] - N4""",
        {"M": 5},
    ),
    "a reduction over another rank than the one that is read again": (
        "M: 8, N: 8",
        "X: [M, N]",
        """R[m] = sum(n) X[m, n]
        Y[m] = R[m] * R[m]
        Z = sum(m) Y[m]""",
        {"M": 1, "N": 1},
    ),
    "a whole of one fiber meets the elements of another": (
        "M: 8",
        "X: [M], W: [M]",
        """R = sum(m) X[m]
        Y[m] = W[m] * R""",
        {"M": 1},
    ),
    "scores that are computed again instead of kept": (
        "M: 8, E: 4, P: 4",
        "Q: [E, P], K: [E, M]",
        """QK[m, p] = Q[e, p] * K[e, m]
        GM[p] = max(m) QK[m, p]
        AGAIN[m, p] = Q[e, p] * K[e, m]
        SN[m, p] = exp(AGAIN[m, p] - GM[p])
        SD[p] = sum(m) SN[m, p]""",
        {"M": 2, "E": 1},
    ),
    "an indirect whole, hidden behind a tensor that has the rank": (
        "D: 8",
        "X: [D], GAIN: [D]",
        """S = sum(d) X[d]
        SCALED[d] = GAIN[d] / S
        Z = sum(d) SCALED[d] * X[d]""",
        {"D": 2},
    ),
    "another variable for the same rank": (
        "M: 8, Q: M",
        "X: [M]",
        """G = max(m) X[m]
        S[q] = exp(X[q] - G)
        Z = sum(q) S[q]
        O[m] = S[m] / Z""",
        {"M": 3},
    ),
    "partial results per tile, merged at the end": (
        "M1: 4, M0: 4, M: M1*M0",
        "X: [M]",
        """L[m1] = max(m0) X[m1*M0 + m0]
        D[m1] = sum(m0) exp(X[m1*M0 + m0] - L[m1])
        G = max(m1) L[m1]
        Z = sum(m1) D[m1] * exp(L[m1] - G)""",
        {"M": 2},
    ),
    "a softmax within each tile": (
        "M1: 4, M0: 4, M: M1*M0",
        "X: [M]",
        """L[m1] = max(m0) X[m1*M0 + m0]
        S[m1, m0] = exp(X[m1*M0 + m0] - L[m1])
        D[m1] = sum(m0) S[m1, m0]
        A[m1, m0] = S[m1, m0] / D[m1]""",
        {"M": 1},
    ),
    "tiles in one Einsum, the undivided rank in the next": (
        "M1: 4, M0: 4, M: M1*M0",
        "X: [M]",
        """L[m1] = max(m0) X[m1*M0 + m0]
        G = max(m1) L[m1]
        Y[m] = X[m] - G""",
        {"M": 2},
    ),
    "a scan up and a scan down": (
        "M: 8",
        "X: [M]",
        """F[0] = 0
        F[m+1] = 0.5 * F[m] + X[m]
        B[M] = 0
        B[m] = 0.5 * B[m+1] + X[m]
        Y[m] = F[m] + B[m]""",
        {"M": 2},
    ),
    "a scan down alone": (
        "M: 8",
        "X: [M]",
        """B[M] = 0
        B[m] = 0.5 * B[m+1] + X[m]
        Y[m] = X[m] - B[m+1]""",
        {"M": 1},
    ),
    "the first element is no whole": ("M: 8", "X: [M]", "Y[m] = X[m] - X[0]", {"M": 1}),
    "a running value's end is one": (
        "M: 8",
        "X: [M]",
        """R[0] = 0
        R[m+1] = R[m] + X[m]
        Y[m] = X[m] / R[M]""",
        {"M": 2},
    ),
    "an iteration that normalises in every round": (
        "L: 10, M: 4, N: 4",
        "A: [M, N]",
        """X[0, m, n] = A[m, n]
        R[l, m] = sum(n) X[l, m, n]
        Y[l, m, n] = X[l, m, n] / R[l, m]
        C[l, n] = sum(m) Y[l, m, n]
        X[l+1, m, n] = Y[l, m, n] / C[l, n]""",
        {"L": 1, "M": "L + 1", "N": "L + 1"},
    ),
    "a residual around a feed-forward block": (
        "D: 8, H: 8",
        "X: [D], W: [D, H], V: [H, D]",
        """G[h] = X[d] * W[d, h]
        Y[d] = G[h] * V[h, d]
        Z[d] = X[d] + Y[d]""",
        {"D": 2, "H": 1},
    ),
    "a residual around a product with another variable": (
        "M: 8, J: M",
        "X: [M], A: [M, J]",
        """H[m] = sum(j) A[m, j] * X[j]
        Y[m] = X[m] + H[m]""",
        {"M": 2},
    ),
    "two normalisations with matrices between": (
        "D: 8, H: 8",
        "X: [D], W: [D, H], U: [H, D]",
        """S = sum(d) X[d] ** 2
        N[d] = X[d] / sqrt(S)
        G[h] = N[d] * W[d, h]
        Y[d] = G[h] * U[h, d]
        T = sum(d) Y[d] ** 2
        Z[d] = Y[d] / sqrt(T)""",
        {"D": 2, "H": 1},
    ),
    "the same with a residual, which makes one fiber of two": (
        "D: 8, H: 8",
        "X: [D], W: [D, H], U: [H, D]",
        """S = sum(d) X[d] ** 2
        N[d] = X[d] / sqrt(S)
        G[h] = N[d] * W[d, h]
        Y[d] = G[h] * U[h, d]
        R[d] = X[d] + Y[d]
        T = sum(d) R[d] ** 2
        Z[d] = R[d] / sqrt(T)""",
        {"D": 4, "H": 1},
    ),
    "online softmax, whose weights are written": (
        "M: 8",
        "X: [M]",
        """R[0] = -inf
        D[0] = 0
        R[m+1] = max(R[m], X[m])
        D[m+1] = D[m] * exp(R[m] - R[m+1]) + exp(X[m] - R[m+1])
        Y[m] = exp(X[m] - R[M]) / D[M]""",
        {"M": 2},
    ),
    "a convolution, normalised": (
        "H: 8, X: 6, R: 3",
        "I: [H], F: [R]",
        """O[x] = I[x + r] * F[r]
        S = sum(x) O[x]
        N[x] = O[x] / S""",
        {"H": 2},
    ),
    "a recurrence over two ranks": (
        "M: 4, N: 4",
        "A: [M], B: [N]",
        """T[0, 0] = 0
        T[m+1, 0] = -1
        T[0, n+1] = -1
        T[m+1, n+1] = max(T[m, n] + A[m] * B[n], T[m, n+1] - 1, T[m+1, n] - 1)""",
        {"M": 1, "N": 1},
    ),
}


@pytest.mark.parametrize("name", INVENTED)
def test_invented_cascades(name: str) -> None:
    sizes, inputs, lines, expected = INVENTED[name]
    report = report_of(sizes, inputs, lines)
    passes = report.as_json()["passes"]
    assert isinstance(passes, dict)
    assert {rank: passes[rank] for rank in expected} == expected
    for rank, count in expected.items():
        reasons = [reason for reason in report.why if reason.startswith(f"{rank}, pass")]
        assert not isinstance(count, int) or len(reasons) == count - 1


def test_renaming_everything_changes_nothing() -> None:
    sizes, inputs, lines, _ = INVENTED["a softmax over one rank, then over the other"]
    names = {"GM": "A1", "SD": "QK", "TD": "RM", "GN": "LM", "A": "SLNV", "B": "X1", "S": "Z9", "T": "U"}
    for old, new in names.items():
        lines = lines.replace(f"{old}[", f"{new}_[")
    assert [entry.count.constant for entry in report_of(sizes, inputs, lines).passes.ranks] == [3, 3]


def test_why_names_the_chain() -> None:
    report = report_on(load_cascade("rmsnorm-gemm"))
    assert report.why == [
        "D, pass 2: SS[t] is complete only after all of D, which reaches R[t]; XN[t, d] reads X[t, d] again, with R[t]"
    ]
    report = report_of(*INVENTED["a scan up and a scan down"][:3])
    assert report.why == ["M, pass 2: B[m] runs over M the other way, so it reads X[m] in a pass of its own"]
    report = report_of(*INVENTED["an iteration that normalises in every round"][:3])
    assert "M: and so on in every round of the iteration, L + 1 passes in all" in report.why


def test_within_a_tile_a_fiber_may_be_read_more_often() -> None:
    found = report_on(load_cascade("attention-1pass")).as_json()
    assert found["within_tiles"] == {"M1": 1, "M0": 2}


def test_footprints_of_invented_cascades() -> None:
    recompute = report_of(*INVENTED["scores that are computed again instead of kept"][:3]).footprints.live
    assert {name: str(recompute[name]) for name in ("QK", "AGAIN", "SN")} == {"QK": "1", "AGAIN": "1", "SN": "1"}
    merged = report_of(*INVENTED["partial results per tile, merged at the end"][:3]).footprints.live
    assert {name: str(merged[name]) for name in ("L", "D", "G")} == {"L": "M1", "D": "M1", "G": "1"}
    online = report_of(*INVENTED["online softmax, whose weights are written"][:3]).footprints.live
    assert {name: str(online[name]) for name in "XRDY"} == {"X": "M", "R": "1", "D": "1", "Y": "1"}
    twice = report_of(*INVENTED["two normalisations with matrices between"][:3]).footprints.live
    assert {name: str(twice[name]) for name in "XYN"} == {"X": "D", "Y": "D", "N": "1"}
    slide = report_of(*INVENTED["a convolution, normalised"][:3]).footprints.live
    assert str(slide["I"]) == "R"
