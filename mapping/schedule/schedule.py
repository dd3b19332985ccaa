"""What is free in a program: sizes of the pieces in which products are made, and their order.

Every schedule's results are the same in every bit.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """The free choices of a program. The defaults do well on most cores; `search` finds what is best for one.

    Attributes
    ----------
    most_pieces : most pieces of a linear layer. The vector unit works on one while the GEMM unit multiplies the next.
    piece_words : fewest words of a token in a piece, where a layer has that many. Shorter vector instructions spend
        most of their time filling and draining the unit's pipeline.
    query_words : words of a token's queries that are worth a vector instruction. Attention of their heads begins when
        it is done.
    piece_maxima : the largest magnitude of a token's inner elements, by which they are quantized, is found piece by
        piece, as these are made. So the next product waits for the last piece's alone.
    queries_first : a layer's first queries are made before its keys and values, so that their long chain of scalars
        overlaps with the products of these.
    ahead : products that requests for weights run ahead of their own. More than a few, because the sequencer hands out
        instructions in order and waits when a unit's queue is full, so a request behind many others comes late. Fewer
        than the queue of requests holds (16), because a full queue would stop the sequencer before the products that
        empty it.
    """

    most_pieces: int = 4
    piece_words: int = 32
    query_words: int = 16
    piece_maxima: bool = False
    queries_first: bool = False
    ahead: int = 8


STANDARD = Schedule()
