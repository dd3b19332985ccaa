"""`gemm` against the golden core: activations in, weights in, words of float32 out."""

from functools import cache

import numpy as np
import pytest

from einloom.hw.core.gemm_unit import GemmUnit
from einloom.sim.bench.part_bench import PartBench
from tests.hw.around import PAUSES, chunk, following, instruction
from tests.hw.core.small import CONFIGS, Small, execute, packed, small, word

# (fields of `gemm`, tokens); a product of nothing among them.
STEPS = [
    ({"format": 0, "blocks": 2, "tiles": 2, "activations": 1, "d_base": 10, "d_token": 9}, 2),
    ({"format": 0, "blocks": 1, "tiles": 0, "activations": 0, "d_base": 3, "d_token": 2}, 2),
    ({"format": 0, "blocks": 0, "tiles": 1, "activations": 0, "d_base": 3, "d_token": 2}, 2),
    ({"format": -1, "blocks": 1, "tiles": 3, "activations": 0, "d_base": 100, "d_token": 0}, 1),
    ({"format": -1, "blocks": 1, "tiles": 1, "activations": 5, "d_base": 0, "d_token": 200}, -1),
]
"""-1 is the last format, and as many tokens as there are rows."""


@cache
def part(name: str) -> GemmUnit:
    spec = small(name).spec
    return GemmUnit(
        spec.gemm,
        spec.lanes,
        spec.activation_words,
        beats_at_once=spec.beats_at_once,
        fifo_beats=spec.fifo_beats,
        parity=False,
    )


def steps(core: Small) -> list[tuple[dict[str, int], dict[str, int]]]:
    gemm = core.manifest.gemm
    found = []
    for fields, tokens in STEPS:
        format = fields["format"] % len(gemm.weights.steps)
        specials = 0x9631 if gemm.weights.selector_bits else 0
        now = chunk(position=3, tokens=tokens % (gemm.rows + 1))
        found.append(({**fields, "format": format, "specials": specials}, now))
    return found


@pytest.mark.parametrize("pause", PAUSES.values(), ids=PAUSES)
@pytest.mark.parametrize("name", [name for name in CONFIGS if name != "scales"])  # its engine is int_mac's
def test_sums_become_the_words_that_the_golden_core_has(name: str, pause: float) -> None:
    core = small(name)
    spec, gemm, golden = core.spec, core.manifest.gemm, core.golden()
    golden.memories.activations[:] = np.random.default_rng(2).integers(-128, 128, golden.memories.activations.shape)
    beat, at, words = spec.beat_bits // 8, 0, []
    for fields, now in steps(core):
        step = gemm.weights.steps[fields["format"]]
        beats = gemm.weights.beats(step, fields["blocks"], fields["tiles"])
        if not beats:
            continue
        execute(golden, now, "weights", offset=at, beats=beats)
        execute(golden, now, "gemm", **fields)
        at += beats
        slices = spec.gemm.columns // spec.lanes
        words += [
            word(golden, fields["d_base"] + token * fields["d_token"] + tile * slices + n)
            for tile in range(fields["tiles"])
            for token in range(now["tokens"])
            for n in range(slices)
        ]
    cells = [(t, a) for t in range(spec.tokens) for a in range(spec.activation_words)]
    writes = {
        "write_enable": [1] * len(cells) + [0],
        "write_token": [t for t, _ in cells],
        "write_address": [a for _, a in cells],
        "write_data": [packed(golden.memories.activations[t, a], 8) for t, a in cells],
    }
    weights = {
        f"weights_{c}": [int.from_bytes(w[n * beat :][:beat].tobytes(), "little") for n in range(at)]
        for c, w in enumerate(golden.weights)
    }
    bench = PartBench(
        part(name),
        {"instruction": [instruction("gemm", **fields) for fields, _ in steps(core)], **weights},
        held={**writes, "chunk": steps(core)[0][1]},
        pauses={"instruction": [1] * (len(cells) + 2) + [0] * 9999, "result": pause, **dict.fromkeys(weights, pause)},
        partners=[following("instruction", chunk=[now for _, now in steps(core)])],
    )
    bench.check(lambda _: {"result": words})
