"""The folder from which Vitis builds a kernel."""
