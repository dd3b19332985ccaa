"""A model on a core as a decoder: the text goes in by the core's driver, and logits come out."""

from collections.abc import Callable, Sequence

import numpy as np

from einloom.models.linears import Floats
from einloom.spec.driver import SYSTEM, Driver, JobResult
from einloom.spec.errors import CheckFailed, InputError
from einloom.spec.isa import CoreError
from einloom.spec.program import Program
from einloom.spec.token_table import token_rows


class CoreDecoder:
    """A model on a core at some position of a text; the counterpart of models.float_decoder.Decoder.

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
        *,
        tile: int = 0,
    ) -> None:
        """`tokens` is the size of a chunk; `on_job` is told the result of every job.

        With `tile`, the core has whole codes only of the last tiles of so many positions (spec/cache_format.py). So the
        first job of a step ends with its tile: chunks that don't cross tiles see what tokens alone would see.
        """
        self.position = 0
        self.context = program.symbols.context
        self._driver = driver
        self._symbols = program.symbols
        self._tokens = tokens
        self._beat = beat_bytes
        self._on_job = on_job
        self._tile, self._written = tile, 0

    @property
    def unbroken(self) -> int:
        """The most tokens of a step that is one job."""
        left = self.context - self.position
        return min(left, self._tile - self.position % self._tile) if self._tile else left

    def step(self, tokens: Sequence[int]) -> Floats:
        """Logits [rows, vocab] after the last `rows` of the next `tokens`: those of the last chunk.

        InputError when a token isn't of the model or the context is full, CheckFailed when the core stops early.
        """
        s = self._symbols
        if not tokens or self.position + len(tokens) > self.context:
            raise InputError(f"{self.position} and {len(tokens)} more tokens do not fit a context of {self.context}")
        if not all(0 <= t < s.vocab for t in tokens):
            raise InputError(f"tokens must be below {s.vocab}")
        rows = token_rows(tokens, self.position, self._beat)
        self._driver.load(SYSTEM, (s.tokens + self.position) * self._beat, rows)
        first = min(len(tokens), self.unbroken)
        for count in (first, len(tokens) - first):
            if count:
                self._run(count)
        kept = ((len(tokens) - first or first) - 1) % self._tokens + 1
        raw = self._driver.dump(SYSTEM, s.logits * self._beat, kept * s.logits_stride * self._beat)
        logits: Floats = raw.view("<f4").reshape(kept, -1)[:, : s.vocab].astype(np.float32)
        if not np.isfinite(logits).all():
            raise InputError("the model's activations overflow float32")
        return logits

    def rewind(self, position: int) -> None:
        """Go on at `position`, with what memory holds as the tokens before it; later tokens are overwritten.

        Where the last tiles before it have been overwritten, the tokens are read again.
        """
        lost = self._tile and position // self._tile < (self._written - 1) // self._tile
        self.position = position
        if lost and position:
            self.position = self._written = 0
            self._run(position)

    def _run(self, count: int) -> None:
        """A job of the next `count` tokens, which are in memory."""
        result = self._driver.run(self.position, count)
        if result.error is not CoreError.NONE:
            raise CheckFailed(
                f"the core stopped at instruction {result.index}: {result.error.name.lower()}, at position "
                f"{self.position}"
            )
        if self._on_job is not None:
            self._on_job(result)
        self.position += count
        self._written = max(self._written, self.position)


class CheckedDecoder:
    """Two decoders of one program, one of them the reference: every logit must be equal in every bit.

    Attributes
    ----------
    position, context : those of the decoder under test.
    """

    def __init__(self, decoder: CoreDecoder, reference: CoreDecoder) -> None:
        self.context = decoder.context
        self._decoder, self._reference = decoder, reference

    @property
    def position(self) -> int:
        return self._decoder.position

    @property
    def unbroken(self) -> int:
        """The most tokens of a step that is one job."""
        return self._decoder.unbroken

    def rewind(self, position: int) -> None:
        """Go on at `position`, with what memory holds as the tokens before it."""
        for decoder in (self._decoder, self._reference):
            decoder.rewind(position)

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
