"""Damaged files of models and sweeps, a few hundred of each kind; `python -m tests.fuzz_files` tries ten thousand."""

from pathlib import Path

import pytest

from tests.fuzz_files import fuzz, kinds

COUNT = 200


@pytest.mark.parametrize("name", ["gguf", "safetensors", "config", "tokenizer", "template", "sweep"])
def test_damaged_files_are_read_or_refused(tmp_path: Path, name: str) -> None:
    failures = list[tuple[int, str]]()
    done, refused = fuzz(kinds(tmp_path)[name], 1, COUNT, lambda *failure: failures.append(failure))
    assert not failures, f"python -m tests.fuzz_files {name} --seed {failures[0][0]} --count 1"
    assert done > 0
    assert refused > COUNT // 2
