"""Small unsigned numbers packed without gaps, least significant bit first."""

import numpy as np
import numpy.typing as npt

from einloom.mapping.compress.row_blocks import row_blocks
from einloom.spec.errors import InputError
from einloom.spec.formats import Format
from einloom.spec.sparsity import codes_of_bits, word_bits
from einloom.spec.trits import from_bytes, to_bytes

UInt8 = npt.NDArray[np.uint8]


def packed_length(count: int, bits: int) -> int:
    """Bytes that `count` numbers of `bits` bits take."""
    return -(-count * bits // 8)


def pack_codes(codes: UInt8, format: Format) -> UInt8:
    """Pack each row of `codes` [N, K]: ternary ones five to a byte, sparse ones as in the stream, others bit by bit."""
    if format.sparse:
        return np.packbits(word_bits(codes, format.bits).reshape(len(codes), -1), axis=1, bitorder="little")
    return to_bytes(codes) if format.in_trits else pack(codes, format.bits)


def row_bytes(count: int, format: Format) -> int:
    """Bytes of a row of `count` packed codes. Those of `nof` formats take full bits: their streams depend on zeros."""
    return (format.full if format.of else format).stream_bits(count) // 8


def unpack_codes(packed: UInt8, format: Format, count: int) -> UInt8:
    """The first `count` codes [N, count] of each packed row; ValueError when anything else is there."""
    if format.sparse:
        words = count // format.word_inputs
        bits = np.unpackbits(packed, axis=1, bitorder="little")
        if bits[:, words * format.word_bits :].any():
            raise ValueError("bits after the last word of a row must be 0")
        try:
            return codes_of_bits(bits[:, : words * format.word_bits].reshape(len(packed), words, -1), format.bits)
        except InputError as error:
            raise ValueError(str(error)) from error
    return from_bytes(packed, count) if format.in_trits else unpack(packed, format.bits, count)


def pack(values: UInt8, bits: int) -> UInt8:
    """Pack each row of `values` [N, K], all below 2 ** bits, into packed_length(K, bits) bytes; spare bits are 0."""
    packed = np.empty((len(values), packed_length(values.shape[1], bits)), np.uint8)
    for rows in row_blocks(values.shape):
        planes = values[rows, :, None] >> np.arange(bits, dtype=np.uint8) & 1
        packed[rows] = np.packbits(planes.reshape(len(planes), -1), axis=1, bitorder="little")
    return packed


def unpack(packed: UInt8, bits: int, count: int) -> UInt8:
    """The first `count` numbers [N, count] of each packed row; ValueError when a spare bit is set."""
    values = np.empty((len(packed), count), np.uint8)
    for rows in row_blocks(values.shape):
        planes = np.unpackbits(packed[rows], axis=1, bitorder="little")
        if planes[:, count * bits :].any():
            raise ValueError("bits after the last number of a row must be 0")
        planes = planes[:, : count * bits].reshape(-1, count, bits)
        values[rows] = np.bitwise_or.reduce(planes << np.arange(bits, dtype=np.uint8), axis=-1)
    return values
