"""Multipliers of a chain in groups that share a set of neighbouring inputs, with which N:M sparsity becomes speed.

An activation word of `inputs` neighbours lies before a chain for as many steps as its weights take. It is cut into sets
of `candidates` neighbours. The multipliers of a set pick among its inputs, each for its own column:

* a full step has a weight for every multiplier; in step s the multiplier of rank r takes input s * sharing + r of its
  set, for all columns that share the chain;
* a step of N of M weights has one for each multiplier of a column, `together` to a set. They belong to one block of M
  neighbours after the other; an index, or a pattern, says which input of the block each one meets.

So a word lasts candidates / sharing full steps, and candidates / M * N / together steps of N of M.
"""

from dataclasses import dataclass

from einloom.spec.formats import Format
from einloom.spec.sparsity import BLOCK, KEPT


@dataclass(frozen=True)
class LaneSets:
    """The sets of a chain.

    Parameters
    ----------
    lanes : multipliers of a chain.
    columns : output channels that share a chain.
    candidates : neighbouring inputs of a set, a power of two: the largest M of a design.
    together : multipliers of a column that share a set.
    """

    lanes: int
    columns: int
    candidates: int
    together: int

    @classmethod
    def of(cls, formats: tuple[Format, ...], lanes: int, columns: int) -> "LaneSets | None":
        """The sets for designs with `formats`; None where all of them have a code for every weight.

        The two weights of a 2:4 word are multiplied at once. With M = 16 two of a block are, too, which halves the
        words.
        """
        largest = max(f.neighbours for f in formats)
        if largest == 1:
            return None
        together = KEPT if largest == 16 or any(f.sparse for f in formats) else 1
        return cls(lanes, columns, largest, together)

    @property
    def sharing(self) -> int:
        """Multipliers of a set."""
        return self.columns * self.together

    @property
    def sets(self) -> int:
        return self.lanes // self.sharing

    @property
    def inputs(self) -> int:
        """Inputs of an activation word."""
        return self.sets * self.candidates

    @property
    def own(self) -> int:
        """Multipliers of a column in steps of N of M."""
        return self.lanes // self.columns

    def set_of(self, lane: int) -> int:
        return lane // self.sharing

    def rank(self, lane: int) -> int:
        """Number of a multiplier within its set."""
        return lane % self.sharing

    def column_of(self, lane: int) -> int:
        """The column that a multiplier works for in steps of N of M, 0 for the lower one."""
        return self.rank(lane) // self.together

    def number(self, lane: int) -> int:
        """Number of a multiplier among those of its column."""
        return self.set_of(lane) * self.together + self.rank(lane) % self.together

    def counts(self, format: Format) -> tuple[int, ...]:
        """The N of blocks that are not empty, of a format that chooses it per block; the last is M, with full steps."""
        found = [self.together]
        while found[-1] < format.of:
            found.append(2 * found[-1])
        return tuple(found)

    def turns(self, formats: tuple[Format, ...]) -> int:
        """Full steps of an activation word, or blocks of N of M in a set, whichever are more."""
        blocks = [self.candidates // f.neighbours for f in formats if f.neighbours > 1]
        has_full = any(not f.sparse for f in formats)
        return max([*blocks, self.candidates // self.sharing if has_full else 1])

    def words(self, format: Format) -> int:
        """Words of a column in a step of `format`: of one code, or of two kept ones and a pattern."""
        if format.neighbours == 1:
            return self.lanes
        return self.own // (KEPT if format.sparse else 1)

    def steps(self, format: Format, kept: int | None = None) -> int:
        """Steps of an activation word, of blocks with `kept` weights of each M where the format chooses it."""
        if format.sparse:
            return self.candidates // BLOCK
        if format.of and kept != format.of:
            assert kept is not None
            return self.candidates // format.of * (kept // self.together)
        return self.candidates // self.sharing
