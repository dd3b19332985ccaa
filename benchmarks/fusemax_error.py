"""Error of the FuseMax engine's arithmetic against softmax attention in float64, relative to the output's RMS.

    python -m benchmarks.fusemax_error

Operands are counted from before quantization. The golden model computes them; the RTL is equal to it in every bit.
"""

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from einloom.catalogue import find_model
from einloom.models.decoder_graph import Scores
from einloom.models.float_attention import float_attention
from einloom.models.float_decoder import Decoder
from einloom.models.importer.huggingface import load_folder
from einloom.models.linears import FloatLinears
from einloom.sim.golden.integer_attention import IntegerAttention, golden_runner
from einloom.spec.attention_format import AttentionFormat

Floats = npt.NDArray[np.float32]
TEXT = "To be, or not to be, that is the question: whether 'tis nobler in the mind to suffer the slings and arrows of "


def reference(queries: Floats, keys: Floats, values: Floats) -> npt.NDArray[np.float64]:
    """Causal softmax attention in float64, shapes as in sim/golden/integer_attention.py."""
    scores = np.einsum("tgrd,sgd->grts", queries.astype(np.float64), keys) / np.sqrt(queries.shape[-1])
    own = np.arange(len(keys) - len(queries), len(keys))[:, None]
    scores = np.where(np.arange(len(keys)) <= own, scores, -np.inf)
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.einsum("grts,sgd->tgrd", weights / weights.sum(axis=-1, keepdims=True), values.astype(np.float64))


def cases() -> dict[str, tuple[Floats, Floats, Floats]]:
    """Queries [T, G, R, D], keys and values [S, G, D]."""
    rng = np.random.default_rng(0)

    def normal(keys: int, size: int, scale: float = 1.0) -> tuple[Floats, Floats, Floats]:
        queries = rng.normal(size=(16, 1, 1, size)) * scale
        both = rng.normal(size=(2, keys, 1, size))
        return queries.astype(np.float32), both[0].astype(np.float32), both[1].astype(np.float32)

    found = {
        f"normal, {keys} keys, head {size}": normal(keys, size) for keys in (64, 512, 4096) for size in (32, 64, 128)
    }
    queries, keys, values = normal(512, 64)
    factor = np.float32(1e4 * 8 / np.abs(np.einsum("tgrd,sgd->ts", queries, keys)).max())
    found["scores up to 1e4"] = (queries * factor, keys, values)
    found["all scores equal"] = (queries, np.ones_like(keys), values)
    return found


def model_cases() -> dict[str, tuple[Floats, Floats, Floats]]:
    """Queries, keys and values of every layer of the default model on a text."""
    model = load_folder(find_model())
    found: dict[str, tuple[Floats, Floats, Floats]] = {}

    def record(queries: Floats, keys: Floats, values: Floats, scores: Scores) -> Floats:
        found[f"default model, layer {len(found)}"] = (queries, keys, values)
        return float_attention(queries, keys, values, scores)

    Decoder(model, FloatLinears(model.linears), record).step(model.encode(TEXT))
    return found


def main() -> None:
    table = Table(title="RMS error over RMS output")
    for heading in ("operands", "int16 keys and values", "int8 keys and values", "float32"):
        table.add_column(heading, justify="right")
    for name, operands in (cases() | model_cases()).items():
        expected = reference(*operands)
        row, scores = [], Scores(operands[0].shape[-1] ** -0.5)
        for bits in (16, 8):
            format = AttentionFormat(bits, 128, 1 << 20)
            found = IntegerAttention(golden_runner(format, rows=16), format, columns=16)(*operands, scores)
            row.append(f"{np.sqrt(np.mean((found - expected) ** 2) / np.mean(expected**2)):.4%}")
        error = np.sqrt(np.mean((float_attention(*operands, scores) - expected) ** 2) / np.mean(expected**2))
        table.add_row(name, *row, f"{error:.5%}")
    Console().print(table)


if __name__ == "__main__":
    main()
