"""Ids of runs: UUIDs of version 7 (RFC 9562), as lineage wants them.

Python has them from 3.14 on.
"""

from __future__ import annotations

import secrets
import time
import uuid
from datetime import datetime


def earliest(at: datetime) -> uuid.UUID:
    """What is smaller than all that are made at ``at``, or after 1970, or later."""
    return uuid.UUID(int=max(int(at.timestamp() * 1000), 0) << 80)


def uuid7() -> uuid.UUID:
    """A new one: the time in milliseconds first, so that later ones are greater, then chance."""
    milliseconds = time.time_ns() // 1_000_000
    value = (milliseconds & 0xFFFFFFFFFFFF) << 80 | secrets.randbits(80)
    value = value & ~(0xF << 76) | 0x7 << 76
    return uuid.UUID(int=value & ~(0x3 << 62) | 0x2 << 62)
