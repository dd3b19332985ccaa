"""Programs that were compiled before: kept by the content of the model, of the design, and of all code between them."""

import json

from einloom.mapping.model_digest import model_digest
from einloom.mapping.pipeline import PLAIN, Compression, compile_model
from einloom.mapping.schedule.schedule import STANDARD, Schedule
from einloom.models.decoder_model import DecoderModel
from einloom.spec.build_cache import cache_root, content_key, package_texts
from einloom.spec.errors import InputError
from einloom.spec.files import write_folder
from einloom.spec.manifest import Manifest
from einloom.spec.program import Program, load_program

ROOMS = ("einloom.spec", "einloom.models", "einloom.mapping")
BITS = "bits_per_weight.json"
LARGEST = 2 << 30
"""Bytes of the largest images that are kept."""


def cached_program(
    model: DecoderModel, manifest: Manifest, compression: Compression = PLAIN, schedule: Schedule = STANDARD
) -> tuple[Program, float]:
    """Program and bits per weight as `compile_model` makes them, taken from the cache where it holds them.

    What was quantized and calibrated for the program comes with it. A damaged entry is made anew. A cache that can't be
    written is only read.
    """
    parts = [model_digest(model), manifest.model_dump_json(), *compression.contents(), repr(schedule)]
    key = content_key([*parts, *package_texts(*ROOMS)])
    folder = cache_root() / "programs" / f"{manifest.name}-{key}"
    try:
        return load_program(folder, manifest), float(json.loads((folder / BITS).read_text()))
    except (InputError, OSError, ValueError, TypeError):
        program, bits = compile_model(model, manifest, compression, schedule)
    if program.image_bytes <= LARGEST:
        try:
            write_folder(folder, program.files() | {BITS: json.dumps(bits).encode()})
        except InputError:
            pass  # the next run compiles again
    return program, bits
