"""A run goes by its policy as it was when the run was made, however often it is tried."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import yaml

from tests.e2e.conftest import Atlas, source
from tests.e2e.data import row, write
from tests.e2e.held import refused

POLICY = {"entities": {"EMAIL_ADDRESS": "tokenize"}}


def _apply(atlas: Atlas, policy: dict[str, Any], *connections: dict[str, Any]) -> Any:
    path = atlas.home / "connections.yml"
    document = {"policies": {"research": policy}, "connections": list(connections)}
    path.write_text(yaml.safe_dump(document))
    return atlas.json("apply", "-f", str(path))


def _shown(atlas: Atlas) -> set[str]:
    return {email for (email,) in atlas.rows("SELECT email FROM chart.steady_orders")}


def test_a_retry_masks_as_the_run_was_made_to(atlas: Atlas, tmp_path: Path) -> None:
    rows = write(tmp_path / "rows.json", *[row(n, n) for n in range(1, 21)])
    asked = source("steady", rows, pii={"policy": "research", "columns": {"id": "keep"}})
    _apply(atlas, POLICY, asked)
    with refused(atlas, "pipeline.finding"):
        run_id = atlas.start("steady")
        assert atlas.wait(run_id)["status"] == "failed"
    # Neither the policy nor the connection's own words are what they were.
    changed = source("steady", rows, pii={"policy": "research", "columns": {"email": "keep"}})
    done = _apply(atlas, {"entities": {"EMAIL_ADDRESS": "drop"}}, changed)
    assert done["policies"] == [{"name": "research", "change": "updated"}]
    atlas.json("runs", "retry", run_id)
    assert atlas.wait(run_id)["status"] == "succeeded"
    tokens = _shown(atlas)
    assert len(tokens) == 20
    assert all(token.startswith("tok_") for token in tokens)
    # The next run goes by what holds now.
    _apply(atlas, {"entities": {"EMAIL_ADDRESS": "redact"}}, asked)
    atlas.sync("steady", "--full-refresh")
    assert _shown(atlas) == {""}


def test_a_policy_that_merges_keys_fails_until_the_next_run_has_another(
    atlas: Atlas, tmp_path: Path
) -> None:
    rows = write(tmp_path / "rows.json", *[row(n, n) for n in range(1, 6)])
    atlas.apply(source("merging", rows, pii={"columns": {"id": "redact"}}))
    document = atlas.sync("merging", ok=False)
    assert "would merge its keys" in document["streams"][0]["error"]
    atlas.apply(source("merging", rows, pii={"columns": {"id": "tokenize"}}))
    atlas.json("runs", "retry", document["run_id"])
    assert atlas.wait(document["run_id"])["status"] == "failed"
    again = atlas.sync("merging")
    # None was lost with the run that failed.
    assert again["streams"][0]["rows"]["promoted"] == 5
    assert {len(key) for (key,) in atlas.rows("SELECT id FROM chart.merging_orders")} == {36}


def test_encrypted_values_are_read_again_and_a_key_stays_one(atlas: Atlas, tmp_path: Path) -> None:
    people = [row(n, n) for n in range(1, 21)]
    rows = write(tmp_path / "rows.json", *people)
    pii = {"entities": {"EMAIL_ADDRESS": "encrypt"}, "columns": {"id": "encrypt"}}
    atlas.apply(source("sealed", rows, pii=pii))
    atlas.sync("sealed")
    write(rows, *people[:10], *[row(n, n + 50, amount=3) for n in range(11, 21)])
    second = atlas.sync("sealed", "--full-refresh")
    # Equal keys are equal when encrypted: what did not change has no second version.
    assert second["streams"][0]["versions"] == {"opened": 10, "closed": 10}
    shown = atlas.rows("SELECT id, email FROM navigate.sealed_orders WHERE is_current")
    assert len(shown) == 20
    asked = ("pii", "decrypt", "sealed_orders", "email", "--why", "a court asks")
    found = json.loads(
        atlas.run(*asked, "--json", stdin="".join(f"{email}\n" for _, email in shown)).stdout
    )["values"]
    assert sorted(found) == sorted(each["email"] for each in people)
    keys = atlas.run(
        "pii", "decrypt", "sealed_orders", "id", "--why", "x", stdin=f"{shown[0][0]}\n"
    ).stdout
    assert int(keys) in range(1, 21)
    told = atlas.rows("SELECT subject, detail->>'why', detail->>'count' FROM pipeline.audit")
    assert ("sealed_orders.email", "a court asks", "20") in told
    refused_ = atlas.run(*asked, stdin="tok_1\n", check=False)
    assert (refused_.returncode, "nothing encrypted" in refused_.stderr) == (2, True)


def test_a_run_without_a_policy_goes_by_what_holds_and_fails_where_there_is_none(
    atlas: Atlas, tmp_path: Path
) -> None:
    rows = write(tmp_path / "rows.json", *[row(n, n) for n in range(1, 4)])
    asked = source("older", rows, pii={"policy": "lookup", "columns": {"city_code": "drop"}})
    path = atlas.home / "connections.yml"
    document = {"policies": {"lookup": POLICY}, "connections": [asked]}
    path.write_text(yaml.safe_dump(document))
    atlas.json("apply", "-f", str(path))
    with refused(atlas, "pipeline.finding"):
        run_id = atlas.start("older")
        assert atlas.wait(run_id)["status"] == "failed"
    # As a run from before policies were kept in runs.
    with atlas.engine.begin() as conn:
        conn.execute(
            sa.text("UPDATE pipeline.run SET policy = NULL WHERE id = :id"), {"id": run_id}
        )
    atlas.json("runs", "retry", run_id)
    assert atlas.wait(run_id)["status"] == "succeeded"
    shown = atlas.rows("SELECT email, city_code FROM chart.older_orders")
    assert all(email.startswith("tok_") and code is None for email, code in shown)
    assert len(shown) == 3
    with atlas.engine.begin() as conn:
        conn.execute(
            sa.text(
                "UPDATE pipeline.connection SET document = jsonb_set(document, '{pii,policy}',"
                " '\"lookups\"') WHERE name = 'older'"
            )
        )
    gone = atlas.sync("older", "--full-refresh", ok=False)
    assert "unknown pii policy 'lookups': did you mean lookup?" in gone["streams"][0]["error"]


def test_masks_are_made_anew_by_a_run_that_asks_no_source(atlas: Atlas, tmp_path: Path) -> None:
    rows = write(tmp_path / "rows.json", *[row(n, n) for n in range(1, 21)])
    atlas.apply(source("anew", rows, pii={"entities": {"EMAIL_ADDRESS": "keep"}}))
    atlas.sync("anew")
    rows.unlink()  # nobody is there to be asked
    atlas.apply(source("anew", rows, pii={"entities": {"EMAIL_ADDRESS": "tokenize"}}))
    document = atlas.json("pii", "remask", "anew", "--stream", "orders", "--wait")
    assert (document["trigger"], document["status"]) == ("remask", "succeeded")
    (stream,) = document["streams"]
    assert stream["remasked"]["navigate"] == stream["remasked"]["chart"] == 20
    for schema in ("chart", "navigate"):
        found = {email for (email,) in atlas.rows(f"SELECT email FROM {schema}.anew_orders")}
        assert len(found) == 20
        assert all(email.startswith("tok_") for email in found)
    shown = atlas.run("runs", "show", document["run_id"]).stdout
    assert "masked otherwise now" in shown
    refused = atlas.run("pii", "remask", "anew", "--stream", "nothing", check=False)
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
