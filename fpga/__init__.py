"""A generated design on an FPGA: its cost, and the files that a board needs."""
