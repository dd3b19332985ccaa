"""A unit's way to the memory of the system window."""

from dataclasses import dataclass

from einloom.spec.isa import Unit


@dataclass(frozen=True)
class MemoryClient:
    """A master that a part wants at the system window, and the instruction that is to blame when it fails.

    A part with a client has the ports of `reader_ports` or `writer_ports` (hw/core/layouts.py). The machine hands them
    on by the client's name, and the core places a master for each.

    Parameters
    ----------
    name : of the master, and in front of the machine's ports.
    unit : whose instruction it works for; CONTROL is the sequencer's place in the program.
    ahead : requests run ahead of the unit's present instruction, so that a log must say whose failed.
    writes : it writes; all others read.
    """

    name: str
    unit: Unit
    ahead: bool = False
    writes: bool = False
