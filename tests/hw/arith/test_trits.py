"""Five ternary codes from each byte that stands for some."""

from einloom.hw.arith.trits import CODE_BITS, TritDecoder
from einloom.spec.trits import BYTES, CODES
from tests.hw.around import check_pipeline


def test_every_byte_of_five_codes() -> None:
    expected = [sum(int(code) << CODE_BITS * n for n, code in enumerate(CODES[byte])) for byte in BYTES]
    check_pipeline(TritDecoder(), "codes", 0, expected, trits=BYTES.tolist())
