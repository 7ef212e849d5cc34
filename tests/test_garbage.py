"""The collector of garbage rests while much is imported, and only then."""

from __future__ import annotations

import subprocess
import sys

# In a process of its own: what is kept from the collector is kept for good.
_BLOCKS = """
import gc
from atlas.garbage import not_looked_for

before = gc.get_freeze_count()
try:
    with not_looked_for():
        assert not gc.isenabled()
        raise KeyError
except KeyError:
    pass
assert gc.isenabled()
assert gc.get_freeze_count() > before

gc.disable()
with not_looked_for():
    with not_looked_for():
        assert not gc.isenabled()
    assert not gc.isenabled()
assert not gc.isenabled(), "who wants none gets none"
"""


def test_it_rests_in_the_block_and_is_as_it_was_behind_it() -> None:
    done = subprocess.run([sys.executable, "-c", _BLOCKS], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
