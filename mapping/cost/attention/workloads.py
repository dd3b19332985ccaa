"""The 24 attention layers of FuseMax's evaluation: four encoders at six lengths, batch 64, no mask."""

from dataclasses import dataclass

BATCH = 64
LENGTHS = {"1K": 1 << 10, "4K": 1 << 12, "16K": 1 << 14, "64K": 1 << 16, "256K": 1 << 18, "1M": 1 << 20}


@dataclass(frozen=True)
class Attention:
    """The shape of one attention layer, with the rank names of the paper.

    Attributes
    ----------
    heads
        Heads of all sequences of the batch: H times B.
    queries, keys
        Ranks P and M.
    e, f
        Ranks E and F: words of a query or key, and words of a value or output.
    """

    heads: int
    queries: int
    keys: int
    e: int
    f: int

    @property
    def macs(self) -> int:
        """Multiplications of the two matrix products QK and AV."""
        return self.scores * (self.e + self.f)

    @property
    def scores(self) -> int:
        """Elements of QK, over all heads."""
        return self.heads * self.queries * self.keys


@dataclass(frozen=True)
class Encoder:
    """Heads of a layer and the words of each."""

    heads: int
    head_size: int

    def attention(self, length: int, batch: int = BATCH) -> Attention:
        """Self-attention over `length` tokens."""
        return Attention(batch * self.heads, length, length, self.head_size, self.head_size)


ENCODERS = {
    "BERT": Encoder(12, 64),  # BERT-Base
    "TrXL": Encoder(16, 64),  # Transformer-XL, wt103
    "T5": Encoder(8, 64),  # T5-small
    "XLM": Encoder(16, 128),
}
