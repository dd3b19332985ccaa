"""GEMM engines in Verilator against their golden models, over configs as well as data."""

import json
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from typing import cast

import numpy as np
import pytest
from hypothesis import strategies as st

from einloom.generators.registry import generate
from einloom.sim.bench.cases import random_tensor
from einloom.sim.engine_benches import simulate
from einloom.sim.gemm_device import RtlDevice
from einloom.sim.strategies import make_config
from einloom.spec.config import Config
from einloom.spec.engine_kinds import engine_kinds
from einloom.spec.errors import CheckFailed
from einloom.spec.formats import FORMATS
from tests.core_bed import BITMOD, core_config
from tests.marks import slow
from tests.properties import given, settings

EVERY_FORMAT = ["bitmod-fp4", "bitmod-fp3", "int8", "int6", "int5", "int4", "int2"]


@pytest.mark.parametrize("activations", ["int8", "fp16"])
def test_bitmod_takes_every_format_at_run_time(activations: str) -> None:
    engine = {
        "kind": "bitmod",
        "rows": 1 if activations == "fp16" else 3,
        "columns": 2,
        "formats": EVERY_FORMAT,
        "group": 64,
        "activations": activations,
    }
    result = simulate(generate(make_config(engine, channels=2, beat_bits=32)), cases=40)
    assert result.cases >= 40 + 8 * len(EVERY_FORMAT)


def test_int_mac_is_golden() -> None:
    assert (
        simulate(generate(make_config({"kind": "int_mac", "rows": 3, "columns": 5, "lanes": 2})), cases=40).cases >= 40
    )


@pytest.mark.parametrize("later", [-1, 1])
def test_a_batch_that_takes_another_number_of_cycles_is_found(later: int) -> None:
    design = generate(make_config({"kind": "int_mac", "rows": 3, "columns": 5, "lanes": 2}))
    gemm = design.manifest.gemm.model_copy(update={"pipeline_cycles": design.manifest.gemm.pipeline_cycles + later})
    wrong = replace(design, manifest=design.manifest.model_copy(update={"design": gemm}))
    with pytest.raises(CheckFailed, match=r"largest weight times lowest activation: took \d+ cycles, not \d+"):
        simulate(wrong, cases=4)


@pytest.mark.parametrize(
    "engine",
    [
        {"formats": ["ternary", "int4", "bipolar3"], "lanes": 16, "table_inputs": 3, "group": 64},
        slow({"formats": ["bipolar4", "bipolar1"], "lanes": 8, "table": "half", "group": "channel"}),
        slow({"formats": ["bipolar2", "int3"], "lanes": 4, "table": "full", "group": 32}),
        {"formats": ["ternary", "bipolar2"], "lanes": 4, "entries": "int8", "group": 32},
        slow({"formats": ["bipolar3"], "lanes": 8, "entries": "int8", "entry_scale": "table", "group": "channel"}),
        slow({"formats": ["ternary"], "lanes": 8, "entries": "int8", "activations": "fp16", "group": 64}),
        slow({"formats": ["bipolar2"], "lanes": 8, "entries": "int8", "activations": "fp16", "group": "channel"}),
        {"formats": ["bipolar1", "ternary"], "lanes": 16, "activations": "fp16", "group": "channel"},
        slow({"formats": ["bipolar1", "int2"], "lanes": 16, "table_inputs": 3, "activations": "fp16", "group": 128}),
        {"formats": ["bipolar2"], "columns": 2, "lanes": 32, "table_inputs": 1, "group": 128},
    ],
    ids=[
        "remap",
        "half",
        "full",
        "int8-entries",
        "int8-tables",
        "fp16-int8-entries-halves",
        "fp16-int8-entries",
        "fp16",
        "fp16-groups",
        "capture-behind-next-group",
    ],
)
def test_lut_is_golden(engine: dict[str, object]) -> None:
    config = make_config({"kind": "lut", "rows": 2, "columns": 4, **engine}, channels=2, beat_bits=32)
    assert simulate(generate(config), cases=30).cases >= 30 + 8 * len(config.gemm.formats)


@pytest.mark.parametrize(
    "formats",
    [["bitmod-fp4-2of4", "bitmod-fp4", "ternary"], slow(["int8", "int2-2of4"])],
    ids=["the-last-dsp-adds-up", "chains-of-eight"],
)
def test_sparse_dsp_is_golden(formats: list[str]) -> None:
    config = make_config(
        {"kind": "sparse_dsp", "rows": 2, "columns": 4, "lanes": 16, "formats": formats}, channels=2, beat_bits=64
    )
    assert simulate(generate(config), cases=30).cases >= 30 + 8 * len(formats)


def test_a_device_finds_each_of_several_tensors_in_all_channels() -> None:
    config = make_config({"kind": "int_mac", "rows": 3, "columns": 4, "lanes": 2}, channels=2, beat_bits=64)
    with closing(RtlDevice(config)) as device:
        rng, gemm = np.random.default_rng(1), device.design.manifest.gemm
        device.load({str(n): random_tensor(rng, gemm, FORMATS["int8"], 8, 32 * n) for n in (1, 2, 3)})
        for n in (1, 3, 2):
            device.linear(str(n), rng.integers(-128, 128, (2, 32 * n), np.int8))  # compares with golden


@pytest.mark.slow
def test_the_engine_of_a_core_that_makes_its_tables_is_golden_alone() -> None:
    config = core_config(
        base=BITMOD | {"engine": {"kind": "lut", "rows": 1, "columns": 8, "lanes": 8, "precompute": "fused"}}
    )
    assert simulate(generate(config), cases=4).cases >= 4


def check(config: Config, seed: int, cases: int) -> None:
    try:
        simulate(generate(config), seed=seed, cases=cases)
    except Exception as error:
        error.add_note(f"config: {json.dumps(config.model_dump(mode='json'))}, seed {seed}, cases {cases}")
        raise


KINDS = [kind for kind, engine in engine_kinds().items() if engine.computes == "products"]
FEW = 2
"""Random designs of each engine in the default suite."""
SMALL = 3
"""Rows and columns of those, at most; the long sweep has up to 8."""
MANY = {"lut": 280, "bitmod": 180}
"""In the long one; 40 of each other engine. Of the look-up designs about 200 are different."""


def random_designs(kind: str, examples: int, cases: int, *size: int) -> None:
    strategy = cast(Callable[..., st.SearchStrategy[Config]], engine_kinds()[kind].load("strategy"))

    @settings(max_examples=examples)
    @given(config=strategy(*size), seed=st.integers(0, 1 << 30))
    def each(config: Config, seed: int) -> None:
        check(config, seed, cases)

    each()


@pytest.mark.parametrize("kind", KINDS)
def test_random_designs_of_an_engine_are_golden(kind: str) -> None:
    random_designs(kind, FEW, 8, SMALL)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_many_random_designs_of_an_engine_are_golden(kind: str) -> None:
    random_designs(kind, MANY.get(kind, 40), 12, 8)
