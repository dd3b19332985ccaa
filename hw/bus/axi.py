"""AXI4 and AXI4-Lite signatures, and their flat ports as Vitis names them.

Source: AMBA AXI and ACE Protocol Specification, ARM IHI 0022, issue E; Vitis user guide UG1393, RTL kernels.

Signatures are seen from the initiator: a master has a member `Out(axi_read(...))`, a slave `In(axi_read(...))`.
Members bear the protocol's own names in lower case. Bursts are INCR, of beats as wide as the data bus.
"""

from amaranth import Module, Value
from amaranth.lib import enum, wiring
from amaranth.lib.wiring import Flow, In, Member, Out

PAGE_BYTES = 4096  # no burst may cross a multiple of this
MAX_BURST = 256  # beats that an eight-bit length can say
INCR = 0b01
CACHE_MODIFIABLE = 0b0011  # normal, bufferable and modifiable: interconnects may merge and split
LITE_BITS = 32


class Response(enum.Enum, shape=2):
    """Values of RRESP and BRESP."""

    OKAY = 0
    EXOKAY = 1
    SLVERR = 2
    DECERR = 3


class BusError(enum.Enum, shape=2):
    """The reason why a master has stopped; the first one holds until it is cleared."""

    NONE = 0
    WINDOW = 1
    """A request reached outside the window, was not aligned to beats, or asked for no beat."""
    RESPONSE = 2
    """The memory answered with an error, or with another number of beats than was asked for."""


def beat_bytes(data_bits: int) -> int:
    """Bytes in a beat; ValueError for a width that AXI4 does not have."""
    if data_bits not in {1 << n for n in range(3, 11)}:
        raise ValueError(f"AXI4 data must be 8 to 1024 bits and a power of two, not {data_bits!r}")
    return data_bits // 8


def burst_limit(data_bits: int, max_burst: int) -> int:
    """Beats of the longest burst that stays inside a page; ValueError when `max_burst` is no length of a burst."""
    if max_burst not in {1 << n for n in range(MAX_BURST.bit_length())}:
        raise ValueError(f"max_burst must be a power of two up to {MAX_BURST}, not {max_burst!r}")
    return min(max_burst, PAGE_BYTES // beat_bytes(data_bits))


def axi_read(data_bits: int, address_bits: int = 64, id_bits: int = 1) -> wiring.Signature:
    """The channels AR and R."""
    beat_bytes(data_bits)
    read = _channel("r", In, id=id_bits, data=data_bits, resp=2, last=1)
    return wiring.Signature(_address_channel("ar", address_bits, id_bits) | read)


def axi_write(data_bits: int, address_bits: int = 64, id_bits: int = 1) -> wiring.Signature:
    """The channels AW, W and B."""
    write = _channel("w", Out, data=data_bits, strb=beat_bytes(data_bits), last=1)
    answer = _channel("b", In, id=id_bits, resp=2)
    return wiring.Signature(_address_channel("aw", address_bits, id_bits) | write | answer)


def axi_lite(address_bits: int) -> wiring.Signature:
    """AXI4-Lite with 32 bits of data."""
    write = _channel("aw", Out, addr=address_bits, prot=3) | _channel("w", Out, data=LITE_BITS, strb=LITE_BITS // 8)
    read = _channel("ar", Out, addr=address_bits, prot=3) | _channel("r", In, data=LITE_BITS, resp=2)
    return wiring.Signature(write | _channel("b", In, resp=2) | read)


def _channel(channel: str, flow: Flow, **widths: int) -> dict[str, Member]:
    """The signals of a channel, all of which flow as `flow` but for `ready`."""
    signals = {channel + name: flow(width) for name, width in (widths | {"valid": 1}).items()}
    return signals | {f"{channel}ready": flow.flip()(1)}


def _address_channel(channel: str, address_bits: int, id_bits: int) -> dict[str, Member]:
    return _channel(channel, Out, id=id_bits, addr=address_bits, len=8, size=3, burst=2, cache=4, prot=3)


def drive_constants(m: Module, port: wiring.PureInterface, channel: str, data_bits: int) -> None:
    """Drive the signals of channel `ar` or `aw` of a master's port that are the same for every burst; the ID is 0."""
    constants = {
        "id": 0,
        "size": (beat_bytes(data_bits)).bit_length() - 1,
        "burst": INCR,
        "cache": CACHE_MODIFIABLE,
        "prot": 0,
    }
    m.d.comb += [getattr(port, channel + name).eq(value) for name, value in constants.items()]


def flat_members(prefix: str, *members: Member) -> dict[str, Member]:
    """The members `prefix_araddr` and so on of a top whose ports must bear Vitis's names.

    `members` are those of a nested interface, such as `In(axi_lite(12))`. Several share a prefix when their channels
    are those of one port: `flat_members("m_axi_kv", Out(axi_read(512)), Out(axi_write(512)))`.
    """
    flat: dict[str, Member] = {}
    for member in members:
        for name, inner in member.signature.members.items():  # of an In member they are flipped already
            flat[f"{prefix}_{name}"] = inner
    return flat


def connect_flat(m: Module, top: wiring.Component, prefix: str, port: wiring.PureInterface) -> None:
    """Connect `port`, the member of a part inside `top`, with the top's flat ports of that prefix."""
    for (name,), member, value in port.signature.flatten(port):
        outer = getattr(top, f"{prefix}_{name}")
        source, sink = (value, outer) if member.flow == Out else (outer, value)
        m.d.comb += Value.cast(sink).eq(source)
