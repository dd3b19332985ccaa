"""The engine `addsub`: products with int2 weights, by additions and subtractions alone."""

from einloom.spec.engine_kinds import EngineKind

ENGINE = EngineKind(
    kind="addsub",
    computes="products",
    section="einloom_addsub.section:AddSubConfig",
    generator="einloom_addsub.pe:pe_spec",
    golden="einloom.sim.golden.gemm:golden_sums",  # exact integer sums, as of every plain engine
    strategy="einloom_addsub.strategy:addsub_configs",
)
