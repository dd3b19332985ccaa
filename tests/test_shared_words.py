"""mapping/codegen/shared_words.py: a vector memory with words for what is alive, not for all that there ever is."""

import dataclasses
import random

import numpy as np
import pytest

from einloom.generators.registry import describe
from einloom.mapping.check.footprint import Footprint
from einloom.mapping.codegen.shared_words import alive_at
from einloom.mapping.fit import fit_problems, least_vector_words, needed_words
from einloom.mapping.pipeline import compile_model
from einloom.mapping.regions import Memory, Region
from einloom.mapping.schedule.permits import Step, insert_permits
from einloom.models.decoder_model import DecoderModel
from einloom.sim.golden.executor import GoldenCore
from einloom.sim.golden.memories import Chunk
from einloom.spec.driver import Bytes
from einloom.spec.errors import InputError
from einloom.spec.instruction import Instruction
from einloom.spec.manifest import Manifest
from einloom.spec.program import Program
from tests.core_bed import SMALLEST, Bed, Shape, core_config, core_design, random_program, random_tokens
from tests.cores import core_manifest
from tests.small_models import compiled, small_llama
from tests.test_codegen import AsyncCore
from tests.units import execute


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> DecoderModel:
    return small_llama(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def least(model: DecoderModel) -> int:
    return least_vector_words(model.graph, core_manifest())


@pytest.fixture(scope="module")
def small(least: int) -> Manifest:
    return core_manifest(core={"lanes": 8, "vector_words": least})


@pytest.fixture(scope="module")
def shared(model: DecoderModel, small: Manifest) -> Program:
    """With the ids of three tokens in memory; made with all checks of mapping/check."""
    return prompted(compiled(model, small))


def prompted(program: Program) -> Program:
    image, start = program.system.copy(), program.symbols.tokens * 32
    image[start : start + 3 * 32].reshape(3, 32)[:, 0] = [7, 200, 31]
    return dataclasses.replace(program, system=image)


def run(program: Program, manifest: Manifest) -> Bytes:
    """Memory after a job, without the program itself, whose addresses differ."""
    core = GoldenCore(manifest, program.system.copy(), program.weights)
    core.run(program.symbols.program, program.symbols.instructions, 0, 3)
    return core.system[: program.symbols.program * 32]


def test_it_computes_what_a_program_with_words_for_all_computes(
    model: DecoderModel, least: int, small: Manifest, shared: Program
) -> None:
    whole = core_manifest()
    apart = prompted(compiled(model, whole))
    assert shared.memories[0].used <= least < apart.memories[0].used == needed_words(model.graph, whole)["vector_words"]
    assert len(shared.instructions) == len(apart.instructions)
    assert (run(shared, small) == run(apart, whole)).all()


@pytest.mark.parametrize("seed", range(4))
def test_any_order_of_units_computes_the_same(shared: Program, small: Manifest, seed: int) -> None:
    core = AsyncCore(small, shared, Chunk(0, 3, last=True), random.Random(seed))
    core.run()
    assert (core.core.system[: shared.symbols.program * 32] == run(shared, small)).all()


def test_one_word_less_is_refused(model: DecoderModel, least: int) -> None:
    fewer = core_manifest(core={"lanes": 8, "vector_words": least - 1})
    with pytest.raises(InputError, match=rf"core\.vector_words: {least:,} words are needed, of {least - 1:,}"):
        compile_model(model, fewer)


def test_a_core_is_chosen_for_words_of_their_own(model: DecoderModel, small: Manifest) -> None:
    assert fit_problems(model.graph, small) == []
    assert len(fit_problems(model.graph, small, shared=False)) == 1


def test_a_region_is_alive_from_its_writing_to_its_last_reading() -> None:
    regions = [Region("a", Memory.VECTOR, 0, 2), Region("b", Memory.VECTOR, 2, 1), Region("c", Memory.VECTOR, 3, 2)]
    words = [([], [0, 1]), ([0], [2]), ([1, 2], [3]), ([], [4]), ([3], [2]), ([], [0]), ([4], []), ([2], [])]

    class Known:
        sizes = {Memory.VECTOR: 5}

        def of(self, instruction: Instruction) -> Footprint:
            return found[instruction["offset"]]

    found = [Footprint(*({Memory.VECTOR: np.array(part)} if part else {} for part in parts)) for parts in words]
    steps = [Step(Instruction.make("load", offset=n)) for n in range(len(words))]
    alive = alive_at(steps, regions, Known())
    assert ["".join("x" if there else "." for there in row) for row in alive] == ["xxx..x..", ".xx.xxxx", "..xxxxx."]


def test_what_writes_words_of_others_waits_for_them() -> None:
    a, b = Region("a", Memory.VECTOR, 0, 4), Region("b", Memory.VECTOR, 2, 4)
    apart = Region("apart", Memory.VECTOR, 6, 1)
    steps = [
        Step(Instruction.make("load"), frozenset(), frozenset({a})),
        Step(Instruction.make("vector"), frozenset({a}), frozenset({apart})),
        Step(Instruction.make("gemm"), frozenset(), frozenset({b})),
        Step(Instruction.make("store"), frozenset({b})),
        Step(Instruction.make("load"), frozenset(), frozenset({a})),
    ]
    made = insert_permits(steps)
    assert [bool(i["wait"]) for i in made] == [False, True, True, True, True]
    for seed in range(20):
        found = execute(made, 4, random.Random(seed).choice)
        for before, after in ((1, 2), (3, 4), (0, 2), (2, 4)):
            assert found.completed[before] <= found.started[after]


@pytest.mark.slow
def test_rtl_computes_the_same() -> None:
    shape = Shape(layers=2)
    least = least_vector_words(shape.graph(), describe(core_config(**SMALLEST)))
    design = core_design(core_config(**SMALLEST, core={"vector_words": least}))
    bed = Bed(design, random_program(design.manifest, shape))
    try:
        rng = np.random.default_rng(1)
        bed.check_text(random_tokens(rng, shape, 5), random_tokens(rng, shape, 3))
    finally:
        bed.close()
