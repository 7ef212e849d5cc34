"""The data plane in PostgreSQL: names, types, and the set-based SQL of each layer.

Everything here runs on a psycopg2 cursor inside a transaction that the caller opened and commits,
so that an effect and the ledger's record of it are one commit. Nothing here commits.
"""
