"""The errors that einloom explains to its user; everything else is a bug and shows a traceback."""

from dataclasses import dataclass, field
from pathlib import Path


class EinloomError(Exception):
    """Base of the errors that end a command with a sentence instead of a traceback."""

    exit_code = 2


class InputError(EinloomError):
    """Bad input: a file, a key or an argument that einloom can't work with (exit code 2)."""


class ToolError(EinloomError):
    """A tool that einloom needs is missing or failed (exit code 2)."""


class CheckFailed(EinloomError):
    """A check that was asked for came out false, such as RTL against golden (exit code 1)."""

    exit_code = 1


@dataclass(frozen=True)
class Problem:
    """One thing wrong with an input file: where it stands and what would mend it."""

    message: str
    key: str = ""
    line: int | None = None

    def __str__(self) -> str:
        place = f"line {self.line}: " if self.line is not None else ""
        return f"{place}{self.key + ': ' if self.key else ''}{self.message}"


@dataclass
class ConfigError(InputError):
    """All that is wrong with one file, reported at once."""

    file: Path | str
    problems: list[Problem] = field(default_factory=list)

    def __str__(self) -> str:
        return "\n".join(f"{self.file}: {problem}" for problem in self.problems)
