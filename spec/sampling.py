"""How the next token of a text is chosen from the logits of the last one."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from einloom.spec.errors import InputError


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen.

    Attributes
    ----------
    temperature : 0 takes the most probable token, above 0 samples from softmax(logits / temperature).
    top_k : only so many tokens, the most probable ones; 0 for all.
    top_p : only the most probable tokens whose probabilities add up to so much; 1 for all.
    seed : of the sampling.
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        """InputError with every value that can't be."""
        rules = (
            (0 <= self.temperature < np.inf, f"temperature must be 0 or a positive number, not {self.temperature}"),
            (self.top_k >= 0, f"top-k must be 0 or more, not {self.top_k}"),
            (0 < self.top_p <= 1, f"top-p must be above 0 and at most 1, not {self.top_p}"),
            (self.seed >= 0, f"seed must be 0 or more, not {self.seed}"),
        )
        problems = [f"--{rule}" for holds, rule in rules if not holds]
        if problems:
            raise InputError("; ".join(problems))

    def choose(self, logits: npt.NDArray[np.float32], rng: np.random.Generator) -> int:
        """The next token, given the logits [vocab] of the last one."""
        if self.temperature == 0:
            return int(np.argmax(logits))
        # Relative to the maximum, so that a tiny temperature ends in the greedy choice: exp(-inf) is 0.
        with np.errstate(over="ignore"):
            weights = np.exp((logits.astype(np.float64) - logits.max()) / self.temperature)
        if self.top_k or self.top_p < 1:
            weights = self._cut(weights / weights.sum())
        ends = np.cumsum(weights)
        ends /= ends[-1]
        return int(ends.searchsorted(rng.random(), side="right"))

    def _cut(self, probabilities: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """The probabilities, 0 for tokens that may not be chosen; the most probable one always may."""
        order = np.argsort(-probabilities, kind="stable")
        before = np.cumsum(probabilities[order]) - probabilities[order]
        kept = order[before < self.top_p][: self.top_k or None]
        cut = np.zeros_like(probabilities)
        cut[kept] = probabilities[kept]
        return cut


GREEDY = Sampling()
