"""Files of waves."""

from pathlib import Path


def holds_waves(path: Path) -> bool:
    """True for a whole file of waves: an FST begins with a header of 329 bytes, a VCD with its version."""
    return path.read_bytes().startswith(b"\x00" + (329).to_bytes(8) if path.suffix == ".fst" else b"$version")
