"""Environment of the tools that are run: the user's, without the variables that would steer a tool behind our back."""

import os
from collections.abc import Mapping

STEERED = frozenset({
    *("MAKEFLAGS", "MAKEFILES", "MAKELEVEL", "GNUMAKEFLAGS", "MFLAGS", "OBJCACHE"),
    *("CXXFLAGS", "CPPFLAGS", "CFLAGS", "LDFLAGS", "TARGET_ARCH", "USER_CPPFLAGS", "USER_LDFLAGS", "USER_LDLIBS"),
    *("WAVES", "GUI", "MODULE", "TOPLEVEL", "TOPLEVEL_LANG", "TESTCASE", "RANDOM_SEED", "LIBPYTHON_LOC"),
    *("PYTHONOPTIMIZE", "PYTHONWARNINGS", "PYTHONINSPECT", "PYTHONSTARTUP", "PYTHONPROFILEIMPORTTIME"),
    *("PYTHONDEBUG", "PYTHONVERBOSE", "PYTHONTRACEMALLOC"),
})
"""Variables of make and compilers (flags of another project break a build), of cocotb, and of Python (-O drops checks).

Variables that say where headers and libraries lie (CPATH, LIBRARY_PATH) stay: some systems have them nowhere else.
"""
STEERED_PREFIXES = ("COCOTB_", "GPI_", "PYGPI_", "VERILATOR_", "AMARANTH_")


def tool_environment(**extra: str) -> dict[str, str]:
    """The environment for a tool's process: this one's without what steers tools, and with `extra`."""
    return kept(os.environ) | extra


def kept(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables of `environment` that tools get."""
    return {
        name: value
        for name, value in environment.items()
        if name not in STEERED and not name.startswith(STEERED_PREFIXES)
    }
