"""Declarative manifests, run by the CDK against an API on this machine."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from atlas.connectors import install, runner
from atlas.connectors.config import secrets, validate
from atlas.connectors.protocol import State
from atlas.connectors.reader import Reader, Records
from atlas.errors import TerminalError, UsageError
from atlas.model.stream import ConfiguredStream
from atlas.settings import Settings

TOKEN = "token-of-the-shop"
ORDERS = [
    {"id": n, "total": f"{n}.10", "updated_at": f"2026-01-{n:02}T00:00:00Z"} for n in range(1, 8)
]

MANIFEST = """
version: 6.0.0
type: DeclarativeSource
check: {type: CheckStream, stream_names: [orders]}
streams:
  - type: DeclarativeStream
    name: orders
    primary_key: [id]
    retriever:
      type: SimpleRetriever
      requester:
        type: HttpRequester
        url_base: "{{ config['url'] }}"
        path: /orders
        http_method: GET
        authenticator: {type: BearerAuthenticator, api_token: "{{ config['api_key'] }}"}
      record_selector:
        type: RecordSelector
        extractor: {type: DpathExtractor, field_path: [items]}
      paginator:
        type: DefaultPaginator
        page_token_option: {type: RequestOption, inject_into: request_parameter, field_name: page}
        page_size_option: {type: RequestOption, inject_into: request_parameter, field_name: size}
        pagination_strategy: {type: PageIncrement, page_size: 2, start_from_page: 1}
    incremental_sync:
      type: DatetimeBasedCursor
      cursor_field: updated_at
      datetime_format: "%Y-%m-%dT%H:%M:%SZ"
      start_datetime: "2026-01-01T00:00:00Z"
      end_datetime: "2026-02-01T00:00:00Z"
      start_time_option: {type: RequestOption, inject_into: request_parameter, field_name: since}
    schema_loader:
      type: InlineSchemaLoader
      schema:
        type: object
        properties:
          id: {type: integer}
          total: {type: string}
          updated_at: {type: string, format: date-time}
spec:
  type: Spec
  connection_specification:
    type: object
    required: [url, api_key]
    properties:
      url: {type: string}
      api_key: {type: string, airbyte_secret: true}
"""


class Shop(BaseHTTPRequestHandler):
    asked: list[dict[str, list[str]]] = []  # noqa: RUF012 - one server at a time
    orders: list[dict[str, Any]] = []  # noqa: RUF012

    def do_GET(self) -> None:
        if self.headers["Authorization"] != f"Bearer {TOKEN}":
            self._answer(401, {"error": f"who is {self.headers['Authorization']}?"})
            return
        query = parse_qs(urlsplit(self.path).query)
        self.asked.append(query)
        since = query.get("since", [""])[0]
        found = [order for order in self.orders if order["updated_at"] >= since]
        size, page = int(query["size"][0]), int(query.get("page", ["1"])[0])
        self._answer(200, {"items": found[(page - 1) * size : page * size]})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(200, {"access_token": TOKEN, "refresh_token": "second", "expires_in": 3600})

    def _answer(self, status: int, document: Any) -> None:
        content = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: Any) -> None:
        """Quiet."""


@pytest.fixture
def shop() -> Iterator[str]:
    """The API's URL."""
    Shop.asked, Shop.orders = [], list(ORDERS)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Shop)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    path = tmp_path / "shop.yaml"
    path.write_text(MANIFEST)
    return path


def test_pages_a_secret_and_a_cursor(settings: Settings, shop: str, manifest: Path) -> None:
    connector = install.resolve(None, str(manifest), settings)
    spec = runner.spec(connector, settings)
    config = {"url": shop, "api_key": TOKEN}
    with pytest.raises(UsageError, match="'api_key' is a required property"):
        validate("shop", spec, {"url": shop})
    runner.check(connector, config, settings, spec=spec)
    (found,) = runner.discover(connector, config, settings, spec=spec)
    assert found.source_defined_primary_key == (("id",),)
    wanted = ConfiguredStream(
        found.key,
        found.json_schema,
        found.supported_sync_modes[-1],
        found.default_cursor_field,
        found.source_defined_primary_key,
    )

    def read(states: list[bytes]) -> tuple[list[Any], list[bytes]]:
        Shop.asked.clear()
        rows, said = [], {}
        with Reader(connector, config, [wanted], states, settings, spec=spec) as reader:
            for message in reader:
                if isinstance(message, Records):
                    rows += [json.loads(row) for row in message.data]
                elif isinstance(message, State):
                    said[message.stream] = message.blob
        assert reader.statuses[found.key] == "COMPLETE"
        return rows, list(said.values())

    rows, states = read([])
    assert rows == ORDERS
    assert sorted(int(query.get("page", ["1"])[0]) for query in Shop.asked) == [1, 2, 3, 4]
    Shop.orders.append({"id": 8, "total": "8.10", "updated_at": "2026-01-20T00:00:00Z"})
    rows, _ = read(states)
    assert rows == [ORDERS[-1], Shop.orders[-1]]
    assert {query["since"][0] for query in Shop.asked} == {"2026-01-07T00:00:00Z"}


def test_a_refused_secret_is_not_told(settings: Settings, shop: str, manifest: Path) -> None:
    connector = install.resolve(None, str(manifest), settings)
    with pytest.raises(TerminalError) as caught:
        runner.check(connector, {"url": shop, "api_key": "wrong-token-here"}, settings)
    assert "401" in str(caught.value)
    assert "wrong-token-here" not in str(caught.value)


REFERENCES = (
    MANIFEST.partition("\nspec:")[0]
    + """
definitions:
  options:
    type: object
    required: [url, api_key]
    properties: {url: {type: string}, api_key: {type: string, airbyte_secret: true}}
  spec: {type: Spec, connection_specification: {$ref: "#/definitions/options"}}
  extractor: {class_name: "#/definitions/code"}
  code: os.system
spec: {$ref: "#/definitions/spec"}
"""
)


def test_a_spec_by_reference_tells_what_is_secret(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "shop.yaml"
    path.write_text(REFERENCES.replace('  extractor: {class_name: "#/definitions/code"}\n', ""))
    spec = runner.spec(install.resolve(None, str(path), settings), settings)
    assert spec["required"] == ["url", "api_key"]
    assert secrets(spec, {"url": "u", "api_key": TOKEN}) == [TOKEN]


ROTATING = """{
          type: OAuthAuthenticator,
          token_refresh_endpoint: "{{ config['url'] }}/token",
          client_id: atlas,
          client_secret: "{{ config['api_key'] }}",
          refresh_token: "{{ config['refresh_token'] }}",
          refresh_token_updater: {
            access_token_config_path: [access_token],
            refresh_token_config_path: [refresh_token],
            token_expiry_date_config_path: [expires]}}"""


def test_a_rotated_token_comes_back_without_the_manifest(
    settings: Settings, shop: str, manifest: Path
) -> None:
    bearer = """{type: BearerAuthenticator, api_token: "{{ config['api_key'] }}"}"""
    assert bearer in MANIFEST
    manifest.write_text(MANIFEST.replace(bearer, ROTATING))
    connector = install.resolve(None, str(manifest), settings)
    config = {
        "url": shop,
        "api_key": "of-the-client",
        "refresh_token": "first",
        "access_token": "stale",
        "expires": "2020-01-01T00:00:00Z",
    }
    sent: list[bytes] = []
    runner.check(connector, config, settings, changed=sent.append)
    changed = json.loads(sent[-1])
    assert changed.pop("expires") > config.pop("expires")
    assert changed == config | {"refresh_token": "second", "access_token": TOKEN}


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("type: SimpleRetriever", "type: SimplRetriever", r"streams\.0\.retriever: breaks anyOf"),
        ("check: {type: CheckStream, stream_names: [orders]}", "", "'check' is a required"),
    ],
    ids=["a type that is none", "something required"],
)
def test_a_manifest_that_the_cdk_does_not_take(
    settings: Settings, manifest: Path, old: str, new: str, why: str
) -> None:
    assert old in MANIFEST
    manifest.write_text(MANIFEST.replace(old, new))
    with pytest.raises(TerminalError, match=why):
        runner.check(
            install.resolve(None, str(manifest), settings), {"url": "u", "api_key": TOKEN}, settings
        )


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a: [", "is not YAML"),
        ("- 1", "is no manifest"),
        ("type: Other", "it needs type: DeclarativeSource"),
        (
            MANIFEST.replace(
                "type: RecordSelector", "type: CustomRecordExtractor\n        class_name: x.Y"
            ),
            "code of its own .x.Y., which Atlas does not run",
        ),
        (REFERENCES, "code of its own .os.system., which Atlas does not run"),
        (REFERENCES.replace("#/definitions/spec", "#/nowhere"), "reference that leads nowhere"),
        ("type: DeclarativeSource\nspec: [1]", "spec is no mapping"),
        (MANIFEST + "      since: {type: string, default: 2026-01-01}\n", "put dates in quotes"),
    ],
    ids=[
        *("no YAML", "a list", "another type", "custom code", "custom code by reference"),
        *("a reference to nothing", "no spec", "a date"),
    ],
)
def test_what_is_no_manifest(settings: Settings, tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(TerminalError, match=why):
        runner.spec(install.resolve(None, str(path), settings), settings)
