"""Settings that all tests share."""

import contextlib
import importlib

import pytest
from hypothesis import HealthCheck, settings

# Before pyslang and pyosys: once their code has run in a process, matplotlib's extension for fonts fails to load there.
with contextlib.suppress(ImportError):
    for name in ("pyplot", "backends.backend_agg", "backends.backend_svg"):
        importlib.import_module(f"matplotlib.{name}")

# Examples build and run simulators, so time says nothing; the seed is fixed so that a failure in CI is one anywhere.
settings.register_profile("einloom", deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
settings.load_profile("einloom")


@pytest.fixture(autouse=True)
def _quiet_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Command output without colours and of a fixed width, so that tests can read it."""
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("NO_COLOR", "1")
