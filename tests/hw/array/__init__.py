"""Each part of hw/array by itself."""
