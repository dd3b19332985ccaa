"""The mapping report: what a program takes of a design, and where, as text for people."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from einloom.mapping.cost.lookup import lookup_lines
from einloom.spec.instruction import Instruction
from einloom.spec.isa import INSTRUCTION_BYTES, UNITS, Unit
from einloom.spec.manifest import Manifest
from einloom.spec.program import Program


@dataclass
class Section:
    """The instructions of one note of a program.

    Attributes
    ----------
    first : number of the first instruction.
    instructions : number of instructions of each unit.
    weight_beats : beats that are fetched from each channel.
    vector_words : words that the vector unit takes in for one token.
    """

    note: str
    first: int
    instructions: Counter[Unit] = field(default_factory=Counter)
    weight_beats: int = 0
    vector_words: int = 0

    def add(self, instruction: Instruction) -> None:
        """Count one more."""
        self.instructions[instruction.opcode.unit] += 1
        match instruction.opcode.name:
            case "weights":
                self.weight_beats += instruction["beats"]
            case "vector":
                self.vector_words += instruction["outer"] * instruction["inner"]


def sections(program: Program) -> list[Section]:
    """The program in pieces of one note each."""
    found = list[Section]()
    numbered = enumerate(zip(program.instructions, program.notes, strict=True))
    for note, members in groupby(numbered, key=lambda n: n[1][1]):
        numbers = list(members)
        found.append(Section(note, numbers[0][0]))
        for _, (instruction, _note) in numbers:
            found[-1].add(instruction)
    return found


def mapping_report(program: Program, manifest: Manifest, padding: float = 0.0) -> str:
    """The report of a program that was compiled for the design of `manifest`.

    `padding` is the share of the weights that are zeros to fill up the design's blocks and tiles.
    """
    beat_bytes = manifest.gemm.weights.beat_bits // 8
    symbols = program.symbols
    lines = [
        f"Design {manifest.name}, config SHA-256 {manifest.digest}",
        f"{len(program.instructions):,} instructions of {INSTRUCTION_BYTES} bytes, {program.program_bytes:,} bytes",
        f"Chunks of up to {manifest.gemm.rows} tokens, at any position of a context of {symbols.context:,}",
        f"{padding:.1%} of the weights, and of the multiplications, are zeros that fill up blocks and tiles",
        f"Memory images of {program.image_bytes:,} bytes in beats of {beat_bytes} bytes",
        "",
        "Memories on the chip, in words for all tokens of a chunk",
        *_table(
            ("memory", "used", "of", "share", "key of the config"),
            [(m.name, f"{m.used:,}", f"{m.words:,}", f"{m.used / m.words:.1%}", m.key) for m in program.memories],
        ),
        "",
        "Memory windows",
        *_table(
            ("window", "beats", "bytes"),
            [
                (port.name, f"{image.size // beat_bytes:,}", f"{image.size:,}")
                for port, image in zip(manifest.core.ports, program.images, strict=True)
            ],
        ),
        "",
        "The system window",
        *_table(
            ("first beat", "bytes", "piece"),
            [(f"{p.offset:,}", f"{p.size:,}", p.name) for p in program.pieces],
        ),
        *lookup_lines(program, manifest.gemm),
        "",
        "The program; weight beats are those of each channel, vector words those of one token",
        *_table(
            ("first", *(u.name.lower() for u in UNITS), "weight beats", "vector words", "what for"),
            [_row(section) for section in sections(program)],
        ),
    ]
    return "\n".join(lines) + "\n"


def _row(section: Section) -> tuple[str, ...]:
    counts = (f"{section.instructions[u]:,}" if section.instructions[u] else "" for u in UNITS)
    sizes = (f"{n:,}" if n else "" for n in (section.weight_beats, section.vector_words))
    return (f"{section.first:,}", *counts, *sizes, section.note)


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines with columns of one width each, numbers to the right."""
    cells = [headings, *rows]
    widths = [max(len(row[n]) for row in cells) for n in range(len(headings))]
    numeric = [all(not row[n] or row[n][0].isdigit() for row in cells[1:]) for n in range(len(headings))]
    return [
        "  "
        + "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        ).rstrip()
        for row in cells
    ]
