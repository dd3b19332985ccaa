"""Digest of a model: names it in caches, and in files that go with it."""

import hashlib

import numpy as np

from einloom.models.decoder_model import DecoderModel


def model_digest(model: DecoderModel) -> str:
    """Digest of all that a program follows from: the graph, the token that begins texts, and every number."""
    digest = hashlib.sha256(repr((model.graph, model.bos)).encode())
    for name, tensor in sorted(model.tensors.items()):
        digest.update(f"{name} {tensor.dtype.str} {tensor.shape}\n".encode())
        digest.update(np.ascontiguousarray(tensor).data)
    return digest.hexdigest()
