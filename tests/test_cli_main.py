"""einloom/cli/main.py: how commands end."""

import errno
import signal
import sys

import pytest

import einloom
from einloom.cli import main as entry
from einloom.spec.errors import CheckFailed, InputError


def ends_with(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int | str | None:
    """Exit code of `einloom` with these arguments."""
    monkeypatch.setattr(sys, "argv", ["einloom", *arguments])
    with pytest.raises(SystemExit) as end:
        entry.main()
    return end.value.code


def test_version(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert ends_with(monkeypatch, "--version") == 0
    assert capsys.readouterr().out == f"einloom {einloom.__version__}\n"


def test_help_lists_the_commands(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert ends_with(monkeypatch, "--help") == 0
    told = capsys.readouterr().out
    assert all(command in told for command in ("run", "generate", "simulate", "quantize"))


@pytest.mark.parametrize("arguments", [["frobnicate"], ["run", "--tokens", "many"], ["run", "--backend", "abacus"]])
def test_usage_errors(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert ends_with(monkeypatch, *arguments) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert "Traceback" not in told.err


def test_bad_input_ends_with_a_sentence(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert ends_with(monkeypatch, "run", "-c", "defualt") == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("error: defualt: neither a config file nor a shipped config, did you mean 'default'?")


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (InputError("config [bold]x[/bold]: no"), 2, "error: config [bold]x[/bold]: no\n"),
        (InputError("tensor \x1b[2J\udcff\né: no"), 2, "error: tensor \\x1b[2J\\udcff\né: no\n"),
        (CheckFailed("differs"), 1, "error: differs\n"),
        (OSError(errno.ENOSPC, "No space left on device", "/a/b"), 2, "error: /a/b: No space left on device\n"),
        (OSError(errno.ENOSPC, "No space left on device"), 2, "error: output: No space left on device\n"),
        (OSError(errno.EMFILE, "Too many open files", "/a/b"), 2, "error: /a/b: Too many open files\n"),
        (MemoryError(), 2, "error: out of memory\n"),
        (MemoryError("Unable to allocate 3 GiB"), 2, "error: out of memory: Unable to allocate 3 GiB\n"),
        (OSError(errno.ENAMETOOLONG, "File name too long", "aa"), 2, "error: aa: File name too long\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_how_errors_end(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
    message: str,
) -> None:
    def fail(_name: str) -> None:
        raise error

    monkeypatch.setattr("einloom.cli.run.load_config", fail)
    assert ends_with(monkeypatch, "run", "-c", "default") == code
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", message)


def test_termination_unwinds(monkeypatch: pytest.MonkeyPatch) -> None:
    unwound: list[bool] = []

    def terminated(_name: str) -> None:
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            unwound.append(True)

    monkeypatch.setattr("einloom.cli.run.load_config", terminated)
    assert ends_with(monkeypatch, "run", "-c", "default") == 143
    assert unwound == [True]


def test_bugs_keep_their_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_name: str) -> None:
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", "x")

    monkeypatch.setattr("einloom.cli.run.load_config", fail)
    monkeypatch.setattr(sys, "argv", ["einloom", "run", "-c", "default"])
    with pytest.raises(FileNotFoundError):
        entry.main()
