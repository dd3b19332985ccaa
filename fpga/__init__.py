"""From a generated design to the FPGA: what it costs, and what a board needs."""
