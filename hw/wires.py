"""Ports of parts, and connections between them."""

from amaranth import Module


def members(flow, *names: str, shape=1) -> dict:
    """Ports of one `shape`, a bit unless given; `flow` is In or Out."""
    return {name: flow(shape) for name in names}


def join(m: Module, source, sink) -> None:
    """Connect two streams whose payloads have the same width."""
    m.d.comb += [sink.payload.eq(source.payload), sink.valid.eq(source.valid), source.ready.eq(sink.ready)]


def feed(m: Module, source, sink, *names: str) -> None:
    """Drive the ports `names` of `sink` with the ports of those names of `source`."""
    m.d.comb += [getattr(sink, name).eq(getattr(source, name)) for name in names]


def choose(m: Module, target, test, cases: dict, default=None, *, domain: str = "comb") -> None:
    """Assign to `target` the value of the case that `test` is in; a key is a number, or several in a tuple."""
    with m.Switch(test):
        for case, value in cases.items():
            with m.Case(*(case if isinstance(case, tuple) else (case,))):
                m.d[domain] += target.eq(value)
        if default is not None:
            with m.Default():
                m.d[domain] += target.eq(default)
