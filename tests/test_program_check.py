"""mapping/check: compiled programs obey the rules, and programs with a planted fault don't."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from einloom.mapping.check.footprint import Footprints
from einloom.mapping.check.program import check_program, check_steps
from einloom.mapping.regions import Memory, Region
from einloom.mapping.schedule.permits import Step
from einloom.sim.golden.executor import GoldenCore
from einloom.sim.golden.memories import Chunk
from einloom.spec.errors import CheckFailed
from einloom.spec.instruction import Instruction, assemble
from einloom.spec.isa import UNITS, Unit
from einloom.spec.manifest import Manifest
from einloom.spec.program import Program
from tests.cores import core_manifest
from tests.small_models import compiled, small_llama


@pytest.fixture(scope="module")
def manifest() -> Manifest:
    return core_manifest()


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory, manifest: Manifest) -> Program:
    return compiled(small_llama(tmp_path_factory.mktemp("model")), manifest)


def changed(program: Program, n: int, **fields: int) -> Program:
    """The program with other fields in instruction `n`."""
    instructions = list(program.instructions)
    instructions[n] = instructions[n].changed(**fields)
    return dataclasses.replace(program, instructions=tuple(instructions))


def first(program: Program, name: str, wanted: Callable[[Instruction], bool] = lambda _: True) -> int:
    return next(n for n, i in enumerate(program.instructions) if i.opcode.name == name and wanted(i))


SHAPES: Mapping[str, tuple[dict[str, object], dict[str, Mapping[str, object]]]] = {
    "grouped queries": ({"num_attention_heads": 4, "num_key_value_heads": 1}, {}),
    "many layers": ({"num_hidden_layers": 5}, {}),
    "tied": ({"tie_word_embeddings": True}, {}),
    "one token at a time": ({}, {"engine": {"rows": 1}}),
    "wide lanes": ({}, {"core": {"lanes": 16}, "attention": {"rows": 16}}),
    "padded heads": ({"head_dim": 24}, {}),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_compiled_programs_obey_the_rules(shape: str, tmp_path: Path) -> None:
    model, sections = SHAPES[shape]
    manifest = core_manifest(**sections)
    check_program(compiled(small_llama(tmp_path, **model), manifest), manifest)


def test_every_permit_that_is_left_out_is_found(program: Program, manifest: Manifest) -> None:
    """With neither its gift nor its taking, so that the counts still agree."""
    planted = 0
    for n, instruction in enumerate(program.instructions):
        for giver in UNITS:
            if instruction["wait"] >> giver & 1:
                taker = instruction.opcode.unit
                waits = _among(program.instructions[:n], taker, "wait", giver)
                gifts = [
                    m for m, i in enumerate(program.instructions) if i.opcode.unit is giver and i["signal"] >> taker & 1
                ]
                m = gifts[waits]
                without = changed(program, n, wait=instruction["wait"] & ~(1 << giver))
                without = changed(without, m, signal=without.instructions[m]["signal"] & ~(1 << taker))
                with pytest.raises(CheckFailed, match="without waiting for instruction"):
                    check_program(without, manifest)
                planted += 1
    assert planted > 50


def _among(instructions: Sequence[Instruction], unit: Unit, field: str, other: Unit) -> int:
    return sum(i[field] >> other & 1 for i in instructions if i.opcode.unit is unit)


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("gemm", {"signal": 0}, "no earlier instruction gives|are left at this barrier"),
        ("store", {"wait": 1 << Unit.LOAD}, "waits for a permit of load that no earlier instruction gives"),
        ("load", {"words": 1}, "which nothing has written"),
        ("attend", {"queries": 0xFFF8}, "query buffer"),
        ("attend", {"keys": 1 << 31}, "lie in no piece of the image"),
        ("gemm", {"d_base": 0xFFFF}, "reaches word"),
        ("weights", {"beats": 1}, "beats of weights were asked for, but products take"),
        ("store_kv", {"base": 0x7FF0}, "reaches word"),
    ],
)
def test_a_planted_fault_is_found(
    program: Program, manifest: Manifest, name: str, fields: dict[str, int], message: str
) -> None:
    with pytest.raises(CheckFailed, match=message):
        check_program(changed(program, first(program, name), **fields), manifest)


def test_more_permits_than_a_counter_holds_are_found(program: Program, manifest: Manifest) -> None:
    lines = [assemble("load words=1 signal=vector")] * 256 + [assemble("end")]
    many = dataclasses.replace(program, instructions=tuple(lines), notes=())
    with pytest.raises(CheckFailed, match="256 permits may wait for vector, more than 255"):
        check_program(many, manifest)


A, B = Region("a", Memory.VECTOR, 0, 2), Region("b", Memory.VECTOR, 1, 2)
"""Two regions of which the second begins in the first."""


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([("load words=2", (), (A,)), ("load words=2 d_base=1", (), (B,)), ("store words=2 stride=2", (A,), ())], "b$"),
        ([("store words=2 stride=2", (A,), ())], "word 0 of the vector memory, which nothing has written"),
        ([("load words=3", (), (A,))], r"word 2 of the vector memory, outside its regions \(a\)"),
        ([("load words=2", (), ())], r"word 0 of the vector memory, outside its regions \(none\)"),
    ],
)
def test_steps_that_break_their_regions_are_found(
    program: Program,
    manifest: Manifest,
    steps: Sequence[tuple[str, tuple[Region, ...], tuple[Region, ...]]],
    message: str,
) -> None:
    made = [Step(assemble(line), frozenset(reads), frozenset(writes)) for line, reads, writes in steps]
    with pytest.raises(CheckFailed, match=message):
        check_steps(made, Footprints(manifest, program.pieces))


def test_footprints_are_what_golden_touches(program: Program, manifest: Manifest) -> None:
    """A word that an instruction changes on the golden executor lies in its footprint, for a whole chunk."""
    core, footprints = (
        GoldenCore(manifest, program.system.copy(), program.weights),
        Footprints(manifest, program.pieces),
    )
    core.memories.vector[:] = 0x7FC12345  # so that what is written differs from what was there
    for instruction in program.instructions:
        before = core.memories.vector.copy(), core.memories.activations.copy(), core.memories.queries.copy()
        core.execute(instruction.encode(), Chunk(0, manifest.gemm.rows, True))
        footprint = footprints.of(instruction)
        for memory, old, new in (
            (Memory.VECTOR, before[0], core.memories.vector),
            (Memory.ACTIVATIONS, before[1], core.memories.activations),
        ):
            differs = (old != new).any(axis=-1)
            words = set((differs if differs.ndim == 1 else differs.any(axis=0)).nonzero()[0].tolist())
            assert words <= set(footprint.writes.get(memory, ())), str(instruction)
        differs = (before[2] != core.memories.queries).any(axis=-1)
        assert set(differs.ravel().nonzero()[0].tolist()) <= set(footprint.writes.get(Memory.QUERIES, ()))
