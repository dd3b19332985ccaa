"""What the host asks of a core, wherever it runs: the calls of a driver, and text generation on top of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from einloom.errors import CheckFailed, InputError
from einloom.isa import CoreError
from einloom.program import Program

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
SYSTEM = 0
"""Number of the system's memory; weight channel c has memory c + 1."""


@dataclass(frozen=True)
class JobResult:
    """How a job ended: why it stopped early, if it did, and at which instruction; and its counters, by the names of
    einloom/core_registers.py, where the core has a clock."""

    error: CoreError
    index: int
    counters: dict[str, int]


class Driver(Protocol):
    """A core with a program and its image in memory."""

    def load(self, memory: int, offset: int, data: Bytes) -> None:
        """Write whole beats into a memory, from byte `offset` on."""

    def dump(self, memory: int, offset: int, size: int) -> Bytes:
        """Read whole beats of a memory."""

    def run(self, position: int, length: int) -> JobResult:
        """Run the program for `length` tokens from `position` on, to its end."""


class CoreDecoder:
    """A model on a core at some position of a text; the counterpart of sim.golden.llama.Decoder.

    Attributes
    ----------
    position : tokens seen so far.
    context : the most tokens that the program has room for.
    """

    def __init__(
        self,
        driver: Driver,
        program: Program,
        tokens: int,
        beat_bytes: int,
        on_job: Callable[[JobResult], None] | None = None,
    ) -> None:
        """`tokens` is the size of a chunk; `on_job` is told the result of every job."""
        self.position = 0
        self.context = program.symbols.context
        self._driver = driver
        self._symbols = program.symbols
        self._tokens = tokens
        self._beat = beat_bytes
        self._on_job = on_job

    def step(self, tokens: Sequence[int]) -> Floats:
        """Logits [rows, vocab] after the last `rows` of the next `tokens`: those of the last chunk.

        InputError when a token isn't of the model or the context is full, CheckFailed when the core stops early.
        """
        s = self._symbols
        if not tokens or self.position + len(tokens) > self.context:
            raise InputError(f"{self.position} and {len(tokens)} more tokens do not fit a context of {self.context}")
        if not all(0 <= t < s.vocab for t in tokens):
            raise InputError(f"tokens must be below {s.vocab}")
        beats = np.zeros((len(tokens), self._beat), np.uint8)
        beats[:, :4] = np.array(tokens, "<u4").view(np.uint8).reshape(-1, 4)
        self._driver.load(SYSTEM, (s.ids + self.position) * self._beat, beats.ravel())
        result = self._driver.run(self.position, len(tokens))
        if result.error is not CoreError.NONE:
            raise CheckFailed(
                f"the core stopped at instruction {result.index}: {result.error.name.lower()}, at position "
                f"{self.position}"
            )
        if self._on_job is not None:
            self._on_job(result)
        self.position += len(tokens)
        rows = (len(tokens) - 1) % self._tokens + 1
        raw = self._driver.dump(SYSTEM, s.logits * self._beat, rows * s.logits_stride * self._beat)
        logits: Floats = raw.view("<f4").reshape(rows, -1)[:, : s.vocab].astype(np.float32)
        if not np.isfinite(logits).all():
            raise InputError("the model's activations overflow float32")
        return logits


class CheckedDecoder:
    """Two decoders of one program, one of them the reference: every logit must be equal in every bit.

    Attributes
    ----------
    position, context : of the decoder under test.
    """

    def __init__(self, decoder: CoreDecoder, reference: CoreDecoder) -> None:
        self.context = decoder.context
        self._decoder, self._reference = decoder, reference

    @property
    def position(self) -> int:
        return self._decoder.position

    def skip_to(self, position: int) -> None:
        """Go on at `position`, with what memory holds as the tokens before it."""
        self._decoder.position = self._reference.position = position

    def step(self, tokens: Sequence[int]) -> Floats:
        """Logits as CoreDecoder.step gives them; CheckFailed with the first one that differs."""
        position = self.position
        found, expected = self._decoder.step(tokens), self._reference.step(tokens)
        wrong = np.argwhere(found.view(np.uint32) != expected.view(np.uint32))
        if len(wrong):
            row, token = (int(n) for n in wrong[0])
            at = position + len(tokens) - len(found) + row
            raise CheckFailed(
                f"logit of token {token} after position {at}: the design gives {found[row, token]!r}, golden "
                f"{expected[row, token]!r}; {len(wrong)} of {found.size} logits differ"
            )
        return found
