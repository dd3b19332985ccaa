"""Train the default model: a one-million-parameter Llama on Shakespeare, on a CPU, in JAX.

    pip install jax optax tokenizers safetensors
    python examples/models/train.py --text tinyshakespeare.txt --out examples/models/shakespeare-1m

The text is karpathy/char-rnn's `data/tinyshakespeare/input.txt` (1.1 MB, public domain); it is read, never copied into
the output. The result is a Hugging Face style folder: config.json, model.safetensors (float16), tokenizer.json, and
training.json with the losses and the figures of the model card.
"""

import argparse
import json
import math
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from safetensors.numpy import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 128,
    "intermediate_size": 384,
    "num_hidden_layers": 5,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "vocab_size": 512,
    "max_position_embeddings": 256,
    "rope_theta": 10000.0,
    "rms_norm_eps": 1e-5,
    "hidden_act": "silu",
    "tie_word_embeddings": True,
    "attention_bias": False,
    "mlp_bias": False,
    "bos_token_id": None,
    "eos_token_id": None,
    "torch_dtype": "float16",
}
HIDDEN, FFN, LAYERS = CONFIG["hidden_size"], CONFIG["intermediate_size"], CONFIG["num_hidden_layers"]
HEADS, KV_HEADS, HEAD = CONFIG["num_attention_heads"], CONFIG["num_key_value_heads"], CONFIG["head_dim"]
CONTEXT, VOCAB = CONFIG["max_position_embeddings"], CONFIG["vocab_size"]
LINEARS = {
    "self_attn.q_proj": (HEADS * HEAD, HIDDEN),
    "self_attn.k_proj": (KV_HEADS * HEAD, HIDDEN),
    "self_attn.v_proj": (KV_HEADS * HEAD, HIDDEN),
    "self_attn.o_proj": (HIDDEN, HEADS * HEAD),
    "mlp.gate_proj": (FFN, HIDDEN),
    "mlp.up_proj": (FFN, HIDDEN),
    "mlp.down_proj": (HIDDEN, FFN),
}


def make_tokenizer(text: str) -> Tokenizer:
    """A byte-level BPE of VOCAB entries learnt from `text`."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=VOCAB, initial_alphabet=sorted(alphabet), show_progress=False)
    tokenizer.train_from_iterator([text], trainer)
    return tokenizer


def init(key) -> dict:
    """Random float32 parameters under their Hugging Face names."""
    params = {"model.embed_tokens.weight": (VOCAB, HIDDEN), "model.norm.weight": (HIDDEN,)}
    for n in range(LAYERS):
        params |= {f"model.layers.{n}.{name}.weight": shape for name, shape in LINEARS.items()}
        params |= {f"model.layers.{n}.{norm}_layernorm.weight": (HIDDEN,) for norm in ("input", "post_attention")}
    out = {}
    for name, shape in params.items():
        key, sub = jax.random.split(key)
        deep = name.endswith(("o_proj.weight", "down_proj.weight"))
        std = 0.04 / math.sqrt(2 * LAYERS) if deep else 0.04
        out[name] = jnp.ones(shape) if len(shape) == 1 else std * jax.random.normal(sub, shape)
    return out


def rms_norm(x, weight):
    return x * jax.lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + CONFIG["rms_norm_eps"]) * weight


def rope_tables(length: int):
    frequency = 1.0 / CONFIG["rope_theta"] ** (np.arange(0, HEAD, 2) / HEAD)
    angle = np.arange(length)[:, None] * frequency
    return np.cos(np.concatenate([angle, angle], -1)), np.sin(np.concatenate([angle, angle], -1))


def rotate(x, cos, sin):
    half = HEAD // 2
    return x * cos[:, None] + jnp.concatenate([-x[..., half:], x[..., :half]], -1) * sin[:, None]


def product(x, weight):
    """A linear layer [..., N] of `x` [..., K] and `weight` [N, K]."""
    return x @ weight.T


def forward(params, tokens, dropout: float, key, product=product):
    """Logits [B, T, VOCAB] of `tokens` [B, T]; dropout on both residual branches and the embedding.

    The head is the embedding unless there is one of its own.
    """
    batch, length = tokens.shape
    cos, sin = rope_tables(length)
    mask = np.tril(np.ones((length, length), bool))

    def drop(x):
        nonlocal key
        if not dropout:
            return x
        key, sub = jax.random.split(key)
        return jnp.where(jax.random.bernoulli(sub, 1 - dropout, x.shape), x / (1 - dropout), 0)

    x = drop(params["model.embed_tokens.weight"][tokens])
    for n in range(LAYERS):

        def linear(name, v, n=n):
            return product(v, params[f"model.layers.{n}.{name}.weight"])

        h = rms_norm(x, params[f"model.layers.{n}.input_layernorm.weight"])
        q = rotate(linear("self_attn.q_proj", h).reshape(batch, length, HEADS, HEAD), cos, sin)
        k = rotate(linear("self_attn.k_proj", h).reshape(batch, length, KV_HEADS, HEAD), cos, sin)
        v = linear("self_attn.v_proj", h).reshape(batch, length, KV_HEADS, HEAD)
        q = q.reshape(batch, length, KV_HEADS, HEADS // KV_HEADS, HEAD)
        scores = jnp.einsum("bqgre,bkge->bgrqk", q, k) / math.sqrt(HEAD)
        weights = jax.nn.softmax(jnp.where(mask, scores, -1e30), -1)
        mixed = jnp.einsum("bgrqk,bkge->bqgre", weights, v).reshape(batch, length, HEADS * HEAD)
        x = x + drop(linear("self_attn.o_proj", mixed))
        h = rms_norm(x, params[f"model.layers.{n}.post_attention_layernorm.weight"])
        x = x + drop(linear("mlp.down_proj", jax.nn.silu(linear("mlp.gate_proj", h)) * linear("mlp.up_proj", h)))
    head = params.get("lm_head.weight", params["model.embed_tokens.weight"])
    return product(rms_norm(x, params["model.norm.weight"]), head)


def loss_of(params, tokens, dropout, key, product=product):
    logits = forward(params, tokens[:, :-1], dropout, key, product)
    return optax.softmax_cross_entropy_with_integer_labels(logits, tokens[:, 1:]).mean()


def held_out(params, data, product=product) -> float:
    """Mean loss in nats per token over consecutive windows of CONTEXT tokens."""
    count = (len(data) - 1) // CONTEXT
    windows = np.stack([data[n * CONTEXT : n * CONTEXT + CONTEXT + 1] for n in range(count)])
    evaluate = jax.jit(lambda p, t: loss_of(p, t, 0.0, None, product))
    return float(np.mean([evaluate(params, windows[n : n + 8]) for n in range(0, count - count % 8, 8)]))


def write(out: Path, params, figures: dict) -> None:
    save_file({name: np.asarray(value, np.float16) for name, value in params.items()}, out / "model.safetensors")
    (out / "config.json").write_text(json.dumps(CONFIG, indent=2) + "\n")
    (out / "training.json").write_text(json.dumps(figures, indent=2) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--learning-rate", type=float, default=3e-3)
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)

    text = args.text.read_text()
    split = int(len(text) * 0.95)
    tokenizer = make_tokenizer(text[:split])
    tokenizer.save(str(args.out / "tokenizer.json"))
    train = np.array(tokenizer.encode(text[:split]).ids, np.int32)
    valid = np.array(tokenizer.encode(text[split:]).ids, np.int32)
    print(f"{len(train)} training tokens, {len(valid)} held out", flush=True)

    schedule = optax.warmup_cosine_decay_schedule(0.0, args.learning_rate, 200, args.steps, args.learning_rate / 50)
    decay = jax.tree.map(lambda p: p.ndim == 2, params := init(jax.random.key(args.seed)))
    optimiser = optax.chain(
        optax.clip_by_global_norm(1.0), optax.adamw(schedule, b2=0.98, weight_decay=0.1, mask=decay)
    )
    state = optimiser.init(params)

    @jax.jit
    def step(params, state, tokens, key):
        loss, grads = jax.value_and_grad(loss_of)(params, tokens, args.dropout, key)
        updates, state = optimiser.update(grads, state, params)
        return optax.apply_updates(params, updates), state, loss

    rng, key = np.random.default_rng(args.seed), jax.random.key(args.seed + 1)
    best, started = math.inf, time.time()
    for n in range(args.steps):
        starts = rng.integers(0, len(train) - CONTEXT - 1, args.batch)
        key, sub = jax.random.split(key)
        params, state, loss = step(params, state, train[starts[:, None] + np.arange(CONTEXT + 1)], sub)
        if (n + 1) % 250 == 0 or n + 1 == args.steps:
            nats = held_out(params, valid)
            print(f"step {n + 1}: train {loss:.3f}, held out {nats:.3f}, {time.time() - started:.0f} s", flush=True)
            if nats < best:
                best = nats
                figures = {
                    "parameters": sum(p.size for p in params.values()),
                    "steps": n + 1,
                    "held_out_nats_per_token": round(nats, 4),
                    "held_out_nats_per_character": round(nats * len(valid) / len(text[split:]), 4),
                    "held_out_tokens": len(valid),
                    "training_tokens": len(train),
                    "arguments": {k: str(v.name) if isinstance(v, Path) else v for k, v in vars(args).items()},
                }
                write(args.out, params, figures)


if __name__ == "__main__":
    main()
