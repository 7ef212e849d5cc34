"""Cancel and retry as users see them, on a running stack, at every stage."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.e2e.conftest import Atlas
from tests.e2e.data import layers
from tests.e2e.held import (
    STAGES,
    Source,
    frozen,
    gone,
    held,
    refused,
    staging,
    staging_of,
    waiting,
)
from tests.e2e.test_http import Api

FACTS = ("explore", "chart", "navigate", "state")


@pytest.fixture(scope="module")
def operator(atlas: Atlas) -> Api:
    """A client that may sync, cancel and retry."""
    return Api(atlas, "operator")


@pytest.fixture(scope="module")
def calm(atlas: Atlas, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """What the first sync leaves, and what the second does when nothing happens to it."""
    there = Source(tmp_path_factory.mktemp("serene"))
    there.first()
    atlas.apply(there.connection("serene"))
    atlas.sync("serene")
    before = layers(atlas, "serene")
    there.then()
    atlas.sync("serene")
    return before, layers(atlas, "serene")


def _prepared(atlas: Atlas, directory: Path, name: str, **more: Any) -> Source:
    """A connection that was synced once and whose source has moved on since."""
    there = Source(directory)
    there.first()
    atlas.apply(there.connection(name))
    atlas.sync(name)
    there.then()
    atlas.apply(there.connection(name, **more))
    return there


def _cancel(operator: Api, run_id: str) -> Any:
    status, document = operator("POST", f"/api/v1/runs/{run_id}/cancel")
    assert status == 200, document
    assert document["status"] == "cancelled"
    return document


def _facts(found: Any) -> Any:
    return {part: found[part] for part in FACTS}


def _stages(document: Any) -> dict[str, Any]:
    parts = [*document["stages"], *(s for p in document["streams"] for s in p["stages"])]
    return {part["stage"]: part for part in parts}


# --- cancel ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", STAGES)
def test_cancelled_in(
    atlas: Atlas, operator: Api, tmp_path: Path, calm: tuple[Any, Any], stage: str
) -> None:
    name = f"cancelled_{stage}"
    there = Source(tmp_path)
    there = _prepared(atlas, tmp_path, name, **(there.stalls() if stage == "explore" else {}))
    at = STAGES.index(stage)
    with held(atlas, name, stage, lambda: atlas.start(name)) as run_id:
        group = there.group() if stage == "explore" else []
        at_work = waiting(atlas)
        assert at_work or stage == "explore"
        document = _cancel(operator, run_id)
        # What was at work ends, though what it waited for is still held.
        atlas.until(lambda: not at_work & waiting(atlas), 10, lambda: "it still waits for its lock")
        atlas.until(lambda: gone(group), 10, lambda: f"of {group} something lives")
        # As of the last commit, no less and no more.
        before, after = calm
        kept = _facts(layers(atlas, name))
        if stage == "explore":
            assert len(kept["explore"]) == len(before["explore"]) + 10
            assert kept["state"][0][-1] == "2026-01-01T01:30:00Z"
        else:
            assert (kept["explore"], kept["state"]) == (after["explore"], after["state"])
        assert kept["chart"] == (after if at > STAGES.index("chart") else before)["chart"]
        assert kept["navigate"] == (after if stage == "lineage" else before)["navigate"]
        # The connection is free at once.
        status, accepted = operator("POST", f"/api/v1/connections/{name}/syncs")
        assert status == 202, accepted
    stages = _stages(document)
    assert [stages[s]["status"] for s in STAGES if s in stages] == [
        "succeeded" if number < at else "cancelled" for number in range(len(STAGES))
    ]
    assert [part["status"] for part in document["streams"]] == ["cancelled"]
    assert atlas.wait(accepted["run_id"])["status"] == "succeeded"
    assert _facts(layers(atlas, name)) == _facts(after)
    assert atlas.document(run_id)["status"] == "cancelled"
    atlas.until(lambda: not staging(atlas), 15, lambda: staging(atlas))
    _aborted(atlas, run_id, name, stage)


def _aborted(atlas: Atlas, run_id: str, name: str, stage: str) -> None:
    """Lineage tells that the run and the stage that was at work were aborted, and nothing else."""
    told = [
        event
        for (event,) in atlas.rows(
            "SELECT event FROM pipeline.lineage_event WHERE run_id = :r", r=run_id
        )
        if event["eventType"] in ("ABORT", "FAIL")
    ]
    job = f"{name}.explore" if stage == "explore" else f"{name}.orders.{stage}"
    assert sorted((event["job"]["name"], event["eventType"]) for event in told) == [
        (name, "ABORT"),
        (job, "ABORT"),
    ]


def test_a_waiting_run_is_cancelled_and_never_starts(
    atlas: Atlas, operator: Api, tmp_path: Path
) -> None:
    there = Source(tmp_path)
    there.first()
    atlas.apply(there.connection("waiting"))
    with frozen(atlas, "worker-extract"):
        run_id = atlas.start("waiting")
        assert atlas.document(run_id)["status"] == "queued"
        _cancel(operator, run_id)
        run_next = atlas.start("waiting")
    assert atlas.wait(run_next)["status"] == "succeeded"
    assert there.reads == 1
    document = atlas.document(run_id)
    assert (document["status"], document["stages"][0]["attempt"]) == ("cancelled", 0)


def test_cancelled_between_two_attempts(atlas: Atlas, tmp_path: Path) -> None:
    there = Source(tmp_path)
    there.first()
    error = {"message": "try later", "failure_type": "transient_error"}
    atlas.apply(there.connection("between", fail_after=1, trace_error=error))
    run_id = atlas.start("between")
    atlas.until(lambda: (d := atlas.document(run_id)["stages"]) and d[0]["attempt"] >= 2)
    shown = atlas.json("runs", "cancel", run_id)
    assert (shown["run_id"], shown["status"]) == (run_id, "cancelled")
    reads = there.reads
    atlas.apply(there.connection("between"))
    atlas.sync("between")
    assert there.reads == reads + 1


def test_what_has_ended_is_left_alone(atlas: Atlas, operator: Api, tmp_path: Path) -> None:
    there = Source(tmp_path)
    there.first()
    atlas.apply(there.connection("ended", **there.stalls()))
    with held(atlas, "ended", "explore", lambda: atlas.start("ended")) as run_id:
        shown = atlas.run("runs", "cancel", run_id).stdout
        assert shown == f"run {run_id} of ended: cancelled\n"
    again = atlas.run("runs", "cancel", run_id, check=False)
    assert (again.returncode, again.stdout) == (1, "")
    assert "cancelled" in again.stderr
    assert again.stderr.count("\n") == 1
    status, problem = operator("POST", f"/api/v1/runs/{run_id}/cancel")
    assert (status, problem["type"]) == (409, "/api/docs#run-ended")
    document = atlas.sync("ended")
    status, problem = operator("POST", f"/api/v1/runs/{document['run_id']}/cancel")
    assert (status, problem["run_status"]) == (409, "succeeded")
    assert atlas.document(document["run_id"]) == document
    assert atlas.run("runs", "cancel", "nonsense", check=False).returncode == 2


# --- retry ----------------------------------------------------------------------------------------


def _failed_in(atlas: Atlas, directory: Path, name: str, stage: str) -> tuple[Source, str]:
    """A run whose ``stage`` failed for a reason that is not there any more."""
    options: dict[str, Any] = {}
    if stage == "explore":
        options = {
            "fail_after": 12,
            "trace_error": {"message": "no more", "failure_type": "config_error"},
            "fail_once_marker": str(directory / "failed"),
        }
    there = _prepared(atlas, directory, name, **options)
    table = {
        "pii": "pipeline.finding",
        "quality": "pipeline.check_result",
        "chart": f"chart.{name}_orders",
        "navigate": f"navigate.{name}_orders",
    }
    with contextlib.ExitStack() as reason:
        if stage in table:
            reason.enter_context(refused(atlas, table[stage]))
            run_id = atlas.start(name)
        elif stage == "lineage":
            with held(atlas, name, "navigate", lambda: atlas.start(name)) as run_id:
                # Nobody drops a table that a view stands on.
                reason.enter_context(_viewed(atlas, staging_of(atlas, run_id)))
        else:
            run_id = atlas.start(name)
        document = atlas.wait(run_id)
        stages = _stages(document)
        assert document["status"] == "failed"
        assert stages[stage]["status"] == "failed", document
    return there, run_id


@contextlib.contextmanager
def _viewed(atlas: Atlas, table: str) -> Iterator[None]:
    with atlas.engine.begin() as conn:
        conn.execute(sa.text(f"CREATE VIEW public.on_it AS SELECT * FROM pipeline.{table}"))
    try:
        yield
    finally:
        with atlas.engine.begin() as conn:
            conn.execute(sa.text("DROP VIEW public.on_it"))


@pytest.mark.parametrize("stage", STAGES)
def test_retried_after_a_failure_in(
    atlas: Atlas, operator: Api, tmp_path: Path, calm: tuple[Any, Any], stage: str
) -> None:
    name = f"retried_{stage}"
    there, run_id = _failed_in(atlas, tmp_path, name, stage)
    before, reads = _stages(atlas.document(run_id)), there.reads
    status, answer = operator("POST", f"/api/v1/runs/{run_id}/retry")
    assert (status, answer) == (202, {"run_id": run_id, "status": "queued"})
    document = atlas.wait(run_id)
    assert document["status"] == "succeeded", document
    assert document["error"] is None
    assert there.reads == reads + (stage == "explore")
    at = STAGES.index(stage)
    for number, (each, found) in enumerate(_stages(document).items()):
        assert found["status"] == "succeeded"
        if number < at:
            # What had succeeded was not touched.
            assert found == before[each]
        else:
            assert found["attempt"] == before[each]["attempt"] + 1
    assert layers(atlas, name) == calm[1]
    # A later run finds nothing left to do.
    counts = atlas.sync(name)["streams"][0]
    assert (counts["rows"]["explore"], counts["rows"]["carried"]) == (0, 0)
    assert counts["versions"] == {"opened": 0, "closed": 0}


@pytest.mark.parametrize("stage", ["explore", "quality", "navigate"])
def test_retried_after_a_cancel_in(
    atlas: Atlas, operator: Api, tmp_path: Path, calm: tuple[Any, Any], stage: str
) -> None:
    name = f"resumed_{stage}"
    there = Source(tmp_path)
    there = _prepared(atlas, tmp_path, name, **(there.stalls() if stage == "explore" else {}))
    with held(atlas, name, stage, lambda: atlas.start(name)) as run_id:
        _cancel(operator, run_id)
    reads = there.reads
    # It is followed like a sync.
    document = atlas.json("runs", "retry", run_id, "--wait")
    assert (document["run_id"], document["status"]) == (run_id, "succeeded")
    assert there.reads == reads + (stage == "explore")
    assert layers(atlas, name) == calm[1]


def test_a_run_that_was_blocked_is_retried_with_other_checks(atlas: Atlas, tmp_path: Path) -> None:
    there = Source(tmp_path)
    there.first()
    checks = tmp_path / "checks.yml"
    checks.write_text("checks for orders:\n  - min(amount) > 100:\n      name: never\n")
    gate = {"quality": {"checks": str(checks), "on_failure": "block"}}
    atlas.apply(there.connection("barred", **gate))
    document = atlas.sync("barred", ok=False)
    assert document["status"] == "blocked"
    # As long as nothing changed it is blocked again.
    done = atlas.run("runs", "retry", document["run_id"], "--wait", check=False)
    assert (done.returncode, "blocked" in done.stdout) == (1, True)
    checks.write_text("checks for orders:\n  - min(amount) > 1:\n      name: ever\n")
    atlas.apply(there.connection("barred", **gate))
    retried = atlas.json("runs", "retry", document["run_id"], "--wait")
    assert retried["status"] == "succeeded"
    attempts = {name: part["attempt"] for name, part in _stages(retried).items()}
    assert list(attempts.items())[:3] == [("explore", 1), ("pii", 1), ("quality", 3)]
    assert there.reads == 1
    assert atlas.rows("SELECT count(*) FROM navigate.barred_orders") == [(30,)]


def test_what_is_not_retried(atlas: Atlas, operator: Api, tmp_path: Path) -> None:
    there = Source(tmp_path)
    there.first()
    atlas.apply(there.connection("refusals", **there.stalls()))
    with held(atlas, "refusals", "explore", lambda: atlas.start("refusals")) as run_id:
        active = atlas.run("runs", "retry", run_id, check=False)
        assert (active.returncode, run_id in active.stderr) == (1, True)
        status, problem = operator("POST", f"/api/v1/runs/{run_id}/retry")
        assert (status, problem["type"]) == (409, "/api/docs#active-run")
        assert problem["run_id"] == run_id
        _cancel(operator, run_id)
    newer = atlas.sync("refusals")["run_id"]
    for refused_id, says in [(run_id, newer), (newer, "succeeded")]:
        status, problem = operator("POST", f"/api/v1/runs/{refused_id}/retry")
        assert (status, problem["type"]) == (409, "/api/docs#conflict")
        assert says in problem["detail"]
        done = atlas.run("runs", "retry", refused_id, check=False)
        assert done.returncode == 1
        assert says in done.stderr
    assert atlas.document(run_id)["status"] == "cancelled"


# --- one active run -------------------------------------------------------------------------------


def test_whatever_races_a_connection_has_one_active_run(
    atlas: Atlas, operator: Api, tmp_path: Path
) -> None:
    there = Source(tmp_path)
    there.first()
    schedule = {"every": "1h"}
    atlas.apply(there.connection("race", hang_after=0, schedule=schedule))
    seen: set[str] = set()
    for _ in range(3):
        # Due while the requests come in.
        with atlas.engine.begin() as conn:
            conn.execute(
                sa.text("UPDATE pipeline.connection SET due_at = now() WHERE name = 'race'")
            )
        answers = _post_until_fired(atlas, operator)
        new = {str(r) for (r,) in atlas.rows("SELECT id FROM pipeline.run WHERE connection='race'")}
        new -= seen
        assert len(new) == 1
        for status, answer in answers:
            assert status in (202, 409), answer
            assert answer["run_id"] in new
        assert sum(status == 202 for status, _ in answers) <= 1
        (run_id,) = new
        _cancel(operator, run_id)
        seen |= new
    atlas.apply(there.connection("race"))
    atlas.sync("race")


def _post_until_fired(atlas: Atlas, operator: Api) -> list[Any]:
    """Answers to syncs asked for from many threads until the schedule's turn has been."""
    answers: list[Any] = []
    fired = threading.Event()

    def ask() -> None:
        while True:
            last = fired.is_set()
            answers.append(operator("POST", "/api/v1/connections/race/syncs", {}))
            if last:
                return

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    try:
        atlas.until(
            lambda: atlas.rows(
                "SELECT 1 FROM pipeline.connection WHERE name = 'race' AND due_at > now()"
            ),
            30,
        )
    finally:
        fired.set()
        for thread in threads:
            thread.join()
    return answers
