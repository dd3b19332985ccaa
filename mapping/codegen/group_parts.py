"""Groups of query heads that are larger than the attention engine is wide: parts of a group take turns."""

from typing import NamedTuple


class GroupPart(NamedTuple):
    """`size` query heads of each group, from its head `first` on."""

    first: int
    size: int


def group_parts(group: int, columns: int) -> list[GroupPart]:
    """The fewest parts of a group of query heads that fit an engine of `columns`; their sizes differ by one at most.

    Each part reads the group's keys and values again.
    """
    count = -(-group // columns)
    ends = [n * group // count for n in range(count + 1)]
    return [GroupPart(first, end - first) for first, end in zip(ends, ends[1:], strict=False)]
