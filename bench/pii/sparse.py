"""Free-text columns in which something personal is rare: one cell in 100, in 1,000, in 5,000.

A table has a key and one column of short texts in English, German and Spanish. Which cells hold
something is drawn, and how many are fixed by the rate. Seven in ten of them hold what is known by
its shape, the others a name, an address or a telephone number.
"""

from __future__ import annotations

from random import Random

from bench.pii import prose
from bench.pii.model import Builder, Table
from bench.pii.words import Half
from bench.pii.words import kinds as spoken

SIZES = {"1 %": (100, 12_000), "0.1 %": (1_000, 20_000), "0.02 %": (5_000, 40_000)}
"""Rows in how many of which one is personal, by the rate's name."""
_LANGUAGES = ("en", "de", "es")
_KINDS = {
    "email": 3.0,
    "card": 1.5,
    "iban": 2.0,
    "crypto": 0.7,
    "person": 2.5,
    "phone": 1.2,
    "address": 0.6,
    "nid": 0.4,
    "ip": 0.6,
}


def build(half: Half, seed: int, scale: float = 1.0) -> dict[str, Table]:
    """The tables by the name of their rate; ``scale`` makes them smaller."""
    tables = {}
    for name, (one_in, rows) in SIZES.items():
        rng, count = Random(f"{half}/{seed}/{name}"), max(int(rows * scale), one_in)
        personal = set(rng.sample(range(count), count // one_in))
        builder = Builder(f"sparse {name}", "id", {"id": "bigint", "comment": "text"})
        for number in range(count):
            language = rng.choices(_LANGUAGES, (6, 2, 2))[0]
            kinds: tuple[str, ...] = ()
            if number in personal:
                known = [kind for kind in _KINDS if kind in spoken(language)]
                kinds = tuple(rng.choices(known, [_KINDS[kind] for kind in known]))
            cell = prose.text(rng, half, language, kinds, 1 if one_in == 5_000 else 2)
            builder.add({"id": number + 1, "comment": cell})
        tables[name] = builder.table()
    return tables
