"""Multipliers, accumulators and memories become what they were written for."""

from functools import cache

import pytest

pytest.importorskip("pyosys", reason="pyosys is not installed: pip install einloom[synth]")

from benchmarks.synth_parts import make_config, synthesise_parts
from einloom.fpga.recipes import ultrascale
from einloom.fpga.synthesise import LEVELS
from einloom.fpga.synthesise import Part as Made
from einloom.generators.registry import pe_spec
from einloom.hw.buffers.banked_buffer import BankedBuffer
from einloom.hw.buffers.fifo import StreamFifo
from einloom.hw.core.vector_memory import VectorMemory
from einloom.hw.part import Part
from einloom.hw.pe.fusemax import FuseMaxPE
from einloom.hw.vector.float_multiplier import FloatMultiplier
from einloom.spec.attention_format import AttentionFormat


def pe(kind: str, lanes: int) -> Part:
    return pe_spec(make_config({"kind": kind, "lanes": lanes})).part()


PARTS = {
    "one_mac": pe("int_mac", 1),
    "four_macs": pe("int_mac", 4),
    "bitmod": pe("bitmod", 4),
    "chains": pe("sparse_dsp", 16),
    "fusemax": FuseMaxPE(AttentionFormat(8, 128, 65536)),
    "float": FloatMultiplier(),
    "weights": StreamFifo(257, 512),
    "bursts": StreamFifo(9, 16),
    "activations": BankedBuffer(2, 1024, 16, 8, 4),
    "vectors": VectorMemory(8192, 2, parity=False),
}


@cache
def made(name: str) -> Made:
    """What became of a part of PARTS."""
    (found,) = synthesise_parts([PARTS[name]], ultrascale(), jobs=1)
    return found


def test_an_int8_multiply_accumulate_is_one_dsp_with_its_accumulator() -> None:
    """What stands outside is the register and the multiplexer through which sums leave the array."""
    total = made("one_mac").total
    bits = PARTS["one_mac"].spec.sum_bits  # type: ignore[attr-defined]
    assert (total.dsp, total.lut, total.ff) == (1, bits, bits)


@pytest.mark.slow  # as the one before, with more of them
def test_int8_products_are_dsps() -> None:
    total = made("four_macs").total
    assert (total.dsp, total.lut, total.carry8) == (4, 60, 4)


def test_the_bit_serial_pe_has_no_multiplier() -> None:
    assert made("bitmod").total.dsp == 0
    assert made("bitmod").total.lut < 350
    assert made("bitmod").levels <= LEVELS


def test_chains_are_dsps_with_their_adders() -> None:
    """Sixteen of them add up 32 products a cycle and groups; what stands outside is the scale and the way out."""
    total = made("chains").total
    assert total.dsp == 16
    assert total.lut < 300
    assert made("chains").levels <= LEVELS


@pytest.mark.slow  # in netlists of whole designs, too
def test_other_multipliers_are_dsps() -> None:
    assert made("fusemax").total.dsp == 1
    assert made("float").total.dsp == 2  # 24 by 24 bits
    assert max(made(name).levels for name in ("fusemax", "float")) <= LEVELS


def test_memories_become_what_their_sizes_ask_for() -> None:
    assert dict(made("weights").memories) == {"words": "blockram"}
    assert made("weights").total.bram36 == 4  # 512 words of 257 bits: 72 at a time, and the last in registers' LUTs
    assert made("activations").total.bram36 == 8
    assert dict(made("vectors").memories) == {"words": "uram"}
    assert made("vectors").total.uram > 0


@pytest.mark.slow  # test_synth.py has small memories of its own
def test_small_memories_take_no_block() -> None:
    assert dict(made("bursts").memories) == {"words": "lutram"}
    assert made("bursts").total.bram36 == 0
