"""When rows of memory are in the vector memory, and rows of the table of tokens in the load unit."""

from math import ceil

from einloom.mapping.cost.events import Steps
from einloom.mapping.cost.latencies import LOAD_END, LOAD_REQUEST, LOAD_START
from einloom.mapping.cost.memory_port import Reader
from einloom.mapping.cost.unit_queues import Presented
from einloom.mapping.cost.write_port import WritePort
from einloom.spec.isa import Elements, Rows
from einloom.spec.manifest import CoreManifest

FLOAT_BYTES = 4


class Loads:
    """The load unit with its master: a request for each row, then words as beats come."""

    def __init__(self, core: CoreManifest, reader: Reader, port: WritePort) -> None:
        self._reader, self._port = reader, port
        self._beat_bytes = core.beat_bytes
        self._word_beats = core.lanes * FLOAT_BYTES // core.beat_bytes
        self._used = self._burst = 0  # beats that are taken, and bursts

    def carry_out(self, p: Presented) -> Steps:
        """A `load` or a `tokens`."""
        i, chunk, reader = p.instruction, p.chunk, self._reader
        tokens = i.opcode.name == "tokens"
        single = not tokens and i["rows"] == Rows.ONE
        rows = 1 if single else chunk.tokens
        if not rows or not (tokens or i["words"]):
            return p.starts
        short = not tokens and i["elements"] == Elements.BFLOAT16
        takes = 1 if tokens else i["words"] * self._word_beats
        beats = (takes + 1) >> 1 if short else takes
        request = p.starts + LOAD_START
        for row in range(rows):
            # Which rows tokens have is not known; how long theirs take hardly depends on it.
            place = 0 if single else row if not tokens and i["rows"] == Rows.TOKENS else chunk.position + row
            while (accepted := reader.ready(request)) is None:
                yield reader.accepted
            reader.request(accepted, i["offset"] + place * (1 if tokens else i["stride"]), beats)
            request = accepted + LOAD_REQUEST
        cycle: float = p.starts
        wanted = self._used + rows * beats
        while self._used < wanted:
            while self._burst >= len(reader.bursts):
                yield reader.arrived
            until, first, last = reader.bursts[self._burst]
            count = (until - self._used) * takes / beats  # cycles in which the burst is taken
            cycle = max(cycle + count, first + count - 1, last)
            self._used = until
            self._burst += 1
        end = ceil(cycle)
        p.record.work = rows * beats
        p.record.bytes = rows * beats * self._beat_bytes
        if tokens:
            return end + 1
        begin = end + 1 - (rows * i["words"] - 1) * self._word_beats  # the first word is written
        self._port.load(begin, end + 1, self._word_beats)
        if self._word_beats == 1:  # a word that waits holds up those behind it
            yield end
            end += self._port.written(begin, end + 1)
            self._port.load(begin, end + 1, self._word_beats)
        return end + LOAD_END
