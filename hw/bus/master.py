"""What the read master and the write master have in common."""

from amaranth import Module, Signal
from amaranth.lib import stream
from amaranth.lib.wiring import In, Out

from einloom.hw.bus.axi import BusError, drive_constants
from einloom.hw.bus.window import request_layout
from einloom.hw.wires import members


def master_ports(address_bits: int) -> dict:
    """Ports of every master; ReadMaster says what they mean."""
    return {
        "request": In(stream.Signature(request_layout())),
        **members(In, "window_base", "window_size", shape=address_bits),
        **members(In, "stop", "clear"),
        "error": Out(BusError),
        **members(Out, "idle", "beat", "starved", "stalled"),
    }


def check_requests(m: Module, master, window, halt: Signal) -> None:
    """Send the requests of `master` to the check of its window, unless there is a `halt`."""
    m.d.comb += [
        window.base.eq(master.window_base),
        window.size.eq(master.window_size),
        window.i.payload.eq(master.request.payload),
        window.i.valid.eq(master.request.valid & ~halt),
        master.request.ready.eq(window.i.ready & ~halt),
    ]


def put_bursts(m: Module, master, channel: str, burst, announce: Signal) -> None:
    """Put `burst` onto the channel `ar` or `aw` with `announce`, up to the cycle in which memory accepts it."""
    address, length, valid, ready = (getattr(master.axi, channel + name) for name in ("addr", "len", "valid", "ready"))
    drive_constants(m, master.axi, channel, master.data_bits)
    with m.If(announce):
        m.d.sync += [address.eq(burst.address), length.eq(burst.len), valid.eq(1)]
    with m.Elif(ready):
        m.d.sync += valid.eq(0)


def stop_at_errors(m: Module, master, *, halt: Signal, halted: Signal, wipe: Signal, bad, refused) -> None:
    """Keep a halt, and the first error, up to `wipe`: an answer of memory that is `bad`, or a `refused` request."""
    with m.If(wipe):
        m.d.sync += [halted.eq(0), master.error.eq(BusError.NONE)]
    with m.Else():
        m.d.sync += halted.eq(halt | bad | refused)
        with m.If((master.error == BusError.NONE) & ~halt):
            with m.If(bad):
                m.d.sync += master.error.eq(BusError.RESPONSE)
            with m.Elif(refused):
                m.d.sync += master.error.eq(BusError.WINDOW)
