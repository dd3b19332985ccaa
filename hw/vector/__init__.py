"""The vector unit: float32 arithmetic on lanes, and the addresses that feed it."""
