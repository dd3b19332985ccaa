"""Each part by itself, in folders as those of hw/."""
