"""Windows of a text, read by a design's golden model and by the float model: here, in processes, or on a cluster.

What was read is kept in the cache by its content, so an evaluation that was ended goes on where it was.
"""

import hashlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from einloom.compiled import CompiledModel
from einloom.compiled import compile as compile_for
from einloom.elsewhere import run_elsewhere
from einloom.mapping.model_digest import model_digest
from einloom.models.agreement import log_softmax
from einloom.models.core_decoder import CoreDecoder
from einloom.models.float_decoder import Decoder
from einloom.models.linears import FloatLinears, Floats
from einloom.sim.golden.driver import GoldenDriver
from einloom.spec.build_cache import cache_root, content_key, package_texts
from einloom.spec.config import Config
from einloom.spec.errors import InputError
from einloom.spec.files import write_file

ROOMS = ("einloom.spec", "einloom.models", "einloom.sim.golden")
"""What the figures of a window follow from, beside the program and the text."""


@dataclass(frozen=True)
class Window:
    """Tokens to read from the model's beginning on, and the token that follows each."""

    tokens: tuple[int, ...]
    following: tuple[int, ...]


@dataclass(frozen=True)
class Scores:
    """Figures of each of the T positions of a window.

    Attributes
    ----------
    loss, float_loss : float64 [T], negative log-likelihood of the following token in nats, of the design and of the
        float model.
    kl : float64 [T], KL(float || design) in nats.
    same : bool [T], both find the same token most probable.
    layers : float64 [T, layers], norm of the difference of the residual streams of design and float model behind each
        layer, over the norm of the float model's.
    codes : how many codes of the cache were at their limit, and how many were stored.
    """

    loss: npt.NDArray[np.float64]
    float_loss: npt.NDArray[np.float64]
    kl: npt.NDArray[np.float64]
    same: npt.NDArray[np.bool_]
    layers: npt.NDArray[np.float64]
    codes: tuple[int, int]


@dataclass(frozen=True)
class Source:
    """A compiled model by what it was compiled from, for processes that compile it themselves."""

    model: str | None
    config: Config
    weights: str
    calibration: str | None


Count = Callable[[int], None]
"""Told how many more tokens were read, now and then."""


class WindowReader:
    """Reads windows with a compiled model."""

    def __init__(self, compiled: CompiledModel) -> None:
        self._compiled = compiled
        self._driver = GoldenDriver(compiled.manifest, compiled.program)
        program, digest = compiled.program, hashlib.sha256()
        for image in (program.system, *program.weights):
            digest.update(np.ascontiguousarray(image).data)
        manifest = compiled.manifest.model_dump_json()
        self._identity = (digest.hexdigest(), model_digest(compiled.model), manifest, *package_texts(*ROOMS))

    def read(self, window: Window, count: Count = lambda _: None) -> Scores:
        """The window's scores, from the cache if they are there. A cache that can't be written is only read."""
        key = content_key([*self._identity, repr(window)])
        path = cache_root() / "windows" / f"{key}.npz"
        try:
            found = _load(path, len(window.tokens))
            count(len(window.tokens))
            return found
        except (OSError, ValueError, KeyError, EOFError, BadZipFile):
            scores = self._scores(window, count)
        packed = io.BytesIO()
        np.savez(packed, **vars(scores))
        try:
            write_file(path, packed.getvalue())
        except InputError:
            pass  # the next evaluation reads it again
        return scores

    def _scores(self, window: Window, count: Count) -> Scores:
        compiled, driver = self._compiled, self._driver
        core, model = compiled.manifest.core, compiled.model
        decoder, found = CoreDecoder(driver, compiled.program, core.gemm.rows, core.beat_bytes, tile=core.job_tile), []
        limit, stored = driver.cache_codes
        residuals = dict[int, Floats]()  # of the float model
        reference = Decoder(model, FloatLinears(model.linears), on_layer=residuals.__setitem__)
        floats = log_softmax(reference.step(list(window.tokens)))
        names = [layer.name for layer in model.graph.layers]
        layers = np.zeros((len(window.tokens), len(names)))

        def compare(layer: int, design: Floats) -> None:
            rows = slice(decoder.position, decoder.position + len(design))
            wanted = residuals[layer][rows].astype(np.float64)
            lengths = np.linalg.norm(wanted, axis=-1)
            layers[rows, layer] = np.linalg.norm(design - wanted, axis=-1) / np.maximum(lengths, np.finfo(float).tiny)

        driver.watch_layers(names, model.graph.hidden, compare)
        while decoder.position < len(window.tokens):
            at, size = decoder.position, min(core.gemm.rows, decoder.unbroken)
            found.append(log_softmax(decoder.step(list(window.tokens[at : at + size]))))
            count(len(found[-1]))
        design = np.concatenate(found)
        chosen = np.arange(len(window.tokens)), np.array(window.following)
        return Scores(
            loss=-design[chosen],
            float_loss=-floats[chosen],
            kl=(np.exp(floats) * (floats - design)).sum(axis=-1),
            same=design.argmax(axis=-1) == floats.argmax(axis=-1),
            layers=layers,
            codes=(driver.cache_codes[0] - limit, driver.cache_codes[1] - stored),
        )


def read_by_others(source: Source, windows: Sequence[Window], jobs: int, scheduler: str, count: Count) -> list[Scores]:
    """The scores of all windows, from `jobs` processes with a model each, or from workers of a Dask scheduler."""
    found: dict[int, Scores] = {}

    def note(n: int, scores: Scores) -> None:
        found[n] = scores
        count(len(windows[n].tokens))

    run_elsewhere(read_elsewhere, [(source, window) for window in windows], jobs, scheduler, note)
    return [found[n] for n in range(len(windows))]


def read_elsewhere(source: Source, window: Window) -> Scores:
    """The scores of a window, in a process that may have read others of the same source."""
    return _reader(source.model, source.config.model_dump_json(), source.weights, source.calibration).read(window)


@lru_cache(maxsize=1)
def _reader(model: str | None, config: str, weights: str, calibration: str | None) -> WindowReader:
    design = Config.model_validate_json(config)
    return WindowReader(compile_for(model, design, weights=weights, calibration=calibration))


def _load(path: Path, length: int) -> Scores:
    """Kept scores; an OSError, or an error of their format, when they are not there or not whole."""
    with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as stored:
        loss, float_loss, kl, same, layers = (stored[n] for n in ("loss", "float_loss", "kl", "same", "layers"))
        at_limit, codes = (int(number) for number in stored["codes"])
    if any(len(values) != length for values in (loss, float_loss, kl, same, layers)):
        raise ValueError("not the scores of this window")
    return Scores(loss, float_loss, kl, same, layers, (at_limit, codes))
