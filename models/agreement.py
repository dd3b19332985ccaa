"""Agreement of a quantized model's logits with those of the float model, on the same tokens."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from einloom.models.decoder_model import DecoderModel
from einloom.models.float_decoder import Decoder
from einloom.models.linears import FloatLinears, Floats


@dataclass(frozen=True)
class Agreement:
    """Two models compared over the positions of a text.

    Attributes
    ----------
    top1 : share of the positions, 0 to 1, where both find the same token most probable.
    kl : mean KL(reference || other) in nats.
    """

    top1: float
    kl: float


def agreement_with_float(model: DecoderModel, tokens: Sequence[int], logits: Floats) -> Agreement:
    """Agreement of `logits` [T, vocab], made after the last T of `tokens`, with a float model that reads `tokens`."""
    reference = Decoder(model, FloatLinears(model.linears, keep=False)).step(list(tokens))
    return agreement(reference[-len(logits) :], logits)


def agreement(reference: Floats, logits: Floats) -> Agreement:
    """Agreement of `logits` with `reference`, both [T, vocab]."""
    log_p, log_q = log_softmax(reference), log_softmax(logits)
    divergence = (np.exp(log_p) * (log_p - log_q)).sum(axis=-1)
    same = reference.argmax(axis=-1) == logits.argmax(axis=-1)
    return Agreement(float(same.mean()), float(divergence.mean()))


def log_softmax(logits: Floats) -> npt.NDArray[np.float64]:
    """Logarithms of the probabilities that logits [T, vocab] stand for."""
    below = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    result: npt.NDArray[np.float64] = below - np.log(np.exp(below).sum(axis=-1, keepdims=True))
    return result
