"""sim/golden/executor.py: a program for every prompt, against decoders in float; and programs that go wrong."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from einloom.mapping.codegen.decoder import compile_decoder
from einloom.mapping.codegen.padding import PaddedSizes
from einloom.models.agreement import agreement
from einloom.models.cache_scales import CacheScales
from einloom.models.core_decoder import CoreDecoder
from einloom.models.decoder_graph import Scores
from einloom.models.decoder_model import DecoderModel
from einloom.models.float_attention import AttentionFunction, float_attention
from einloom.models.float_decoder import Decoder
from einloom.models.linears import FloatLinears
from einloom.sim.device import GoldenDevice
from einloom.sim.device_linears import DeviceLinears
from einloom.sim.golden.driver import GoldenDriver
from einloom.sim.golden.executor import ExecutionError, GoldenCore
from einloom.spec.driver import SYSTEM, Bytes
from einloom.spec.instruction import assemble
from einloom.spec.isa import INSTRUCTION_BYTES, CoreError
from einloom.spec.manifest import Manifest
from einloom.spec.program import Program
from tests.cores import core_manifest
from tests.quantized_cache import QuantizedCache, TokenCache
from tests.rounded import quantize_for_engine, with_short_embedding
from tests.small_models import small_llama

Floats = npt.NDArray[np.float32]
CONTEXT = 32
TOKENS = np.random.default_rng(0).integers(0, 256, CONTEXT).tolist()
MODELS = {  # changes to the core, and to the model
    "GQA, heads of 32": ({}, {}),
    "MQA, heads of 64, untied": (
        {"core": {"lanes": 16}},
        {"num_key_value_heads": 1, "head_dim": 64, "tie_word_embeddings": False},
    ),
    "MHA, heads of 128, 3 rows": ({"engine": {"rows": 3}}, {"num_attention_heads": 2, "head_dim": 128}),
    "MHA, heads of 16, padded": ({"memory": {"channels": 2}}, {"num_key_value_heads": 4, "head_dim": 16}),
    "heads of 256": (
        {"attention": {"max_head": 256}, "core": {"lanes": 16, "query_words": 256, "staging_words": 256}},
        {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 256, "num_hidden_layers": 1},
    ),
    "int_mac, one layer": (
        {"engine": {"kind": "int_mac", "rows": 8, "columns": 16}, "core": {"lanes": 16}, "memory": {"beat_bits": 512}},
        {"num_hidden_layers": 1, "intermediate_size": 160},
    ),
    "chunks as long as tiles": ({"engine": {"rows": 8}, "attention": {"columns": 3}}, {}),
    "odd sizes": (
        {},
        {
            "hidden_size": 44,
            "intermediate_size": 86,
            "num_attention_heads": 9,
            "num_key_value_heads": 3,
            "head_dim": 16,
            "vocab_size": 515,
        },
    ),
    "zeros behind the heads": (
        {},
        {"hidden_size": 50, "intermediate_size": 1, "num_attention_heads": 3, "num_key_value_heads": 1, "head_dim": 40},
    ),
    "keys and values of 4 bits": ({"core": {"lanes": 8, "cache_bits": 4}}, {"num_hidden_layers": 1}),
    "scales per token": (
        {"core": {"lanes": 8, "cache_scales": "token"}, "attention": {"input_bits": 16}},
        {"head_dim": 64, "attention_bias": True},
    ),
    "recent tiles, padded heads": (
        {
            "core": {"lanes": 8, "cache_bits": 4, "cache_scales": "token", "cache_recent": 1},
            "attention": {"input_bits": 16},
        },
        {"num_hidden_layers": 2, "head_dim": 36},
    ),
    "scales per token, 4 bits, padded heads": (
        {"core": {"lanes": 8, "cache_bits": 4, "cache_scales": "token"}, "attention": {"input_bits": 16}},
        {"num_hidden_layers": 1, "head_dim": 36},
    ),
}


@dataclass(frozen=True)
class Setting:
    """A model and its program, with cache scales that no key or value of TOKENS exceeds."""

    model: DecoderModel
    manifest: Manifest
    scales: Sequence[CacheScales]
    program: Program
    exact: Floats
    """Logits [CONTEXT, vocab] of the float32 reference."""
    _runs: dict[int, tuple[Floats, Bytes]] = field(default_factory=dict)

    @property
    def beat(self) -> int:
        """Bytes of one."""
        return self.manifest.gemm.weights.beat_bits // 8

    def decoded(self, prompt: int) -> tuple[Floats, Bytes]:
        """Of the golden executor, after a prompt of so many of TOKENS and then the rest, one by one: logits after the
        prompt's last tokens and after each of the rest, and the system memory."""
        if prompt not in self._runs:
            driver = GoldenDriver(self.manifest, self.program)
            tile = self.manifest.core.job_tile
            decoder = CoreDecoder(driver, self.program, self.manifest.gemm.rows, self.beat, tile=tile)
            logits = [decoder.step(TOKENS[:prompt]), *(decoder.step([t]) for t in TOKENS[prompt:])]
            self._runs[prompt] = np.concatenate(logits), driver.dump(SYSTEM, 0, self.program.system.size)
        return self._runs[prompt]


@pytest.fixture(scope="module", params=MODELS)
def setting(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Setting:
    core, changes = MODELS[request.param]
    return _compiled(small_llama(tmp_path_factory.mktemp("model"), **changes), core_manifest(**core))


def _compiled(model: DecoderModel, manifest: Manifest, factor: float = 1.05) -> Setting:
    """The model's program, for caches whose scales are `factor` times those that TOKENS need."""
    watch = Watch()
    exact = Decoder(model, FloatLinears(model.linears), watch).step(TOKENS)
    unit = np.float32(factor / manifest.core.cache.largest_element)
    scales = [CacheScales(*(np.abs(x).max(axis=0) * unit for x in both)) for both in watch.seen]
    tensors = quantize_for_engine(
        manifest.config.gemm, PaddedSizes.of(model.graph, manifest.core).linears(model.graph, model.linears)
    )
    program = compile_decoder(model.graph, tensors, model.tensors, scales, manifest)
    return Setting(model, manifest, scales, program, exact)


class Watch:
    """Float attention that keeps the keys and values of each layer."""

    def __init__(self) -> None:
        self.seen: list[tuple[Floats, Floats]] = []

    def __call__(self, queries: Floats, keys: Floats, values: Floats, scores: Scores) -> Floats:
        self.seen.append((keys, values))
        return float_attention(queries, keys, values, scores)


def test_logits_are_near_the_float_reference(setting: Setting) -> None:
    """Bounds for int8 weights, activations, keys and values (or 4 bits for these) and a bfloat16 embedding, on random
    models: their logits deviate by 1.6, and a token hangs on few of them."""
    found, _ = setting.decoded(5)
    exact, coarse = setting.exact[-len(found) :], setting.manifest.core.cache_bits == 4
    assert agreement(exact, found).kl <= (0.3 if coarse else 6e-3)
    assert np.abs(found - exact).max() <= (4 if coarse else 0.9)


def _before_and_after(model: DecoderModel, sizes: PaddedSizes) -> Iterator[tuple[Floats, Floats]]:
    """Each matrix as it is, and in the core's sizes."""
    yield from zip(model.linears.values(), sizes.linears(model.graph, model.linears).values(), strict=True)


def test_logits_are_those_of_the_same_quantization_in_float(setting: Setting) -> None:
    """Linear layers with exact sums of int8 activations, float attention on a quantized cache: what is left are codes
    that round the other way, which are few."""
    sizes = PaddedSizes.of(setting.model.graph, setting.manifest.core)
    if any(a.shape != b.shape for a, b in _before_and_after(setting.model, sizes)):
        pytest.skip("padding changes which weights share a scale")
    tensors = quantize_for_engine(setting.manifest.config.gemm, setting.model.linears)
    core = setting.manifest.core
    if core.cache.recent:
        pytest.skip("keys and values have two codes each")
    cache: AttentionFunction = QuantizedCache(setting.scales, core.cache_bits)
    if core.cache.token_scales:
        cache = TokenCache(setting.scales, core.cache, core.lanes)
    model = with_short_embedding(setting.model)
    expected = Decoder(model, DeviceLinears(GoldenDevice(), tensors), cache).step(TOKENS)
    found, _ = setting.decoded(1)
    assert agreement(expected, found).kl <= 5e-4
    assert np.abs(found - expected).max() <= 0.2
    assert np.abs(found[0] - expected[0]).max() <= 1e-3


@pytest.mark.parametrize(("too_small", "holds"), [(4, True), (200, False)])
def test_scales_per_token_hold_for_what_calibration_never_saw(too_small: int, holds: bool, tmp_path: Path) -> None:
    """Calibration that saw keys a quarter as large costs nothing; far beyond, saturation is counted."""
    core, changes = MODELS["scales per token"]
    model, manifest = small_llama(tmp_path, **changes), core_manifest(**core)
    setting = _compiled(model, manifest, 1.0 / too_small)
    driver = GoldenDriver(manifest, setting.program)
    found = CoreDecoder(driver, setting.program, manifest.gemm.rows, setting.beat).step(TOKENS)
    exact = setting.exact[-len(found) :]
    assert (agreement(exact, found).kl <= 6e-3) == holds
    assert (driver.saturated == 0) == holds


def test_one_program_serves_every_prompt(setting: Setting) -> None:
    """However a text is cut into a prompt and single tokens: the same logits and the same cache, in every bit."""
    symbols, rows = setting.program.symbols, setting.manifest.gemm.rows
    cache = slice(symbols.cache * setting.beat, (symbols.cache + symbols.cache_beats) * setting.beat)
    alone, memory = setting.decoded(1)
    for prompt in (5, 9, CONTEXT):
        found, after = setting.decoded(prompt)
        assert len(found) == CONTEXT - prompt + (prompt - 1) % rows + 1
        assert (found.view(np.uint32) == alone[-len(found) :].view(np.uint32)).all(), prompt
        assert (after[cache] == memory[cache]).all(), prompt


def test_only_tokens_logits_and_the_cache_change(setting: Setting) -> None:
    _, after = setting.decoded(9)
    changed = (after != setting.program.system).nonzero()[0] // setting.beat
    names = {p.name for p in setting.program.pieces for b in changed if 0 <= (b - p.offset) * setting.beat < p.size}
    assert {"tokens", "logits"} < names
    assert all(name in ("tokens", "logits") or ".keys." in name or ".values." in name for name in names)


def test_a_text_is_read_again_where_its_last_tiles_are_lost(tmp_path: Path) -> None:
    core, changes = MODELS["recent tiles, padded heads"]
    setting = _compiled(small_llama(tmp_path, **changes), core_manifest(**core))
    core = setting.manifest.core
    driver = GoldenDriver(setting.manifest, setting.program)
    decoder = CoreDecoder(driver, setting.program, core.gemm.rows, core.beat_bytes, tile=core.job_tile)
    first = decoder.step(TOKENS)
    at = CONTEXT - 2 * core.job_tile + 1
    decoder.rewind(at)
    assert decoder.position == at
    again = decoder.step(TOKENS[at:])
    assert (again.view(np.uint32) == first[-len(again) :].view(np.uint32)).all()


# Programs that go wrong.


def stopped(lines: str, *, length: int = 1) -> tuple[CoreError, int, str]:
    """How a program on a core of 100 beats of memory stops."""
    raw = b"".join(assemble(line).encode() for line in lines.splitlines())
    memory = np.zeros(100 * 32, np.uint8)
    memory[: len(raw)] = np.frombuffer(raw, np.uint8)
    core = GoldenCore(core_manifest(), memory, (np.zeros(64, np.uint8),))
    with pytest.raises(ExecutionError) as error:
        core.run(0, len(raw) // INSTRUCTION_BYTES, 0, length)
    return error.value.code, error.value.index, str(error.value)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("load offset=99 words=2", "reaches byte 3232 of a window of 3200"),
        ("load offset=4 words=4000 d_base=65000", "reaches byte 128128 of a window of 3200"),
        ("load offset=4 words=2 d_base=8191", "reaches word 8192 of 8192"),
        ("tokens offset=100", "reaches byte 3212 of a window of 3200"),
        ("store offset=99 words=2", "reaches byte 3232 of a window of 3200"),
        ("store words=2 a_base=8191", "reaches word 8193 of 8192"),
        ("store_kv offset=97 elements=32", "reaches byte 3360 of a window of 3200"),
        ("store_kv base=63 elements=9", "reaches element 513 of 512"),
        ("vector outer=1 inner=2 a_base=8191 a_inner=1", "reaches word 8192 of 8192"),
        ("vector outer=1 inner=1 x=vector b_base=8192", "reaches word 8192 of 8192"),
        ("vector outer=1 inner=1 y=vector c_base=8192", "reaches word 8192 of 8192"),
        ("vector outer=2 inner=1 d_base=8190 d_outer=2", "reaches word 8192 of 8192"),
        ("vector outer=1 inner=1 space=activations d_base=128", "reaches word 128 of 128"),
        ("vector outer=1 inner=1 space=key_values d_base=64", "reaches word 64 of 64"),
        ("vector outer=1 inner=1 space=queries d_base=128", "reaches word 128 of 128"),
        ("vector outer=5 inner=1 space=query_scale", "reaches word 4 of 4"),
        ("attend query_head=32 value_head=32 group=5 count=1", "reaches column 5 of 4"),
        (
            "attend queries=1000 query_head=32 value_head=32 group=1 count=1",
            "reaches element 1035 of 1024 of the query buffer",
        ),
        ("attend keys=93 query_head=32 value_head=32 group=1 count=1", "reaches byte 3232 of a window of 3200"),
    ],
)
def test_what_reaches_outside_stops(line: str, message: str) -> None:
    assert stopped(f"next\n{line}\nend") == (CoreError.WINDOW, 1, f"instruction 1: {message}")


def test_unknown_formats_and_missing_weights_stop() -> None:
    code, index, message = stopped("next\ngemm format=1 blocks=1 tiles=1\nend")
    assert (code, index) == (CoreError.ILLEGAL, 1)
    assert message == "instruction 1: takes weights of format 1, but there are 1"
    code, index, message = stopped("next\ngemm blocks=1 tiles=1\nend")
    assert (code, index) == (CoreError.WATCHDOG, 1)
    assert message == "instruction 1: 17 beats of weights are never fetched"


def test_weights_outside_their_window_stop() -> None:
    code, index, message = stopped("weights offset=1 beats=17\ngemm blocks=1 tiles=1\nend")
    assert (code, index) == (CoreError.WINDOW, 0)
    assert message == "instruction 0: reaches byte 576 of a window of weights of 64"


def test_no_end_and_no_instruction() -> None:
    assert stopped("next\ntokens")[:2] == (CoreError.PAST_END, 2)
    core = GoldenCore(core_manifest(), np.full(64, 0xFF, np.uint8), ())
    with pytest.raises(ExecutionError, match="^instruction 0: no instruction has the opcode 63$") as error:
        core.run(0, 1, 0, 1)
    assert error.value.code == CoreError.ILLEGAL
    nothing = np.frombuffer(assemble("vector").encode() * 2, np.uint8)
    with pytest.raises(ExecutionError, match="^instruction 2: lies outside the window of 64 bytes$"):
        GoldenCore(core_manifest(), nothing.copy(), ()).run(0, 3, 0, 1)


def test_a_driver_reports_how_a_job_ended(setting: Setting) -> None:
    driver = GoldenDriver(setting.manifest, setting.program)
    assert driver.run(0, 3).error is CoreError.NONE
    end = setting.program.symbols.program * setting.beat + setting.program.program_bytes - INSTRUCTION_BYTES
    driver.load(SYSTEM, end, np.frombuffer(assemble("next").encode(), np.uint8))
    result = driver.run(0, 1)
    assert (result.error, result.index) == (CoreError.PAST_END, len(setting.program.instructions))
    driver.load(SYSTEM, end, np.frombuffer(assemble("end").encode(), np.uint8))
    assert driver.run(0, 1).error is CoreError.NONE


def test_changed_weights_are_seen(setting: Setting) -> None:
    driver = GoldenDriver(setting.manifest, setting.program)
    logits = setting.program.symbols.logits * setting.beat
    driver.run(0, 1)
    before = driver.dump(SYSTEM, logits, 256)
    driver.load(1, 0, np.zeros_like(setting.program.weights[0]))
    driver.run(0, 1)
    assert (driver.dump(SYSTEM, logits, 256) != before).any()


def test_end_ends_the_job_in_any_chunk() -> None:
    raw = b"".join(assemble(line).encode() for line in ("tokens", "store words=0", "end"))
    core = GoldenCore(core_manifest(), np.frombuffer(raw.ljust(640, b"\0"), np.uint8).copy(), ())
    core.run(0, 3, 0, 9)  # rows of three chunks would reach outside


def test_conditions() -> None:
    """The first line fails only if it is carried out."""
    lines = "load condition={} first={} offset=200 words=1\nnext\nend"
    for condition, first, length, index in (
        ("token_present", 1, 1, None),
        ("token_present", 1, 2, 0),
        ("token_present", 3, 6, 0),
        ("last_chunk", 0, 5, 0),
        ("always", 200, 1, 0),
    ):
        program = lines.format(condition, first)
        if index is None:
            assert stopped(f"{program.removesuffix('end')}tokens offset=100\nend", length=length)[1] == 2
        else:
            assert stopped(program, length=length)[1] == index
