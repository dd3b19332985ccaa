"""A conversation with a model: messages that it answers one after the other, and its answers as they are made."""

from collections.abc import Callable

from tokenizers import Tokenizer

from einloom.models.chat import Message
from einloom.models.decoder_model import DecoderModel
from einloom.models.text_generation import Drafter, Generation, TextDecoder, common_length, generate_text, look_up
from einloom.spec.sampling import Sampling

UNFINISHED = "\N{REPLACEMENT CHARACTER}"
"""What bytes decode to that are no whole character yet."""


class TextStream:
    """Text of tokens that come one by one: characters are held back until all of their bytes are there.

    Attributes
    ----------
    text : all text so far.
    """

    def __init__(self, tokenizer: Tokenizer, on_text: Callable[[str], None]) -> None:
        self.text = ""
        self._tokenizer, self._on_text = tokenizer, on_text
        self._tokens = list[int]()

    def add(self, token: int) -> None:
        """Another token is there."""
        self._tokens.append(token)
        text = self._tokenizer.decode(self._tokens)
        if not text.endswith(UNFINISHED):
            self._show(text)

    def end(self) -> None:
        """No token follows: what is held back is shown as it is."""
        self._show(self._tokenizer.decode(self._tokens))

    def _show(self, text: str) -> None:
        new, self.text = text[len(self.text) :], text
        if new:
            self._on_text(new)


class Conversation:
    """Messages and answers, by the model's own chat template.

    What the decoder has read of the messages before is not read again, as far as the template leaves it as it was.

    Attributes
    ----------
    messages : messages and answers so far.
    """

    def __init__(
        self,
        model: DecoderModel,
        decoder: TextDecoder,
        *,
        tokens: int,
        sampling: Sampling,
        at_once: int = 1,
        drafter: Drafter = look_up,
    ) -> None:
        """An answer has up to `tokens`; `at_once` and `drafter` are as for `generate_text`."""
        self.messages = list[Message]()
        self._model, self._decoder = model, decoder
        self._tokens, self._sampling, self._at_once = tokens, sampling, at_once
        self._drafter = drafter
        self._read = list[int]()

    @property
    def full(self) -> bool:
        """The model's context has no room for another token."""
        return self._decoder.position >= self._decoder.context

    def answer(self, message: str, on_text: Callable[[str], None] = lambda _: None) -> Generation:
        """The answer to a message; `on_text` gets it piece by piece.

        InputError when the messages so far don't fit the model's context; the message is then none of them.
        """
        asked: list[Message] = [*self.messages, {"role": "user", "content": message}]
        ids = self._model.encode_chat(asked)
        known = common_length(self._read, ids[:-1])
        self._decoder.rewind(known)
        stream = TextStream(self._model.tokenizer, on_text)
        made = generate_text(
            self._decoder,
            ids[known:],
            self._tokens,
            stop=self._model.eos,
            sampling=self._sampling,
            at_once=self._at_once,
            drafter=lambda text, count: self._drafter([*ids[:known], *text], count),
            on_token=stream.add,
        )
        stream.end()
        self._read = [*ids, *made.continuation][: self._decoder.position]
        self.messages = [*asked, {"role": "assistant", "content": stream.text}]
        return made
