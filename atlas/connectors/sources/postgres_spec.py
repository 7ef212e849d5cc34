"""The configuration of ``source-postgres``. Its names are those of Airbyte's source of that name
where it has them, so that a configuration carries over."""

from __future__ import annotations

from typing import Any

_PEM = {"type": "string", "multiline": True}


def _ssl(mode: str, title: str, **files: dict[str, Any]) -> dict[str, Any]:
    required = ["mode", *(["ca_certificate"] if "ca_certificate" in files else [])]
    return {
        "title": title,
        "type": "object",
        "required": required,
        "properties": {"mode": {"type": "string", "const": mode}, **files},
    }


_CERTIFICATES: dict[str, dict[str, Any]] = {
    "ca_certificate": {"title": "CA certificate", **_PEM},
    "client_certificate": {"title": "Client certificate", "airbyte_secret": True, **_PEM},
    "client_key": {"title": "Client key", "airbyte_secret": True, **_PEM},
    "client_key_password": {
        "title": "Client key's password",
        "type": "string",
        "airbyte_secret": True,
    },
}

SPEC: dict[str, Any] = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "title": "PostgreSQL",
    "type": "object",
    "required": ["host", "database", "username"],
    "additionalProperties": True,
    "properties": {
        "host": {
            "title": "Host",
            "description": "Name or address of the server, or the directory of its Unix socket.",
            "type": "string",
            "order": 0,
        },
        "port": {
            "title": "Port",
            "type": "integer",
            "minimum": 0,
            "maximum": 65535,
            "default": 5432,
            "order": 1,
        },
        "database": {"title": "Database", "type": "string", "order": 2},
        "schemas": {
            "title": "Schemas",
            "description": "The schemas whose tables and views are streams.",
            "type": "array",
            "items": {"type": "string"},
            "minItems": 1,
            "uniqueItems": True,
            "default": ["public"],
            "order": 3,
        },
        "username": {
            "title": "User",
            "description": "A role that may read and nothing else is best.",
            "type": "string",
            "order": 4,
        },
        "password": {"title": "Password", "type": "string", "airbyte_secret": True, "order": 5},
        "ssl_mode": {
            "title": "SSL",
            "description": "As libpq's sslmode; prefer, if it is left out.",
            "type": "object",
            "order": 6,
            "oneOf": [
                _ssl("disable", "disable"),
                _ssl("allow", "allow"),
                _ssl("prefer", "prefer"),
                _ssl("require", "require"),
                _ssl("verify-ca", "verify-ca", **_CERTIFICATES),
                _ssl("verify-full", "verify-full", **_CERTIFICATES),
            ],
        },
        "replication_method": {
            "title": "Replication method",
            "description": "By a cursor, which is all that this source can.",
            "type": "object",
            "required": ["method"],
            "properties": {"method": {"type": "string", "const": "Standard"}},
            "order": 7,
        },
        "tunnel_method": {
            "title": "Tunnel",
            "description": "None, which is all that this source can.",
            "type": "object",
            "required": ["tunnel_method"],
            "properties": {"tunnel_method": {"type": "string", "const": "NO_TUNNEL"}},
            "order": 8,
        },
        "lookback_seconds": {
            "title": "Look back: seconds",
            "description": "For cursors that are dates or timestamps: an incremental read begins "
            "so long before the value reached, for rows whose transaction committed late.",
            "type": "integer",
            "minimum": 0,
            "default": 0,
            "order": 9,
        },
        "lookback_values": {
            "title": "Look back: values",
            "description": "The same for cursors that are whole numbers: so many below the value "
            "reached.",
            "type": "integer",
            "minimum": 0,
            "default": 0,
            "order": 10,
        },
    },
}
