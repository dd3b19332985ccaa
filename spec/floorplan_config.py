"""The section `floorplan`: how a core's many like parts are shared out among the dies of a card."""

from typing import Annotated

from pydantic import Field

from einloom.spec.section import Section

DIES = 3
"""Of a card's FPGA; the first one is beside the HBM."""
Counts = Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=DIES, max_length=DIES)]


class FloorplanConfig(Section):
    """Numbers of parts on each of a card's three dies, that beside the HBM first. What is left out is shared out by
    rules of thumb (fpga/floorplan.py). `einloom synth` says which numbers even out what it has counted.

    `attention_lanes` and `grids` of multipliers have most DSPs, `gearboxes` LUTs, `weight_queues` UltraRAM, and
    `cache_masters`, which read keys and values, block RAM. Each adds up to what the core has of them.
    """

    attention_lanes: Counts | None = None
    grids: Counts | None = None
    gearboxes: Counts | None = None
    weight_queues: Counts | None = None
    cache_masters: Counts | None = None
