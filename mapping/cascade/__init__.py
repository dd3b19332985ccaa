"""Cascades of extended Einsums: read, evaluate, and count the passes that every mapping must make."""
