"""A compiled model: a program, the memory images it works on, and where its inputs and outputs are."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from einloom.spec.errors import InputError
from einloom.spec.files import write_folder
from einloom.spec.instruction import Instruction, decode
from einloom.spec.isa import INSTRUCTION_BYTES
from einloom.spec.manifest import Manifest

VERSION = 3
HEAD, PROGRAM, LISTING, SYSTEM = "program.json", "program.bin", "program.lst", "system.bin"
Beat = Annotated[int, Field(ge=0, lt=1 << 32)]
Count = Annotated[int, Field(ge=1, lt=1 << 32)]
Bytes = npt.NDArray[np.uint8]


class Symbols(BaseModel):
    """Places that the host shares with the program; beats count from the start of the system window."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    program: Beat
    """Beat of the first instruction."""
    instructions: Count
    tokens: Beat
    """Beat of the first row of the table of tokens (spec/token_table.py), which has `context` rows."""
    logits: Beat
    """Beat of the first row of logits: one for each token of the last chunk."""
    logits_stride: Beat
    """Beats from one row to the next."""
    vocab: Count
    context: Count
    """Positions for which there is room."""
    cache: Beat
    """Beat of the first key, in the windows that have the cache. The core writes from here on."""
    cache_beats: Beat
    residual: Beat
    """Word of the vector memory at which the residual stream of a chunk's first token begins."""
    residual_stride: Beat
    """Words from one token to the next."""


class MemoryUse(BaseModel):
    """Words in use of a memory on the chip, counted as in CoreManifest."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    key: str
    """Key of the config that makes the memory larger."""
    used: int
    words: int


class Piece(BaseModel):
    """A named part of the system window, or of the window of every weight channel."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    offset: int
    """First beat of the piece."""
    size: int
    """Bytes of the piece, in each window that has it."""
    in_channels: bool = False
    """In the windows of the weight channels."""


@dataclass(frozen=True)
class Program:
    """A program for one design.

    Attributes
    ----------
    digest : digest of the config of the design that it was compiled for.
    instructions, notes : instructions, and for each a note that says what it is for.
    memories : memories of the chip, and how much of them the program uses.
    pieces : named parts of the system window, and of the channels' windows what is not weights.
    system : image of the system memory, the program included.
    weights : image of each weight channel; a cache that lies there is zeros in front of the weights.
    """

    name: str
    digest: str
    symbols: Symbols
    instructions: tuple[Instruction, ...]
    notes: tuple[str, ...]
    memories: tuple[MemoryUse, ...]
    pieces: tuple[Piece, ...]
    system: Bytes
    weights: tuple[Bytes, ...]

    def layer_ends(self, names: Sequence[str]) -> tuple[int, ...]:
        """The instruction behind the last one of each of the layers `names`: there the residual stream is complete."""
        own = [[note.startswith((f"{name}:", f"{name}.")) for note in self.notes] for name in names]
        return tuple(len(flags) - flags[::-1].index(True) for flags in own)

    @property
    def images(self) -> tuple[Bytes, ...]:
        """The image of each memory port, in the manifest's order."""
        return (self.system, *self.weights)

    @property
    def program_bytes(self) -> int:
        return len(self.instructions) * INSTRUCTION_BYTES

    @property
    def image_bytes(self) -> int:
        return sum(image.size for image in self.images)

    def write(self, folder: Path) -> None:
        """Write all files into `folder`; InputError when that fails, with nothing half-written."""
        write_folder(folder, self.files())

    def listing(self) -> str:
        """Listing for people, which `einloom.spec.instruction.assemble` reads too."""
        lines, note = list[str](), ""
        for n, (instruction, about) in enumerate(zip(self.instructions, self.notes, strict=True)):
            if about != note:
                lines.append(f"# {about}")
                note = about
            lines.append(f"{instruction}  # {n}")
        return "\n".join(lines) + "\n"

    def files(self) -> dict[str, bytes]:
        """The files of a compiled program, by their names, as `load_program` reads them; and a listing for people."""
        program = b"".join(i.encode() for i in self.instructions)
        contents = [program, *(image.tobytes() for image in self.images)]
        files = dict(zip(_image_names(len(self.weights)), contents, strict=True))
        head: dict[str, Any] = {
            "version": VERSION,
            "name": self.name,
            "digest": self.digest,
            "symbols": self.symbols.model_dump(),
            "notes": self.notes,
            "memories": [m.model_dump() for m in self.memories],
            "pieces": [p.model_dump() for p in self.pieces],
            "sha256": {name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
        }
        files[LISTING] = self.listing().encode()
        return files | {HEAD: (json.dumps(head, indent=1) + "\n").encode()}


class _Head(BaseModel):
    """program.json."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: int
    name: str
    digest: str
    symbols: Symbols
    notes: tuple[str, ...]
    memories: tuple[MemoryUse, ...]
    pieces: tuple[Piece, ...]
    sha256: dict[str, str]
    """SHA-256 of every other file, by its name."""


def load_program(folder: Path, manifest: Manifest) -> Program:
    """The program in `folder`, compiled for the design of `manifest`.

    InputError when it is unreadable, damaged, not one of ours, for another design, or holds an instruction that isn't
    one.
    """
    channels, beat_bytes = manifest.core.gemm.weights.channels, manifest.core.beat_bytes
    head = _load_head(folder / HEAD, manifest.digest)
    images = {name: _load_image(folder / name, head.sha256.get(name)) for name in _image_names(channels)}
    instructions = _instructions(folder / PROGRAM, images[PROGRAM].tobytes(), len(head.notes))
    program = Program(
        head.name,
        head.digest,
        head.symbols,
        instructions,
        head.notes,
        head.memories,
        head.pieces,
        images[SYSTEM],
        tuple(images[name] for name in _image_names(channels)[2:]),
    )
    _check_symbols(folder / HEAD, program, manifest.gemm.rows, beat_bytes, manifest.core.cache_memories[0][0])
    return program


def _image_names(channels: int) -> list[str]:
    return [PROGRAM, SYSTEM, *(f"weights_{c}.bin" for c in range(channels))]


def _load_head(path: Path, digest: str) -> _Head:
    try:
        head = _Head.model_validate_json(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except ValidationError as error:
        raise InputError(f"{path}: not a compiled program of einloom: {error}") from error
    if head.version != VERSION:
        raise InputError(f"{path}: version {head.version}, but this einloom reads version {VERSION}")
    if head.digest != digest:
        raise InputError(f"{path}: compiled for another design; compile it again for this config")
    return head


def _load_image(path: Path, expected: str | None) -> Bytes:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    if hashlib.sha256(raw).hexdigest() != expected:
        raise InputError(f"{path}: is not the file that {HEAD} was written with: it is damaged, or of another program")
    return np.frombuffer(raw, np.uint8).copy()


def _instructions(path: Path, raw: bytes, count: int) -> tuple[Instruction, ...]:
    if len(raw) != count * INSTRUCTION_BYTES:
        raise InputError(f"{path}: is not {count} instructions long, as {HEAD} says")
    instructions = list[Instruction]()
    for n in range(count):
        try:
            instructions.append(decode(raw[n * INSTRUCTION_BYTES :][:INSTRUCTION_BYTES]))
        except InputError as error:
            raise InputError(f"{path}: instruction {n}: {error}") from error
    return tuple(instructions)


def _check_symbols(path: Path, program: Program, rows: int, beat_bytes: int, cache_memory: int) -> None:
    """InputError unless all that the host shares with the program lies in the images, the program itself too."""
    s, system = program.symbols, program.system.size // beat_bytes
    memory = program.images[cache_memory].size // beat_bytes
    parts = {
        "tokens": (s.tokens + s.context, system),
        "logits": (s.logits + rows * s.logits_stride, system),
        "cache": (s.cache + s.cache_beats, memory),
    }
    for name, (end, beats) in parts.items():
        if end > beats:
            raise InputError(f"{path}: symbols.{name} ends at beat {end} of an image of {beats}")
    if 4 * s.vocab > s.logits_stride * beat_bytes:
        raise InputError(f"{path}: a row of {s.vocab} logits is longer than symbols.logits_stride, {s.logits_stride}")
    there = program.system[s.program * beat_bytes :][: program.program_bytes].tobytes()
    if s.instructions != len(program.instructions) or there != b"".join(i.encode() for i in program.instructions):
        raise InputError(f"{path}: symbols.program is not where the image has the instructions of {PROGRAM}")
