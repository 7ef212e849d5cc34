"""Validates an OpenLineage event against the official schemas that stand beside this file.

Stricter than the core schema, which lets any object with a producer pass as a facet: every facet
has to name an official schema that is here, in the place (run, job, dataset, input, output) and
under the key that this schema is for. Formats are checked too.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import ValidationError
from referencing import Registry, Resource

_SCHEMAS = Path(__file__).parent / "schemas"
_CORE = "https://openlineage.io/spec/2-0-2/OpenLineage.json"
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")

# jsonschema itself checks "date-time" and "uri" only where further packages are installed, and
# passes everything elsewhere.
_formats = FormatChecker(formats=())


@_formats.checks("date-time", raises=ValueError)
def _date_time(value: object) -> bool:
    if isinstance(value, str):
        if not _RFC3339.fullmatch(value):
            return False
        datetime.fromisoformat(value)
    return True


@_formats.checks("uri", raises=ValueError)
def _uri(value: object) -> bool:
    if isinstance(value, str):
        parts = urlsplit(value)
        unsafe = re.search(r"[^!-~]|[\"<>\\^`{|}]|%(?![0-9A-Fa-f]{2})", value)
        return bool(parts.scheme and (parts.netloc or parts.path)) and not unsafe
    return True


@_formats.checks("uuid", raises=ValueError)
def _uuid(value: object) -> bool:
    return not isinstance(value, str) or str(uuid.UUID(value)) == value.lower()


def validate(event: dict[str, Any]) -> None:
    """Validate one run event with all its facets.

    Raises:
        jsonschema.exceptions.ValidationError: it is not as the schemas say, or has a facet that
            they do not know.
    """
    # What counts is what is sent: JSON, not Python's objects.
    event = orjson.loads(orjson.dumps(event))
    if event.get("schemaURL") != f"{_CORE}#/$defs/RunEvent":
        raise ValidationError(f"schemaURL: {event.get('schemaURL')} is no run event")
    _check(event, {"$ref": _CORE})
    for place, key, facet in _facets(event):
        _check_facet(place, key, facet)


def _check(instance: Any, schema: dict[str, Any]) -> None:
    Draft202012Validator(schema, registry=_registry(), format_checker=_formats).validate(instance)


def _facets(event: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    def of(place: str, facets: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
        for key, facet in facets.items():
            yield place, key, facet
            if key == "parent":
                for relative in (facet, facet.get("root", {})):
                    for part, inner in (("run", "RunFacet"), ("job", "JobFacet")):
                        yield from of(inner, relative.get(part, {}).get("facets", {}))

    yield from of("RunFacet", event["run"].get("facets", {}))
    yield from of("JobFacet", event["job"].get("facets", {}))
    for side in ("input", "output"):
        for dataset in event.get(f"{side}s", ()):
            yield from of("DatasetFacet", dataset.get("facets", {}))
            yield from of(f"{side.title()}DatasetFacet", dataset.get(f"{side}Facets", {}))


def _check_facet(place: str, key: str, facet: dict[str, Any]) -> None:
    uri, _, pointer = facet["_schemaURL"].partition("#")
    document = _documents().get(uri)
    if document is None:
        raise ValidationError(f"facet {key}: no official schema {facet['_schemaURL']}")
    if document["properties"].get(key) != {"$ref": f"#{pointer}"}:
        raise ValidationError(f"facet {key}: {facet['_schemaURL']} is for another key")
    definition = document["$defs"][pointer.rpartition("/")[2]]
    if {"$ref": f"{_CORE}#/$defs/{place}"} not in definition["allOf"]:
        raise ValidationError(f"facet {key}: stands where a {place} belongs")
    # By the document as a whole: the reference from the key to the definition holds as well.
    _check({key: facet}, {"$ref": uri})


@cache
def _documents() -> dict[str, dict[str, Any]]:
    """The facet schemas by ``$id``."""
    found = (orjson.loads(path.read_bytes()) for path in (_SCHEMAS / "facets").glob("*.json"))
    return {document["$id"]: document for document in found}


@cache
def _registry() -> Registry[Any]:
    core = orjson.loads((_SCHEMAS / "OpenLineage.json").read_bytes())
    return Registry().with_resources(
        [
            (document["$id"], Resource.from_contents(document))
            for document in (core, *_documents().values())
        ]
    )
