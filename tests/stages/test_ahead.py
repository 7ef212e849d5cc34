"""Rows are searched for personal data while their source is still being read.

What a worker does meanwhile is done here at each checkpoint of explore, in the midst of it.
"""

from __future__ import annotations

import dataclasses
import json
import threading
from collections.abc import Callable, Iterable
from typing import Any

import pytest
import sqlalchemy as sa

from atlas.errors import LostClaim, TerminalError
from atlas.ledger import claims, outbox, parts, results
from atlas.ledger.parts import Part, PartStatus
from atlas.model.stage import Stage
from atlas.pii.study import Study
from atlas.stages import explore, pieces, pii
from atlas.stages.pieces import Ahead
from atlas.stages.work import PartWork, Work
from atlas.sync import cancel, dispatch, perform
from tests.ledger.conftest import at_once, wait_until_blocked
from tests.stages.conftest import Source, row

ROWS = 60
Meanwhile = Callable[[Callable[[], None]], None]


def person(number: int) -> dict[str, Any]:
    """A record; what is personal in ``remark`` comes late and is rare."""
    late = f"call +45 12 34 56 {number}" if number > 50 else f"all well, item {number}"
    values = {"email": f"p{number % 7}@example.org", "remark": late, "size": number % 3}
    return row(number, 1, **values, updated_at=f"2026-01-01T00:{number:02d}")


@pytest.fixture
def shop(shop: Source, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Source:
    """The connection, with a stream that is cut into pieces of four rows and more."""
    monkeypatch.setattr(pieces, "FIRST", 4)
    monkeypatch.setattr(dispatch, "_send", lambda conn, message: None)
    monkeypatch.setattr(dispatch, "waiting", lambda: ([], 1))
    url = database_url.replace("postgresql+psycopg2://", "postgresql://")
    shop.settings = dataclasses.replace(shop.settings, database_url=url, batch_rows=12)
    shop.rows["people"] = [person(number) for number in range(1, ROWS + 1)]
    shop.options["state_every"] = 5
    return shop


@pytest.fixture
def meanwhile(shop: Source, monkeypatch: pytest.MonkeyPatch) -> Meanwhile:
    """Has something done whenever explore has cut what it committed, once there are parts."""
    plan = Ahead.plan

    def arrange(do: Callable[[], None]) -> None:
        def planned(self: Ahead, run_stream_ids: Iterable[int]) -> None:
            plan(self, run_stream_ids)
            if statuses(shop):
                do()

        monkeypatch.setattr(Ahead, "plan", planned)

    return arrange


def work(shop: Source) -> int:
    """What a scan worker does that gets looks as long as there are parts; how many it did."""
    done = 0
    while perform.perform_part(shop.engine, shop.settings):
        done += 1
    return done


def take(shop: Source, lease: float = 60) -> Part:
    """A part, for somebody who takes his time with it."""
    part = parts.claim(shop.engine, holder="slow:1", lease=lease, max_attempts=3)
    assert part is not None
    return part


def end(shop: Source, part: Part) -> None:
    pii.run_part(PartWork(part, "slow:1", shop.engine, shop.settings, lambda _: None))


def stream_of(shop: Source, run_id: str) -> int:
    return int(shop.value("SELECT id FROM pipeline.run_stream WHERE run_id = :r", r=run_id))


def statuses(shop: Source) -> list[str]:
    return shop.column("SELECT status FROM pipeline.scan_part ORDER BY position")


def exploring(shop: Source, run_id: str) -> bool:
    """Whether somebody holds explore, and pii has yet to begin."""
    query = (
        "SELECT stage || ' ' || status FROM pipeline.stage_run WHERE run_id = :r"
        " AND (stage = 'pii' OR lease_until > clock_timestamp()) ORDER BY 1"
    )
    return shop.column(query, r=run_id) == ["explore running", "pii queued"]


def look(shop: Source, run_id: str) -> claims.Found:
    """What the stage's task does."""
    stream = stream_of(shop, run_id)
    return perform.perform(shop.engine, shop.settings, Stage.PII, run_stream_id=stream)


def judged(shop: Source, run_id: str) -> list[Any]:
    """Do pii to its end: of what its parts are and found, and the verdicts."""
    seen: list[Any] = []
    while look(shop, run_id) is claims.Found.HELD:
        with shop.engine.connect() as conn:
            found = parts.of_stream(conn, stream_of(shop, run_id))
        if all(part.evidence is not None for part in found):
            seen = [(part.segment.rows, part.evidence) for part in found]
        with shop.engine.begin() as conn:  # nobody waits for who has studied a part
            conn.execute(sa.text("UPDATE pipeline.scan_part SET reserved_until = NULL"))
        assert work(shop)
    with shop.engine.connect() as conn:
        return [seen, results.findings(conn, stream_of(shop, run_id))]


def masked(shop: Source, run_id: str) -> list[Any]:
    """What pii leaves to the next stages."""
    with shop.engine.connect() as conn:
        table = f"pipeline.staging_{stream_of(shop, run_id)}"
        other = "{_atlas_id,_atlas_emitted_at,_atlas_row_hash}"  # in every run, or database
        query = f"SELECT to_jsonb(s) - CAST('{other}' AS text[]) FROM {table} s ORDER BY s.id"
        return list(conn.execute(sa.text(query)).scalars())


def undisturbed(shop: Source, monkeypatch: pytest.MonkeyPatch) -> tuple[list[Any], list[Any]]:
    """What becomes of the rows with nothing studied ahead."""
    if not _UNDISTURBED:
        _UNDISTURBED.append(_undisturbed(shop, monkeypatch))
    return _UNDISTURBED[0]


_UNDISTURBED: list[tuple[list[Any], list[Any]]] = []


def _undisturbed(shop: Source, monkeypatch: pytest.MonkeyPatch) -> tuple[list[Any], list[Any]]:
    with monkeypatch.context() as patch:
        patch.setattr(Ahead, "plan", lambda *_: None)
        run_id = shop.begin(full_refresh=True)
        assert shop.attempt(run_id) is None
    assert statuses(shop) == []
    found = judged(shop, run_id), masked(shop, run_id)
    shop.end(run_id)
    with shop.engine.begin() as conn:  # the next run is to be a first one too
        conn.execute(sa.text("DELETE FROM pipeline.finding"))
        conn.execute(sa.text("DELETE FROM pipeline.connector_state"))
        conn.execute(
            sa.text("UPDATE pipeline.stage_run SET status = 'succeeded' WHERE stage = 'chart'")
        )
    return found


@pytest.mark.parametrize("state_every", [5, 17])
def test_what_is_studied_while_explore_reads_is_judged_alike(
    shop: Source, meanwhile: Meanwhile, monkeypatch: pytest.MonkeyPatch, state_every: int
) -> None:
    expected = undisturbed(shop, monkeypatch)
    ahead: list[int] = []

    def study() -> None:
        ahead.append(work(shop) if exploring(shop, run_id) else 0)

    meanwhile(study)
    shop.options["state_every"] = state_every
    run_id = shop.begin()
    assert shop.attempt(run_id) is None
    assert sum(ahead) >= 4
    assert statuses(shop).count("studied") == sum(ahead)
    assert (judged(shop, run_id), masked(shop, run_id)) == expected
    assert [rows for rows, _ in expected[0][0]] == [4] * 15
    assert {v.entity_type for v in expected[0][1]} >= {"EMAIL_ADDRESS", "PHONE_NUMBER"}


def test_a_stream_that_is_read_from_its_start_is_studied_meanwhile(
    shop: Source, meanwhile: Meanwhile, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = undisturbed(shop, monkeypatch)
    shop.settings = dataclasses.replace(shop.settings, buffer_bytes=1_000)
    meanwhile(lambda: work(shop) and None)
    run_id = shop.begin(full_refresh=True)
    assert shop.attempt(run_id) is None
    assert statuses(shop).count("studied") >= 4
    assert (judged(shop, run_id), masked(shop, run_id)) == expected


def test_a_stream_of_few_rows_has_no_parts(shop: Source) -> None:
    shop.rows["people"] = shop.rows["people"][:12]
    run_id = shop.begin()
    assert shop.attempt(run_id) is None
    assert statuses(shop) == []
    assert look(shop, run_id) is claims.Found.DONE


def test_the_others_wait_for_the_evidence_of_the_first(shop: Source, meanwhile: Meanwhile) -> None:
    held: list[Part] = []

    def one() -> None:
        if not held:
            held.append(take(shop))
        assert parts.claim(shop.engine, holder="b:1", lease=60, max_attempts=3) is None

    meanwhile(one)
    run_id = shop.begin()
    assert shop.attempt(run_id) is None
    assert held[0].position == 0
    end(shop, held[0])
    assert take(shop).position == 1
    assert look(shop, run_id) is claims.Found.HELD


def test_the_stage_waits_for_a_part_that_is_in_work_when_it_begins(
    shop: Source, meanwhile: Meanwhile, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = undisturbed(shop, monkeypatch)
    held: list[Part] = []

    def all_but_one() -> None:
        if work(shop) and not held:
            held.append(parts_taken_back(shop))

    meanwhile(all_but_one)
    run_id = shop.begin()
    assert shop.attempt(run_id) is None
    assert look(shop, run_id) is claims.Found.HELD  # parked
    work(shop)
    assert statuses(shop).count("to_study") == 1
    assert look(shop, run_id) is claims.Found.HELD
    end(shop, held[0])
    assert (judged(shop, run_id)[1], masked(shop, run_id)) == (expected[0][1], expected[1])


def parts_taken_back(shop: Source) -> Part:
    """A part that was studied is in work again, as if by somebody slow."""
    with shop.engine.begin() as conn:
        conn.execute(
            sa.text(
                "UPDATE pipeline.scan_part SET status = 'to_study', evidence = NULL,"
                " reserved_until = NULL WHERE position = 1"
            )
        )
    part = take(shop)
    assert part.position == 1
    return part


def test_the_stage_studies_the_first_part_itself_whoever_has_it(
    shop: Source, meanwhile: Meanwhile
) -> None:
    held: list[Part] = []
    meanwhile(lambda: None if held else held.append(take(shop)))
    run_id = shop.begin()
    assert shop.attempt(run_id) is None
    assert look(shop, run_id) is claims.Found.HELD
    assert statuses(shop)[0] == "studied"
    with pytest.raises(LostClaim):
        end(shop, held[0])
    # Nor does the lease of who has lost it keep others from masking it.
    judged(shop, run_id)


def test_what_the_source_sends_again_is_studied_again(
    shop: Source, meanwhile: Meanwhile, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = undisturbed(shop, monkeypatch)
    # Every buffer is committed, states cover every twenty rows, and 47 rows come before it fails.
    shop.settings = dataclasses.replace(shop.settings, buffer_bytes=500)
    marker = shop.directory / "failed"
    shop.options |= {
        "state_every": 20,
        "exclusive": True,
        "fail_after": 47,
        "fail_once_marker": str(marker),
    }
    last: list[Part] = []

    def study() -> None:
        work(shop)
        with shop.engine.connect() as conn:
            last[:] = parts.of_stream(conn, stream_of(shop, run_id))

    meanwhile(study)
    run_id = shop.begin()
    assert retried(shop, run_id) is not None
    assert last[-1].status is PartStatus.STUDIED
    covered = shop.value("SELECT max(last_id) FROM pipeline.segment WHERE covered")
    before = list(last)
    assert before[-1].segment.last_id > covered
    assert shop.attempt(run_id) is None
    # Parts of rows that stayed are kept with what was found in them; the others are new.
    stayed = [part.id for part in before if part.segment.last_id <= covered]
    assert stayed == shop.column(
        "SELECT id FROM pipeline.scan_part WHERE id = ANY(:ids) ORDER BY position",
        ids=[part.id for part in before],
    )
    assert len(stayed) < len(before)
    assert (judged(shop, run_id), masked(shop, run_id)) == expected


def retried(shop: Source, run_id: str) -> str | None:
    """An attempt at explore that is tried again; returns its error."""
    claim = claims.claim(shop.engine, Stage.EXPLORE, run_id=run_id, holder="t", lease=60)
    assert isinstance(claim, claims.Claim)
    error = None
    try:
        explore.run(Work(claim, shop.engine, shop.settings, lambda _: None))
    except Exception as failure:  # noqa: BLE001 - whatever it is, it is tried again
        error = str(failure)
        with claims.transaction(shop.engine, claim) as conn:
            claims.retry_later(conn, claim, delay=0, error=error, cause="transient")
    return error


def test_a_refresh_that_starts_over_is_studied_anew(
    shop: Source, meanwhile: Meanwhile, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = undisturbed(shop, monkeypatch)
    shop.settings = dataclasses.replace(shop.settings, buffer_bytes=1_000)
    shop.options |= {"fail_after": 40, "fail_once_marker": str(shop.directory / "failed")}
    held: list[Part] = []

    def study() -> None:
        if not held:
            perform.perform_part(shop.engine, shop.settings)
            held.append(take(shop))
        work(shop)

    meanwhile(study)
    run_id = shop.begin(full_refresh=True)
    assert retried(shop, run_id) is not None
    before = shop.column("SELECT id FROM pipeline.scan_part")
    assert shop.attempt(run_id) is None
    assert not set(before) & set(shop.column("SELECT id FROM pipeline.scan_part"))
    with pytest.raises((LostClaim, TerminalError)):
        end(shop, held[0])
    assert (judged(shop, run_id), masked(shop, run_id)) == expected


def test_a_source_that_has_few_rows_after_all(
    shop: Source, meanwhile: Meanwhile, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.settings = dataclasses.replace(shop.settings, buffer_bytes=500)
    shop.options |= {"fail_after": 40, "fail_once_marker": str(shop.directory / "failed")}
    meanwhile(lambda: work(shop) and None)
    run_id = shop.begin(full_refresh=True)
    assert retried(shop, run_id) is not None
    assert statuses(shop)
    monkeypatch.setattr(Ahead, "plan", lambda *_: None)
    document = json.loads((shop.directory / "rows.json").read_text())
    del document["streams"]["people"]["records"][3:]
    (shop.directory / "rows.json").write_text(json.dumps(document))
    assert shop.attempt(run_id) is None
    assert look(shop, run_id) is claims.Found.DONE
    assert len(masked(shop, run_id)) == 3
    assert statuses(shop) == []


def test_an_explore_that_fails_takes_its_parts_along(shop: Source, meanwhile: Meanwhile) -> None:
    held: list[Part] = []

    def study() -> None:
        if not held:
            perform.perform_part(shop.engine, shop.settings)
            held.append(take(shop))

    meanwhile(study)
    shop.options |= {"fail_after": 47}
    run_id = shop.begin()
    assert shop.attempt(run_id) is not None
    assert statuses(shop) == []
    assert not parts.renew(shop.engine, held[0], 60)
    with pytest.raises(LostClaim):
        end(shop, held[0])
    assert look(shop, run_id) is claims.Found.STOPPED


def test_cancel_ends_what_is_studied_ahead(shop: Source, meanwhile: Meanwhile) -> None:
    held: list[Part] = []

    def stop() -> None:
        if not held:
            held.append(take(shop))
            cancel.cancel(shop.engine, shop.settings, run_id, actor="test")

    meanwhile(stop)
    run_id = shop.begin()
    with pytest.raises(LostClaim):
        shop.attempt(run_id)
    assert statuses(shop) == []
    with pytest.raises(LostClaim):
        end(shop, held[0])
    assert parts.claim(shop.engine, holder="b:1", lease=60, max_attempts=3) is None


def test_a_scanner_that_dies_costs_its_part(
    shop: Source, meanwhile: Meanwhile, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = undisturbed(shop, monkeypatch)
    dead: list[Part] = []

    def study() -> None:
        dead.append(take(shop, lease=-1))
        work(shop)

    meanwhile(study)
    run_id = shop.begin()
    assert shop.attempt(run_id) is None
    for part in dead:
        with pytest.raises(LostClaim):
            end(shop, part)
    assert (judged(shop, run_id), masked(shop, run_id)) == expected


def refuse(*_: Any) -> None:
    """A study that fails."""
    raise TerminalError("a recognizer failed")


@pytest.fixture
def spoiled(shop: Source, meanwhile: Meanwhile, monkeypatch: pytest.MonkeyPatch) -> str:
    """A run whose source was read, and whose parts but for the first could not be studied."""

    def study() -> None:
        perform.perform_part(shop.engine, shop.settings)
        with monkeypatch.context() as patch:
            patch.setattr(Study, "observe", refuse)
            work(shop)

    meanwhile(study)
    run_id = shop.begin()
    assert shop.attempt(run_id) is None
    assert shop.value("SELECT count(*) FROM pipeline.scan_part WHERE error IS NOT NULL") >= 3
    return run_id


def test_what_failed_ahead_is_not_held_against_the_stage(shop: Source, spoiled: str) -> None:
    found = judged(shop, spoiled)
    assert all(evidence for _, evidence in found[0])
    assert masked(shop, spoiled)


def test_a_part_that_cannot_be_studied_fails_its_stream(
    shop: Source, spoiled: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert look(shop, spoiled) is claims.Found.HELD
    monkeypatch.setattr(Study, "observe", refuse)
    work(shop)
    error = "SELECT error FROM pipeline.stage_run WHERE stage = 'pii'"
    assert "a recognizer failed" in shop.value(error)
    assert look(shop, spoiled) is claims.Found.STOPPED


def test_what_another_scanner_studied_is_studied_anew(
    shop: Source, meanwhile: Meanwhile, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = undisturbed(shop, monkeypatch)

    def study() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(pii._scanner(shop.settings), "fingerprint", "of workers long gone")
            work(shop)

    meanwhile(study)
    run_id = shop.begin()
    assert shop.attempt(run_id) is None
    assert statuses(shop).count("studied") >= 4
    assert (judged(shop, run_id), masked(shop, run_id)) == expected


def test_what_is_studied_ahead_waits_for_a_stage_that_has_begun(
    shop: Source,
) -> None:
    """However many streams are being read, and though none of them is worked on."""
    shop.rows["zoo"] = shop.rows["zzz"] = shop.rows["people"]
    run_id = shop.begin()
    assert shop.attempt(run_id) is None
    ids = shop.column("SELECT id FROM pipeline.run_stream ORDER BY id")
    for _ in ids:
        perform.perform_part(shop.engine, shop.settings)
    found = perform.perform(shop.engine, shop.settings, Stage.PII, run_stream_id=ids[-1])
    assert found is claims.Found.HELD
    parked = shop.value("SELECT parts_left FROM pipeline.stage_run WHERE parked")
    taken = [take(shop) for _ in range(parked + 4)]
    assert [part.run_stream_id for part in taken[:parked]] == [ids[-1]] * parked
    # Then those that are being read, in turn.
    assert {part.run_stream_id for part in taken[parked:]} == set(ids[:-1])


def test_the_stage_and_whoever_ends_its_first_part_do_not_lock_each_other_out(
    shop: Source, meanwhile: Meanwhile, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[Part] = []
    meanwhile(lambda: None if held else held.append(take(shop)))
    run_id = shop.begin()
    assert shop.attempt(run_id) is None
    stream = stream_of(shop, run_id)
    own, writing = parts.own, threading.Event()

    def slowly(*args: Any) -> None:
        own(*args)
        writing.set()
        wait_until_blocked(shop.engine)  # whoever ends the part waits for the stage's row

    def end_it() -> object:
        writing.wait(60)
        with shop.engine.begin() as conn:
            return parts.done(conn, held[0], evidence=[], holder="slow:1")

    monkeypatch.setattr(parts, "own", slowly)
    found, lost = at_once(lambda: look(shop, run_id), end_it)
    assert isinstance(lost, LostClaim), lost
    assert found is claims.Found.HELD
    query = "SELECT parked FROM pipeline.stage_run WHERE stage = 'pii' AND run_stream_id = :s"
    assert shop.value(query, s=stream)


def test_a_checkpoint_does_not_wait_for_a_message_that_is_being_sent(
    shop: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does whoever ends the first part: the broker may not answer for long."""
    plan = Ahead.plan
    more: list[int] = []

    def planned(self: Ahead, run_stream_ids: Iterable[int]) -> None:
        before = len(statuses(shop))
        with shop.engine.begin() as conn:
            # Whoever waits for it is let go in the end, for the test to tell of it.
            conn.execute(sa.text("SET LOCAL idle_in_transaction_session_timeout = '30s'"))
            sending = list(outbox.due(conn))
            plan(self, run_stream_ids)
            if before and not more:
                assert [message.kind for message in sending].count("scan") == 1
                first = take(shop)
                with shop.engine.begin() as other:
                    parts.done(other, first, evidence=[], holder="slow:1")
                more.append(len(statuses(shop)) - before)

    monkeypatch.setattr(Ahead, "plan", planned)
    shop.options["state_every"] = 20
    run_id = shop.begin()
    assert shop.attempt(run_id) is None
    assert more[0] > 0


@pytest.mark.parametrize(
    "error", [TerminalError("rows"), sa.exc.OperationalError("", {}, Exception())]
)
def test_explore_goes_on_though_nothing_can_be_planned(
    shop: Source, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    expected = undisturbed(shop, monkeypatch)
    tried: list[int] = []

    def extend(conn: sa.Connection, run_stream_id: int, found: pieces.Pieces) -> None:
        if found:
            tried.append(run_stream_id)
            raise error

    with monkeypatch.context() as patch:
        patch.setattr(parts, "extend", extend)
        run_id = shop.begin()
        assert shop.attempt(run_id) is None
    assert tried
    assert statuses(shop) == []
    assert (judged(shop, run_id), masked(shop, run_id)) == expected


def test_explore_that_was_lost_plans_nothing_more(
    shop: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = Ahead.plan
    lost: list[LostClaim] = []

    def planned(self: Ahead, run_stream_ids: Iterable[int]) -> None:
        with shop.engine.begin() as conn:
            conn.execute(sa.text("UPDATE pipeline.stage_run SET fence = fence + 1"))
        with pytest.raises(LostClaim) as caught:
            plan(self, run_stream_ids)
        lost.append(caught.value)
        raise caught.value

    monkeypatch.setattr(Ahead, "plan", planned)
    with pytest.raises(LostClaim):
        shop.attempt(shop.begin())
    assert len(lost) == 1
    assert statuses(shop) == []
