"""Each part of hw/arith by itself."""
