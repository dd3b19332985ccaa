"""Each part of hw/vector by itself."""
