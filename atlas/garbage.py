"""Python's garbage collector, kept out of the start and the end of a process.

What is imported stays for as long as the process: to look through it for garbage, again and again
while it grows and once more at the end, finds nothing, and takes a fifth of a short process's time.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def not_looked_for() -> Iterator[None]:
    """Until the end of the block nothing is collected; what there is then never is.

    For imports, and what is loaded once and for all. A reference count that falls to zero frees
    as always; only what refers to itself in a circle stays.
    """
    looking = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if looking:
            gc.enable()
