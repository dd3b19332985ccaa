"""The version of this package; designs say by which one they were generated."""

VERSION = "0.1.0"
