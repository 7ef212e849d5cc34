"""Embedded PostgreSQL and Redis, and the process group that ``atlas up`` runs.

:mod:`~atlas.local.stack` is what the command line calls (up, down, status), and has ``Stack``,
which runs the whole of it in the calling process;
:mod:`~atlas.local.postgres` and :mod:`~atlas.local.redis` run one server each.
"""
