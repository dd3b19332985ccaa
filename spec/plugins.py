"""Things that other packages bring: found by the names of entry points."""

from functools import cache
from importlib.metadata import entry_points

from einloom.spec.errors import ToolError


@cache
def plugins(group: str) -> tuple[object, ...]:
    """The objects that installed packages offer in an entry-point group; ToolError when one can't be loaded."""
    found = []
    for point in sorted(entry_points(group=group), key=lambda point: point.name):
        try:
            found.append(point.load())
        except Exception as error:
            package = point.dist.name if point.dist is not None else "an installed package"
            raise ToolError(
                f"{package} offers {point.value} to einloom ({group}), but it can't be loaded: {error}: update or "
                f"uninstall {package}"
            ) from error
    return tuple(found)
