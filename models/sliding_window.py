"""A model whose attention sees a sliding window, so that its texts may be longer than those that it was trained on."""

from dataclasses import replace

from einloom.models.decoder_graph import Attention, DecoderGraph, Layer, Scores
from einloom.models.decoder_model import DecoderModel
from einloom.spec.errors import InputError


def with_window(model: DecoderModel, window: int, sinks: int, context: int) -> DecoderModel:
    """The model with attention over a token's last `window` positions, its own included, and over the first `sinks`,
    for texts of up to `context` tokens. A layer's own window stays if it is smaller.

    Large models put much of their attention on a text's first tokens, and need them as sinks (StreamingLLM, Xiao et
    al., 2024). Their distance must not grow beyond those that the model knows. StreamingLLM numbers positions inside
    the cache, which rotates all keys anew for each token; here keys stay, and a query beyond the window is rotated a
    second time for the sinks, as if it stood where the window ends behind them.

    InputError when a number makes no sense, or the model has learnt a vector for each of its own positions only.
    """
    graph = model.graph
    if not 1 <= window <= graph.context:
        raise InputError(f"--attention-window must be 1 to the model's context, {graph.context}, not {window}")
    if not 0 <= sinks <= graph.context - window:
        raise InputError(
            f"--sinks must be 0 to {graph.context - window}, which the window leaves of the model's context, not "
            f"{sinks}"
        )
    if context < 1:
        raise InputError(f"--context must be 1 or more, not {context}")
    if graph.embedding.positions and context > graph.context:
        raise InputError(
            f"the model has learnt a vector for each of {graph.context} positions: set --context to at most that"
        )
    return replace(model, graph=windowed(graph, window, sinks, context))


def windowed(graph: DecoderGraph, window: int, sinks: int, context: int) -> DecoderGraph:
    """The graph with a window in each layer that has no smaller one, and for texts of up to `context` tokens."""

    def scores(own: Scores) -> Scores:
        if own.window and own.window <= window:
            return own
        return replace(own, window=window, sinks=sinks, reach=sinks + window - 1 if sinks else 0)

    def layer(own: Layer) -> Layer:
        branches = tuple(
            replace(b, operation=replace(b.operation, scores=scores(b.operation.scores)))
            if isinstance(b.operation, Attention)
            else b
            for b in own.branches
        )
        return replace(own, branches=branches)

    return replace(graph, context=context, layers=tuple(layer(own) for own in graph.layers))
