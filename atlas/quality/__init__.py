"""Data quality: six dimensions, checks as SodaCL, Soda's scan, scores and the gate.

Light: Soda itself lives in a process of its own (:mod:`atlas.quality.host`).
"""
