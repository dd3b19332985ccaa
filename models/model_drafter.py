"""Drafts of a text by a smaller model, which the one that writes it checks several at a time."""

from collections.abc import Sequence

from einloom.models.decoder_model import DecoderModel
from einloom.models.float_decoder import Decoder
from einloom.models.linears import FloatLinears
from einloom.models.text_generation import common_length
from einloom.spec.errors import InputError


class ModelDrafter:
    """What a model in float32 finds most probable. It keeps what it has read of the text, as far as it stays.

    Source: speculative decoding (Leviathan et al., ICML 2023), with a draft that is certain of itself.

    Parameters
    ----------
    model : drafts.
    of : writes the text; InputError unless both have the same tokens.
    """

    def __init__(self, model: DecoderModel, of: DecoderModel) -> None:
        ours, theirs = model.tokenizer.get_vocab(), of.tokenizer.get_vocab()
        if ours != theirs:
            other = sum(theirs.get(token) != number for token, number in ours.items())
            raise InputError(
                "the model that drafts must have the tokens of the one that writes: "
                f"{other:,} of its {len(ours):,} are others"
            )
        self._decoder = Decoder(model, FloatLinears(model.linears))
        self._read = list[int]()

    def __call__(self, tokens: Sequence[int], count: int) -> Sequence[int]:
        """Up to `count` tokens that go on with a text; none where the model's own context is full."""
        count = min(count, self._decoder.context - len(tokens) + 1)
        if count < 1:
            return []
        known = common_length(self._read, tokens[:-1])
        self._decoder.rewind(known)
        new, draft = list(tokens[known:]), list[int]()
        while True:
            draft.append(int(self._decoder.step(new)[-1].argmax()))
            if len(draft) == count:
                self._read = [*tokens, *draft[:-1]]
                return draft
            new = draft[-1:]
