"""The softmax of FLAT and of the unfused baseline: four Einsums over all scores, on the 1D array only."""

from einloom.mapping.cost.attention.hardware import Hardware
from einloom.mapping.cost.attention.workloads import Attention

# One element per lane and cycle each: maximum, exp of the difference (its unit is pipelined), sum, division.
OPS_PER_SCORE = 4


def softmax_cycles(attention: Attention, hardware: Hardware) -> float:
    """Cycles of the 1D array.

    Against E + F cycles of the 2D array per block of scores, 256 lanes under 256 x 256 PEs take 4 * 256. This alone
    bounds the 2D utilisation by (E + F) / 1024, which is E / 512: 0.125 for E = 64.
    """
    return OPS_PER_SCORE * attention.scores / hardware.lanes
