"""Variables of make, compilers, cocotb and Python that happen to be set steer nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from einloom.spec.tool_environment import kept
from tests.waves import holds_waves

RUN = "from einloom.cli.main import main; main()"
SMALL = "name: small\nengine: {kind: int_mac, rows: 1, columns: 1, lanes: 1}\n"
FOREIGN = {
    "make": {"MAKEFLAGS": "-n", "MAKEFILES": "/nowhere/rules.mk", "GNUMAKEFLAGS": "--always-make -k", "MAKELEVEL": "3"},
    "compilers": {
        **{"CXX": "false", "CC": "false", "LD": "false", "AR": "false", "LINK": "false", "OBJCACHE": "false"},
        **dict.fromkeys(("CFLAGS", "CXXFLAGS", "CPPFLAGS"), "-Werror -Wall -Wextra -std=c++98 -DVL_RESTORER"),
        "LDFLAGS": "-lnosuchlibrary",
        "OPT_FAST": "-O9 --nonsense",
    },
    "Verilator": {"VERILATOR_ROOT": "/nowhere", "VERILATOR_BIN": "false", "VERILATOR_SOLVER": "false"},
    "cocotb": {
        **{"COCOTB_TEST_MODULES": "nonsense", "COCOTB_TESTCASE": "nothing", "COCOTB_TEST_FILTER": "nothing"},
        **{"COCOTB_RANDOM_SEED": "77", "COCOTB_RESULTS_FILE": "/nowhere/results.xml", "COCOTB_TOPLEVEL": "other"},
        **{"COCOTB_LOG_LEVEL": "CRITICAL", "COCOTB_SCHEDULER_DEBUG": "1", "COCOTB_PDB_ON_EXCEPTION": "1"},
        **{"MODULE": "nonsense", "TOPLEVEL": "other", "TESTCASE": "nothing", "RANDOM_SEED": "x", "WAVES": "maybe"},
        **{"GUI": "1", "SIM": "questa", "GPI_EXTRA": "nolib:none", "GPI_USERS": "/nowhere.so", "TOPLEVEL_LANG": "vhdl"},
        **{"PYGPI_PYTHON_BIN": "/nowhere/python", "PYGPI_USERS": "nothing:none", "LIBPYTHON_LOC": "/nowhere.so"},
    },
    "Python": {
        **{"PYTHONOPTIMIZE": "2", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "5", "PYTHONUTF8": "0"},
        **{"PYTHONWARNINGS": "error::DeprecationWarning", "PYTHONIOENCODING": "ascii", "LC_ALL": "C", "LANG": "C"},
        **{"PYTHONSTARTUP": "/nowhere.py", "PYTEST_CURRENT_TEST": "t.py::t (call)"},
    },
    "Amaranth": {"AMARANTH_USE_YOSYS": "nonsense", "YOSYS": "false", "AMARANTH_VERBOSE": "1"},
}


def simulate(folder: Path, variables: dict[str, str], *options: str) -> dict[str, object]:
    """`einloom simulate` of a small engine in `folder`, with `variables` set."""
    folder.mkdir()
    (folder / "small.yaml").write_text(SMALL)
    done = subprocess.run(
        [sys.executable, "-c", RUN, "simulate", "small.yaml", "--cases", "2", *options, "--json"],
        cwd=folder,
        env=kept(os.environ) | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:] + done.stdout[-2000:]
    told: dict[str, object] = json.loads(done.stdout)
    return {name: value for name, value in told.items() if name != "seconds"}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    return simulate(tmp_path_factory.mktemp("environment") / "plain", {})


def disturbed(folder: Path, variables: dict[str, str]) -> dict[str, object]:
    """The same with a cache of its own, so that every tool runs under `variables`, and with waves."""
    own = {"EINLOOM_CACHE": str(folder / "cache"), "EINLOOM_SIMULATORS": "quick"}
    told = simulate(folder, variables | own, "--waves")
    assert holds_waves(folder / str(told.pop("waves")))
    return told


def test_variables_that_happen_to_be_set_change_no_result(tmp_path: Path, undisturbed: dict[str, object]) -> None:
    together = {name: value for kind in FOREIGN.values() for name, value in kind.items()}
    assert disturbed(tmp_path / "all", together) == undisturbed


@pytest.mark.slow
@pytest.mark.parametrize("kind", FOREIGN)
def test_each_kind_of_variable_changes_no_result(kind: str, tmp_path: Path, undisturbed: dict[str, object]) -> None:
    assert disturbed(tmp_path / "one", FOREIGN[kind]) == undisturbed
