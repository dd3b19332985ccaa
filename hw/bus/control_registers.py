"""The registers through which the host controls a kernel."""

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib.wiring import In, Out

from einloom.hw.bus.axi import axi_lite
from einloom.hw.part import Part
from einloom.hw.wires import choose, members
from einloom.spec import registers as reg


class ControlRegisters(Part):
    """An AXI4-Lite slave: the control registers of Vitis's `ap_ctrl_hs`, and a register table behind them.

    CTRL (0x00): ap_start (bit 0; the host sets it, `ap_ready` clears it unless auto_restart is set), ap_done (bit 1;
    set by `ap_done`, cleared by reading), ap_idle (bit 2), ap_ready (bit 3; set by `ap_ready`, cleared by reading),
    auto_restart (bit 7), interrupt (bit 9). GIER (0x04) bit 0 enables the interrupt, IP_IER (0x08) its causes: done
    (bit 0) and ready (bit 1). IP_ISR (0x0c) holds causes that came while enabled; writing a 1 toggles one.

    One write and one read at a time, each answered OKAY. Throughput: a write in three cycles, a read in two. Latency: a
    response comes 1 cycle behind a write's data, a word 1 cycle behind its address. Strobes are honoured.
    Offsets without a register read as 0 and ignore writes; address bits below a word are ignored. `rw` registers are 0
    after reset. The two words of a wide `ro` register are read one by one, so it must stand still to be read whole.

    Source: Vitis user guides UG1393, "Control requirements for XRT-managed kernels", and UG1399, "S_AXILITE control
    register map".

    Parameters
    ----------
    table : the registers from 0x10 on.
    address_bits : of the bus; registers beyond are refused.

    Members
    -------
    axi : In, AXI4-Lite
    ap_start : Out(1), high from the host's start until `ap_ready`
    ap_done, ap_ready : In(1), pulses; a core that takes its arguments when it starts and is ready for more when it is
        done gives both together
    ap_idle : In(1)
    irq : Out(1), the interrupt
    <name> : Out(bits) for each `rw` register, In(bits) for each `ro` one
    """

    def __init__(self, table: reg.RegisterTable, address_bits: int = 12):
        reg.check_table(table)
        for register in table:
            end = register.offset + register.words * reg.WORD_BYTES
            if end > 1 << address_bits:
                raise ValueError(f"register {register.name}: it ends at {end:#x}, beyond {address_bits} address bits")
        ports = {r.name: Out(r.bits) if r.access == "rw" else In(r.bits) for r in table}
        control = members(Out, "ap_start", "irq") | members(In, "ap_done", "ap_ready", "ap_idle")
        fixed = {"axi": In(axi_lite(address_bits)), **control}
        if clash := sorted(ports.keys() & fixed.keys()):
            raise ValueError(f"register {clash[0]}: the name is one of the slave's own ports")
        super().__init__(fixed | ports)

    def build(self, m, platform):
        written = Signal()  # a word arrives in this cycle
        read = Signal()
        words = Signal(self.address_bits - 2)  # the number of the word to write
        mask, answer = Signal(reg.WORD_BITS), Signal(reg.WORD_BITS)
        self._writes(m, words, written)
        self._reads(m, read, answer)
        m.d.comb += mask.eq(Cat(bit.replicate(8) for bit in self.axi.wstrb))

        def write(offset: int, value):
            """(the bus writes the word at `offset`, `value` as it is then)."""
            hit = written & (words == offset // reg.WORD_BYTES)
            bits = mask[: len(value)]
            return hit, (value & ~bits) | (self.axi.wdata & bits)

        values = self._control(m, write, mask, read)
        for register in self.table:
            for word in range(register.words):
                values[register.offset + word * reg.WORD_BYTES] = self._word(m, register, word, written, words)
        words_read = {offset // reg.WORD_BYTES: value for offset, value in values.items()}
        choose(m, answer, self.axi.araddr[2:], words_read)

    def _word(self, m: Module, register: reg.Register, word: int, written: Signal, words: Signal):
        """One word of a register, writable if the register is."""
        value = getattr(self, register.name)[word * reg.WORD_BITS : (word + 1) * reg.WORD_BITS]
        if register.access == "rw":
            offset = register.offset + word * reg.WORD_BYTES
            for first in range(0, len(value), 8):  # an enable for each byte, and no multiplexer before the bits
                with m.If(written & (words == offset // reg.WORD_BYTES) & self.axi.wstrb[first // 8]):
                    byte = value[first : first + 8]
                    m.d.sync += byte.eq(self.axi.wdata[first : first + len(byte)])
        return value

    def _writes(self, m: Module, words: Signal, written: Signal) -> None:
        """Take an address, then its data, then give the response."""
        m.d.comb += written.eq(self.axi.wvalid & self.axi.wready)
        with m.FSM():
            with m.State("address"):
                m.d.comb += self.axi.awready.eq(1)
                with m.If(self.axi.awvalid):
                    m.d.sync += words.eq(self.axi.awaddr[2:])
                    m.next = "data"
            with m.State("data"):
                m.d.comb += self.axi.wready.eq(1)
                with m.If(self.axi.wvalid):
                    m.next = "response"
            with m.State("response"):
                m.d.comb += self.axi.bvalid.eq(1)
                with m.If(self.axi.bready):
                    m.next = "address"

    def _reads(self, m: Module, read: Signal, answer: Signal) -> None:
        """Take an address, then give the word there."""
        m.d.comb += [self.axi.arready.eq(~self.axi.rvalid), read.eq(self.axi.arvalid & self.axi.arready)]
        with m.If(read):
            m.d.sync += [self.axi.rdata.eq(answer), self.axi.rvalid.eq(1)]
        with m.Elif(self.axi.rready):
            m.d.sync += self.axi.rvalid.eq(0)

    def _control(self, m: Module, write, mask: Signal, read: Signal) -> dict:
        """Add the registers of ap_ctrl_hs; returns their values by offset."""
        done, ready, auto_restart, enabled = Signal(), Signal(), Signal(), Signal()
        causes_enabled, causes = Signal(2), Signal(2)
        events = Cat(self.ap_done, self.ap_ready)
        ctrl_read = Signal()
        m.d.comb += ctrl_read.eq(read & (self.axi.araddr[2:] == reg.CTRL // reg.WORD_BYTES))
        m.d.sync += [done.eq(self.ap_done | (done & ~ctrl_read)), ready.eq(self.ap_ready | (ready & ~ctrl_read))]

        zeros = Const(0, reg.WORD_BITS)
        ctrl_hit, ctrl = write(reg.CTRL, zeros)  # bits without a strobe count as 0: no start by accident
        with m.If(ctrl_hit & ctrl[reg.AP_START]):
            m.d.sync += self.ap_start.eq(1)
        with m.Elif(self.ap_ready):
            m.d.sync += self.ap_start.eq(auto_restart)
        with m.If(ctrl_hit & mask[reg.AUTO_RESTART]):
            m.d.sync += auto_restart.eq(ctrl[reg.AUTO_RESTART])
        for offset, value in ((reg.GIER, enabled), (reg.IP_IER, causes_enabled)):
            hit, new = write(offset, value)
            with m.If(hit):
                m.d.sync += value.eq(new)
        toggle_hit, toggle = write(reg.IP_ISR, zeros)
        m.d.sync += [
            causes.eq((causes ^ Mux(toggle_hit, toggle[:2], 0)) | (events & causes_enabled)),
            self.irq.eq(enabled & causes.any()),
        ]

        flags = {
            reg.AP_START: self.ap_start,
            reg.AP_DONE: done,
            reg.AP_IDLE: self.ap_idle,
            reg.AP_READY: ready,
            reg.AUTO_RESTART: auto_restart,
            reg.INTERRUPT: self.irq,
        }
        return {
            reg.CTRL: Cat(flags.get(n, Const(0, 1)) for n in range(max(flags) + 1)),
            reg.GIER: enabled,
            reg.IP_IER: causes_enabled,
            reg.IP_ISR: causes,
        }
