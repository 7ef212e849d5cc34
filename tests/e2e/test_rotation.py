"""Another secret key takes over under a running stack: nobody notices but who has the old one."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.conftest import Atlas, source
from tests.e2e.data import row, write


def test_a_rotated_secret_key_changes_no_version(atlas: Atlas, tmp_path: Path) -> None:
    rows = write(tmp_path / "rows.json", *(row(n, n) for n in range(1, 6)))
    options = {"pii": {"policy": "default", "columns": {"email": "tokenize"}}}
    atlas.apply(
        source("rotated", rows, streams={"orders": {"sync_mode": "full_refresh"}}, **options)
    )
    atlas.sync("rotated")
    query = "SELECT id, email, _atlas_row_hash, valid_to FROM navigate.rotated_orders ORDER BY id"
    before, key = atlas.rows(query), (atlas.home / "secret.key").read_bytes()
    assert len(before) == 5
    assert all(email.startswith("tok_") for _, email, _, _ in before)

    answer = atlas.json("keys", "rotate-secret")
    assert answer["finished"]
    assert answer["configurations"] >= 1
    assert (atlas.home / "secret.key").read_bytes() != key
    document = atlas.sync("rotated")
    assert document["streams"][0]["versions"] == {"opened": 0, "closed": 0}
    assert atlas.rows(query) == before
    # The same configuration is still known to be the same.
    (change,) = atlas.apply(
        source("rotated", rows, streams={"orders": {"sync_mode": "full_refresh"}}, **options)
    )["connections"]
    assert change["change"] == "unchanged"
    # The old one, wherever it comes from, opens nothing.
    atlas.extra["ATLAS_SECRET_KEY"] = key.decode()
    try:
        path = atlas.home / "connections.yml"
        refused = atlas.run("apply", "-f", str(path), check=False)
    finally:
        del atlas.extra["ATLAS_SECRET_KEY"]
    assert refused.returncode == 1
    assert "ATLAS_SECRET_KEY" in refused.stderr


def test_a_stack_whose_secret_key_is_lost_does_not_start(tmp_path: Path) -> None:
    stack = Atlas(tmp_path / "home")
    key, kept = stack.home / "secret.key", tmp_path / "kept"
    stack.run("up", "--detach")
    stack.run("down")
    key.rename(kept)
    try:
        refused = stack.run("up", "--detach", check=False)
        assert refused.returncode == 1
        assert "bring back its secret.key" in refused.stderr
        assert "Traceback" not in refused.stderr
        assert stack.json("status", check=False)["processes"] == []
        kept.replace(key)
        stack.run("up", "--detach")
    finally:
        stack.run("down")
