"""Hypothesis with the settings that all tests share.

Tests of properties take `given` and `settings` from here, not from Hypothesis: loading it takes seconds that those who
test one part after an edit need not wait for.
"""

from hypothesis import HealthCheck, given, settings

__all__ = ["given", "settings"]

# Examples build and run simulators, so time says nothing; the seed is fixed so that a failure in CI is one anywhere.
settings.register_profile("einloom", deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
settings.load_profile("einloom")
