"""What a row rule means, as SQL: the one definition that Soda counts by and rows are set aside by.

A rule names the rows that fail a check. A NULL satisfies every rule but ``not_null``: whether a
value may be missing is a question of completeness alone.

========== ================================================ =====================================
kind       argument                                         a row fails when
========== ================================================ =====================================
not_null   None                                             the column is NULL
in_set     the allowed values, texts                        its value is none of them
format     a regular expression of PostgreSQL               its text does not match
range      (least, greatest), Decimal or None, inclusive    its number lies outside; NaN counts as
                                                            greater than every number
not_future seconds of tolerance                             its time is later than the row's
                                                            ``_atlas_emitted_at`` by more than that
typed      None                                             ``_atlas_errors`` names the column; for
                                                            column ``_atlas_errors`` itself: names
                                                            any column
========== ================================================ =====================================

A row that marks a deletion says nothing but its key, so only a rule about its key can name it:
``layers`` leaves such rows out, the generated SodaCL does (:mod:`atlas.quality.plan`), and the
user's own does not see them (:mod:`atlas.quality.host`).
``not_future`` compares dates and times without a zone as UTC: the session's ``TimeZone`` is UTC.
"""

from __future__ import annotations

import hashlib
import re

from atlas.model.checks import RowRule

ERRORS = "_atlas_errors"
EMITTED_AT = "_atlas_emitted_at"
DELETED_AT = "_ab_cdc_deleted_at"
"""Column that marks a deletion: such a row has its key and little else."""

_LONGEST = 500


def data_set(stream: str) -> str:
    """What a stream is called in SodaCL and in its SQL: its own name, where both can write it.

    SodaCL knows no quote inside a quoted name; a heading is one line with no blank at its ends, and
    as a key of YAML has up to 1,024 characters, no comment and no value. (PostgreSQL cuts a name at
    63 bytes wherever it stands, so that it stays the same one.)
    """
    name = stream.replace('"', "_")
    plain = name.isprintable() and not re.search(r"^ | $|: | #|[\[\]]", name)
    if plain and 0 < len(name) <= _LONGEST:
        return name
    digest = hashlib.sha256(stream.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{re.sub(r'[^a-z0-9]+', '_', name.lower())[:40].strip('_') or 'stream'}_{digest}"


def identifier(name: str) -> str:
    """``name`` as an identifier in SQL text.

    SodaCL carries SQL as text, and is written where no connection is that the driver's own
    quoting would need. The same goes for :func:`literal`.
    """
    return '"' + name.replace('"', '""') + '"'


def literal(value: str) -> str:
    """``value`` as a string in SQL text, for a session with standard_conforming_strings on."""
    return "'" + value.replace("'", "''") + "'"


def failing(rule: RowRule) -> str:
    """SQL condition that is true for the rows of a staging table that ``rule`` names."""
    column = identifier(rule.column)
    match rule.kind:
        case "not_null":
            return f"{column} IS NULL"
        case "in_set":
            return f"{column} NOT IN ({', '.join(map(literal, rule.argument))})"
        case "format":
            return f"{column} !~ {literal(rule.argument)}"
        case "range":
            least, greatest = rule.argument
            bounds = []
            if least is not None:
                bounds.append(f"{column} < {least:f}")
            if greatest is not None:
                bounds.append(f"{column} > {greatest:f}")
            return " OR ".join(bounds)
        case "not_future":
            seconds = int(rule.argument)
            return f"{column} > {identifier(EMITTED_AT)} + INTERVAL '{seconds} seconds'"
        case "typed" if rule.column == ERRORS:
            return f"{column} IS NOT NULL"
        case "typed":
            return f"jsonb_exists({identifier(ERRORS)}, {literal(rule.column)})"
    raise ValueError(f"row rule {rule.check}: unknown kind {rule.kind}")
