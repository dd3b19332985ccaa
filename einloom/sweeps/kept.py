"""Rows that were measured, kept one by one, so that a sweep that was ended goes on where it was."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from einloom.spec.errors import InputError
from einloom.sweeps.measures import Row


class KeptRows:
    """A file of a JSON object a line, {"key": ..., "row": ...}, which only ever grows.

    Each line is one write at the file's end, so that whoever is killed leaves whole lines, but for the last at most. A
    line that is not whole, or that another einloom wrote, is passed over.
    """

    def __init__(self, file: Path, columns: Sequence[str]) -> None:
        self._file, self._columns = file, frozenset(columns)
        self._broken = False

    def load(self) -> dict[str, Row]:
        """The rows by their keys; InputError when the file can't be read."""
        try:
            content = self._file.read_bytes()
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise InputError(f"{self._file}: cannot be read: {error.strerror}") from error
        self._broken = bool(content) and not content.endswith(b"\n")
        return dict(found for line in content.splitlines() if (found := self._row(line)) is not None)

    def _row(self, line: bytes) -> tuple[str, Row] | None:
        try:
            entry: Any = json.loads(line)
            key, row = entry["key"], entry["row"]
        except (ValueError, TypeError, KeyError, RecursionError):
            return None
        if not isinstance(key, str) or not isinstance(row, dict) or row.keys() != self._columns:
            return None
        plain = all(value is None or isinstance(value, str | int | float) for value in row.values())
        return (key, row) if plain else None

    def append(self, key: str, row: Row) -> None:
        """Keep a row; InputError when the disk or the folder refuses."""
        line = ("\n" if self._broken else "") + json.dumps({"key": key, "row": row}) + "\n"
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self._file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            try:
                data = line.encode()
                self._broken = True
                while data:
                    data = data[os.write(handle, data) :]
                self._broken = False
            finally:
                os.close(handle)
        except OSError as error:
            raise InputError(f"{self._file}: cannot be written: {error.strerror}") from error
