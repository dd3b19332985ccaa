"""Emitted Verilog as other tools and people want it: plain names, names of its own, and a header on each module."""

import inspect
import re
from collections.abc import Collection

ESCAPED = re.compile(r"\\(\S+) ")
KEYWORDS = frozenset(
    """accept_on alias always always_comb always_ff always_latch and assert assign assume automatic before begin
    bind bins binsof bit break buf bufif0 bufif1 byte case casex casez cell chandle checker class clocking cmos
    config const constraint context continue cover covergroup coverpoint cross deassign default defparam design
    disable dist do edge else end endcase endchecker endclass endclocking endconfig endfunction endgenerate
    endgroup endinterface endmodule endpackage endprimitive endprogram endproperty endsequence endspecify
    endtable endtask enum event eventually expect export extends extern final first_match for force foreach
    forever fork forkjoin function generate genvar global highz0 highz1 if iff ifnone ignore_bins illegal_bins
    implements implies import incdir include initial inout input inside instance int integer interconnect
    interface intersect join join_any join_none large let liblist library local localparam logic longint
    macromodule matches medium modport module nand negedge nettype new nexttime nmos nor noshowcancelled not
    notif0 notif1 null or output package packed parameter pmos posedge primitive priority program property
    protected pull0 pull1 pulldown pullup pulsestyle_ondetect pulsestyle_onevent pure rand randc randcase
    randsequence rcmos real realtime ref reg reject_on release repeat restrict return rnmos rpmos rtran rtranif0
    rtranif1 s_always s_eventually s_nexttime s_until s_until_with scalared sequence shortint shortreal
    showcancelled signed small soft solve specify specparam static string strong strong0 strong1 struct super
    supply0 supply1 sync_accept_on sync_reject_on table tagged task this throughout time timeprecision timeunit
    tran tranif0 tranif1 tri tri0 tri1 triand trior trireg type typedef union unique unique0 unsigned until
    until_with untyped use uwire var vectored virtual void wait wait_order wand weak weak0 weak1 while wildcard
    wire with within wor xnor xor""".split()
)
"""Keywords of SystemVerilog (IEEE 1800-2017, annex B), as which some tools read every file."""


def plain_names(module: str) -> str:
    """The text of a module with each escaped name as a plain one.

    Names that begin with `$`, which Yosys gives to what has none, are taken for system functions by Icarus Verilog. A
    name that is taken already gets a number. A keyword stays escaped, because it may be the name of a port.
    """
    taken = set(re.findall(r"(?<![\\\w$.'])[A-Za-z_]\w*", ESCAPED.sub(" ", module))) | KEYWORDS
    names: dict[str, str] = {}

    def plain(match: re.Match[str]) -> str:
        name = match[1]
        if name in KEYWORDS:
            return match[0]
        if name not in names:
            base = re.sub(r"\W", "_", name.removeprefix("$"), flags=re.ASCII)
            if not re.match("[A-Za-z_]", base):
                base = f"n{base}"
            found, count = base, 1
            while found in taken:
                count += 1
                found = f"{base}_{count}"
            taken.add(found)
            names[name] = found
        return f"{names[name]} "

    return ESCAPED.sub(plain, module)


def with_prefix(module: str, modules: Collection[str], prefix: str) -> str:
    """The text of a module in which it, and each of `modules` that it places, has the prefix in front of its name."""

    def renamed(match: re.Match[str]) -> str:
        name = match[2]
        return f"{match[1]}{prefix}{name}" if name in modules else match[0]

    return re.sub(r"^(module +| +)(\w+)(?= ?[\w.\[\]]*\s*\()", renamed, module, flags=re.MULTILINE)


def header(part: object) -> str:
    """A comment with what a part is: its docstring, with mathematics, ports, latency and source."""
    text = inspect.getdoc(type(part)) or type(part).__name__
    return "".join(f"// {line}".rstrip() + "\n" for line in text.splitlines())


def without_comments(verilog: str) -> str:
    """The text without lines that are comments alone, but for those to Verilator: no result depends on them."""
    return re.sub(r"^//(?! *verilator).*\n", "", verilog, flags=re.MULTILINE)
