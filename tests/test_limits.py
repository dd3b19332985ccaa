"""Jobs keep a design's limits: random ones, corners, and those that a caller asks for."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import strategies as st

from einloom.generators.gemm import gemm_spec
from einloom.generators.registry import pe_spec
from einloom.mapping.gemm_operands import pack_job
from einloom.sim.bench.batch import MAX_STEPS, Job
from einloom.sim.bench.cases import corner_batches, random_batch
from einloom.sim.strategies import bitmod_configs, int_mac_configs, lut_configs, make_config
from einloom.spec.config import Config
from einloom.spec.errors import InputError
from einloom.spec.formats import FORMATS
from einloom.spec.manifest import GemmManifest
from tests.properties import given, settings


def manifest_of(config: Config) -> GemmManifest:
    return gemm_spec(config, pe_spec(config))[1]


def jobs_of(gemm: GemmManifest, seed: int) -> Iterator[Job]:
    """All corners, and some batches of random jobs."""
    rng = np.random.default_rng(seed)
    for _, jobs, _ in corner_batches(gemm):
        yield from jobs
    for _ in range(20):
        yield from random_batch(rng, gemm)[0]


@settings(max_examples=60)
@given(config=st.one_of(bitmod_configs(), int_mac_configs(), lut_configs()), seed=st.integers(0, 1 << 30))
def test_every_job_of_a_bench_fits_the_design(config: Config, seed: int) -> None:
    gemm = manifest_of(config)
    for job in jobs_of(gemm, seed):
        outputs, inputs = job.tensor.shape
        assert 0 < inputs <= gemm.max_inputs
        assert 0 < outputs <= gemm.max_tiles * gemm.columns
        pack_job(gemm, format=job.tensor.format, inputs=inputs, outputs=outputs, tokens=len(job.activations))


@settings(max_examples=60)
@given(config=st.one_of(bitmod_configs(), int_mac_configs(), lut_configs()))
def test_corners_reach_the_most_inputs_that_a_design_takes(config: Config) -> None:
    gemm = manifest_of(config)
    unit = gemm.weights.block
    most = min(gemm.max_inputs, MAX_STEPS * gemm.weights.lanes) // unit * unit
    for step in gemm.weights.steps:
        jobs = [job for case, batch, _ in corner_batches(gemm) if case.startswith(f"{step.format}: ") for job in batch]
        assert sum(job.tensor.shape[1] == most for job in jobs) >= 2


GEMM = manifest_of(
    make_config({"kind": "int_mac", "rows": 2, "columns": 3, "lanes": 4, "max_inputs": 64, "max_tiles": 2})
)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"inputs": 68}, "a product of 68 inputs is too large for this design, which takes 64"),
        ({"outputs": 7}, "a product of 3 tiles of outputs is too large for this design, which takes 2"),
        ({"tokens": 3}, "a product of 3 tokens is too large for this design, which takes 2"),
        ({"inputs": 0}, "a product of 0 inputs: there is nothing to compute"),
        ({"outputs": 0}, "a product of 0 tiles of outputs: there is nothing to compute"),
        ({"tokens": 0}, "a product of 0 tokens: there is nothing to compute"),
    ],
)
def test_a_product_beyond_the_limits_is_refused(sizes: dict[str, int], message: str) -> None:
    fits = {"inputs": 64, "outputs": 6, "tokens": 2}
    pack_job(GEMM, format=FORMATS["int8"], **fits)
    with pytest.raises(InputError, match=f"^{message}$"):
        pack_job(GEMM, format=FORMATS["int8"], **fits | sizes)
