"""What jobs, runs and datasets are called in lineage events.

A dataset in PostgreSQL is named as OpenLineage's naming rules say: namespace
``postgres://{host}:{port}``, name ``{database}.{schema}.{table}``. For Airbyte there is no rule, so
its general one is followed, a namespace that is a URI without a path: ``airbyte://{connector}``.
The name starts with the connection, ``{connection}.{stream}``, because one connector reads many
accounts, and the orders of two shops are not one dataset. Where it is known which table or files
that is, these have a name by the rules too, an :class:`Identity`.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

import psycopg2
from openlineage.client.naming.dataset import LocalFileSystem, Postgres
from psycopg2.extensions import parse_dsn

from atlas.errors import UsageError
from atlas.model.stage import Stage
from atlas.model.stream import StreamKey


@dataclass(frozen=True, slots=True)
class Place:
    """The database that holds the layers, without a user or a password.

    Attributes:
        host: host name or address as the URL has it; "localhost" for a Unix socket.
        port: port number; a Unix socket has one too, in its file's name.
        database: the database's name.
    """

    host: str
    port: int
    database: str

    @property
    def namespace(self) -> str:
        """The namespace of its datasets, ``postgres://host:port``."""
        return f"postgres://{self.host}:{self.port}"

    def name(self, schema: str, table: str) -> str:
        """The name of one of its tables as a dataset, ``database.schema.table``."""
        naming = Postgres(
            host=self.host,
            port=str(self.port),
            database=self.database,
            schema=schema,
            table=table,
        )
        return naming.get_name()


@dataclass(frozen=True, slots=True)
class Identity:
    """What the naming rules call data that are told of under another name.

    Attributes:
        namespace: its namespace.
        name: its name within that.
        type: TABLE or LOCATION, as OpenLineage's own integrations say.
    """

    namespace: str
    name: str
    type: str


def table_identity(host: str, port: int, database: str, schema: str, table: str) -> Identity:
    """A table of any PostgreSQL; ``host`` is one host of the network."""
    there = Place(_in_url(host), port, database)
    return Identity(there.namespace, there.name(schema, table), "TABLE")


def files_identity(path: str) -> Identity:
    """Files of a local file system, by their absolute path."""
    naming = LocalFileSystem(path=path)
    return Identity(naming.get_namespace(), naming.get_name(), "LOCATION")


def place(database_url: str) -> Place:
    """Where ``database_url`` points, as lineage names it.

    A socket's directory is left out: it differs with every ATLAS_HOME and says nothing to a reader
    elsewhere, while a dataset has to keep its name. Of several hosts the first one counts.

    Raises:
        UsageError: it is no URL of a database. The message does not repeat it: it holds a password.
    """
    try:
        parts = parse_dsn(database_url)
    except psycopg2.ProgrammingError:
        parts = {}
    if not parts:
        # Raised out here, without its cause: that one quotes the URL.
        raise UsageError(
            "setting ATLAS_DATABASE_URL: is no URL that PostgreSQL's client library understands"
        )
    host = str(parts.get("host") or parts.get("hostaddr") or "").split(",")[0]
    if not host or host.startswith(("/", "@")):
        host = "localhost"
    port = str(parts.get("port") or "").split(",")[0] or "5432"
    # A URL without a database means the one named like the user, as for every client of libpq.
    database = parts.get("dbname") or parts.get("user")
    if not database:
        raise UsageError("setting ATLAS_DATABASE_URL: names no database, add /NAME to it")
    return Place(_in_url(host), int(port), str(database))


def _in_url(host: str) -> str:
    host = host.lower()
    return f"[{host}]" if ":" in host else host


def namespace(database_url: str) -> tuple[str, str]:
    """The dataset namespace of ``database_url`` and the name of its database; see :func:`place`."""
    here = place(database_url)
    return here.namespace, here.database


def source_namespace(connector: str) -> str:
    """The namespace of what a connector reads; ``connector`` is its name, or its program's."""
    return f"airbyte://{quote(connector, safe='-._~')}"


def source_name(connection: str, stream: StreamKey) -> str:
    """The dataset name of a stream at its source."""
    return ".".join([connection, *_parts(stream)])


def job_name(connection: str, stage: Stage | None = None, stream: StreamKey | None = None) -> str:
    """The job of a sync (``shop``), of its explore (``shop.explore``), of a stream's stage
    (``shop.users.chart``)."""
    names = [connection]
    if stream is not None:
        names += _parts(stream)
    if stage is not None:
        names.append(stage.value)
    return ".".join(names)


def _parts(stream: StreamKey) -> list[str]:
    # Stream "b" of namespace "a" and stream "a.b" of none are two streams, so two names.
    parts = [stream.name] if stream.namespace is None else [stream.namespace, stream.name]
    return [part.replace("%", "%25").replace(".", "%2E") for part in parts]
