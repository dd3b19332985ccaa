"""Each part of hw/bus by itself."""
