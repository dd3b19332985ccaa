"""A hardware part that is emitted once and placed many times."""

from amaranth import Module, ResetInserter
from amaranth.lib import wiring


class Part(wiring.Component):
    """A component with an identity: two parts of one class with equal `parameters` are the same module.

    Subclasses pass their signature and every parameter that `elaborate` depends on. A parent puts a part into its
    module with `place`, drives the part's ports and reads them; it need not know whether the part became a submodule
    (Amaranth's simulator, where `platform` is None) or an instance of a shared module (generators/emit.py).
    """

    def __new__(cls, *_arguments, **_parameters):
        part = super().__new__(cls, src_loc_at=1)
        part._MustUse__used = True  # a part whose constructor refuses its parameters is not a forgotten one
        return part

    def __init__(self, signature: dict, **parameters):
        self.parameters = parameters
        super().__init__(signature)
        self._MustUse__used = False

    def place(self, m: Module, name: str, platform, *, reset=None) -> "Part":
        """Put this part into `m` as `name`; returns it, so that `pe = PE(...).place(m, "pe", platform)` reads well.

        `reset` resets it alone, beside the domain's reset.
        """
        if platform is None:
            m.submodules[name] = self if reset is None else ResetInserter(reset)(self)
        else:
            m.submodules[name] = platform.instance(self, reset)
            self._MustUse__used = True  # its module stands in for it, so Amaranth must not call it forgotten
        return self
