"""Cost of the core's number formats: the golden executor against the float32 decoder of the shipped models.

    python -m benchmarks.fidelity

The float model writes two texts of 256 tokens, its whole context, sampled at temperature 1 from the prompts below.
Their seeds differ from the one of the text that the scales of keys and values are found with. Both models then read
the texts: after each of the 512 tokens, do they find the same one most probable, and how far is one distribution from
the other? The executor computes what the core computes, to the bit. The exit code is 1 if int8 weights with an int8
cache agree on fewer than 95 %. Models that were trained with few-bit weights are compared with themselves: their
weights are exact in their formats, so only activations, keys and values differ.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from einloom.catalogue import DEFAULT_MODEL, load_config, shipped_models
from einloom.generators.registry import describe
from einloom.mapping.pipeline import compile_model
from einloom.models.agreement import Agreement, agreement
from einloom.models.core_decoder import CoreDecoder
from einloom.models.decoder_model import DecoderModel
from einloom.models.float_decoder import Decoder
from einloom.models.importer.huggingface import load_folder
from einloom.models.linears import FloatLinears
from einloom.models.text_generation import generate_text
from einloom.sim.golden.driver import GoldenDriver
from einloom.spec.config import Config
from einloom.spec.engines.bitmod import BitmodConfig
from einloom.spec.engines.int_mac import IntMacConfig
from einloom.spec.formats import FORMATS, TERM_FORMATS
from einloom.spec.sampling import Sampling

Floats = npt.NDArray[np.float32]
PROMPTS = ("ROMEO:", "Once more unto the breach")
BAR = 0.95
CACHES = (8, 4)
LOOK_UP = (
    (DEFAULT_MODEL, "lut-w4"),
    (DEFAULT_MODEL, "lut-w2"),
    (DEFAULT_MODEL, "lut-ternary"),
    ("shakespeare-1m-w2", "lut-w2"),
    ("shakespeare-1m-ternary", "lut-ternary"),
)


def subjects() -> Iterator[tuple[str, str, Config]]:
    """Rows of the table: the row's name, a shipped model, and a config that runs it.

    Configs are the default one with each weight format of its engine, the same with the int8 array, and the look-up
    engine.
    """
    default = load_config("default")
    for name in sorted(TERM_FORMATS, key=lambda name: (-FORMATS[name].bits, name)):
        engine = BitmodConfig(kind="bitmod", formats=(name,))
        yield f"bitmod, {name}", DEFAULT_MODEL, default.model_copy(update={"engine": engine})
        if name == "int8":
            plain = default.model_copy(update={"engine": IntMacConfig(kind="int_mac")})
            yield "int_mac, int8", DEFAULT_MODEL, plain
    for model, config in LOOK_UP:
        found = load_config(config)
        weights = f"lut, {found.gemm.weight_formats[0].name}"
        yield weights if model == DEFAULT_MODEL else f"{weights}, trained with it", model, found


def texts(model: DecoderModel) -> list[list[int]]:
    """Texts that the model writes itself, each as long as its context."""
    found = []
    for seed, prompt in enumerate(PROMPTS, start=1):
        decoder, tokens = Decoder(model, FloatLinears(model.linears)), model.encode(prompt)
        written = generate_text(decoder, tokens, decoder.context - len(tokens), sampling=Sampling(1.0, seed=seed))
        found.append(list(written.tokens))
    return found


def read(model: DecoderModel, config: Config, tokens: list[int]) -> tuple[Floats, float]:
    """Logits [T, vocab] of the golden executor after each token, and the stored bits per weight."""
    manifest = describe(config)
    program, bits = compile_model(model, manifest)
    rows = manifest.gemm.rows
    driver = GoldenDriver(manifest, program)
    decoder = CoreDecoder(driver, program, rows, manifest.gemm.weights.beat_bits // 8)
    return np.concatenate([decoder.step(tokens[n : n + rows]) for n in range(0, len(tokens), rows)]), bits


def main() -> int:
    """Print the table; 1 if the bar is missed."""
    models = {name: load_folder(folder) for name, folder in shipped_models().items()}
    written = {name: texts(model) for name, model in models.items()}
    exact = {
        name: np.concatenate([Decoder(model, FloatLinears(model.linears)).step(tokens) for tokens in written[name]])
        for name, model in models.items()
    }
    headings = (f"{what}, cache int{cache}" for cache in CACHES for what in ("top-1", "KL"))
    table = Table("engine, weights", "bits/weight", *headings, title=f"{len(exact[DEFAULT_MODEL])} tokens; KL in nats")
    missed = False
    for name, model, config in subjects():
        found: list[Agreement] = []
        for cache in CACHES:
            assert config.core is not None
            narrow = config.model_copy(update={"core": config.core.model_copy(update={"cache_bits": cache})})
            logits, bits = zip(*(read(models[model], narrow, tokens) for tokens in written[model]), strict=True)
            found.append(agreement(exact[model], np.concatenate(logits)))
        missed |= name.endswith("int8") and found[0].top1 < BAR
        table.add_row(name, f"{bits[0]:.2f}", *(text for a in found for text in (f"{a.top1:.1%}", f"{a.kl:.4f}")))
    Console(width=120).print(table)
    return int(missed)


if __name__ == "__main__":
    raise SystemExit(main())
