"""One AXI4 read port for several readers."""

from amaranth import Const, Module, Signal
from amaranth.lib.wiring import In, Out

from einloom.hw.bus.axi import axi_read
from einloom.hw.part import Part

ADDRESS_MEMBERS = ("araddr", "arlen", "arsize", "arburst", "arcache", "arprot")
DATA_MEMBERS = ("rdata", "rresp", "rlast")


class ReadMux(Part):
    """Shares one AXI4 read port between clients, whose bursts carry the client's number as their ID.

    Clients take turns: after a burst, the next client in a circle that has one. Memory may send beats of different IDs
    in any order; each goes to the client of its ID. The clients' own IDs are ignored, and answered with 0.

    Throughput: a burst and a beat a cycle. Latency: 1 cycle for a burst, none for a beat.

    Parameters
    ----------
    count : number of clients, at least 1.
    data_bits, address_bits : widths of all ports.
    client_id_bits : width of the clients' IDs.

    Members
    -------
    clients : In, array of AXI4 read channels
    axi : Out, AXI4 read channels with IDs of `id_bits`
    """

    def __init__(self, count: int, data_bits: int, address_bits: int = 64, client_id_bits: int = 1):
        if count < 1:
            raise ValueError(f"a read port must have a client, not {count!r}")
        self.id_bits = max((count - 1).bit_length(), 1)
        super().__init__({
            "clients": In(axi_read(data_bits, address_bits, client_id_bits)).array(count),
            "axi": Out(axi_read(data_bits, address_bits, self.id_bits)),
        })

    def build(self, m, platform):
        self._bursts(m)
        for n, client in enumerate(self.clients):
            mine = Signal(name=f"mine_{n}")
            m.d.comb += [
                mine.eq(self.axi.rid == n),
                client.rvalid.eq(self.axi.rvalid & mine),
                client.rid.eq(Const(0, self.client_id_bits)),
            ]
            m.d.comb += [getattr(client, name).eq(getattr(self.axi, name)) for name in DATA_MEMBERS]
            with m.If(mine):
                m.d.comb += self.axi.rready.eq(client.rready)

    def _bursts(self, m: Module) -> None:
        turn = Signal(range(max(self.count, 2)))  # the client that was served last
        chosen = Signal.like(turn)
        free = Signal()
        m.d.comb += [chosen.eq(turn), free.eq(~self.axi.arvalid | self.axi.arready)]
        with m.Switch(turn):
            for served in range(self.count):
                with m.Case(served):
                    # The statement that comes last wins, so the client whose turn it is stands there.
                    for step in range(self.count - 1, 0, -1):
                        candidate = (served + step) % self.count
                        with m.If(self.clients[candidate].arvalid):
                            m.d.comb += chosen.eq(candidate)
        with m.If(free):
            m.d.sync += self.axi.arvalid.eq(0)
        for n, client in enumerate(self.clients):
            with m.If(free & (chosen == n)):
                m.d.comb += client.arready.eq(1)
                with m.If(client.arvalid):
                    m.d.sync += [self.axi.arvalid.eq(1), self.axi.arid.eq(n), turn.eq(n)]
                m.d.sync += [getattr(self.axi, name).eq(getattr(client, name)) for name in ADDRESS_MEMBERS]
