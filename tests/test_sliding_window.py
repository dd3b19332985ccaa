"""Attention over a sliding window: what a token sees of a text that is longer than the model's context."""

import numpy as np
import pytest

from einloom.catalogue import load_model
from einloom.generators.registry import describe
from einloom.mapping.fit import fit_problems
from einloom.models.decoder_graph import Rope, Scores
from einloom.models.decoder_model import DecoderModel
from einloom.models.float_attention import float_attention
from einloom.models.float_decoder import Decoder
from einloom.models.float_functions import rotate
from einloom.models.linears import FloatLinears
from einloom.models.sliding_window import with_window
from einloom.spec.errors import InputError
from tests.core_bed import core_config

WINDOW, SINKS = 192, 16


@pytest.fixture(scope="module")
def model() -> DecoderModel:
    return load_model(None)


def logits(model: DecoderModel, tokens: list[int]) -> np.ndarray:
    return Decoder(model, FloatLinears(model.linears)).step(tokens)


def test_a_text_no_longer_than_the_window_is_read_as_without_one(model: DecoderModel) -> None:
    tokens = np.random.default_rng(1).integers(0, model.graph.vocab, WINDOW + SINKS).tolist()
    windowed = logits(with_window(model, WINDOW, SINKS, 1024), tokens)
    # Products with the sinks are made apart, and a BLAS may round products of another shape otherwise.
    np.testing.assert_allclose(windowed, logits(model, tokens), rtol=0, atol=1e-4)


@pytest.mark.parametrize("sinks", [0, SINKS])
def test_a_text_goes_on_beyond_the_models_context_as_well_as_it_began(model: DecoderModel, sinks: int) -> None:
    """The model reads the same lines over and over."""
    text = model.encode("KING RICHARD II:\nWhat says he? we are not so well as I am, and therefore to the king.\n" * 3)
    tokens = (text * (1024 // len(text) + 1))[:1024]
    found = logits(with_window(model, WINDOW, sinks, 1024), tokens).astype(np.float64)
    chosen = np.take_along_axis(found[:-1], np.array(tokens[1:])[:, None], axis=1)[:, 0]
    losses = np.log(np.exp(found[:-1]).sum(axis=1)) - chosen
    assert losses[768:].mean() < losses[128:256].mean() + 0.1


def test_a_query_far_away_sees_the_sinks_from_the_windows_end() -> None:
    """Its probabilities are those of a query that stands there, with the window's keys moved along."""
    rng = np.random.default_rng(2)
    rope, size, window, sinks, last = Rope(tuple(1.0 / 10 ** np.arange(4.0))), 8, 5, 3, 40
    query, keys, values = (rng.normal(size=(n, 1, size)).astype(np.float32) for n in (1, last + 1, last + 1))
    reach = sinks + window - 1
    scores = Scores(0.4, window=window, sinks=sinks, reach=reach)
    here, there = np.array([last]), np.array([reach])
    found = float_attention(
        rotate(query, here, rope)[:, :, None],
        rotate(keys, np.arange(last + 1), rope),
        values,
        scores,
        rotate(query, there, rope)[:, :, None],
    )
    near = np.r_[:sinks, last + 1 - window : last + 1]
    moved = rotate(keys[near], np.arange(len(near)), rope)
    expected = float_attention(rotate(query, there, rope)[:, :, None], moved, values[near], Scores(0.4))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("window", "sinks", "context", "message"),
    [
        (0, 0, 512, "--attention-window must be 1 to the model's context, 256, not 0"),
        (300, 0, 512, "--attention-window must be 1 to"),
        (250, 16, 512, "--sinks must be 0 to 6"),
        (100, 0, 0, "--context must be 1 or more"),
    ],
)
def test_numbers_without_sense_are_refused(
    model: DecoderModel, window: int, sinks: int, context: int, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        with_window(model, window, sinks, context)


def test_sinks_need_a_core_with_rings_whose_tiles_they_fill(model: DecoderModel) -> None:
    sizes = {"lanes": 8, "activation_words": 128, "vector_words": 8192}
    graph = with_window(model, 100, 6, 1024).graph
    attention = {"max_head": 64, "columns": 4}
    (plain, rows) = fit_problems(graph, describe(core_config(attention=attention, core=sizes)))[:2]
    assert "core.cache_ring: true is needed" in plain
    assert "attention.rows: 4 do not divide --sinks 6" in rows
    ring = describe(core_config(attention=attention, core={**sizes, "cache_ring": True}))
    assert not any("sinks" in problem for problem in fit_problems(with_window(model, 100, 8, 1024).graph, ring))
