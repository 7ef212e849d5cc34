"""Personal data across runs: what was found personal stays masked whatever comes later."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.e2e.conftest import Atlas, source
from tests.e2e.data import row, write

NAMES = "Alice Bob Carol David Erin Frank Grace Henry Isabel Jack Karen Louis Maria".split()
SCHEMA = {
    "type": "object",
    "properties": {
        "id": {"type": "integer"},
        "email": {"type": ["null", "string"]},
        "first_name": {"type": ["null", "string"]},
        "remark": {"type": ["null", "string"]},
        "updated_at": {"type": "string", "format": "date-time"},
    },
}


def person(number: int, minute: int, name: str, remark: str = "fine") -> dict[str, Any]:
    made = row(number, minute)
    return {
        "id": number,
        "email": made["email"],
        "first_name": name,
        "remark": remark,
        "updated_at": made["updated_at"],
    }


def test_a_column_once_personal_stays_masked(atlas: Atlas, tmp_path: Path) -> None:
    people = [person(n, n, name) for n, name in enumerate(NAMES, 1)]
    rows = write(tmp_path / "rows.json", *people, schema=SCHEMA)
    atlas.apply(source("people", rows))
    atlas.sync("people")
    # One row, with a value that nobody would take for a name, and no e-mail beside it.
    late = {**person(99, 99, "Qzx-17"), "email": None}
    write(rows, *people, late, schema=SCHEMA)
    atlas.sync("people")
    ((shown,),) = atlas.rows("SELECT first_name FROM chart.people_orders WHERE id = 99")
    assert shown != "Qzx-17"
    ((left,),) = atlas.rows(
        "SELECT count(*) FROM navigate.people_orders n, explore.people_orders_raw r"
        " WHERE n.first_name = r.data->>'first_name' OR n.email = r.data->>'email'"
    )
    assert left == 0


def test_a_changed_person_has_a_history_although_masked(atlas: Atlas, tmp_path: Path) -> None:
    people = [person(n, n, name) for n, name in enumerate(NAMES, 1)]
    rows = write(tmp_path / "rows.json", *people, schema=SCHEMA)
    atlas.apply(source("renamed", rows))
    atlas.sync("renamed")
    write(rows, *people[1:], person(1, 100, "Zoe"), schema=SCHEMA)
    document = atlas.sync("renamed")
    assert document["streams"][0]["versions"] == {"opened": 1, "closed": 1}


def test_a_rare_address_in_a_remark_is_cut_out(atlas: Atlas, tmp_path: Path) -> None:
    people = [person(n, n, name) for n, name in enumerate(NAMES, 1)]
    people[3]["remark"] = "write to hidden.one@corp.example.com please"
    rows = write(tmp_path / "rows.json", *people, schema=SCHEMA)
    atlas.apply(source("rare", rows))
    atlas.sync("rare")
    remarks = dict(atlas.rows("SELECT id, remark FROM chart.rare_orders"))
    assert "hidden.one" not in remarks[4]
    assert remarks[4].startswith("write to ")
    assert remarks[1] == "fine"


def test_a_person_may_say_otherwise(atlas: Atlas, tmp_path: Path) -> None:
    people = [person(n, n, name) for n, name in enumerate(NAMES, 1)]
    rows = write(tmp_path / "rows.json", *people, schema=SCHEMA)
    atlas.apply(source("kept", rows, pii={"columns": {"first_name": "keep", "email": "tokenize"}}))
    atlas.sync("kept")
    shown = atlas.rows("SELECT first_name, email FROM chart.kept_orders ORDER BY id")
    assert [name for name, _ in shown] == NAMES
    assert len({email for _, email in shown}) == len(NAMES)
    assert all("@" not in email for _, email in shown)


def _shown(atlas: Atlas, column: str) -> set[str]:
    return {v for (v,) in atlas.rows(f"SELECT {column} FROM chart.words_orders")}


def test_what_people_say_wins_in_every_run_after(atlas: Atlas, tmp_path: Path) -> None:
    people = [person(n, n, name, "call 5") for n, name in enumerate(NAMES, 1)]
    rows = write(tmp_path / "rows.json", *people, schema=SCHEMA)
    atlas.apply(source("words", rows))
    atlas.sync("words", "--full-refresh")
    assert not _shown(atlas, "first_name") & set(NAMES)
    assert _shown(atlas, "remark") == {"call 5"}
    say = ("pii", "override", "words_orders")
    why = ("--why", "the officer knows")
    atlas.json(*say, "remark", "--is", "PERSON", *why)
    atlas.json(*say, "first_name", "--is-not", "any", *why)
    entry = atlas.json(*say, "email", "--operator", "redact", *why)
    assert (entry["column"], entry["says"], entry["operator"]) == ("email", "operator", "redact")
    late = person(50, 50, "Zoe", "call 7")
    write(rows, *people, late, schema=SCHEMA)
    atlas.sync("words", "--full-refresh")
    assert atlas.rows("SELECT first_name, email FROM chart.words_orders WHERE id = 50") == [
        ("Zoe", "")
    ]
    assert not _shown(atlas, "remark") & {"call 5", "call 7"}
    shown = atlas.json("pii", "show", "words_orders")
    by_column = {each["column"]: each for each in shown["findings"]}
    assert set(by_column) == {"email", "remark"}
    assert by_column["remark"]["evidence"]["override"]["why"] == "the officer knows"
    assert {word["says"] for word in shown["overrides"]} == {"is", "is_not", "operator"}
    changes = atlas.json("pii", "changes", "words_orders")
    assert {(each["column"], each["change"]) for each in changes} == {
        ("email", "changed"),
        ("first_name", "gone"),
        ("remark", "found"),
    }
    atlas.json(*say, "first_name", "--withdraw", *why)
    atlas.sync("words", "--full-refresh")
    assert not _shown(atlas, "first_name") & {*NAMES, "Zoe"}
    assert len(atlas.json("pii", "overrides", "words_orders")) == 4


def test_what_cannot_be_said(atlas: Atlas, tmp_path: Path) -> None:
    rows = write(tmp_path / "rows.json", person(1, 1, "Alice"), schema=SCHEMA)
    atlas.apply(source("unsaid", rows))
    atlas.sync("unsaid")
    say = ("pii", "override", "unsaid_orders")
    for arguments, told in (
        (("email", "--is", "EMAIL", "--why", "x"), "did you mean EMAIL_ADDRESS?"),
        (("mail", "--is", "PERSON", "--why", "x"), "has no column 'mail'"),
        (("email", "--is", "PERSON", "--why", " "), "say why"),
        (("email", "--withdraw", "--why", "x"), "nothing was said of it"),
        (("email", "--why", "x"), "say one of"),
    ):
        refused = atlas.run(*say, *arguments, check=False)
        assert (refused.returncode, told in refused.stderr) == (2, True), refused.stderr
    nowhere = atlas.run("pii", "show", "nowhere", check=False)
    assert (nowhere.returncode, "there is no dataset" in nowhere.stderr) == (2, True)


def test_an_erased_person_comes_back_only_when_the_source_changes_them(
    atlas: Atlas, tmp_path: Path
) -> None:
    people = [person(n, n, name) for n, name in enumerate(NAMES, 1)]
    rows = write(tmp_path / "rows.json", *people, schema=SCHEMA)
    atlas.apply(source("gone", rows))
    atlas.sync("gone")
    last = people[-1]
    whom = tmp_path / "whom.txt"
    whom.write_text(f"{last['email']}\n")
    found = atlas.json("pii", "find", "-f", str(whom), "--connection", "gone")
    assert found["total"] == {"explore": 1, "chart": 1, "quarantine": 0, "navigate": 1}
    done = atlas.json("pii", "erase", "-f", str(whom), "--connection", "gone", "--yes")
    assert done["total"] == found["total"]
    # Its cursor is inclusive: the last record is sent once more.
    for options, read in ((), 1), (("--full-refresh",), len(people)):
        rows_of = atlas.sync("gone", *options)["streams"][0]["rows"]
        assert (rows_of["explore"], rows_of["erased"]) == (read, 1)
        for table in ("chart.gone_orders", "navigate.gone_orders"):
            query = f"SELECT count(*) FROM {table} WHERE id = {last['id']}"
            assert atlas.rows(query) == [(0,)], table
    write(rows, *people, person(last["id"], 500, "Zoe"), schema=SCHEMA)
    atlas.sync("gone")
    assert atlas.rows(f"SELECT count(*) FROM chart.gone_orders WHERE id = {last['id']}") == [(1,)]
    entries = atlas.json("audit", "list", "--subject", found["subjects"][0])["items"]
    assert entries[0]["action"] == "pii.erase.end"
    assert last["email"] not in str(entries)
