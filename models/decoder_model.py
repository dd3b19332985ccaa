"""A model: its graph, its numbers, and how text becomes tokens."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from einloom.models.chat import Message, render_chat
from einloom.models.decoder_graph import DecoderGraph
from einloom.models.lazy_tensors import LazyTensors
from einloom.spec.errors import InputError


@dataclass(frozen=True)
class DecoderModel:
    """A decoder-only language model.

    Attributes
    ----------
    graph : what it computes.
    tensors : float32 arrays under the names and with the shapes that `graph.tensors()` lists; all finite. Those of a
        large model are read whenever they are asked for.
    tokenizer : every token that it makes is below `graph.vocab`.
    chat_template : Jinja that makes a text of messages; empty for a model without one.
    bos : the token that begins a text, if there is one.
    eos : tokens that end one.
    """

    graph: DecoderGraph
    tensors: Mapping[str, npt.NDArray[np.float32]]
    tokenizer: Tokenizer
    chat_template: str = ""
    bos: int | None = None
    eos: tuple[int, ...] = ()

    @property
    def linears(self) -> Mapping[str, npt.NDArray[np.float32]]:
        """The matrices [outputs, inputs] of all linear layers, the head included."""
        names = (tensor.name for tensor in self.graph.linears())
        return LazyTensors({name: partial(self.tensors.__getitem__, name) for name in names})

    def encode(self, prompt: str) -> list[int]:
        """The prompt's tokens, with those that the tokenizer adds itself; InputError for none or too many."""
        try:
            prompt.encode()
        except UnicodeEncodeError as error:
            raise InputError("the prompt is not valid Unicode text") from error
        tokens: list[int] = self.tokenizer.encode(prompt).ids
        if not prompt:
            raise InputError("the prompt is empty: give at least one character")
        return self._fitting(tokens)

    def encode_chat(self, messages: Sequence[Message]) -> list[int]:
        """Tokens after which the model answers the last message.

        InputError for a model without a chat template, and for too many tokens.
        """
        if not self.chat_template:
            raise InputError("the model has no chat template: leave out --chat, or use one that was trained to chat")
        return self._fitting(self.tokenizer.encode(self.rendered(messages), add_special_tokens=False).ids)

    def rendered(self, messages: Sequence[Message]) -> str:
        """The messages by the model's chat template; InputError when that refuses them."""
        bos, eos = self._token(self.bos), self._token(self.eos[0] if self.eos else None)
        return render_chat(self.chat_template, messages, bos=bos, eos=eos)

    def _token(self, number: int | None) -> str:
        return "" if number is None else self.tokenizer.id_to_token(number) or ""

    def _fitting(self, tokens: list[int]) -> list[int]:
        context = self.graph.context
        if not tokens:
            raise InputError("the prompt is empty: give at least one character")
        if len(tokens) > context:
            raise InputError(f"the prompt has {len(tokens)} tokens, but the model's context is {context}")
        return tokens
