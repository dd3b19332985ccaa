"""Digest of a model: names it in caches, and in files that go with it."""

import hashlib

import numpy as np

from einloom.models.decoder_model import DecoderModel
from einloom.models.lazy_tensors import LazyTensors


def model_digest(model: DecoderModel) -> str:
    """Digest of all that a program follows from: the graph, the token that begins texts, and every number.

    Files stand for the numbers of a model that is read from them on demand.
    """
    digest = hashlib.sha256(repr((model.graph, model.bos)).encode())
    if isinstance(model.tensors, LazyTensors) and model.tensors.digest is not None:
        digest.update(model.tensors.digest().encode())
        return digest.hexdigest()
    for name, tensor in sorted(model.tensors.items()):
        digest.update(f"{name} {tensor.dtype.str} {tensor.shape}\n".encode())
        digest.update(np.ascontiguousarray(tensor).data)
    return digest.hexdigest()
