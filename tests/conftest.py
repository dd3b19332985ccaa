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
    if _only_parts(config):
        return
    with contextlib.suppress(ImportError):
        for name in ("pyplot", "backends.backend_agg", "backends.backend_svg"):
            importlib.import_module(f"matplotlib.{name}")


@pytest.hookimpl(trylast=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Tests of parts go without Hypothesis' summary, which imports all of it, for most for nothing.

    Its plugin must see the session begin: until then it takes strategies for those of other plugins.
    """
    plugins = session.config.pluginmanager
    if _only_parts(session.config) and (hypothesis := plugins.get_plugin("hypothesispytest")):
        plugins.unregister(hypothesis)


def _only_parts(config: pytest.Config) -> bool:
    return all("tests/hw" in argument for argument in config.args)


@pytest.fixture(autouse=True)
def _quiet_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Command output without colours and of a fixed width, so that tests can read it."""
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("NO_COLOR", "1")
