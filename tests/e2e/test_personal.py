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
