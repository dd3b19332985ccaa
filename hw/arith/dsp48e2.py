"""The DSP48E2 of UltraScale+, in the configurations that chains of multipliers need."""

from amaranth import Mux, Signal, signed
from amaranth.lib.wiring import In, Out

from einloom.hw.arith.delay import registered
from einloom.hw.part import Part
from einloom.hw.primitive import Primitive

A_BITS, B_BITS, P_BITS = 27, 18, 48
"""Widths of the pre-adder and of the multiplier's one operand, of its other operand, and of the result."""
OPERAND_CYCLES = 3
"""Cycles from the pins A, B and D to the multiplier's register, which the adder reads."""

# UG579, table 2-9 and figure 2-13: inputs of the adder beside the product, which is both X and Y (0101).
_PRODUCT = 0b0101
_FROM_CASCADE = 0b001 << 4  # Z
_W_RESULT, _W_CONSTANT = 0b01, 0b10  # the result so far, or the constant RND


def _ports(cascaded: bool, accumulates: bool) -> dict:
    return {
        "a": In(signed(A_BITS)),
        "b": In(signed(B_BITS)),
        "d": In(signed(A_BITS)),
        **({"pcin": In(P_BITS)} if cascaded else {}),
        **({"restart": In(1), "enable": In(1)} if accumulates else {}),
        "p": Out(P_BITS),
        "pcout": Out(P_BITS),
    }


class Dsp48e2Model(Part):
    """p = (d - a) * b + pcin + constant, or + p so far, modulo 2^48. Source: UG579, figures 2-1 and 2-8.

    Throughput: a product a cycle. Latency: OPERAND_CYCLES + 1 cycles from `a`, `b` and `d`, 1 from `pcin` and `enable`
    and 2 from `restart`.

    Parameters, members: those of Dsp48e2.
    """

    def __init__(self, cascaded: bool, accumulates: bool, constant: int):
        super().__init__(_ports(cascaded, accumulates))

    def build(self, m, platform):
        def two_registers(name, value):
            return registered(m, f"{name}_2", registered(m, f"{name}_1", value))

        a, d = registered(m, "a_2", self.a), registered(m, "d_1", self.d)
        ad = registered(m, "ad_1", d - a, signed(A_BITS))
        product = registered(m, "m_1", ad * two_registers("b", self.b))
        result = Signal(P_BITS, reset_less=True)
        added = product + self.pcin if self.cascaded else product
        if self.accumulates:
            restart = registered(m, "restart_1", self.restart)
            with m.If(self.enable):
                m.d.sync += result.eq(added + Mux(restart, self.constant, result))
        else:
            m.d.sync += result.eq(added + self.constant)
        m.d.comb += [self.p.eq(result), self.pcout.eq(result)]


class Dsp48e2(Primitive):
    """A DSP48E2: p = (d - a) * b, plus what the DSP below gives, plus a constant or the sum so far.

    All registers are in use, and none has a reset. Throughput: a product a cycle. Latency: that of Dsp48e2Model.

    Parameters
    ----------
    cascaded : `pcin` is added.
    accumulates : the result so far is added; where `restart` says so, `constant` instead. Otherwise the constant
        always is.
    constant : modulo 2^48.

    Members
    -------
    a, d : In, signed, 27 bits
    b : In, signed, 18 bits
    pcin : In, `pcout` of the DSP below
    restart : In(1), two cycles before the sum is there
    enable : In(1), take the sum in this cycle
    p, pcout : Out, the result for the fabric, and for the DSP above
    """

    cell = "DSP48E2"

    def __init__(self, cascaded: bool, accumulates: bool, constant: int):
        super().__init__(_ports(cascaded, accumulates), Dsp48e2Model(cascaded, accumulates, constant))

    @property
    def settings(self):
        registers = {"A": 1, "ACASC": 1, "B": 2, "BCASC": 2, "D": 1, "AD": 1, "M": 1, "P": 1, "OPMODE": 1}
        unused = dict.fromkeys(("ALUMODE", "C", "CARRYIN", "CARRYINSEL", "INMODE"), 0)
        return {
            **{f"{name}REG": str(count) for name, count in (registers | unused).items()},
            "AMULTSEL": '"AD"',
            # Where `restart` is both bits of W's choice, this makes of 0 the result so far and of 1 the constant.
            "IS_OPMODE_INVERTED": f"9'd{_W_RESULT << 7 if self.accumulates else 0}",
            "RND": f"48'h{self.constant % (1 << P_BITS):012x}",
        }

    @property
    def pins(self):
        fixed = _PRODUCT | (_FROM_CASCADE if self.cascaded else 0)
        own = "{2{restart}}" if self.accumulates else f"2'd{_W_CONSTANT}"
        clocked = dict.fromkeys(("CEA2", "CEB1", "CEB2", "CED", "CEAD", "CEM", "CECTRL"), "1'b1")
        idle = ("CEA1", "CEC", "CEALUMODE", "CECARRYIN", "CEINMODE", "CARRYCASCIN", "CARRYIN", "MULTSIGNIN")
        resets = ("A", "ALLCARRYIN", "ALUMODE", "B", "C", "CTRL", "D", "INMODE", "M", "P")
        return {
            "CLK": "clk",
            "A": "{{3{a[26]}}, a}",
            "B": "b",
            "D": "d",
            "C": "48'd0",
            "INMODE": "5'b01100",  # D - A2, and B2
            "ALUMODE": "4'd0",  # Z + W + X + Y
            "OPMODE": f"{{{own}, 7'd{fixed}}}",
            "CARRYINSEL": "3'd0",
            "PCIN": "pcin" if self.cascaded else "48'd0",
            "ACIN": "30'd0",
            "BCIN": "18'd0",
            **clocked,
            "CEP": "enable" if self.accumulates else "1'b1",
            **dict.fromkeys(idle, "1'b0"),
            **{f"RST{name}": "1'b0" for name in resets},
            "P": "p",
            "PCOUT": "pcout",
        }
