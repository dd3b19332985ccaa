"""The cocotb sides of the tests of hw/bus, and what they share."""
