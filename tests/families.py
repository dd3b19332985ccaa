"""A tiny model of each family: its keys of config.json, with odd sizes, and its tensors by its files' names."""

from typing import Any

SEED = 7
SIZES = {
    "vocab_size": 259,
    "hidden_size": 60,
    "intermediate_size": 88,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 20,
    "max_position_embeddings": 48,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
    "tie_word_embeddings": False,
}
WINDOW = 9
LLAMA3 = {"rope_type": "llama3", "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
YARN = {"rope_type": "yarn", "factor": 4.0}
HERE: dict[str, Any] = {"rope_theta": 10000.0, "original_max_position_embeddings": 24}
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {"model_type": "llama", "attention_bias": True, "mlp_bias": True},
    "llama, linear RoPE": {"model_type": "llama", "rope_parameters": {"rope_type": "linear", "factor": 2.0, **HERE}},
    "llama, llama3 RoPE": {"model_type": "llama", "rope_parameters": {**LLAMA3, **HERE}},
    "llama, YaRN": {"model_type": "llama", "rope_parameters": {**YARN, **HERE}},
    "llama, dynamic RoPE": {"model_type": "llama", "rope_parameters": {"rope_type": "dynamic", "factor": 2.0, **HERE}},
    "mistral": {"model_type": "mistral", "sliding_window": WINDOW},
    "qwen2": {"model_type": "qwen2", "use_sliding_window": True, "sliding_window": WINDOW, "max_window_layers": 1},
    "qwen3": {"model_type": "qwen3", "attention_bias": True},
    "smollm3": {"model_type": "smollm3", "no_rope_layers": [1, 0], "tie_word_embeddings": True},
    "phi3": {"model_type": "phi3", "partial_rotary_factor": 0.6, "sliding_window": WINDOW},
    "granite": {
        "model_type": "granite",
        "embedding_multiplier": 3.0,
        "residual_multiplier": 0.4,
        "attention_multiplier": 0.1,
        "logits_scaling": 2.5,
    },
    "olmo2": {"model_type": "olmo2"},
    "gemma": {"model_type": "gemma", "tie_word_embeddings": True},
    "gemma2": {"model_type": "gemma2", "sliding_window": WINDOW, "query_pre_attn_scalar": 24},
    "gemma3": {
        "model_type": "gemma3_text",
        "sliding_window": WINDOW,
        "layer_types": ["sliding_attention", "full_attention"],
        "final_logit_softcapping": 20.0,
    },
    "gpt2": {"model_type": "gpt2", "num_attention_heads": 3, "n_inner": 88, "tie_word_embeddings": True},
    "opt": {"model_type": "opt", "ffn_dim": 88, "word_embed_proj_dim": 60, "num_attention_heads": 3},
    "opt, GELU": {
        "model_type": "opt",
        "ffn_dim": 88,
        "word_embed_proj_dim": 60,
        "num_attention_heads": 2,
        "activation_function": "gelu",
    },
    "bitnet": {"model_type": "bitnet", "num_attention_heads": 6, "head_dim": 10},
}
