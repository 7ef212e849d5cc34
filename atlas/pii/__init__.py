"""Personal data: what a column is, which spans of a cell are personal, and what becomes of them.

Only what is light is exported here; the scanner (Presidio, spaCy) and the masker are modules that
workers import.
"""

from __future__ import annotations

from atlas.pii.policy import ENTITIES, Policy, parse, policy

__all__ = ["ENTITIES", "Policy", "parse", "policy"]
