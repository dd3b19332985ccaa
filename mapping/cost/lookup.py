"""Costs and savings of look-up tables: bits on their way to an array of some shape, and precompute as an operator."""

from dataclasses import dataclass

from einloom.spec.isa import Space
from einloom.spec.lookup import table_bits
from einloom.spec.manifest import GemmManifest
from einloom.spec.program import Program


@dataclass(frozen=True)
class Tile:
    """An array of look-up PEs, by its size.

    Attributes
    ----------
    rows, columns : M and N, tokens and output channels computed at once.
    bits : bits that reach the PEs for one step of one plane. A row's tables serve all columns, a column's digits serve
        all rows.
    """

    rows: int
    columns: int
    bits: int


def tile(rows: int, columns: int, tables: tuple[int, ...]) -> Tile:
    """An array with tables of so many lanes each.

    Source: the model of reuse of LUT Tensor Core (ISCA 2025), section III: M * tables * entries * bits of an entry, and
    N * K * 1 bit of weights.
    """
    return Tile(rows, columns, rows * sum(table_bits(size) for size in tables) + columns * sum(tables))


def best_tile(products: int, tables: tuple[int, ...]) -> Tile:
    """The array with rows * columns = `products` that takes the fewest bits.

    It has about as many columns for each row as its tables have bits for each lane: the paper's elongated tile.
    """
    sizes = [n for n in range(1, products + 1) if products % n == 0]
    return min((tile(rows, products // rows, tables) for rows in sizes), key=lambda t: (t.bits, t.rows))


@dataclass(frozen=True)
class Precompute:
    """Table precompute as an operator of a program.

    Attributes
    ----------
    instructions : vector instructions that it is fused with: those that write activations.
    words : words that they write for one token. An operator of its own would read each again, and write its tables.
    share : `words` over all words that the vector unit takes in for one token.
    """

    instructions: int
    words: int
    share: float


def precompute_of(program: Program) -> Precompute:
    """Table precompute in `program`."""
    vector = [i for i in program.instructions if i.opcode.name == "vector"]
    words = [i["outer"] * i["inner"] for i in vector]
    written = [n for i, n in zip(vector, words, strict=True) if i["space"] == Space.ACTIVATIONS]
    return Precompute(len(written), sum(written), sum(written) / max(1, sum(words)))


def lookup_lines(program: Program, gemm: GemmManifest) -> list[str]:
    """Lines of the mapping report for designs that multiply by table look-up; none for other designs."""
    layout = gemm.weights.lookup
    if layout is None:
        return []
    found = precompute_of(program)
    shape = f"lmma.m{gemm.rows}n{gemm.columns}k{gemm.weights.lanes}.{gemm.activations}"
    mnemonics = (f"{shape}.{step.format}.int{gemm.sums.value_bits}.float32" for step in gemm.weights.steps)
    own = tile(gemm.rows, gemm.columns, layout.tables)
    best = best_tile(gemm.rows * gemm.columns, layout.tables)
    where = (
        f"fused with the {found.instructions:,} vector instructions that write activations: no instruction of its own"
        if layout.precompute == "fused"
        else "in each row of the array, again for every tile of outputs"
    )
    return [
        "",
        f"Look-up tables of {max(layout.tables)} inputs, {len(layout.tables)} for a step of {sum(layout.tables)}",
        *(f"  gemm        {mnemonic}" for mnemonic in mnemonics),
        f"  precompute  {where}",
        f"              apart it would read {found.words:,} words of a token, {found.share:.1%} of all vector words",
        f"  tile        {own.rows} x {own.columns}, {own.bits:,} bits of tables and digits for a step of a plane",
        f"              fewest with as many PEs: {best.rows} x {best.columns}, {best.bits:,} bits",
    ]
