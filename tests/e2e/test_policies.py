"""A run goes by its policy as it was when the run was made, however often it is tried."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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
