"""What is to be done and is being done: runs, their streams and stages, messages to send."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSON, JSONB, UUID

from atlas.ledger.tables.base import ACTIVE, STATUS, identity, metadata, now, time

run = sa.Table(
    "run",
    metadata,
    sa.Column("id", UUID(as_uuid=False), primary_key=True),
    sa.Column("seq", sa.BigInteger, sa.Identity(always=True), nullable=False, unique=True),
    sa.Column(
        "connection_id",
        sa.BigInteger,
        sa.ForeignKey("pipeline.connection.id", ondelete="SET NULL"),
        index=True,
    ),
    sa.Column("connection", sa.Text, nullable=False),
    sa.Column("trigger", sa.Text, nullable=False),
    sa.Column("full_refresh", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("selected", ARRAY(sa.Text), comment="streams asked for; NULL: all of the connection"),
    sa.Column("policy", JSONB, comment="the pii policy it goes by: as it was when it was made"),
    sa.Column("status", sa.Text, nullable=False, server_default="queued"),
    sa.Column(
        "repaired",
        sa.BigInteger,
        nullable=False,
        server_default="0",
        comment="values with NUL or lone surrogates that were mended to be stored",
    ),
    sa.Column(
        "ignored",
        sa.BigInteger,
        nullable=False,
        server_default="0",
        comment="records of streams that were not asked for",
    ),
    sa.Column(
        "retries",
        sa.Integer,
        nullable=False,
        server_default="0",
        comment="how often a user had it resumed after it had ended",
    ),
    *(
        sa.Column(
            f"rows_{name}",
            sa.BigInteger,
            nullable=False,
            server_default="0",
            comment="of its streams together, as of its end",
        )
        for name in ("explore", "promoted", "quarantined")
    ),
    sa.Column(
        "log_lines",
        sa.BigInteger,
        nullable=False,
        server_default="0",
        comment="number of the last line of its log",
    ),
    sa.Column("error", sa.Text),
    sa.Column("created_at", time, nullable=False, server_default=now),
    sa.Column("started_at", time),
    sa.Column(
        "extracted_at",
        time,
        comment="valid_from of what this run brings; set once, later than any earlier run's",
    ),
    sa.Column("finished_at", time),
    sa.CheckConstraint(STATUS, name="status"),
    sa.Index("run_one_active", "connection_id", unique=True, postgresql_where=sa.text(ACTIVE)),
    sa.Index("run_of_connection", "connection", "seq"),
    sa.Index(
        "run_succeeded", "connection", "seq", postgresql_where=sa.text("status = 'succeeded'")
    ),
    sa.Index("run_by_status", "status", "seq"),
    sa.Index("run_by_end", "finished_at"),
)


run_stream = sa.Table(
    "run_stream",
    metadata,
    identity(),
    sa.Column(
        "run_id",
        UUID(as_uuid=False),
        sa.ForeignKey("pipeline.run.id", ondelete="CASCADE"),
        nullable=False,
    ),
    sa.Column("namespace", sa.Text, nullable=False, server_default="", comment="'' for none"),
    sa.Column("stream", sa.Text, nullable=False),
    # Not jsonb, which would put the properties of the schema into an order of its own.
    sa.Column("configured", JSON, nullable=False, comment="schema, sync mode, cursor, key"),
    sa.Column("status", sa.Text, nullable=False, server_default="queued"),
    sa.Column(
        "explored_at", time, comment="when the source had read it to its end; NULL: it has not"
    ),
    sa.Column("rows_explore", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column(
        "rows_estimate", sa.BigInteger, comment="rows that its source expects; NULL: not said"
    ),
    sa.Column(
        "rows_carried",
        sa.BigInteger,
        nullable=False,
        server_default="0",
        comment="rows of earlier runs that never came to chart, taken along by this one",
    ),
    sa.Column(
        "carries_refresh",
        sa.Boolean,
        nullable=False,
        server_default=sa.false(),
        comment="whether those begin with a complete refresh",
    ),
    sa.Column("rows_promoted", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("rows_quarantined", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("rows_superseded", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("rows_tombstones", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("rows_deleted", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column(
        "rows_erased",
        sa.BigInteger,
        nullable=False,
        server_default="0",
        comment="rows read that were erased, or held back as such, before they came to chart",
    ),
    sa.Column("versions_opened", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("versions_closed", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column(
        "remasked",
        JSONB,
        comment="rows by layer that were masked anew, and those without a raw row; NULL: a sync",
    ),
    sa.Column(
        "token_key",
        sa.Integer,
        comment="number of the key that it makes tokens with; NULL: that of its tables",
    ),
    sa.Column("error", sa.Text),
    sa.UniqueConstraint("run_id", "namespace", "stream"),
    # What a stream's last runs say is asked by whoever looks at a dataset.
    sa.Index("run_stream_stream", "stream", "namespace", "id"),
    sa.CheckConstraint(STATUS, name="status"),
)


stage_run = sa.Table(
    "stage_run",
    metadata,
    identity(),
    sa.Column(
        "run_id",
        UUID(as_uuid=False),
        sa.ForeignKey("pipeline.run.id", ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
    sa.Column(
        "run_stream_id",
        sa.BigInteger,
        sa.ForeignKey("pipeline.run_stream.id", ondelete="CASCADE"),
        comment="NULL for explore, which belongs to the run",
    ),
    sa.Column("stage", sa.Text, nullable=False),
    sa.Column("position", sa.SmallInteger, nullable=False),
    sa.Column("status", sa.Text, nullable=False, server_default="queued"),
    sa.Column("attempt", sa.Integer, nullable=False, server_default="0"),
    sa.Column("fence", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("holder", sa.Text),
    sa.Column("lease_until", time),
    sa.Column("next_attempt_at", time),
    sa.Column("dispatched_at", time),
    sa.Column(
        "dispatches",
        sa.Integer,
        nullable=False,
        server_default="0",
        comment="messages since it was claimed last",
    ),
    sa.Column(
        "counts_from",
        sa.BigInteger,
        nullable=False,
        server_default="0",
        comment="attempts up to this fence no longer count: they got on, or a user retried",
    ),
    sa.Column(
        "parked",
        sa.Boolean,
        nullable=False,
        server_default=sa.false(),
        comment="running without a holder, while its parts are worked on",
    ),
    sa.Column("parts_left", sa.Integer, comment="parts that a parked stage waits for"),
    sa.Column("started_at", time),
    sa.Column("finished_at", time),
    sa.Column("rows", sa.BigInteger),
    sa.Column("error", sa.Text),
    sa.CheckConstraint(STATUS, name="status"),
    sa.Index(
        "stage_run_of_run",
        "run_id",
        "stage",
        unique=True,
        postgresql_where=sa.text("run_stream_id IS NULL"),
    ),
    sa.Index(
        "stage_run_of_stream",
        "run_stream_id",
        "stage",
        unique=True,
        postgresql_where=sa.text("run_stream_id IS NOT NULL"),
    ),
    sa.Index("stage_run_unfinished", "status", postgresql_where=sa.text(ACTIVE)),
)


attempt = sa.Table(
    "attempt",
    metadata,
    identity(),
    sa.Column(
        "stage_run_id",
        sa.BigInteger,
        sa.ForeignKey("pipeline.stage_run.id", ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
    sa.Column("fence", sa.BigInteger, nullable=False),
    sa.Column("holder", sa.Text, nullable=False),
    sa.Column("started_at", time, nullable=False, server_default=now),
    sa.Column("finished_at", time),
    sa.Column(
        "outcome",
        sa.Text,
        comment="succeeded, failed, blocked, cancelled, retry, lost, handed_back",
    ),
    sa.Column("cause", sa.Text, comment="of a retry: the kind of error, whose attempts are capped"),
    sa.Column("error", sa.Text),
    comment="what became of each claim of a stage",
)


run_log = sa.Table(
    "run_log",
    metadata,
    sa.Column(
        "run_id",
        UUID(as_uuid=False),
        sa.ForeignKey("pipeline.run.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    sa.Column(
        "line",
        sa.BigInteger,
        primary_key=True,
        autoincrement=False,
        comment="counted by run.log_lines: in the order of their commits",
    ),
    sa.Column("at", time, nullable=False, server_default=now),
    sa.Column("level", sa.Text, nullable=False),
    sa.Column("origin", sa.Text, nullable=False, comment="who says so"),
    sa.Column("stage", sa.Text, comment="NULL: the run as a whole"),
    sa.Column("run_stream_id", sa.BigInteger, comment="NULL: no stream's"),
    sa.Column("attempt", sa.Integer),
    sa.Column("worker", sa.Text, comment="host and pid of who worked"),
    sa.Column("message", sa.Text, nullable=False, comment="one line, redacted"),
    sa.CheckConstraint("level IN ('debug', 'info', 'warning', 'error')", name="level"),
    sa.CheckConstraint("origin IN ('atlas', 'connector')", name="origin"),
    comment="the log of each run; bounded, and gone with it",
)


segment = sa.Table(
    "segment",
    metadata,
    identity(),
    sa.Column(
        "run_stream_id",
        sa.BigInteger,
        sa.ForeignKey("pipeline.run_stream.id", ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
    sa.Column("first_id", sa.BigInteger, nullable=False),
    sa.Column("last_id", sa.BigInteger, nullable=False),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("covered", sa.Boolean, nullable=False, comment="whether a state covers them"),
    sa.Column("committed_at", time, nullable=False, server_default=now),
    comment="rows of explore that one checkpoint committed, as a range of _atlas_id",
)


scan_part = sa.Table(
    "scan_part",
    metadata,
    identity(),
    sa.Column(
        "run_stream_id",
        sa.BigInteger,
        sa.ForeignKey("pipeline.run_stream.id", ondelete="CASCADE"),
        nullable=False,
    ),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("run_id", UUID(as_uuid=False), nullable=False, comment="the run that read the rows"),
    sa.Column("first_id", sa.BigInteger, nullable=False),
    sa.Column("last_id", sa.BigInteger, nullable=False),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("status", sa.Text, nullable=False, server_default="to_study"),
    sa.Column("evidence", JSONB, comment="what the study counted; never a value"),
    sa.Column("studied_by", sa.Text, comment="a holder that remembers what it found"),
    sa.Column("reserved_until", time, comment="until then only that one is to mask it"),
    sa.Column("fence", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("holder", sa.Text),
    sa.Column("lease_until", time),
    sa.Column("next_attempt_at", time),
    sa.Column("failures", sa.Integer, nullable=False, server_default="0"),
    sa.Column("error", sa.Text, comment="of the last failure"),
    sa.UniqueConstraint("run_stream_id", "position"),
    sa.CheckConstraint("status IN ('to_study', 'studied', 'to_mask', 'masked')", name="status"),
    sa.Index(
        "scan_part_waiting",
        "status",
        postgresql_where=sa.text("status IN ('to_study', 'to_mask')"),
    ),
    comment="a range of a stream's rows that one worker scans at a time",
)

tick = sa.Table(
    "tick",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("at", time, nullable=False),
    comment="when each periodic piece of work was done last, whoever did it",
)

worker = sa.Table(
    "worker",
    metadata,
    sa.Column("name", sa.Text, primary_key=True, comment="its Celery node"),
    sa.Column("queues", ARRAY(sa.Text), nullable=False),
    sa.Column("beat_at", time, nullable=False, server_default=now),
    comment="workers, and when a process of each said last that it lives",
)

outbox = sa.Table(
    "outbox",
    metadata,
    identity(),
    sa.Column("kind", sa.Text, nullable=False, comment="run, stream, scan or operation"),
    sa.Column(
        "ref", sa.Text, nullable=False, comment="id of the run, the run_stream or the operation"
    ),
    sa.Column("due_at", time, nullable=False, server_default=now, index=True),
    sa.Column("created_at", time, nullable=False, server_default=now),
    sa.UniqueConstraint("kind", "ref"),
    comment="messages to be sent; deleted when the broker took them",
)
