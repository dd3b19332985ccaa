"""Each part of hw/core by itself."""
