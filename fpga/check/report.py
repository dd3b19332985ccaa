"""Findings of a check: what was checked, the verdict, the problems."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """A named check of a kernel folder.

    Attributes
    ----------
    problems : what is wrong, empty when it passed.
    skipped : why it could not be done here, if so.
    """

    check: str
    problems: tuple[str, ...] = ()
    skipped: str | None = None

    @property
    def failed(self) -> bool:
        return bool(self.problems)

    @property
    def verdict(self) -> str:
        """In a word."""
        return "failed" if self.problems else "skipped" if self.skipped else "passed"
