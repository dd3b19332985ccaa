"""Random designs of DSP chains with random jobs in Amaranth's simulator: packings, patterns, formats, sizes, stalls."""

import json

import numpy as np
import pytest
from hypothesis import HealthCheck
from hypothesis import strategies as st

from einloom.generators.gemm import gemm_engine
from einloom.generators.registry import pe_spec
from einloom.sim.bench.cases import random_batch
from einloom.sim.strategies import sparse_dsp_configs
from einloom.spec.config import Config
from tests.hw.array.gemm import check
from tests.properties import given, settings

PAUSES = (0.0, 0.0, 0.3, 0.8)


def random_designs(examples: int, size: int, blocks: int) -> None:
    @settings(max_examples=examples, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(config=sparse_dsp_configs(size), seed=st.integers(0, 1 << 30), pause=st.sampled_from(PAUSES))
    def each(config: Config, seed: int, pause: float) -> None:
        part, manifest = gemm_engine(config, pe_spec(config))
        jobs, _ = random_batch(np.random.default_rng(seed), manifest, blocks)
        try:
            check(part, manifest, jobs, pause)
        except Exception as error:
            error.add_note(f"config: {json.dumps(config.model_dump(mode='json'))}, seed {seed}, pause {pause}")
            raise

    each()


def test_random_designs_are_golden() -> None:
    random_designs(2, 2, 1)


@pytest.mark.slow
def test_many_random_designs_are_golden() -> None:
    random_designs(220, 4, 4)
