"""Whether a model fits a design: all that is in the way, known from the model's sizes alone."""

from einloom.mapping.codegen.attention import attention_problems
from einloom.mapping.codegen.padding import PaddedSizes
from einloom.mapping.codegen.shape_only import shape_only_program
from einloom.mapping.regions import MemoryFull
from einloom.models.decoder_graph import DecoderGraph
from einloom.spec.config import largest_memories
from einloom.spec.errors import InputError
from einloom.spec.manifest import Manifest


def require_fit(graph: DecoderGraph, manifest: Manifest) -> None:
    """InputError with everything that keeps a model of this graph off the design, and the keys that would mend it."""
    problems = fit_problems(graph, manifest)
    if problems:
        raise InputError(f"the model does not fit {manifest.name}:\n" + "\n".join(f"  {p}" for p in problems))


def fit_problems(graph: DecoderGraph, manifest: Manifest, *, shared: bool = True) -> list[str]:
    """What is too small for a model of this graph, each with its key of the design's config.

    Without `shared` the vector memory must have words of their own for all that is ever in it, which makes programs
    faster.
    """
    sizes, engine = PaddedSizes.of(graph, manifest.core), manifest.config.gemm
    shapes = [sizes.shape(tensor) for tensor in graph.linears()]
    problems = attention_problems(
        manifest.core, sizes.heads, [layer.attention for layer in graph.layers], graph.context
    )
    inputs, outputs = max(shape[1] for shape in shapes), max(shape[0] for shape in shapes)
    if inputs > engine.max_inputs:
        problems.append(f"engine.max_inputs: {inputs:,} are needed, of {engine.max_inputs:,}")
    tiles = -(-outputs // engine.columns)
    if tiles > engine.max_tiles:
        problems.append(f"engine.max_tiles: {tiles:,} are needed for {outputs:,} outputs, of {engine.max_tiles:,}")
    return problems or _memory_problems(graph, manifest, shared)


def needed_words(graph: DecoderGraph, manifest: Manifest) -> dict[str, int]:
    """Words that a model of this graph needs of each memory on the chip, however large those of the design are.

    InputError when no memory that a config can ask for is large enough.
    """
    core = manifest.core.model_copy(update=largest_memories(manifest.core.attention_lanes))
    try:
        program = shape_only_program(graph, manifest.model_copy(update={"design": core}))
    except InputError as error:
        raise InputError(f"no memory on the chip that a config can ask for is large enough: {error}") from error
    return {use.key.partition(".")[2]: use.used for use in program.memories}


def least_vector_words(graph: DecoderGraph, manifest: Manifest) -> int:
    """Words of the vector memory with which a model fits when what is never alive together shares them."""
    core = manifest.core.model_copy(update=largest_memories(manifest.core.attention_lanes) | {"vector_words": 1})
    try:
        shape_only_program(graph, manifest.model_copy(update={"design": core}))
    except MemoryFull as full:
        return full.needed
    return 1


def _memory_problems(graph: DecoderGraph, manifest: Manifest, shared: bool) -> list[str]:
    try:
        needed = needed_words(graph, manifest)
    except InputError as error:
        return [str(error)]
    there = {name: getattr(manifest.core, name) for name in needed}
    if shared and needed["vector_words"] > there["vector_words"]:
        needed["vector_words"] = least_vector_words(graph, manifest)
    return [
        f"core.{name}: {words:,} words are needed, of {there[name]:,}"
        for name, words in needed.items()
        if words > there[name]
    ]
