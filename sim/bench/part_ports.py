"""The ports of a part by flat names, and payloads as the integers that lie on them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from amaranth import Shape, ShapeLike, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In

STREAM = {"payload", "valid", "ready"}


@dataclass(frozen=True)
class Port:
    """A plain port, or the payload, valid or ready of a stream.

    Attributes
    ----------
    name : the path from the part to the port, joined by `_`, so that `write.token` and `write_token` are one.
    verilog : the name in emitted Verilog.
    value : Amaranth value that the simulator sets or reads.
    shape : the layout, if it is one.
    is_input : True for an input of the part.
    """

    name: str
    verilog: str
    value: Value
    shape: ShapeLike
    is_input: bool


@dataclass(frozen=True)
class Stream:
    """A stream member of a part; it is an input if its payload is."""

    name: str
    payload: Port
    valid: Port
    ready: Port

    @property
    def is_input(self) -> bool:
        return self.payload.is_input


def ports_of(part: wiring.Component) -> tuple[dict[str, Stream], dict[str, Port]]:
    """(streams, plain ports) of `part` by name, those inside interfaces and arrays too.

    A stream is what has just the three ports of one, so an AXI channel, whose names have a prefix, is plain ports.
    """
    groups: dict[tuple[str, ...], dict[str, Port]] = {}
    for path, member, value in part.signature.flatten(part):
        steps = tuple(map(str, path))
        port = Port("_".join(steps), "__".join(steps), Value.cast(value), member.shape, member.flow == In)
        groups.setdefault(steps[:-1], {})[steps[-1]] = port
    streams: dict[str, Stream] = {}
    plain: dict[str, Port] = {}
    for path, group in groups.items():
        if path and group.keys() == STREAM:
            name = "_".join(path)
            streams[name] = Stream(name, **group)
        else:
            plain |= {port.name: port for port in group.values()}
    return streams, plain


def encode(shape: ShapeLike, payload: Any) -> int:
    """The bits of `payload`: an integer, a member of an enumeration, or a dict or list by the fields of a layout.

    Fields that are left out are 0. ValueError for an integer that does not fit, KeyError for a field that is not there.
    """
    if isinstance(payload, Mapping | Sequence):
        layout = data.Layout.cast(shape)
        items = payload.items() if isinstance(payload, Mapping) else enumerate(payload)
        fields = ((layout[key], part) for key, part in items)
        return sum(encode(field.shape, part) << field.offset for field, part in fields)
    width = Shape.cast(shape).width
    number = int(payload.value if isinstance(payload, Enum) else payload)
    if not -(1 << width) >> 1 <= number < 1 << width:
        raise ValueError(f"{number} does not fit into {width} bits")
    return number & (1 << width) - 1


def decode(shape: ShapeLike, bits: int) -> Any:
    """Value of `bits` by `shape`: a dict, a list, or an integer of the right sign."""
    bits &= (1 << Shape.cast(shape).width) - 1  # Amaranth's simulator gives signed signals their sign
    if isinstance(shape, data.Layout):
        parts = {key: decode(field.shape, _cut(bits, field)) for key, field in shape}
        return list(parts.values()) if isinstance(shape, data.ArrayLayout) else parts
    plain = Shape.cast(shape)
    return bits - (1 << plain.width) if plain.signed and bits >> plain.width - 1 else bits


def _cut(bits: int, field: data.Field) -> int:
    return bits >> field.offset & (1 << field.width) - 1


def shown(payload: Any) -> str:
    """A payload for a reader: integers of more than two digits in hexadecimal, too."""
    if isinstance(payload, Mapping):
        return "{" + ", ".join(f"{key}: {shown(part)}" for key, part in payload.items()) + "}"
    if isinstance(payload, list):
        return "[" + ", ".join(map(shown, payload)) + "]"
    return f"{payload:#x}" if isinstance(payload, int) and abs(payload) > 99 else str(payload)
