"""A compiled model: a program, the memory images it works on, and where its inputs and outputs are."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, ValidationError

from einloom.errors import InputError
from einloom.files import write_folder
from einloom.isa import INSTRUCTION_BYTES, Instruction, decode

VERSION = 1
Bytes = npt.NDArray[np.uint8]


class Symbols(BaseModel):
    """Where the host finds what it shares with the program; beats count from the start of the system window."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    program: int
    """Beat of the first instruction."""
    instructions: int
    ids: int
    """Beat of the first token's id; one beat for each position, the id in its low 32 bits."""
    logits: int
    """Beat of the first row of logits: one for each token of the last chunk."""
    logits_stride: int
    """Beats from one row to the next."""
    vocab: int
    context: int
    """Positions for which there is room."""
    cache: int
    """Beat of the first key: what lies from here on is written by the core."""
    cache_beats: int


@dataclass(frozen=True)
class Program:
    """A program for one design.

    Attributes
    ----------
    digest : of the config of the design that it was compiled for.
    instructions, notes : and what each is for.
    system : the system memory's image, the program included.
    weights : the image of each weight channel.
    """

    name: str
    digest: str
    symbols: Symbols
    instructions: tuple[Instruction, ...]
    notes: tuple[str, ...]
    system: Bytes
    weights: tuple[Bytes, ...]

    @property
    def program_bytes(self) -> int:
        return len(self.instructions) * INSTRUCTION_BYTES

    @property
    def image_bytes(self) -> int:
        return self.system.size + sum(w.size for w in self.weights)

    def listing(self) -> str:
        """What a person can read, and `einloom.isa.assemble` too."""
        lines, note = list[str](), ""
        for n, (instruction, about) in enumerate(zip(self.instructions, self.notes, strict=True)):
            if about != note:
                lines.append(f"# {about}")
                note = about
            lines.append(f"{instruction}  # {n}")
        return "\n".join(lines) + "\n"

    def write(self, folder: Path) -> None:
        """Write the program into `folder`; InputError when that fails, with nothing half-written."""
        head: dict[str, Any] = {
            "version": VERSION,
            "name": self.name,
            "digest": self.digest,
            "symbols": self.symbols.model_dump(),
            "notes": self.notes,
            "channels": len(self.weights),
        }
        files = {
            "program.bin": b"".join(i.encode() for i in self.instructions),
            "program.lst": self.listing().encode(),
            "system.bin": self.system.tobytes(),
            "program.json": (json.dumps(head, indent=1) + "\n").encode(),
        }
        write_folder(folder, files | {f"weights_{c}.bin": w.tobytes() for c, w in enumerate(self.weights)})


class _Head(BaseModel):
    """program.json."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: int
    name: str
    digest: str
    symbols: Symbols
    notes: tuple[str, ...]
    channels: int


def load_program(folder: Path, digest: str) -> Program:
    """The program in `folder`, compiled for the design of the config with this digest.

    InputError when it is unreadable, not one of ours, for another design, or holds an instruction that isn't one.
    """
    try:
        head = _Head.model_validate_json((folder / "program.json").read_bytes())
        raw = (folder / "program.bin").read_bytes()
        system = np.frombuffer((folder / "system.bin").read_bytes(), np.uint8)
        weights = [(folder / f"weights_{c}.bin").read_bytes() for c in range(head.channels)]
    except (OSError, ValidationError) as error:
        raise InputError(f"{folder}: not a compiled program of einloom: {error}") from error
    if head.version != VERSION:
        raise InputError(f"{folder}/program.json: version {head.version}, but this einloom reads version {VERSION}")
    if head.digest != digest:
        raise InputError(f"{folder}/program.json: compiled for another design; compile it again for this config")
    count = head.symbols.instructions
    if len(raw) != count * INSTRUCTION_BYTES or len(head.notes) != count:
        raise InputError(f"{folder}/program.bin: is not {count} instructions long, as program.json says")
    instructions = list[Instruction]()
    for n in range(count):
        try:
            instructions.append(decode(raw[n * INSTRUCTION_BYTES :][:INSTRUCTION_BYTES]))
        except InputError as error:
            raise InputError(f"{folder}/program.bin: instruction {n}: {error}") from error
    return Program(
        head.name,
        head.digest,
        head.symbols,
        tuple(instructions),
        head.notes,
        system.copy(),
        tuple(np.frombuffer(w, np.uint8) for w in weights),
    )
