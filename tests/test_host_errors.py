"""What the card's host program says when XRT, the card or the kernel does not do what it should: a sentence each."""

import dataclasses
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import typer
import yaml
from typer.testing import CliRunner

from einloom.cli.run import run
from einloom.fpga.boards import BOARDS
from einloom.fpga.host.card import EMULATION, TIMEOUT_MS, CardDriver
from einloom.fpga.kernel.interface import kernel_name
from einloom.generators.registry import describe
from einloom.spec.core_registers import design_number
from einloom.spec.errors import CheckFailed, EinloomError, InputError, ToolError
from einloom.spec.isa import CoreError
from einloom.spec.manifest import Manifest
from einloom.spec.program import Program
from tests.core_bed import BITMOD, Shape, core_config, random_program
from tests.tiny_llama import write_tiny_llama

BOARD = BOARDS["u280"]
XCLBIN = Path("kernel.xclbin")
CONFIG = core_config(base=BITMOD, core={"query_words": 64, "activation_words": 32})
COMPLETED, TIMEOUT = "ERT_CMD_STATE_COMPLETED", "ERT_CMD_STATE_TIMEOUT"


class FakeXrt:
    """pyxrt as far as the host calls it: `fails` names the call that raises, `state` is how a job ends, and `report`
    what it leaves."""

    def __init__(self, names: list[str], *, fails: str = "", state: str = COMPLETED, report: bytes = b"") -> None:
        self.timeouts: list[int] = []
        self.fails = fails
        self.ert_cmd_state = SimpleNamespace(ERT_CMD_STATE_COMPLETED=COMPLETED, ERT_CMD_STATE_TIMEOUT=TIMEOUT)
        self.xclBOSyncDirection = SimpleNamespace(XCL_BO_SYNC_BO_TO_DEVICE=0, XCL_BO_SYNC_BO_FROM_DEVICE=1)
        self.xclbin = self._call("xclbin", SimpleNamespace(get_kernels=lambda: [self._named(n) for n in names]))
        self.device = self._call("device", SimpleNamespace(load_xclbin=self._call("load_xclbin", "uuid")))
        self.kernel = self._call("kernel", SimpleNamespace(group_id=lambda _: 0))
        self.run = lambda _: SimpleNamespace(
            set_arg=self._call("set_arg", None), start=self._call("start", None), wait=self._wait(state)
        )
        buffer = SimpleNamespace(
            write=self._call("write", None),
            sync=self._call("sync", None),
            read=lambda size, _: np.frombuffer(report.ljust(size, b"\0")[:size], np.int8),
        )
        self.bo = self._call("bo", buffer)
        self.bo.normal = 0

    def _call(self, name: str, result: Any) -> Any:
        def call(*_: Any) -> Any:
            if name == self.fails:
                raise RuntimeError(f"{name} said no")
            return result

        return call

    def _wait(self, state: str) -> Callable[[int], str]:
        def wait(timeout: int) -> str:
            self.timeouts.append(timeout)
            return state

        return wait

    @staticmethod
    def _named(name: str) -> SimpleNamespace:
        return SimpleNamespace(get_name=lambda: name)


@pytest.fixture(scope="module")
def manifest() -> Manifest:
    return describe(CONFIG)


@pytest.fixture(scope="module")
def program(manifest: Manifest) -> Program:
    return random_program(manifest, Shape())


def card(manifest: Manifest, program: Program, **behaviour: Any) -> CardDriver:
    return CardDriver(FakeXrt([kernel_name(manifest.digest)], **behaviour), XCLBIN, manifest, program, BOARD, device=2)


@pytest.mark.parametrize(
    ("fails", "sentence"),
    [
        ("device", "XRT cannot open device 2: device said no"),
        ("load_xclbin", "XRT cannot load kernel.xclbin into device 2: load_xclbin said no"),
        ("kernel", "XRT cannot load kernel.xclbin into device 2: kernel said no"),
        ("bo", r"XRT cannot allocate [\d,]+ bytes in HBM\[2:31\] for m_axi_system: bo said no"),
        ("set_arg", r"XRT cannot allocate [\d,]+ bytes in HBM\[2:31\] for m_axi_system: set_arg said no"),
        ("sync", "XRT cannot write to the buffer of m_axi_system: sync said no"),
        ("xclbin", "kernel.xclbin: not an xclbin: xclbin said no"),
    ],
)
def test_what_xrt_refuses_is_told(manifest: Manifest, program: Program, fails: str, sentence: str) -> None:
    with pytest.raises((ToolError, InputError), match=f"^{sentence}$") as caught:
        card(manifest, program, fails=fails)
    assert caught.value.exit_code == 2


def test_a_job_that_xrt_cannot_start_is_told(manifest: Manifest, program: Program) -> None:
    with pytest.raises(ToolError, match="^XRT cannot run the job at row 3: start said no$"):
        card(manifest, program, fails="start").run(3, 1)


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        (TIMEOUT, "the job at row 3 did not end within 60 s, .*: reset the card with xbutil reset"),
        ("ERT_CMD_STATE_ABORT", "the kernel did not complete the job at row 3: XRT says ERT_CMD_STATE_ABORT"),
        (COMPLETED, "the job at row 3 left no report of this design .*"),
    ],
)
def test_a_job_that_does_not_end_well_is_told(manifest: Manifest, program: Program, state: str, sentence: str) -> None:
    with pytest.raises(CheckFailed, match=f"^{sentence}$") as caught:
        card(manifest, program, state=state).run(3, 1)
    assert caught.value.exit_code == 1


def test_emulation_has_no_timeout(manifest: Manifest, program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    for mode, timeout in ((None, TIMEOUT_MS), ("hw_emu", 0)):
        if mode:
            monkeypatch.setenv(EMULATION, mode)
        xrt = FakeXrt([kernel_name(manifest.digest)], report=design_number(manifest.digest).to_bytes(8, "little"))
        assert CardDriver(xrt, XCLBIN, manifest, program, BOARD).run(0, 1).error is CoreError.NONE
        assert xrt.timeouts == [timeout]


COMMANDS = {
    "another config's xclbin": (lambda _: FakeXrt([f"einloom_{'0' * 12}"]), 2, "it holds the kernel of config 0{12}"),
    "an xclbin of something else": (lambda _: FakeXrt(["vadd"]), 2, "it holds no kernel of einloom"),
    "no card": (lambda m: FakeXrt([kernel_name(m.digest)], fails="device"), 2, "XRT cannot open device 0"),
    "timeout": (lambda m: FakeXrt([kernel_name(m.digest)], state=TIMEOUT), 1, "the job at row 0 did not end"),
    "core error": (
        lambda m: FakeXrt(
            [kernel_name(m.digest)],
            report=b"".join(n.to_bytes(8, "little") for n in (design_number(m.digest), CoreError.ILLEGAL, 7)),
        ),
        1,
        "the core stopped at instruction 7: illegal, at position 0",
    ),
}


@pytest.mark.parametrize("case", COMMANDS)
def test_the_command_ends_with_a_sentence(
    manifest: Manifest, case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, exit_code, sentence = COMMANDS[case]
    monkeypatch.setattr("einloom.running.pyxrt", lambda: make(manifest))
    error = refusal(tmp_path, xclbin=True)
    assert error.exit_code == exit_code
    assert re.search(sentence, str(error))


def test_an_image_larger_than_its_bank_ends_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BOARDS, "u280", dataclasses.replace(BOARD, hbm_bank_bytes=8192))
    monkeypatch.setattr("einloom.running.pyxrt", lambda: FakeXrt([]))
    error = refusal(tmp_path, xclbin=True)
    assert error.exit_code == 2
    assert re.search(r"^m_axi_weights0 needs [\d,]+ bytes and its memory HBM\[0\] of the u280 has 8,192", str(error))


def test_a_missing_xclbin_and_a_missing_xrt_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyxrt", None)
    assert re.search("kernel.xclbin: no such file", str(refusal(tmp_path, xclbin=False)))
    assert re.search("pyxrt cannot be imported", str(refusal(tmp_path, xclbin=True)))


def refusal(folder: Path, *, xclbin: bool) -> EinloomError:
    """What ends `einloom run --backend card`, of which only a failed check leaves an object on stdout."""
    config, file = folder / "tiny.yaml", folder / XCLBIN
    config.write_text(yaml.safe_dump(CONFIG.model_dump(mode="json")))
    if xclbin:
        file.write_bytes(b"xclbin2\0")
    app = typer.Typer()
    app.command()(run)
    words = [write_tiny_llama(folder / "model"), "-c", config, "--backend", "card", "--xclbin", file, "--json"]
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert isinstance(result.exception, EinloomError), result.output
    if isinstance(result.exception, CheckFailed):
        assert json.loads(result.stdout)["bit_exact"] is False
    else:
        assert result.stdout == ""
    return result.exception
