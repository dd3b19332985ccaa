"""Whether a model fits a design: all that is in the way, known from the model's sizes alone."""

from einloom.mapping.codegen.attention import attention_problems
from einloom.mapping.codegen.padding import PaddedSizes
from einloom.mapping.codegen.shape_only import shape_only_program
from einloom.models.importer.huggingface import EMBEDDING, tensor_shapes
from einloom.models.importer.llama_config import LlamaConfig
from einloom.spec.errors import InputError
from einloom.spec.manifest import Manifest

MEMORIES = ("vector_words", "activation_words", "query_words", "staging_words")
LARGEST_MEMORY = 1 << 16
"""Words that an instruction can address."""


def require_fit(config: LlamaConfig, manifest: Manifest) -> None:
    """InputError with everything that keeps a model of this config off the design, and the keys that would mend it."""
    problems = fit_problems(config, manifest)
    if problems:
        raise InputError(f"the model does not fit {manifest.name}:\n" + "\n".join(f"  {p}" for p in problems))


def fit_problems(config: LlamaConfig, manifest: Manifest) -> list[str]:
    """What is too small for a model of this config, each with its key of the design's config."""
    sizes, engine = PaddedSizes.of(config, manifest.core), manifest.config.gemm
    shapes = [
        sizes.matrix(config, name, shape[0])
        for name, shape in tensor_shapes(config)
        if len(shape) == 2 and (name != EMBEDDING or config.tie_word_embeddings)
    ]
    problems = attention_problems(manifest.core, sizes.heads(config), config.max_position_embeddings)
    inputs, outputs = max(i for _, i in shapes), max(o for o, _ in shapes)
    if inputs > engine.max_inputs:
        problems.append(f"engine.max_inputs: {inputs:,} are needed, of {engine.max_inputs:,}")
    tiles = -(-outputs // engine.columns)
    if tiles > engine.max_tiles:
        problems.append(f"engine.max_tiles: {tiles:,} are needed for {outputs:,} outputs, of {engine.max_tiles:,}")
    return problems or _memory_problems(config, manifest)


def _memory_problems(config: LlamaConfig, manifest: Manifest) -> list[str]:
    core = manifest.core.model_copy(update=dict.fromkeys(MEMORIES, LARGEST_MEMORY))
    try:
        program = shape_only_program(config, manifest.model_copy(update={"design": core}))
    except InputError as error:
        return [f"no memory on the chip that a config can ask for is large enough: {error}"]
    return [
        f"{use.key}: {use.used:,} words are needed, of {getattr(manifest.core, use.key.partition('.')[2]):,}"
        for use in program.memories
        if use.used > getattr(manifest.core, use.key.partition(".")[2])
    ]
