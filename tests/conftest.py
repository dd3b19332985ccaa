"""Settings that all tests share."""

import contextlib
import gc
import importlib
import os

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Medium simulators, few collections, and matplotlib before pyslang and pyosys: its fonts fail to load behind them.

    Tests of parts need none of the three packages, and are run after every edit.
    """
    os.environ.setdefault("EINLOOM_SIMULATORS", "medium")  # most tests simulate for less time than a compiler takes
    gc.set_threshold(100_000)  # designs are large graphs, and little of one is garbage before all of it is
    if all("tests/hw" in argument for argument in config.args):
        if hypothesis := config.pluginmanager.get_plugin("hypothesispytest"):
            config.pluginmanager.unregister(hypothesis)  # its summary imports all of Hypothesis, for most for nothing
        return
    with contextlib.suppress(ImportError):
        for name in ("pyplot", "backends.backend_agg", "backends.backend_svg"):
            importlib.import_module(f"matplotlib.{name}")


@pytest.fixture(autouse=True)
def _quiet_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Command output without colours and of a fixed width, so that tests can read it."""
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("NO_COLOR", "1")
