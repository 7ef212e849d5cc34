"""Declarative connectors: ``python -m atlas.connectors.manifest FILE VERB …`` runs Airbyte's
manifest in FILE.

The CDK does it, imported here and nowhere else, for it takes seconds. Its spec is the manifest's
own, so that a configuration is checked against it, and what it marks as secret is kept secret. Code
in a manifest (custom components) is refused, here and by the CDK.

The manifest is not put into the configuration, as the CDK's own command does: a connector that
rotates a token sends its configuration back, and the manifest would be stored with it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from airbyte_cdk.sources.declarative.concurrent_declarative_source import (
        ConcurrentDeclarativeSource,
    )


def spec(manifest: dict[str, Any]) -> dict[str, Any]:
    """The ``connectionSpecification`` of a manifest; one without takes no configuration.

    Raises:
        ValueError: it has one that is none.
    """
    said = manifest.get("spec") or {}
    if not isinstance(said, dict):
        raise ValueError("spec is no mapping")  # noqa: TRY004 - the file is wrong, not the caller
    found = said.get("connection_specification", said.get("connectionSpecification"))
    if found is None:
        return {"type": "object", "properties": {}}
    if not isinstance(found, dict):
        raise ValueError(  # noqa: TRY004 - as above
            "spec.connection_specification is no mapping"
        )
    try:
        json.dumps(found)
    except TypeError as error:
        raise ValueError(
            "spec.connection_specification holds what JSON has not: put dates in quotes"
        ) from error
    return found


def read(path: Path) -> dict[str, Any]:
    """The manifest in a file.

    Raises:
        ValueError: it is none; the message says why, in one line.
    """
    try:
        found = yaml.load(path.read_text(encoding="utf-8"), yaml.CSafeLoader)
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path.name} cannot be read: {type(error).__name__}") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark else ""
        raise ValueError(f"{path.name} is not YAML{where}") from error
    if not isinstance(found, dict) or found.get("type") != "DeclarativeSource":
        raise ValueError(
            f"{path.name} is no manifest of a declarative source: it needs type: DeclarativeSource"
        )
    found = _resolved(found, path.name)
    custom = sorted(_custom(found))
    if custom:
        raise ValueError(
            f"{path.name} uses code of its own ({', '.join(custom[:3])}), which Atlas does not "
            "run: use the connector's Docker image"
        )
    return found


def _resolved(manifest: dict[str, Any], name: str) -> dict[str, Any]:
    """``manifest`` with what its references (``$ref``) stand for in their place: the spec may be
    one, and with it what is secret."""
    if not any(text.startswith("#/") for text in _texts(manifest)):
        return manifest
    from airbyte_cdk.sources.declarative.parsers.custom_exceptions import (
        CircularReferenceException,
        UndefinedReferenceException,
    )
    from airbyte_cdk.sources.declarative.parsers.manifest_reference_resolver import (
        ManifestReferenceResolver,
    )

    try:
        return dict(ManifestReferenceResolver().preprocess_manifest(manifest))
    except (CircularReferenceException, UndefinedReferenceException, RecursionError) as error:
        what = "too deep" if isinstance(error, RecursionError) else str(error)
        raise ValueError(f"{name} has a reference that leads nowhere: {what}") from error


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)


def _custom(value: Any) -> set[str]:
    """Names of the classes that a manifest has somebody else define."""
    if isinstance(value, dict):
        own = {str(value["class_name"])} if isinstance(value.get("class_name"), str) else set()
        return own.union(*map(_custom, value.values()))
    if isinstance(value, list):
        return set().union(*map(_custom, value))
    return set()


def main(file: str, verb: str, *arguments: str) -> int:
    """Answer as a connector does."""
    path = Path(file)
    try:
        manifest = read(path)
        said = spec(manifest)
    except ValueError as error:
        return _fail(str(error))
    if verb == "spec":
        _say({"type": "SPEC", "spec": {"connectionSpecification": said}})
        return 0
    from airbyte_cdk.entrypoint import AirbyteEntrypoint, launch
    from airbyte_cdk.sources.declarative.parsers.custom_code_compiler import (
        AirbyteCustomCodeNotPermittedError,
    )
    from jsonschema.exceptions import ValidationError

    given = [verb, *arguments]
    try:
        source = _source(manifest, vars(AirbyteEntrypoint.parse_args(given)))
    except ValidationError as error:
        return _fail(f"{path.name} is no manifest that the CDK can run: {_where(error)}")
    except AirbyteCustomCodeNotPermittedError:
        return _fail(f"{path.name} or its configuration brings code, which Atlas does not run")
    launch(source, given)
    return 0


def _source(manifest: dict[str, Any], given: dict[str, Any]) -> ConcurrentDeclarativeSource:
    """The manifest as a source, given what stands in the files that the arguments name."""
    from airbyte_cdk.sources.declarative.concurrent_declarative_source import (
        ConcurrentDeclarativeSource as Source,
    )

    return Source(
        config=Source.read_config(given["config"]),
        catalog=Source.read_catalog(given["catalog"]) if given.get("catalog") else None,
        state=Source.read_state(given["state"]) if given.get("state") else [],
        source_config=manifest,
        config_path=given["config"],
        custom_components_trusted=False,
    )


def _where(error: BaseException) -> str:
    """The place in the manifest that does not follow the CDK's schema, as far as can be told."""
    from jsonschema.exceptions import ValidationError, best_match

    cause = error.__cause__
    found = best_match([cause]) if isinstance(cause, ValidationError) else None
    if found is None:
        return str(error)
    place = ".".join(str(part) for part in found.absolute_path) or "its top level"
    # Without the value: a whole stream may stand there, and what somebody wrote into it.
    if found.validator == "required":
        return f"{place}: {found.message}"
    return f"{place}: breaks {found.validator}: {json.dumps(found.validator_value)[:200]}"


def _fail(message: str) -> int:
    error = {"message": message, "failure_type": "config_error"}
    _say({"type": "TRACE", "trace": {"type": "ERROR", "emitted_at": 0, "error": error}})
    return 1


def _say(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
