"""Marks of parameters."""

from typing import Any

import pytest


def slow(*values: Any) -> Any:
    """The values of a parameter that only `-m slow` runs."""
    return pytest.param(*values, marks=pytest.mark.slow)
