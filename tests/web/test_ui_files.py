"""Files for source-files in the browser: a script sends them, a form removes them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from atlas.connectors import uploads
from atlas.ledger import audit
from atlas.settings import Settings

from .conftest import Api

HTML = {"Accept": "text/html"}


@pytest.fixture
def orders(settings: Settings) -> Iterator[str]:
    """The path of a file that was sent."""
    yield uploads.save("orders.csv", [b"id\n1\n"], settings).path
    for each in uploads.listed(settings):
        uploads.remove(each.name, settings)


def test_it_is_listed_with_its_path_and_removed(api: Api, orders: str, engine: sa.Engine) -> None:
    assert orders in api.get("/files", headers=HTML).text
    assert "/delete" not in api.get("/files", "viewer", headers=HTML).text
    assert api.post("/files/orders.csv/delete", "viewer", headers=HTML).status_code == 403
    assert api.post("/files/orders.csv/delete", headers=HTML).status_code == 303
    page = api.get("/files", "operator", headers=HTML).text
    assert "No file was sent yet" in page
    assert 'data-upload="/api/v1/uploads/"' in page
    with engine.begin() as conn:
        (entry,) = audit.entries(conn, limit=9, action="upload")
    assert (entry["action"], entry["subject"]) == ("upload.delete", "orders.csv")


@pytest.mark.parametrize("name", ["gone.csv", "..", "a%2Fb"])
def test_what_is_not_there_is_no_crash(api: Api, name: str) -> None:
    answer = api.post(f"/files/{name}/delete", headers=HTML)
    assert answer.status_code in (404, 422)
