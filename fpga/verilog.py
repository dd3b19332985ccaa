"""The modules of a generated design, taken apart as text: what is synthesised, and what stands in for the rest."""

import re
from dataclasses import dataclass

from einloom.spec.errors import InputError


@dataclass(frozen=True)
class VerilogModule:
    """One module of the emitted Verilog.

    Attributes
    ----------
    children : names of the other modules that it places.
    stub : the module with its ports alone, as a black box.
    """

    name: str
    text: str
    children: tuple[str, ...]
    stub: str


def split_modules(verilog: str) -> dict[str, VerilogModule]:
    """The modules of `verilog` by name, children before parents; InputError when one places itself."""
    texts = {m[1]: m[0] for m in re.finditer(r"^module (\w+)\s*\(.*?^endmodule\n", verilog, re.MULTILINE | re.DOTALL)}
    modules: dict[str, VerilogModule] = {}

    def add(name: str, parents: tuple[str, ...]) -> None:
        if name in parents:
            raise InputError(f"module {name} places itself")
        if name not in modules:
            words = re.findall(r"^ +(\w+) [^;=\s]+ *\(", texts[name], re.MULTILINE)
            words += re.findall(r"^ +(\w+) #\(", texts[name], re.MULTILINE)
            children = tuple(sorted({word for word in words if word in texts and word != name}))
            for child in children:
                add(child, (*parents, name))
            modules[name] = VerilogModule(name, texts[name], children, _stub(texts[name]))

    for name in texts:
        add(name, ())
    return modules


def _stub(text: str) -> str:
    """Yosys declares ports in the body, a generate loop in the head."""
    head = text[: text.index(");") + 2]
    body = re.findall(r"^  (?:input|output) [^;,\n]*;\n", text, re.MULTILINE)
    return f"(* blackbox *)\n{head}\n{''.join(body)}endmodule\n"
