"""mapping/codegen/: what a program looks like, what fits, and that its tokens keep it right in any order of units."""

import dataclasses
import random
from pathlib import Path

import pytest

from einloom.mapping.codegen.builder import ProgramBuilder
from einloom.mapping.codegen.decoder import compile_decoder
from einloom.mapping.codegen.linear import pieces
from einloom.mapping.codegen.padding import PaddedSizes
from einloom.mapping.fit import require_fit
from einloom.mapping.regions import Allocator, Memory
from einloom.mapping.report import mapping_report, sections
from einloom.models.calibrate import calibrate
from einloom.models.decoder_model import DecoderModel
from einloom.models.families.llama import LlamaKeys
from einloom.sim.golden.executor import GoldenCore
from einloom.sim.golden.memories import Chunk
from einloom.spec.driver import Bytes
from einloom.spec.errors import InputError
from einloom.spec.isa import PERMIT_LIMIT, UNITS, Unit
from einloom.spec.manifest import Manifest
from einloom.spec.program import Program
from einloom.spec.token_table import token_rows
from tests.cores import core_manifest
from tests.rounded import quantize_for_engine
from tests.small_models import compiled, small_llama
from tests.tiny_llama import CONFIG
from tests.units import Move, Units, execute


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> DecoderModel:
    return small_llama(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def manifest() -> Manifest:
    return core_manifest()


@pytest.fixture(scope="module")
def program(model: DecoderModel, manifest: Manifest) -> Program:
    return compiled(model, manifest)


# Units side by side.


class AsyncCore:
    """A golden core whose units execute as the tokens let them: what an instruction does happens at its start or at its
    completion, as it comes."""

    def __init__(self, manifest: Manifest, program: Program, chunk: Chunk, rng: random.Random) -> None:
        self.core = GoldenCore(manifest, program.system.copy(), program.weights)
        self._units = Units(program.instructions, rng.randint(1, 8))
        self._lines = [i.encode() for i in program.instructions]
        self._weights = [n for n, i in enumerate(program.instructions) if i.opcode.unit is Unit.WEIGHTS]
        self._products = [n for n, i in enumerate(program.instructions) if i.opcode.unit is Unit.GEMM]
        self._chunk, self._rng = chunk, rng
        self._pending: dict[Unit, int] = {}

    def run(self) -> None:
        """To the end."""
        while moves := [move for move in self._units.moves() if self._has_weights(move)]:
            kind, unit = move = self._rng.choice(moves)
            self._units.move(move)
            running = self._units.running
            if kind == "start":
                self._pending[unit] = running[unit]
                if self._rng.random() < 0.5 and unit is not Unit.GEMM:
                    self._do(self._pending.pop(unit))
            elif kind == "complete" and unit in self._pending:
                self._do(self._pending.pop(unit))

    def _has_weights(self, move: Move) -> bool:
        """A product is not complete before its weights were fetched, which takes no token."""
        if move != ("complete", Unit.GEMM):
            return True
        fetched = self._weights[self._products.index(self._units.running[Unit.GEMM])]
        return fetched in self._units.execution.completed

    def _do(self, n: int) -> None:
        self.core.execute(self._lines[n], self._chunk)


@pytest.fixture(scope="module")
def prompted(program: Program) -> Program:
    """The program with the ids of three tokens in memory."""
    image, start = program.system.copy(), program.symbols.tokens * 32
    image[start : start + 3 * 32] = token_rows([7, 200, 31], 0, 32)
    return dataclasses.replace(program, system=image)


@pytest.fixture(scope="module")
def in_order(prompted: Program, manifest: Manifest) -> Bytes:
    """Memory after its execution in program order."""
    core = GoldenCore(manifest, prompted.system.copy(), prompted.weights)
    core.run(prompted.symbols.program, prompted.symbols.instructions, 0, 3)
    return core.system


def in_any_order(program: Program, manifest: Manifest, seed: int) -> Bytes:
    core = AsyncCore(manifest, program, Chunk(0, 3, last=True), random.Random(seed))
    core.run()
    return core.core.system


@pytest.mark.parametrize("seed", range(6))
def test_any_order_of_units_computes_the_same(
    prompted: Program, in_order: Bytes, manifest: Manifest, seed: int
) -> None:
    assert (in_any_order(prompted, manifest, seed) == in_order).all()


def test_without_permits_some_order_is_wrong(prompted: Program, in_order: Bytes, manifest: Manifest) -> None:
    bare = dataclasses.replace(prompted, instructions=tuple(i.changed(wait=0, signal=0) for i in prompted.instructions))
    assert any((in_any_order(bare, manifest, seed) != in_order).any() for seed in range(6))


@pytest.mark.parametrize("slow", UNITS, ids=lambda u: u.name)
def test_permits_never_pile_up(program: Program, slow: Unit) -> None:
    """Not even when one unit does nothing until all others have to wait for it."""

    def others_first(moves: list[Move]) -> Move:
        return min(moves, key=lambda move: (move[1] is slow, move[0] != "complete"))

    most = execute(program.instructions[:-1], 8, others_first).most
    assert max(most.values()) <= PERMIT_LIMIT // 8


# What fits.


@pytest.mark.parametrize(
    ("core", "model", "problems"),
    [
        ({"core": {"lanes": 8, "vector_words": 900}}, {}, [r"core\.vector_words: 1,\d+ words are needed, of 900"]),
        (
            {"core": {"lanes": 8, "activation_words": 12, "query_words": 9, "staging_words": 15}},
            {},
            [
                r"core\.activation_words: \d+ words are needed, of 12",
                r"core\.query_words: \d+ words are needed, of 9",
                r"core\.staging_words: 16 words are needed, of 15",
            ],
        ),
        (
            {"attention": {"max_head": 32, "max_keys": 16}},
            {"head_dim": 64, "num_key_value_heads": 1},
            [
                r"attention\.max_head: 64 is needed for heads of 64, of 32",
                r"attention\.max_keys: 32 are needed for the model's context, of 16",
            ],
        ),
        (
            {},
            {"intermediate_size": 1 << 23},
            [r"engine\.max_inputs: 8,388,608 are needed, of [\d,]+", r"engine\.max_tiles: 524,288 are needed for .*"],
        ),
    ],
)
def test_all_that_does_not_fit_is_said_with_its_keys(
    core: dict[str, dict[str, object]], model: dict[str, object], problems: list[str]
) -> None:
    engine = {"kind": "int_mac", "rows": 4, "columns": 16}
    graph = LlamaKeys.model_validate(CONFIG | {"head_dim": 32} | model).graph()
    with pytest.raises(InputError, match="\n  ".join(["^the model does not fit small:", *problems]) + "$"):
        require_fit(graph, core_manifest(engine=engine, **core))


def test_an_engine_runs_no_programs(manifest: Manifest) -> None:
    with pytest.raises(InputError, match=r"^small is an engine without a core: add the sections core and "):
        ProgramBuilder(manifest.model_copy(update={"design": manifest.gemm}))


def test_memories_are_used_as_reported(program: Program, manifest: Manifest) -> None:
    """The largest address of the vector memory is the last word used."""
    vector, activations, queries, staging = program.memories
    assert (vector.name, vector.key, vector.words) == ("vector memory", "core.vector_words", 8192)
    ends = [
        i["d_base"] + 3 * i["d_token"] + (i["outer"] - 1) * i["d_outer"] + i["inner"]
        for i in program.instructions
        if i.opcode.name == "vector" and i["space"] == 0
    ]
    loads = [i["d_base"] + i["words"] for i in program.instructions if i.opcode.name == "load"]
    assert max(*ends, *loads) == vector.used
    assert activations.used == (64 + 128) // 8
    assert queries.used == 2 * 2 * (32 // 8 + 1)
    assert staging.used == 2 * 2 * 32 // 8
    assert manifest.core.vector_words == vector.words


def test_allocation_is_in_order_and_ends_with_the_memory() -> None:
    allocator = Allocator(Memory.STAGING, 10, "core.staging_words")
    first, second = allocator.region("a", 3), allocator.region("b", 2, tokens=3)
    assert (first.base, first.stride, second.base, second.stride) == (0, 0, 3, 2)
    with pytest.raises(InputError, match=r"staging buffer is too small for this model: c ends at word 11 of 10; give"):
        allocator.region("c", 2)


@pytest.mark.parametrize("outputs", [1, 31, 32, 33, 300, 4096, 4100])
def test_pieces_are_all_outputs_in_whole_tiles(outputs: int) -> None:
    found = list(pieces(outputs, 32, 8))
    assert [n for start, stop in found for n in range(start, stop)] == list(range(outputs))
    assert all(start % 32 == 0 for start, _ in found)
    assert max(stop - start for start, stop in found) <= 2 * min(stop - start for start, stop in found) + 32


def test_padding_is_what_zeros_add_to_the_weights(tmp_path: Path) -> None:
    changes = {"hidden_size": 72, "intermediate_size": 86, "vocab_size": 515, "num_hidden_layers": 1}
    model, manifest = small_llama(tmp_path, **changes), core_manifest(engine={"group": 64})
    sizes = PaddedSizes.of(model.graph, manifest.core)
    assert (sizes.hidden, sizes.inner) == (128, 128)
    program = compiled(model, manifest)
    own = sum(w.size for w in model.linears.values())
    stored = program.weights[0].size * 64 / 65  # int8 in groups of 64, each with a scale of a byte
    assert sizes.padding(model.graph, manifest.gemm.columns) == pytest.approx(1 - own / stored)


# Layout without contents, and the report.


def test_a_program_without_contents_is_the_same(model: DecoderModel, manifest: Manifest, program: Program) -> None:
    tensors = quantize_for_engine(
        manifest.config.gemm, PaddedSizes.of(model.graph, manifest.core).linears(model.graph, model.linears)
    )
    found = compile_decoder(model.graph, tensors, model.tensors, calibrate(model, 8), manifest, contents=False)
    assert found.instructions == program.instructions
    assert (found.symbols, found.pieces, found.memories) == (program.symbols, program.pieces, program.memories)
    assert (found.image_bytes, found.program_bytes) == (program.image_bytes, program.program_bytes)
    for image in (found.system, *found.weights):
        assert image.strides == (0,)
        assert not image.any()


def test_the_report_counts_everything(program: Program, manifest: Manifest) -> None:
    parts = sections(program)
    assert sum(sum(part.instructions.values()) for part in parts) == len(program.instructions)
    assert sum(part.weight_beats for part in parts) * 32 == program.weights[0].size
    assert [part.first for part in parts] == sorted(part.first for part in parts)
    text = mapping_report(program, manifest, 0.0625)
    assert "6.2% of the weights, and of the multiplications, are zeros that fill up blocks and tiles\n" in text
    assert f"{len(program.instructions):,} instructions of 32 bytes, {program.program_bytes:,} bytes\n" in text
    assert "Chunks of up to 4 tokens, at any position of a context of 32\n" in text
    for piece in program.pieces:
        assert f"  {piece.name}\n" in text
    for memory in program.memories:
        assert f"  {memory.name} " in text
