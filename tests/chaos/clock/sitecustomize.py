"""Gives Celery's workers a clock that a test sets while they run (libfaketime).

Python imports this module at its start where its directory is on PYTHONPATH. A worker becomes
itself once more, with the library loaded; ``CHAOS_CLOCK`` names the file that holds its offset.
No other process of the stack is touched: the others' time is the true one.
"""

import os
import select
import sys
import time

_clock = os.environ.get("CHAOS_CLOCK")
if _clock and "LD_PRELOAD" not in os.environ and "worker" in sys.orig_argv:
    os.execve(  # noqa: S606 - no shell is the point
        sys.executable,
        sys.orig_argv,
        {
            **os.environ,
            "LD_PRELOAD": os.environ["CHAOS_FAKETIME"],
            "FAKETIME_TIMESTAMP_FILE": _clock,
            "FAKETIME_CACHE_DURATION": "1",
            # What waits for a length of time still does: a clock that is set moves the time of day.
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        },
    )

if _clock and "LD_PRELOAD" in os.environ:

    def _sleep(seconds: float) -> None:
        select.select((), (), (), seconds)

    # Python sleeps until a moment of the monotonic clock, which libfaketime 0.9.10 gets wrong.
    time.sleep = _sleep
