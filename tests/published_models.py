"""config.json of public models, as far as their shapes go, and of a small one."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def _shape(
    family: str, hidden: int, inner: int, layers: int, heads: int, groups: int, vocab: int, context: int, *, tied: bool
) -> dict[str, Any]:
    return {
        "model_type": family,
        "hidden_size": hidden,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": groups,
        "vocab_size": vocab,
        "max_position_embeddings": context,
        "tie_word_embeddings": tied,
    }


PUBLISHED = {
    "llama-2-7b": _shape("llama", 4096, 11008, 32, 32, 32, 32000, 4096, tied=False),
    "llama-3-8b": _shape("llama", 4096, 14336, 32, 32, 8, 128256, 8192, tied=False),
    "llama-3.2-1b": _shape("llama", 2048, 8192, 16, 32, 8, 128256, 131072, tied=True),
    "qwen2.5-7b": _shape("qwen2", 3584, 18944, 28, 28, 4, 152064, 32768, tied=False),
    "qwen2.5-72b": _shape("qwen2", 8192, 29568, 80, 64, 8, 152064, 32768, tied=False),
    "smollm2-135m": _shape("llama", 576, 1536, 30, 9, 3, 49152, 2048, tied=True),
    "bitnet-b1.58-2b-4t": _shape("bitnet", 2560, 6912, 30, 20, 5, 128256, 4096, tied=True),
}
"""Sizes from the models' own config.json at Hugging Face."""
SMALL = _shape("llama", 256, 512, 4, 4, 2, 512, 256, tied=False)


def write_model(folder: Path, keys: Mapping[str, Any]) -> Path:
    """A folder with config.json alone."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(keys))
    return folder
