"""A hardware part that is emitted once and placed many times."""

from functools import cache
from inspect import Signature, signature
from typing import TYPE_CHECKING, Any

from amaranth import Module, ResetInserter
from amaranth.lib import wiring


class Part(wiring.Component):
    """A component with an identity: two parts of one class with equal parameters are the same module.

    The arguments of a subclass's constructor are its parameters. They are attributes of those names, bound before the
    constructor runs; `parameters` has them all. The constructor checks them and calls `super().__init__` with the
    ports; `build` adds the logic between them to a module. A parent puts a part into its module with `place`, drives
    the part's ports and reads them. It need not know whether the part became a submodule (Amaranth's simulator, where
    `platform` is None) or an instance of a shared module (generators/emit.py).
    """

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...  # parameters and ports

    def __new__(cls, *arguments, **named):
        part = super().__new__(cls, src_loc_at=1)
        part._MustUse__used = True  # a part whose constructor refuses its parameters is not a forgotten one
        bound = _constructor(cls).bind(part, *arguments, **named)
        bound.apply_defaults()
        _, *parameters = bound.arguments.items()
        part.parameters = dict(parameters)
        for name, value in parameters:
            setattr(part, name, value)
        return part

    def __init__(self, ports: dict):
        super().__init__(ports)
        self._MustUse__used = False

    @property
    def identity(self) -> tuple[object, ...]:
        """The class and the parameters, parts among them by their own identity: equal where modules are the same."""
        values = self.parameters.values()
        return (type(self), *(value.identity if isinstance(value, Part) else value for value in values))

    def elaborate(self, platform) -> Module:
        m = Module()
        self.build(m, platform)
        return m

    def place(self, m: Module, name: str, platform, *, reset=None) -> "Part":
        """Put this part into `m` as `name`, and return it; `reset` resets it alone, beside the domain's reset."""
        if platform is None:
            m.submodules[name] = self if reset is None else ResetInserter(reset)(self)
        else:
            m.submodules[name] = platform.instance(self, reset)
            self._MustUse__used = True  # its module stands in for it, so Amaranth must not call it forgotten
        return self


@cache
def _constructor(cls: type) -> Signature:
    return signature(cls.__init__)
