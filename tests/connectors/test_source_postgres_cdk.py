"""Airbyte's own standard tests on what source-postgres prints.

The suite runs a connector of the CDK in process, which this is not; the checks that its tests end
in are called on the output of the program.
"""

from __future__ import annotations

import json
import subprocess
import warnings
from pathlib import Path

from atlas.settings import Settings
from tests.connectors.postgres_source import Database

with warnings.catch_warnings():
    # Its own: importing it says that a part of it is experimental.
    warnings.simplefilter("ignore")
    from airbyte_cdk.models import (
        AirbyteStream,
        ConfiguredAirbyteCatalog,
        ConfiguredAirbyteStream,
        DestinationSyncMode,
        SyncMode,
        Type,
    )
    from airbyte_cdk.test.entrypoint_wrapper import EntrypointOutput
    from airbyte_cdk.test.standard_tests._catalog_checks import find_catalog_problems
    from airbyte_cdk.test.standard_tests._read_assertions import assert_read_records
    from airbyte_cdk.test.standard_tests._spec_lint import assert_spec_is_valid, get_single_spec


def test_airbytes_own_checks(database_url: str, settings: Settings, tmp_path: Path) -> None:
    source = Database(database_url, settings)
    source.execute(
        "CREATE TABLE t (id int PRIMARY KEY, n numeric, at timestamptz, d date, doc jsonb,"
        " tags text[], name text NOT NULL, flag boolean, t time);"
        "INSERT INTO t VALUES (1, 1.5, now(), now(), '{\"a\": [1]}', '{x}', 'y', true, '10:00'),"
        " (2, NULL, NULL, NULL, NULL, NULL, '', NULL, NULL)"
    )

    def ask(verb: str, **files: object) -> EntrypointOutput:
        arguments = [*source.connector.command, verb]
        for name, content in files.items():
            path = tmp_path / f"{name}.json"
            path.write_text(json.dumps(content))
            arguments += [f"--{name}", str(path)]
        done = subprocess.run(arguments, capture_output=True, text=True, check=True)
        return EntrypointOutput(messages=done.stdout.splitlines())

    spec = get_single_spec(ask("spec"), connector_name="source-postgres")
    assert_spec_is_valid(spec, connector_name="source-postgres")

    (message,) = ask("discover", config=source.config).get_message_by_types([Type.CATALOG])
    catalog = message.catalog
    assert find_catalog_problems(catalog) == {}

    (stream,) = catalog.streams
    assert isinstance(stream, AirbyteStream)
    configured = ConfiguredAirbyteCatalog(
        streams=[
            ConfiguredAirbyteStream(
                stream=stream,
                sync_mode=SyncMode.full_refresh,
                destination_sync_mode=DestinationSyncMode.append_dedup,
            )
        ]
    )
    plain = {
        "streams": [
            {
                "stream": {"name": "t", "namespace": "public", "json_schema": stream.json_schema},
                "sync_mode": "full_refresh",
                "destination_sync_mode": "append_dedup",
            }
        ]
    }
    output = ask("read", config=source.config, catalog=plain)
    assert_read_records(
        records=output.records_iterator,
        configured_catalog=configured,
        require_records_per_stream=True,
        validate_schema=True,
    )
    assert output.is_not_in_logs("ERROR")
    assert not output.errors
