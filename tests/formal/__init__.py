"""Formal proofs of the rules that streams and AXI masters keep."""
