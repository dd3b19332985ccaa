"""What pruning to N of M weights costs the matrices of all-MiniLM-L6-v2, for the inputs that a text gives them.

    python -m benchmarks.pruning_minilm FOLDER --text FILE [--format int4-2of4]

FOLDER has model.safetensors, config.json and tokenizer.json of sentence-transformers/all-MiniLM-L6-v2. Each matrix is
pruned for one half of the text's windows; the table has the squared error of its outputs on the other half, relative to
the outputs. Rows and columns as in `benchmarks.pruning`.
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from benchmarks.pruning import Pruning
from einloom.models.importer.model_weights import open_model
from einloom.models.linears import Floats

GROUP = 128
WINDOWS, WINDOW = 64, 128
EPSILON = 1e-12


class Encoder:
    """A BERT encoder in float32 (Devlin et al., 2019), whose matrices are pruned as inputs come to them.

    Parameters
    ----------
    tensors : by the names of the checkpoint.
    heads : of attention.
    """

    def __init__(self, tensors: Mapping[str, Floats], heads: int, pruning: Pruning) -> None:
        self._tensors, self._heads, self._pruning = tensors, heads, pruning

    def read(self, ids: "np.ndarray[tuple[int, int], np.dtype[np.int64]]") -> None:
        """Read windows of tokens [B, T]."""
        tensors = self._tensors
        x = tensors["embeddings.word_embeddings.weight"][ids]
        x = x + tensors["embeddings.position_embeddings.weight"][: ids.shape[1]]
        x = self._norm("embeddings.LayerNorm", x + tensors["embeddings.token_type_embeddings.weight"][0])
        layer = 0
        while f"encoder.layer.{layer}.output.dense.weight" in tensors:
            at = f"encoder.layer.{layer}"
            attended = self._linear(f"{at}.attention.output.dense", self._attention(at, x))
            x = self._norm(f"{at}.attention.output.LayerNorm", x + attended)
            hidden = self._linear(f"{at}.intermediate.dense", x)
            made = self._linear(f"{at}.output.dense", gelu(hidden))
            x = self._norm(f"{at}.output.LayerNorm", x + made)
            layer += 1

    def _attention(self, at: str, x: Floats) -> Floats:
        texts, tokens, size = x.shape
        inputs = x.reshape(-1, size)  # one array for all three, so that they share a gram matrix
        q, k, v = (
            self
            ._linear(f"{at}.attention.self.{part}", inputs)
            .reshape(texts, tokens, self._heads, -1)
            .transpose(0, 2, 1, 3)
            for part in ("query", "key", "value")
        )
        scores = q @ k.transpose(0, 1, 3, 2) / np.float32(np.sqrt(q.shape[-1]))
        shares = np.exp(scores - scores.max(-1, keepdims=True))
        out: Floats = (shares / shares.sum(-1, keepdims=True)) @ v
        return out.transpose(0, 2, 1, 3).reshape(x.shape)

    def _linear(self, name: str, x: Floats) -> Floats:
        weights, flat = self._tensors[f"{name}.weight"], x if x.ndim == 2 else x.reshape(-1, x.shape[-1])
        kind = name.split(".", 3)[3].removesuffix(".dense").removeprefix("attention.self.")
        self._pruning.prune(name, kind, weights, flat)
        result: Floats = flat @ weights.T + self._tensors[f"{name}.bias"]
        return result.reshape(*x.shape[:-1], -1)

    def _norm(self, name: str, x: Floats) -> Floats:
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt(np.square(centred).mean(-1, keepdims=True) + np.float32(EPSILON))
        result: Floats = scaled * self._tensors[f"{name}.weight"] + self._tensors[f"{name}.bias"]
        return result


def gelu(x: Floats) -> Floats:
    """By the normal distribution, whose integral is Abramowitz and Stegun's 7.1.26, to 2e-7."""
    z = np.abs(x) / np.float32(np.sqrt(2))
    t = 1 / (1 + np.float32(0.3275911) * z)
    series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    erf = np.sign(x) * (1 - series * np.exp(-z * z))
    return (x * (1 + erf) / 2).astype(np.float32)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--format", default="int4-2of4")
    given = parser.parse_args()
    model = open_model(given.folder)
    tensors = {name: model.read_float32(name) for name in model.files if "position_ids" not in name}
    tokenizer = Tokenizer.from_file(str(given.folder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    begin, *ids, end = tokenizer.encode(given.text.read_text()).ids
    inner = WINDOW - 2
    count = min(WINDOWS, len(ids) // inner)
    windows = [[begin, *ids[n * inner : (n + 1) * inner], end] for n in range(count)]
    pruning = Pruning(given.format, GROUP)
    heads = json.loads((given.folder / "config.json").read_text())["num_attention_heads"]
    Encoder(tensors, heads, pruning).read(np.array(windows, np.int64))
    pruning.print_errors(f"error of outputs, {given.format}, mean of layers, {count * WINDOW} tokens")


if __name__ == "__main__":
    main()
