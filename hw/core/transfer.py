"""The states of a unit that writes memory: a request, its beats, memory's answer."""

from amaranth import Module, Signal

STATES = ("idle", "prepare", "request", "fetch", "send", "answer")


class Transfer:
    """A state machine around the ports of `writer_ports`; each of the signals STATES is 1 in the cycles of its state.

        idle      nothing is to be written; `start` ends it
        prepare   the next request is computed, until `prepared`
        request   the request is offered
        fetch     the next beats' data are fetched, until `fetched`
        send      a beat is offered; then the next one, `fetch` if `refetch`, or after `last_beat` `answer`
        answer    memory has not answered; then `prepare` if `again`, or `idle`

    `prepare` and `fetch` are left out where their conditions are None. `beat` is 1 when a beat is taken, `done` when
    memory answers and no request follows.
    """

    def __init__(self, m: Module, port):
        self.m, self.port = m, port
        self.idle, self.prepare, self.request, self.fetch, self.send, self.answer = (
            Signal(name=f"is_{state}") for state in STATES
        )
        self.beat, self.done = Signal(name="beat"), Signal(name="done")
        m.d.comb += [
            port.request.valid.eq(self.request),
            port.beats.valid.eq(self.send),
            self.beat.eq(self.send & port.beats.ready),
        ]

    def run(self, *, start, last_beat, again=0, prepared=None, fetched=None, refetch=0) -> None:
        """Add the machine with its conditions, which may depend on the signals above."""
        m, port = self.m, self.port
        first = "request" if prepared is None else "prepare"
        data = "send" if fetched is None else "fetch"
        steps = {
            "idle": [(start, first)],
            "prepare": [(prepared, "request")],
            "request": [(port.request.ready, data)],
            "fetch": [(fetched, "send")],
            "send": [(self.beat & last_beat, "answer"), (self.beat & refetch, data)],
            "answer": [(port.answered & again, first), (port.answered, "idle")],
        }
        m.d.comb += self.done.eq(self.answer & port.answered & ~again)
        with m.FSM():
            for state, ways in steps.items():
                if ways[0][0] is None:
                    continue
                with m.State(state):
                    m.d.comb += getattr(self, state).eq(1)
                    with m.If(ways[0][0]):
                        m.next = ways[0][1]
                    for condition, following in ways[1:]:
                        with m.Elif(condition):
                            m.next = following
