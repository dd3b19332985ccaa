"""Findings of a check: what was checked, the verdict, the problems."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """A named check of a kernel folder.

    Attributes
    ----------
    problems : sentences that say what is wrong; empty when the check passed.
    skipped : reason why the check could not be done here, if it could not.
    """

    check: str
    problems: tuple[str, ...] = ()
    skipped: str | None = None

    @property
    def failed(self) -> bool:
        return bool(self.problems)

    @property
    def verdict(self) -> str:
        """The finding in a word."""
        return "failed" if self.problems else "skipped" if self.skipped else "passed"
