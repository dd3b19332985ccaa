"""Checks of a kernel folder that need none of the vendor's tools."""
