"""A person is sought: the same text is found in whatever case and Unicode form it is written."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from typing import Any

import pytest

from atlas.layers import subjects
from atlas.layers.hashing import hash_key
from atlas.layers.subjects import Sought, Subject

MAKE = Callable[..., Any]
TEXT = {"type": "string"}
TYPES = {"id": {"type": "integer"}, "email": TEXT, "name": TEXT, "extra": {"type": "object"}}


def nfd(text: str) -> str:
    return unicodedata.normalize("NFD", text)


@pytest.fixture
def find(make: MAKE) -> Callable[..., set[int]]:
    """The ids of the rows of ``records`` that a search finds, the same in every layer."""

    def found(records: list[dict[str, Any]], *identifiers: str, contains: bool = False) -> set[int]:
        stream = make(TYPES, primary_key=(("id",),))
        stream.run([{"id": n, **record} for n, record in enumerate(records)])
        cur = stream.cur
        hash_key(cur, b"secret")
        # Each layer alone, so that none finds what another one missed.
        sets = []
        for column, table in (
            ("(x.data->>'id')::int", ("explore", stream.tables.raw)),
            ("x.id", ("chart", stream.tables.table)),
            ("x.id", ("navigate", stream.tables.table)),
        ):
            subjects.seek(cur, Sought(identifiers, (), contains))
            subject = Subject(
                cur, "shop", stream.tables, stream.last[0], stream.primary_key, stream.cursor_field
            )
            layer = table[0]
            subject.layers = {layer: subject.layers[layer]}
            subject.search((), lambda text: ())
            number = "surrogate_key" if layer == "navigate" else "_atlas_id"
            cur.execute(
                f"SELECT {column} FROM {table[0]}.{table[1]} x"
                f" JOIN pg_temp._atlas_subject_{layer} f ON f.id = x.{number}"
            )
            sets.append({number for (number,) in cur.fetchall()})
        assert sets[0] == sets[1] == sets[2], sets
        return sets[0]

    return found


def test_an_address_in_any_case_and_form(find: Any) -> None:
    address = "jörg.σοφός@müller-ßen.de"
    spelled = [
        address,
        address.swapcase().replace("SS", "ẞ"),
        nfd(address),
        nfd(address.replace("σοφός", "ΣΟΦΌΣ")),
    ]
    records = [{"email": each} for each in spelled]
    records += [{"email": "jorg.σοφός@muller-ßen.de"}, {"extra": {"mails": [f" {nfd(address)} "]}}]
    records += [{"extra": {nfd(address).upper().replace("SS", "ß"): 1}}]
    for sought in (address, nfd(address), address.replace("ö", "Ö")):
        assert find(records, sought) == {0, 1, 2, 3, 5, 6}


def test_a_name_in_any_form_but_its_own_case(find: Any) -> None:
    name = "José García"
    records = [{"name": name}, {"name": nfd(name)}, {"extra": {"a": [nfd(name)]}}]
    records += [{"name": "Jose Garcia"}, {"name": name.upper()}]
    for sought in (name, nfd(name)):
        assert find(records, sought) == {0, 1, 2}


def test_in_the_midst_of_a_text(find: Any) -> None:
    name, address = "José (García)", "jörg@müller.de"
    records = [
        {"name": f"says {nfd(name)}."},
        {"name": f"says {name}, too"},
        {"name": f"ask {nfd(address).upper()}!"},
        {"name": f"ask {address}x"},
        {"extra": {"a": f'"{address.upper()}"'}},
        {"name": f"says {name.upper()}"},
    ]
    assert find(records, nfd(name), contains=True) == {0, 1}
    assert find(records, address, contains=True) == {2, 4}
    assert find(records, address.upper(), name, contains=True) == {0, 1, 2, 4}


def test_what_is_ascii_is_found_among_what_is_not(find: Any) -> None:
    records = [{"email": "ANN@example.com", "name": "Jörg"}, {"email": "ann@example.com"}]
    assert find(records, "ann@Example.com") == {0, 1}
    assert find(records, "ann@Example.com", "jörg@müller.de") == {0, 1}
