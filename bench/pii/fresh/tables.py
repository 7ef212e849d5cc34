"""The fresh tables and sparse texts of a half, in the common form."""

from __future__ import annotations

from random import Random

from bench.pii.fresh import dev, held, lists
from bench.pii.fresh.row import Form, Row, broken, encoded, escaped, table, wide
from bench.pii.model import Builder, Table
from bench.pii.sparse import SIZES
from bench.pii.words import Half

_TABLES = {"dev": dev.TABLES, "held": held.TABLES}
_FORMS: tuple[Form | None, ...] = (None,) * 12 + (escaped, encoded, wide, broken)


def build(half: Half, seed: int, rows: int) -> list[Table]:
    """All tables, ``rows`` rows each, the same for the same arguments."""
    return [
        table(half, seed, name, rows, make, locales)
        for name, (make, locales) in _TABLES[half].items()
    ]


def sparse(half: Half, seed: int, scale: float = 1.0) -> dict[str, Table]:
    """Texts of all languages and styles by how rare what is personal is in them.

    Sizes and rates are those of :data:`bench.pii.sparse.SIZES`; one cell in four is encoded in some
    way: as HTML, as a form sends it, in full width, with lines broken.
    """
    return {
        name: _texts(Random(f"fresh/{half}/{seed}/{name}"), half, name, one_in, scale)
        for name, (one_in, _) in SIZES.items()
    }


def _texts(rng: Random, half: Half, name: str, one_in: int, scale: float) -> Table:
    count = max(int(SIZES[name][1] * scale), one_in)
    personal = set(rng.sample(range(count), count // one_in))
    builder = Builder(f"sparse {name}", "id", {"id": "bigint", "body": "text"})
    for number in range(count):
        row = Row(rng, half, number)
        language, style = rng.choice(lists.styles(half))
        share = float(number in personal)
        cell = row.text((language,), style, share, rng.choice(_FORMS))
        builder.add({"id": number + 1, "body": cell})
    return builder.table()
