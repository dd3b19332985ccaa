"""Resources that a simulation takes as unlimited, to see what they cost."""

from dataclasses import dataclass, fields, replace

from einloom.spec.memory_timing import MemoryTiming


@dataclass(frozen=True)
class Unlimited:
    """What takes no time.

    Attributes
    ----------
    bandwidth : beats of memory; a burst comes as a whole.
    latency : memory answers in the next cycle.
    array : terms of products.
    vector : the vector unit.
    attention : tiles and divisions of the attention engine.
    """

    bandwidth: bool = False
    latency: bool = False
    array: bool = False
    vector: bool = False
    attention: bool = False

    @classmethod
    def each(cls) -> "dict[str, Unlimited]":
        """One resource at a time, by its name."""
        return {field.name: replace(cls(), **{field.name: True}) for field in fields(cls)}

    def timing(self, timing: MemoryTiming) -> MemoryTiming:
        """Memory's behaviour under these assumptions; its beats are `MemoryPort`'s."""
        if self.bandwidth:
            timing = replace(timing, bandwidth=0, refresh_every=0, refresh_for=0)
        if self.latency:
            timing = replace(timing, latency=1, row_miss=0, row_again=0)
        return timing


NOTHING = Unlimited()
