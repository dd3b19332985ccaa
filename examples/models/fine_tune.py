"""Fine-tune the default model with few-bit weights and int8 activations in the loop, on a CPU, in JAX.

    pip install jax optax tokenizers safetensors
    python examples/models/fine_tune.py --weights ternary --text tinyshakespeare.txt --out examples/models/NAME

Straight-through estimation as in BitNet b1.58 (arXiv 2402.17764): the forward pass sees the rounded weights and
activations, gradients go to the float weights behind them. Every linear layer takes part, the head included, which
therefore gets a matrix of its own; the embedding, from which rows are only looked up, stays as it is. `ternary` and
`bipolar2` have one scale per output channel, from its mean magnitude. `int4-2of4` and `int2-2of4` keep the two largest
of four neighbouring inputs' weights, chosen anew in each step, with a scale per 128 inputs. What is written is the
rounded weights, which `einloom run` quantizes to the same values again: as float16, or as float32 where rows have
several scales, because float16 has too few bits for a code times an 8-bit multiple of the row's scale.
"""

import argparse
import json
import math
import shutil
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import train
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer

OWN_HEAD, EMBEDDING = "lm_head.weight", "model.embed_tokens.weight"
GAUSSIAN_STEP = 1.2480
"""Step between the best four evenly spaced values (-3/2 .. 3/2 steps) for normally distributed weights, in units of
the weights' mean magnitude."""


def ternary(weight):
    """-1, 0 or 1 times the mean magnitude of the row (BitNet b1.58 takes that of the matrix)."""
    step = _as_stored(jnp.mean(jnp.abs(weight), -1, keepdims=True))
    return step * jnp.clip(jnp.round(weight / step), -1, 1)


def bipolar2(weight):
    """-3, -1, 1 or 3 times half a step of the row."""
    half = _as_stored(GAUSSIAN_STEP / 2 * jnp.mean(jnp.abs(weight), -1, keepdims=True))
    return half * jnp.clip(2 * jnp.floor(weight / (2 * half)) + 1, -3, 3)


GROUP = 128
"""Inputs that share a scale."""


def int4_2of4(weight):
    """-7 to 7 times a step of the group, the largest weight exactly 7."""
    return _two_of_four(weight, 7, lambda kept: jnp.max(jnp.abs(kept), -1, keepdims=True) / 7)


def int2_2of4(weight):
    """-1, 0 or 1 times the mean magnitude of the group's kept weights."""
    return _two_of_four(weight, 1, lambda kept: 2 * jnp.mean(jnp.abs(kept), -1, keepdims=True))


def _two_of_four(weight, largest: int, step_of):
    """Integers up to `largest` times a step per group, an 8-bit multiple of the row's scale if it has several."""
    fours = jnp.abs(weight).reshape(*weight.shape[:-1], -1, 4)
    keep = (jnp.argsort(jnp.argsort(-fours, -1), -1) < 2).reshape(weight.shape)
    kept = jnp.where(keep, weight, 0).reshape(*weight.shape[:-1], -1, min(GROUP, weight.shape[-1]))
    step = jnp.maximum(step_of(kept), 1e-4)
    if step.shape[-2] == 1:
        step = _as_stored(step)
    else:
        scale = jnp.max(step, -2, keepdims=True) / 255
        step = scale * jnp.clip(jnp.round(step / scale), 1, 255)
    return (step * jnp.clip(jnp.round(kept / step), -largest, largest)).reshape(weight.shape)


def _as_stored(scale):
    """float16 with eight bits of significand: then three times it is one too."""
    mantissa, exponent = jnp.frexp(jnp.maximum(scale, 1e-4))
    return jnp.ldexp(jnp.round(mantissa * 256) / 256, exponent)


def int8(x):
    """Codes times a scale per token, as the core quantizes activations."""
    scale = jnp.maximum(jnp.max(jnp.abs(x), -1, keepdims=True), 1e-6) / 127
    return jnp.round(x / scale) * scale


def straight_through(rounded, exact):
    """`rounded`, with the gradient of `exact`."""
    return exact + jax.lax.stop_gradient(rounded - exact)


WEIGHTS = {"ternary": ternary, "bipolar2": bipolar2, "int4-2of4": int4_2of4, "int2-2of4": int2_2of4}


def product_in(weights):
    """The linear layer with weights rounded by `weights` and int8 activations."""

    def product(x, weight):
        return train.product(straight_through(int8(x), x), straight_through(weights(weight), weight))

    return product


def rounded(params: dict, weights) -> dict:
    """The parameters as they are shipped."""
    exact = {n: weights(p) if p.ndim == 2 and n != EMBEDDING else p for n, p in params.items()}
    half = {n: np.asarray(p, np.float16) for n, p in exact.items()}
    several = {n for n, p in exact.items() if p.ndim == 2 and n != EMBEDDING and (half[n] != p).any()}
    return {n: np.asarray(p, np.float32) if n in several else half[n] for n, p in exact.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", choices=WEIGHTS, required=True)
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--start", type=Path, default=Path(__file__).parent / "shakespeare-1m")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--learning-rate", type=float, default=1.5e-3)
    parser.add_argument("--dropout", type=float, default=0.05)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)

    text = args.text.read_text()
    split = int(len(text) * 0.95)
    tokenizer = Tokenizer.from_file(str(args.start / "tokenizer.json"))
    data = np.array(tokenizer.encode(text[:split]).ids, np.int32)
    valid = np.array(tokenizer.encode(text[split:]).ids, np.int32)
    params = {
        name: jnp.asarray(value, jnp.float32) for name, value in load_file(args.start / "model.safetensors").items()
    }
    params.setdefault(OWN_HEAD, params[EMBEDDING])
    weights = WEIGHTS[args.weights]
    product = product_in(weights)
    before = {
        "float": round(train.held_out(params, valid), 4),
        "rounded_without_training": round(train.held_out(params, valid, product), 4),
    }
    print(before, flush=True)

    schedule = optax.warmup_cosine_decay_schedule(0.0, args.learning_rate, 50, args.steps, args.learning_rate / 50)
    decay = jax.tree.map(lambda p: p.ndim == 2, params)
    optimiser = optax.chain(
        optax.clip_by_global_norm(1.0), optax.adamw(schedule, b2=0.98, weight_decay=0.02, mask=decay)
    )
    state = optimiser.init(params)

    @jax.jit
    def step(params, state, tokens, key):
        loss, grads = jax.value_and_grad(train.loss_of)(params, tokens, args.dropout, key, product)
        updates, state = optimiser.update(grads, state, params)
        return optax.apply_updates(params, updates), state, loss

    rng, key = np.random.default_rng(args.seed), jax.random.key(args.seed + 1)
    best, started = math.inf, time.time()
    for n in range(args.steps):
        starts = rng.integers(0, len(data) - train.CONTEXT - 1, args.batch)
        key, sub = jax.random.split(key)
        params, state, loss = step(params, state, data[starts[:, None] + np.arange(train.CONTEXT + 1)], sub)
        if (n + 1) % 100 == 0 or n + 1 == args.steps:
            nats = train.held_out(params, valid, product)
            print(f"step {n + 1}: train {loss:.3f}, held out {nats:.4f}, {time.time() - started:.0f} s", flush=True)
            if nats < best:
                best = nats
                _write(args, params, weights, nats, len(valid) / len(text[split:]), before, n + 1)


def _write(args, params, weights, nats: float, tokens_per_character: float, before: dict, steps: int) -> None:
    save_file(rounded(params, weights), args.out / "model.safetensors")
    config = json.loads((args.start / "config.json").read_text()) | {"tie_word_embeddings": False}
    (args.out / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    shutil.copyfile(args.start / "tokenizer.json", args.out / "tokenizer.json")
    figures = {
        "weights": args.weights,
        "parameters": sum(p.size for p in params.values()),
        "steps": steps,
        "held_out_nats_per_token": round(nats, 4),
        "held_out_nats_per_character": round(nats * tokens_per_character, 4),
        "held_out_nats_per_token_before": before,
        "arguments": {k: v.name if isinstance(v, Path) else v for k, v in vars(args).items()},
    }
    (args.out / "training.json").write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
