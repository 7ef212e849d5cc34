"""Ids of runs."""

from __future__ import annotations

import time
import uuid

from atlas.model.ids import uuid7


def test_a_run_s_id_is_of_version_7_and_tells_its_time() -> None:
    before = time.time_ns() // 1_000_000
    made = [uuid7() for _ in range(1000)]
    after = time.time_ns() // 1_000_000
    assert {(each.version, each.variant) for each in made} == {(7, uuid.RFC_4122)}
    assert len(set(made)) == 1000
    times = [each.int >> 80 for each in made]
    assert times == sorted(times)
    assert before <= times[0] <= times[-1] <= after
