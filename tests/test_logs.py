"""Lines of the logs: what they are about, for people and for programs."""

from __future__ import annotations

import contextvars
import io
import json
import logging
import sys
import threading
from collections.abc import Iterator

import pytest

from atlas import logs


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """What two handlers write of ``test.lines``: text, then JSON."""
    logger = logging.getLogger("test.lines")
    logger.propagate, logger.level = False, logging.INFO
    written: list[str] = []
    for kind in ("text", "json"):

        class Handler(logging.StreamHandler[io.StringIO]):
            def emit(self, record: logging.LogRecord) -> None:
                written.append(self.format(record))

        handler = Handler(io.StringIO())
        handler.setFormatter(logs.formatter(kind, "%(levelname)s %(message)s", worker="scan@here"))
        logger.addHandler(handler)
    yield written
    logger.handlers.clear()


def test_a_line_says_what_it_is_about_and_the_next_one_does_not(lines: list[str]) -> None:
    log = logging.getLogger("test.lines")
    logs.note(run="nobody's")  # outside of work
    with logs.about(run="r1", stage="pii"):
        logs.note(stream="users")
        log.info("begun with %d", 3)
    log.info("over")
    assert lines[0] == "INFO begun with 3 [run=r1 stage=pii stream=users]"
    assert lines[2] == "INFO over"
    told, over = json.loads(lines[1]), json.loads(lines[3])
    assert told.pop("at").endswith("Z")
    assert told.pop("process") > 0
    assert told == {
        "level": "info",
        "logger": "test.lines",
        "message": "begun with 3",
        "worker": "scan@here",
        "run": "r1",
        "stage": "pii",
        "stream": "users",
    }
    assert "run" not in over


def test_a_thread_of_the_work_is_about_the_same_and_another_is_not(lines: list[str]) -> None:
    log = logging.getLogger("test.lines")
    with logs.about(run="r1"):
        own = threading.Thread(
            target=contextvars.copy_context().run, args=(log.info, "lease renewed")
        )
        other = threading.Thread(target=log.info, args=("tick",))
        for each in (own, other):
            each.start()
            each.join()
    assert [line for line in lines if not line.startswith("{")] == [
        "INFO lease renewed [run=r1]",
        "INFO tick",
    ]


def test_whatever_is_in_a_line_it_is_one_object_on_one_line() -> None:
    # Formatted by hand: what pytest catches of a logger must be text that its processes can tell
    # each other, and half a surrogate is none.
    odd = "odd: \x00\u2028\ud800 \n"
    try:
        int("two\nlines")
    except ValueError:
        why = sys.exc_info()
    record = logging.LogRecord("test.lines", logging.ERROR, __file__, 1, odd, None, why)
    line = logs.formatter("json", "%(message)s").format(record)
    told = json.loads(line)
    assert len(line.splitlines()) == 1
    assert told["message"] == odd
    assert told["exception"].endswith("base 10: 'two\\nlines'")
