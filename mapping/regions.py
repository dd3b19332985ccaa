"""Places of values while a program runs: regions of the core's memories, and operands that walk through them."""

from dataclasses import dataclass
from enum import Enum

from einloom.spec.errors import InputError
from einloom.spec.program import MemoryUse


class Memory(Enum):
    """The memories that instructions read and write."""

    VECTOR = "vector memory"
    ACTIVATIONS = "activation buffer"
    QUERIES = "query buffer"
    STAGING = "key/value staging buffer"
    SYSTEM = "system memory"
    CACHE = "cache behind the weight channels"
    TOKENS = "tokens of the chunk"


@dataclass(frozen=True)
class Region:
    """`words` for each of `tokens` tokens from `base` on; shared by all tokens when `tokens` is 1.

    Instructions depend on each other through regions: two regions never overlap.
    """

    name: str
    memory: Memory
    base: int
    words: int
    tokens: int = 1

    @property
    def stride(self) -> int:
        """Words from one token to the next."""
        return self.words if self.tokens > 1 else 0

    def at(self, offset: int = 0, *, outer: int = 0, inner: int = 1) -> "Operand":
        """The operand that starts at word `offset` and walks by these strides."""
        return Operand(self, offset, outer, inner)

    @property
    def each(self) -> "Operand":
        """The one word of each token, the same for all its elements."""
        return Operand(self, 0, 0, 0)


@dataclass(frozen=True)
class Operand:
    """A walk through a region: at base + offset + token * stride + o * outer + i * inner."""

    region: Region
    offset: int = 0
    outer: int = 0
    inner: int = 1

    def fields(self, letter: str) -> dict[str, int]:
        """The instruction's fields of the operand `letter`."""
        fields = {
            f"{letter}_base": self.region.base + self.offset,
            f"{letter}_token": self.region.stride,
            f"{letter}_outer": self.outer,
        }
        return fields if letter == "d" else fields | {f"{letter}_inner": self.inner}


class Allocator:
    """Hands out regions of a memory of `words`, in order, for the whole program."""

    def __init__(self, memory: Memory, words: int, key: str) -> None:
        self._memory = memory
        self._words = words
        self._key = key
        self.used = 0

    @property
    def use(self) -> MemoryUse:
        """Words of the memory in use."""
        return MemoryUse(name=self._memory.value, key=self._key, used=self.used, words=self._words)

    def region(self, name: str, words: int, tokens: int = 1) -> Region:
        """A new region; InputError with the config's key when the memory is full."""
        region = Region(name, self._memory, self.used, words, tokens)
        self.used += words * tokens
        if self.used > self._words:
            raise InputError(
                f"the {self._memory.value} is too small for this model: {name} ends at word {self.used:,} of "
                f"{self._words:,}; give {self._key} at least that many"
            )
        return region
