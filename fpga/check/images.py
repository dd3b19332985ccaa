"""Checks of the files that are loaded into a card: a program's images by the banks, an xclbin by the config."""

import re
from pathlib import Path

from einloom.fpga.host.card import check_banks, window_sizes
from einloom.fpga.kernel.interface import DIGEST_CHARACTERS, WRAPPER_PREFIX, KernelInterface
from einloom.spec.errors import InputError
from einloom.spec.manifest import Manifest
from einloom.spec.program import load_program

MAGIC = b"xclbin2\0"
KERNEL = re.compile(rf"{WRAPPER_PREFIX}[0-9a-f]{{{DIGEST_CHARACTERS}}}".encode())


def bank_problems(program: Path, manifest: Manifest, kernel: KernelInterface) -> list[str]:
    """Check that the program in this folder is for the design and each image fits its bank; InputError if not."""
    check_banks(window_sizes(load_program(program, manifest), kernel), kernel)
    return []


def xclbin_problems(path: Path, kernel: KernelInterface) -> list[str]:
    """Check that the file is an xclbin whose metadata names this config's kernel."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    if not raw.startswith(MAGIC):
        return [f"{path}: not an xclbin"]
    names = sorted({name.decode() for name in KERNEL.findall(raw)})
    if kernel.name in names:
        return []
    return [
        f"{path}: it holds {', '.join(names) or 'no kernel of einloom'}, not {kernel.name}: it is of another config"
    ]
