"""Analytic costs of attention on the machines that FuseMax (MICRO 2024) compares: FuseMax, FLAT and no fusion.

The inputs are the machine (`hardware`), the shape (`workloads`), the cycles of one operation, and the choices that a
mapping has. A published result is never an input. Time is that of one layer: the whole batch, all heads.
"""
