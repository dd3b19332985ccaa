"""Damaged files of models and of sweeps: each is read, or refused with a sentence; nothing else may come of it.

    python -m tests.fuzz_files [KIND ...] [--seed 1] [--count 10000]

A case is one file of a tiny model with one to four mutations. Failures are exceptions other than InputError, cases that
take longer than SECONDS, and memory beyond twice the file and 200 MB; each is printed with its seed.
"""

import argparse
import copy
import json
import random
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType

from einloom.models.chat import render_chat
from einloom.models.importer.gguf_model import load_gguf
from einloom.models.importer.huggingface import load_folder
from einloom.spec.errors import InputError
from einloom.sweeps.plan import read_plan
from tests.tiny_gguf import write_gguf
from tests.tiny_llama import write_tiny_llama

SECONDS = 20
MEGABYTES = 200
TEMPLATE = """{% for message in messages %}{% if message['role'] == 'user' %}{{ '<|user|>' + message.content | trim }}
{%- elif message['role'] == 'system' %}{{ raise_exception('no system') }}{% else %}{{ message.content[:9] }}{% endif %}
{% endfor %}{% if add_generation_prompt %}{{ bos_token ~ '<|assistant|>' }}{% set ns = namespace(n=3) %}{% endif %}
{{ strftime_now('%Y') }}{% for i in range(4) %}{{ loop.index }}{% if i > 2 %}{% break %}{% endif %}{% endfor %}"""
SWEEP = {
    "name": "few",
    "base": ["core-dsp", "default"],
    "models": ["shakespeare-1m"],
    "measure": ["cost", "resources"],
    "kind": "random",
    "points": 5,
    "seed": 1,
    "over": {"engine.formats": [["bitmod-fp4"]], "engine.columns": [16, 32], "job.position": [10], "job.clock": [100]},
}
SYNTAX = ["{%", "%}", "{{", "}}", "endfor", "[9]", "()", "1/0", "|", "messages", "~"]
MESSAGES = [{"role": "user", "content": " What? "}, {"role": "assistant", "content": "This."}]
VALUES = [0, -1, 1, 2, 3, 1 << 31, 1 << 63, 1 << 70, -(1 << 40), 0.5, 1e308, float("nan"), float("inf"), None, True]
WORDS = ["", "llama", "\0", "é" * 40, [], {}, [[]], [None], {"a": 1}, "x" * 5000, [1, 2], "default"]


def mutate_bytes(data: bytes, rng: random.Random) -> bytes:
    """One to four changes of bytes, most of them near the beginning, where headers are."""
    raw = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = int(len(raw) * rng.random() ** rng.choice([1, 4, 8]))
        match rng.randrange(6):
            case 0:
                raw[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                raw[at : at + 8] = rng.choice([0, 1, 255, 1 << 32, (1 << 63) - 1, (1 << 64) - 1]).to_bytes(8, "little")
            case 2:
                del raw[at : at + rng.choice([1, 4, 8, 100])]
            case 3:
                raw[at:at] = rng.randbytes(rng.choice([1, 4, 8, 100]))
            case 4:
                del raw[at:]
            case _:
                other = rng.randrange(len(raw) + 1)
                raw[at : at + 16] = raw[other : other + 16]
    return bytes(raw)


def mutate_json(data: bytes, rng: random.Random) -> bytes:
    """Changed, missing or doubled values anywhere in the tree; now and then changed bytes."""
    if rng.random() < 0.2:
        return mutate_bytes(data, rng)
    tree = json.loads(data)
    for _ in range(rng.randint(1, 4)):
        node, depth = tree, rng.randint(0, 5)
        while depth and isinstance(node, dict | list) and node:
            key = rng.choice(list(node) if isinstance(node, dict) else range(len(node)))
            if depth == 1 or not isinstance(node[key], dict | list):
                if rng.random() < 0.2:
                    del node[key]
                else:
                    node[key] = copy.deepcopy(rng.choice(VALUES + WORDS))
                break
            node, depth = node[key], depth - 1
    return json.dumps(tree).encode()


def mutate_text(data: bytes, rng: random.Random) -> bytes:
    """Words of the template in other places."""
    words = data.decode().split(" ")
    for _ in range(rng.randint(1, 4)):
        at, other = rng.randrange(len(words)), rng.randrange(len(words))
        match rng.randrange(4):
            case 0:
                words[at] = words[other]
            case 1:
                del words[at]
            case 2:
                words.insert(
                    at, rng.choice(["{%", "%}", "{{", "}}", "endfor", "[9]", "()", "1/0", "|", "messages", "~"])
                )
            case _:
                words[at] = words[at][: rng.randint(0, 9)]
        words = words or [""]
    return " ".join(words).encode()


def render(path: Path) -> None:
    render_chat(path.read_text(), MESSAGES, bos="<s>")


Kind = tuple[Path, Callable[[], object], Callable[[bytes, random.Random], bytes]]


def kinds(folder: Path) -> dict[str, Kind]:
    """The file of each kind, what reads it, and how it is damaged."""
    model = write_tiny_llama(folder / "model")
    loaded = load_folder(model)
    tokens = [loaded.tokenizer.id_to_token(n) or "" for n in range(loaded.graph.vocab)]
    file = write_gguf(folder / "model.gguf", loaded, GGMLQuantizationType.Q8_0, tokens)
    template = folder / "template.jinja"
    template.write_text(TEMPLATE)
    sweep = folder / "sweep.yaml"
    sweep.write_text(json.dumps(SWEEP))
    return {
        "gguf": (file, lambda: load_gguf(file), mutate_bytes),
        "safetensors": (model / "model.safetensors", lambda: load_folder(model), mutate_bytes),
        "config": (model / "config.json", lambda: load_folder(model), mutate_json),
        "tokenizer": (model / "tokenizer.json", lambda: load_folder(model), mutate_json),
        "sweep": (sweep, lambda: read_plan(sweep), mutate_json),
        "template": (template, lambda: render(template), mutate_text),
    }


def fuzz(kind: Kind, seed: int, count: int, on_failure: Callable[[int, str], None]) -> tuple[int, int]:
    """Read `count` damaged files; returns how many were read and how many refused."""
    path, read, mutate = kind
    original = path.read_bytes()
    done = refused = 0
    try:
        for number in range(seed, seed + count):
            rng = random.Random(number)
            path.write_bytes(mutate(original, rng))
            signal.alarm(SECONDS)
            try:
                with np.errstate(all="ignore"):
                    read()
                done += 1
            except InputError as error:
                refused += 1
                if not str(error).strip():
                    on_failure(number, "refused without a word")
            except UnicodeDecodeError:
                refused += 1  # the template's own bytes: whoever reads the file says so
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt):
                    raise
                on_failure(number, f"{type(error).__name__}: {error}"[:200])
            finally:
                signal.alarm(0)
    finally:
        path.write_bytes(original)
    return done, refused


def _late(_signal: int, _frame: object) -> None:
    raise TimeoutError(f"took longer than {SECONDS} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("kinds", nargs="*")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=10000)
    arguments = parser.parse_args()
    signal.signal(signal.SIGALRM, _late)
    failures = 0

    def fail(number: int, problem: str) -> None:
        nonlocal failures
        failures += 1
        print(f"  seed {number}: {problem}", flush=True)

    with tempfile.TemporaryDirectory() as folder:
        known = kinds(Path(folder))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        for name in arguments.kinds or known:
            started = time.perf_counter()
            done, refused = fuzz(known[name], arguments.seed, arguments.count, fail)
            seconds = time.perf_counter() - started
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before
            size = known[name][0].stat().st_size / (1 << 20)
            print(f"{name}: {done:,} read, {refused:,} refused, {seconds:.0f} s, {peak:.0f} MB more", flush=True)
            if peak > 2 * size + MEGABYTES:
                fail(arguments.seed, f"{name}: {peak:.0f} MB for files of {size:.1f} MB")
    print(f"{failures} failures")
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
