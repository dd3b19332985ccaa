"""What the mapper says of look-up tables."""

from pathlib import Path

from einloom.mapping.cost.lookup import best_tile, precompute_of, tile
from einloom.mapping.report import mapping_report
from einloom.spec.lookup import table_bits
from tests.cores import core_manifest
from tests.small_models import compiled, small_llama

ENGINE = {"kind": "lut", "rows": 2, "columns": 16, "lanes": 8, "formats": ["bipolar2"], "group": "channel"}


def test_a_table_of_four_int8_has_eight_sums_of_ten_bits_but_for_their_parity():
    assert table_bits(4) == 8 * 9 + 1
    assert table_bits(1) == 8


def test_the_model_of_reuse_chooses_the_published_tile():
    """LUT Tensor Core's best of 512 products at K = 4 is M2 N64."""
    best = best_tile(128, (4,))
    assert (best.rows, best.columns) == (2, 64)
    assert best.bits == 2 * 73 + 64 * 4
    assert best.bits < min(tile(n, 128 // n, (4,)).bits for n in (1, 4, 8, 16, 32, 64, 128))


def test_precompute_is_fused_with_what_writes_activations(tmp_path: Path) -> None:
    model = small_llama(tmp_path)
    fused, row = (core_manifest(engine=ENGINE | {"precompute": where}) for where in ("fused", "row"))
    program = compiled(model, fused)
    assert program.instructions == compiled(model, row).instructions
    found = precompute_of(program)
    layers = len(model.graph.layers)
    assert found.instructions >= 4 * layers + 1  # queries to values, output, gate and up, down; and the head
    assert 0 < found.share < 1
    assert f"fused with the {found.instructions:,} vector instructions" in mapping_report(program, fused)
    assert "gemm        lmma.m2n16k8.int8.bipolar2.int24.float32" in mapping_report(program, fused)
    assert "in each row of the array" in mapping_report(program, row)


def test_other_engines_have_no_tables_to_report(tmp_path: Path) -> None:
    manifest = core_manifest()
    assert "Look-up" not in mapping_report(compiled(small_llama(tmp_path), manifest), manifest)
