"""Mutation runs: faults are planted as asked for, judged, and counted."""

import re
from pathlib import Path

import pytest

from benchmarks.mutants_of_engines import judge_engine
from benchmarks.mutate import CONFIGS, bench_of, figures, verdicts
from benchmarks.mutations import Mutant, Mutants, Outcome, design_with_sources, plant
from einloom.generators.registry import generate
from einloom.sim.strategies import make_config

ROOT = Path(__file__).parent.parent
SMALL = make_config({"kind": "int_mac", "rows": 1, "columns": 2, "lanes": 2, "max_inputs": 64}, beat_bits=32)


@pytest.fixture(scope="module")
def planted() -> Mutants:
    design = design_with_sources(SMALL)
    return plant(design, bench_of(design), [5, 6], 8)


def test_a_design_with_sources_is_the_design() -> None:
    told = design_with_sources(SMALL)
    plain = re.sub(r"^ *\(\*[^*]*\*\)\n|\(\*[^*]*\*\) ", "", told.verilog, flags=re.MULTILINE)
    assert plain == generate(SMALL).verilog
    assert told.manifest == generate(SMALL).manifest


def test_faults_have_numbers_seeds_and_lines(planted: Mutants) -> None:
    mutants = planted.mutants
    assert [m.number for m in mutants] == list(range(1, len(mutants) + 1))
    assert {m.seed for m in mutants} == {5, 6}
    assert 12 <= len(mutants) <= 16  # those that both seeds choose count once
    assert len({m.options for m in mutants}) == len(mutants)
    told = [m.source.removeprefix("near ") for m in mutants if ".py:" in m.source]
    assert len(told) >= len(mutants) // 2
    for source in told:
        path, line = source.split(":")
        assert int(line) <= len((ROOT / path).read_text().splitlines())


def test_each_fault_is_chosen_by_its_number_and_the_top_takes_it_from_the_bench(planted: Mutants) -> None:
    text = planted.design.verilog
    for mutant in planted.mutants:
        assert f"mutant == 16'h{mutant.number:04x}" in text, mutant
    top = text[text.index(f"\nmodule {planted.design.manifest.top}(") :]
    top = top[: top.index("endmodule")]
    assert "wire [15:0] mutant = gemm_bench.mutant;" in top
    assert "input [15:0] mutant" not in top
    assert "sums__valid ? sums__payload" in top  # what no one may read is not part of the signature
    assert "activation_read ? activation_address" in top


def mutant(number: int, seed: int) -> Mutant:
    return Mutant(number, seed, "inv", "part", "cell", "Y", 0, "", "hw/part.py:1", "")


def test_verdicts_are_counted_by_seed() -> None:
    mutants = [mutant(n, 1 + n // 3) for n in range(1, 6)]
    default = {
        1: Outcome("corner", "another result in corner"),
        2: Outcome(),
        3: Outcome(None, "other ports in corner"),
        4: Outcome("corner", "another result in corner"),
        5: Outcome(),
    }
    found = verdicts(mutants, default, {2: Outcome(), 3: Outcome(), 5: Outcome("far", "another result in far")})
    told = figures("small", found, [1, 2])
    assert {key: told[key] for key in ("injected", "observable", "caught", "share")} == {
        "injected": 5,
        "observable": 4,
        "caught": 2,
        "share": 0.5,
    }
    assert told["seeds"] == {
        "1": {"injected": 2, "observable": 1, "caught": 1, "share": 1.0},
        "2": {"injected": 3, "observable": 3, "caught": 1, "share": 0.3333},
    }
    assert [line.rpartition(": ")[2] for line in told["missed"]] == ["other ports in corner", "another result in far"]  # type: ignore[attr-defined]
    assert len(told["unseen"]) == 1  # type: ignore[arg-type]


def test_the_shipped_designs_are_small() -> None:
    assert set(CONFIGS) == {
        "int_mac",
        "bitmod",
        "lut",
        "sparse_dsp",
        "sparse_blocks",
        "sparse_three",
        "fusemax",
        "core",
    }
    for config in CONFIGS.values():
        assert config.engine.rows * config.engine.columns <= 16


@pytest.mark.slow
def test_faults_are_judged(planted: Mutants) -> None:
    outcomes = judge_engine(planted, planted.mutants)
    assert set(outcomes) == {m.number for m in planted.mutants}
    caught = [outcome for outcome in outcomes.values() if outcome.case]
    assert len(caught) >= len(outcomes) // 2
    assert all(outcome.shown for outcome in caught)
