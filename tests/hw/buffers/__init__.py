"""Each part of hw/buffers by itself."""
