"""DspScaler: every step's sum times its group's scale, from the first step of a tile on."""

import random

import pytest

from einloom.generators.registry import pe_spec
from einloom.hw.arith.dsp48e2 import OPERAND_CYCLES
from einloom.hw.pe.dsp_scaler import SCALING_CYCLES, DspScaler
from einloom.sim.bench.part_bench import PartBench
from einloom.sim.strategies import make_config

BITS = 18


@pytest.mark.parametrize("bias", [None, 1 << BITS - 1])
def test_each_step_is_scaled_and_added(bias: int | None) -> None:
    rng, spec = random.Random(4), pe_spec(make_config({"kind": "sparse_dsp", "max_inputs": 1024, "scaling": "dsp"}))
    rows: dict[str, list[int]] = {"step_sum": [], "scale": []}
    control: list[dict[str, int]] = [{} for _ in range(80)]
    expected: list[int | None] = [None] * 80
    total, cycle = 0, 0
    for _ in range(5):
        for step in range(rng.randrange(1, 4)):
            while rng.random() < 0.3:  # no step: what is there does not count
                rows["step_sum"].append(rng.randrange(1 << BITS))
                rows["scale"].append(rng.randrange(256))
                cycle += 1
            raw, scale = (
                rng.choice([0, (1 << BITS) - 1, rng.randrange(1 << BITS)]),
                rng.choice([255, rng.randrange(256)]),
            )
            rows["step_sum"].append(raw)
            rows["scale"].append(scale)
            meant = bias - raw if bias is not None else raw - (raw >> BITS - 1 << BITS)
            total = meant * scale + (total if step else 0)
            control[cycle + OPERAND_CYCLES - 1] |= {"accumulate": 1, "first": int(step == 0)}
            cycle += 1
        control[cycle - 1 + SCALING_CYCLES] |= {"load": 1}  # also where the next tile's first step follows at once
        expected[cycle + SCALING_CYCLES] = total & (1 << spec.sum_bits) - 1
    part = DspScaler(spec, BITS, bias)
    PartBench(part, held={**rows, "control": control}, tail=0).check(lambda _: {"drain_out": expected})
