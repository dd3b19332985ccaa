"""The config.json of a Hugging Face Llama, checked key by key."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from einloom.spec.errors import ConfigError, Problem

Count = Annotated[int, Field(strict=True, ge=1, le=1 << 24)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
TokenId = Annotated[int, Field(strict=True, ge=0)]


class LlamaConfig(BaseModel):
    """The keys of config.json that decide what a Llama computes, under their Hugging Face names.

    Keys that change nothing here (dtypes, initialisation, training) are ignored; variants of the architecture that the
    decoder doesn't compute (biases, scaled RoPE, other activation functions) are refused.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    model_type: Literal["llama"]
    hidden_size: Count
    intermediate_size: Count
    num_hidden_layers: Count
    num_attention_heads: Count
    vocab_size: Count
    max_position_embeddings: Count
    # These literal defaults are never seen: `_fill_in` computes both from other keys. Only where those keys are wrong
    # themselves do they stay, and then the file is refused anyway.
    num_key_value_heads: Count = 1
    """Defaults to num_attention_heads."""
    head_dim: Count = 2
    """Defaults to hidden_size / num_attention_heads."""
    rope_theta: Positive = 10000.0
    rope_type: Literal["default"] = "default"
    rms_norm_eps: Positive = 1e-6
    tie_word_embeddings: bool = False
    hidden_act: Literal["silu"] = "silu"
    attention_bias: Literal[False] = False
    mlp_bias: Literal[False] = False
    bos_token_id: TokenId | None = None
    eos_token_id: tuple[TokenId, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, data: Any) -> Any:
        """Defaults that depend on other keys, and the two places where RoPE may be described."""
        if not isinstance(data, dict):
            return data
        given = {key: value for key, value in data.items() if value is not None}
        for place in ("rope_scaling", "rope_parameters"):
            rope = given.get(place, {})
            if not isinstance(rope, dict):
                raise _problem(f"{place} must be an object, not {rope!r}")
            kind = rope.get("rope_type", rope.get("type", "default"))
            if kind != "default":
                given["rope_type"] = kind
            if "rope_theta" in rope:
                given["rope_theta"] = rope["rope_theta"]
        hidden, heads = given.get("hidden_size"), given.get("num_attention_heads")
        if isinstance(hidden, int) and isinstance(heads, int) and heads > 0:
            given.setdefault("num_key_value_heads", heads)
            if "head_dim" not in given and hidden % heads:
                raise _problem(f"hidden_size {hidden} is no multiple of num_attention_heads {heads}: give head_dim")
            given.setdefault("head_dim", hidden // heads)
        return given

    @field_validator("eos_token_id", mode="before")
    @classmethod
    def _one_or_several(cls, ids: Any) -> Any:
        return (ids,) if isinstance(ids, int) else ids

    @model_validator(mode="after")
    def _heads_fit(self) -> "LlamaConfig":
        if self.num_attention_heads % self.num_key_value_heads:
            raise _problem(
                f"num_attention_heads {self.num_attention_heads} must be a multiple of num_key_value_heads, "
                f"{self.num_key_value_heads}"
            )
        if self.head_dim % 2:
            raise _problem(f"head_dim must be even, because RoPE rotates pairs, not {self.head_dim}")
        return self


def load_llama_config(path: Path) -> LlamaConfig:
    """The config in the JSON file at `path`; ConfigError with every problem and its key otherwise."""
    try:
        return LlamaConfig.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ConfigError(path, [Problem(f"cannot be read: {error.strerror}")]) from error
    except ValidationError as error:
        raise ConfigError(path, [explain(e, {}) for e in error.errors()]) from error


def _problem(rule: str) -> PydanticCustomError:
    return PydanticCustomError("einloom", "{rule}", {"rule": rule})


def explain(error: ErrorDetails, names: Mapping[str, str]) -> Problem:
    """What is wrong with a key, which the file may know under another of `names`."""
    key, given = ".".join(str(part) for part in error["loc"]), error["input"]
    key = names.get(key, key)
    if error["type"] == "missing":
        return Problem("is required", key)
    if error["type"] == "literal_error":
        return Problem(f"must be {error['ctx']['expected']}, not {given!r}: einloom runs plain Llama models", key)
    if error["type"] in {"einloom", "json_invalid"}:
        return Problem(error["msg"])
    if error["type"] == "model_type":
        return Problem("must be a JSON object")
    return Problem(f"{error['msg']} (given: {given!r})", key)
