"""A model compressed the way a config's core keeps it, with a text to calibrate on, and what that costs each matrix."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from einloom.catalogue import load_config, load_model
from einloom.compiled import FILES, compression_of
from einloom.generators.registry import describe
from einloom.html import rows_table
from einloom.mapping.codegen.padding import PaddedSizes
from einloom.mapping.compress.balance import balanced
from einloom.mapping.compress.core_file import CompressedModel, write_compressed
from einloom.mapping.compress.fidelity import Fidelity, measure, total
from einloom.mapping.fit import require_fit
from einloom.mapping.model_digest import model_digest
from einloom.mapping.pipeline import Distilling, compress_model, distil_model, distilling_text
from einloom.memory_sizes import sized
from einloom.models.decoder_model import DecoderModel
from einloom.spec.config import Config
from einloom.spec.errors import InputError
from einloom.spec.files import read_text

__all__ = ["QuantizedForCore", "quantize_for_core"]


@dataclass(frozen=True)
class QuantizedForCore:
    """A model's matrices and cache scales for a core.

    Attributes
    ----------
    config : name of the core's config.
    compressed : matrices and scales.
    fidelities : fidelity of each matrix, zeros that fill it up included.
    seconds : time that quantization took.
    distilled : KL in nats on text that was held out, before distillation and after, if there was one.
    """

    config: str
    compressed: CompressedModel
    fidelities: tuple[Fidelity, ...]
    seconds: float
    _digest: str
    distilled: tuple[float, float] | None = None

    @property
    def total(self) -> Fidelity:
        """The fidelity of all matrices together."""
        formats = dict.fromkeys(f.format for f in self.fidelities)
        return replace(total(self.fidelities), format=", ".join(formats))

    def write(self, file: str | Path) -> None:
        """Write what `compile` and `run` take as weights; InputError when that fails."""
        check_output(file)
        write_compressed(Path(file), self.compressed, self._digest)

    def figures(self) -> dict[str, Any]:
        """Figures that `einloom quantize --json` prints."""
        rows = [
            {"name": f.name, "format": f.format, "bits_per_weight": f.bits_per_weight, "nmse": f.nmse}
            for f in (*self.fidelities, self.total)
        ]
        found = {"tensors": rows[:-1], "total": rows[-1], "config": self.config, "seconds": round(self.seconds, 3)}
        if self.distilled is not None:
            found["distilled"] = dict(zip(("kl_before", "kl_after"), self.distilled, strict=True))
        return found

    def _repr_html_(self) -> str:
        rows = ((f.name, f.format, f.bits_per_weight, f.nmse) for f in self.fidelities)
        return rows_table(f"quantized for {self.config}", ("tensor", "format", "bits/weight", "NMSE"), rows)


def quantize_for_core(
    model: str | Path | DecoderModel | None = None,
    config: str | Path | Mapping[str, Any] | Config = "default",
    *,
    weights: str = "",
    calibration: str | Path | None = None,
    output: str | Path | None = None,
    distil: int = 0,
    seed: int = 0,
    on_step: Callable[[int, float], None] = lambda _step, _loss: None,
) -> QuantizedForCore:
    """Quantize a decoder as `compile` does for the core of a config.

    Parameters
    ----------
    weights : one of the design's weight formats, or "auto:BITS" for a format for each matrix; the first if empty. With
        `distil` also a file that this wrote, which is trained further.
    calibration : a file with the text that matrices and cache are calibrated on; what the model writes if left out.
    output : a .safetensors file to write, which `compile` takes as `weights`.
    distil : steps of training on the calibration's text, after quantization (mapping/compress/distil.py). Without a
        calibration the model writes conversations for both.
    seed : of the order in which its windows are trained on, and of what the model writes.
    on_step : told the number of each such step, and its loss.

    InputError when the model doesn't fit the design, or the design doesn't have the format.
    """
    started = time.perf_counter()
    if output is not None:
        check_output(output)
    if distil < 0:
        raise InputError("--distil is a number of steps above 0")
    further = Path(weights).suffix == FILES
    if further and not distil:
        raise InputError(f"--weights {weights} is quantized already: name a format, or train it with --distil STEPS")
    compression = compression_of(weights, None if further else calibration)
    text = "" if calibration is None else read_text(Path(calibration))
    loaded, distilling = load_model(model), Distilling(distil, seed, on_step)
    manifest = describe(sized(load_config(config), loaded.graph))
    if distil and not text:
        require_fit(loaded.graph, manifest)
        text = distilling_text(loaded, distilling)
        compression = compression if further else replace(compression, text=text)
    compressed, distilled = compress_model(loaded, manifest, compression), None
    if distil:
        compressed, *both = distil_model(loaded, manifest, compressed, text, distilling)
        distilled = both[0], both[1]
    ready = balanced(loaded, compressed.balance)
    sizes = PaddedSizes.of(ready.graph, manifest.core)
    found = tuple(
        measure(t.name, sizes.padded(t, ready.tensors[t.name]), compressed.tensors[t.name])
        for t in ready.graph.linears()
    )
    seconds = time.perf_counter() - started
    quantized = QuantizedForCore(manifest.name, compressed, found, seconds, model_digest(loaded), distilled)
    if output is not None:
        quantized.write(output)
    return quantized


def check_output(output: str | Path) -> None:
    """Refuse before the work what would fail after it."""
    if Path(output).is_dir() or Path(output).suffix != FILES:
        raise InputError(f"{output}: give the name of a file that ends with {FILES}")
