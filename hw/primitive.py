"""A hard block of an FPGA behind a part: its instance for synthesis, and a model of it for simulators."""

from collections.abc import Mapping

from einloom.hw.part import Part
from einloom.hw.wires import feed


class Primitive(Part):
    """A part that is one primitive of the vendor's library.

    In Verilog it is an instance of the primitive where the macro SYNTHESIS is defined, as Vivado and Yosys do, and
    otherwise an instance of `model`, a part with the same ports. Amaranth's simulator has the model. Throughput and
    latency: the model's.

    Parameters
    ----------
    ports : as of a part.
    model : the part that behaves like the primitive as it is used here.

    Attributes
    ----------
    cell : the primitive's name.
    settings : its parameters, as Verilog.
    pins : what its pins are connected to, as Verilog expressions of this part's ports and `clk`.
    """

    cell: str
    settings: Mapping[str, str]
    pins: Mapping[str, str]

    def __init__(self, ports: dict, model: Part):
        model._MustUse__used = True  # in Verilog Amaranth never sees it
        self.model = model
        super().__init__(ports)

    def build(self, m, platform):
        self.model.place(m, "model", platform)
        inputs = [name for name, member in self.signature.members.items() if member.flow.name == "In"]
        feed(m, self, self.model, *inputs)
        feed(m, self.model, self, *(name for name in self.signature.members if name not in inputs))
