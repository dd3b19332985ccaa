"""Connections between the ports of parts."""

from amaranth import Module


def join(m: Module, source, sink) -> None:
    """Connect two streams whose payloads have the same width."""
    m.d.comb += [sink.payload.eq(source.payload), sink.valid.eq(source.valid), source.ready.eq(sink.ready)]


def feed(m: Module, source, sink, *names: str) -> None:
    """Drive the ports `names` of `sink` with the ports of those names of `source`."""
    m.d.comb += [getattr(sink, name).eq(getattr(source, name)) for name in names]
