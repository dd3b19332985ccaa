"""Each part of hw/pe by itself."""
