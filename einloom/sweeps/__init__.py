"""Sweeps over configs, jobs and models: points, what is measured of each, and how results are kept and shown."""
