"""Tokenizers from the metadata of GGUF files."""

from collections.abc import Mapping, Sequence
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from einloom.spec.errors import InputError

CONTROL, USER_DEFINED = 3, 4
"""Types of tokens that text is not cut into: they stand for themselves."""
WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
SPLITS = {
    "llama-bpe": WORDS + r"\p{N}{1,3}" + REST,
    "qwen2": WORDS + r"\p{N}" + REST,
}
"""Expressions by which text is cut before pairs are merged, by the value of tokenizer.ggml.pre."""
DIGITS_APART = ("smollm",)
PLAIN = ("default", "gpt-2", "gpt2")
SPACE = "\u2581"


def gguf_tokenizer(metadata: Mapping[str, Any]) -> Tokenizer:
    """The tokenizer that a file's metadata describes, with BOS where the file adds it.

    InputError for a kind that isn't known, and for metadata that describe none.
    """
    kind = metadata.get("tokenizer.ggml.model")
    tokens = metadata.get("tokenizer.ggml.tokens")
    if not isinstance(tokens, list) or not tokens:
        raise InputError("tokenizer.ggml.tokens: is missing, so that there is no tokenizer")
    try:
        if kind == "gpt2":
            tokenizer = _byte_pairs(metadata, tokens)
        elif kind == "llama":
            tokenizer = _pieces(metadata, tokens)
        else:
            raise InputError(f"tokenizer.ggml.model: must be gpt2 or llama, not {kind!r}")
        _add_special(tokenizer, metadata, tokens)
    except InputError:
        raise
    except Exception as error:  # the library raises nothing more specific
        raise InputError(f"tokenizer.ggml: describes no tokenizer: {error}") from error
    return tokenizer


def _byte_pairs(metadata: Mapping[str, Any], tokens: Sequence[str]) -> Tokenizer:
    """Byte-level BPE, as GPT-2 has it."""
    pre = metadata.get("tokenizer.ggml.pre", "default")
    merges = [tuple(merge.split(" ", 1)) for merge in metadata.get("tokenizer.ggml.merges", [])]
    vocabulary = {token: n for n, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, ignore_merges=pre == "llama-bpe"))
    if pre in SPLITS:
        split = pre_tokenizers.Split(Regex(SPLITS[pre]), "isolated")
        steps = [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    elif pre in DIGITS_APART:
        steps = [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    elif pre in PLAIN:
        steps = [pre_tokenizers.ByteLevel(add_prefix_space=False)]
    else:
        known = ", ".join((*PLAIN, *DIGITS_APART, *SPLITS))
        raise InputError(f"tokenizer.ggml.pre: {pre!r} is not known; known are {known}")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _pieces(metadata: Mapping[str, Any], tokens: Sequence[str]) -> Tokenizer:
    """SentencePiece's BPE: pairs are merged in the order of the merged piece's score."""
    scores = metadata.get("tokenizer.ggml.scores")
    if not isinstance(scores, list) or len(scores) != len(tokens):
        raise InputError("tokenizer.ggml.scores: must have a score for each token")
    vocabulary = {token: n for n, token in enumerate(tokens)}
    ranked = []
    for n, token in enumerate(tokens):
        for cut in range(1, len(token)):
            left, right = token[:cut], token[cut:]
            if left in vocabulary and right in vocabulary:
                ranked.append((-float(scores[n]), vocabulary[left], vocabulary[right], (left, right)))
    unknown = metadata.get("tokenizer.ggml.unknown_token_id", 0)
    merges = [merge for *_, merge in sorted(ranked)]
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, unk_token=tokens[unknown], fuse_unk=True, byte_fallback=True))
    prefix = [normalizers.Prepend(SPACE)] if metadata.get("tokenizer.ggml.add_space_prefix", True) else []
    tokenizer.normalizer = normalizers.Sequence([*prefix, normalizers.Replace(" ", SPACE)])
    strip = [decoders.Strip(" ", 1, 0)] if prefix else []
    steps = [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), *strip]
    tokenizer.decoder = decoders.Sequence(steps)
    return tokenizer


def _add_special(tokenizer: Tokenizer, metadata: Mapping[str, Any], tokens: Sequence[str]) -> None:
    """Tokens that stand for themselves; and BOS before each text, where the file says so."""
    types = metadata.get("tokenizer.ggml.token_type", [])

    def of_type(wanted: int) -> list[AddedToken]:
        pairs = zip(tokens, types, strict=False)
        return [AddedToken(t, special=wanted == CONTROL, normalized=False) for t, type in pairs if type == wanted]

    # All at once: the library builds its search anew in each call.
    tokenizer.add_special_tokens(of_type(CONTROL))
    tokenizer.add_tokens(of_type(USER_DEFINED))
    # SentencePiece's models have BOS unless the file says otherwise.
    adds = metadata.get("tokenizer.ggml.add_bos_token", metadata.get("tokenizer.ggml.model") == "llama")
    bos = metadata.get("tokenizer.ggml.bos_token_id")
    if adds and bos is not None:
        begin = tokens[bos]
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{begin} $A", pair=f"{begin} $A {begin} $B", special_tokens=[(begin, bos)]
        )
