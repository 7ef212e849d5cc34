"""Columns of names that no list has, or with more around them, and things written alike."""

from __future__ import annotations

from itertools import cycle, islice, product

import pytest

from atlas.pii import people
from atlas.pii.scanner import Scanner
from tests.pii.tables import full_names, values_found, verdicts

NAMES = full_names(60)


def _pairs(first: str, second: str, between: str = " ") -> list[str]:
    pairs = product(first.split(), second.split())
    return [f"{one}{between}{other}" for one, other in pairs]


def _found(scanner: Scanner, values: list[str], name: str = "c4") -> str | None:
    return values_found(verdicts(scanner, {name: values})).get(name)


@pytest.mark.parametrize(
    "written",
    [
        "{} (85489)",
        "{} [E9269]",
        "139071 - {}",
        "079979 {}",
        "{} / 237109",
        "{} (Sales)",
        "{} (née Osborne)",
        "Name: {}",
        "{}, MD",
        '"{}"',
    ],
)
def test_a_name_is_one_whatever_stands_around_it(scanner: Scanner, written: str) -> None:
    assert _found(scanner, [written.format(name) for name in NAMES]) == "PERSON"


@pytest.mark.parametrize("between", ["^", "<<", "$"])
def test_fields_of_a_name_are_read_apart(scanner: Scanner, between: str) -> None:
    fields = [between.join(reversed(name.upper().split(" ", 1))) for name in NAMES]
    assert _found(scanner, fields) == "PERSON"


@pytest.mark.parametrize("between", ["; ", "|", " & ", " and "])
def test_several_names_in_a_cell_are_masked_whole(scanner: Scanner, between: str) -> None:
    lists = [between.join(pair) for pair in zip(NAMES, NAMES[7:], strict=False)]
    assert _found(scanner, lists) == "PERSON"


@pytest.mark.parametrize(
    "values",
    [
        _pairs("Vaishnavi Raghavendra Jagdish Sowmya", "Venkataraman Iyer Deshpande Naidu Trivedi"),
        _pairs("Zhang Wang Ouyang Deng", "Xiaoming Weihong Jianguo Zhiqiang Ruoxi"),
        _pairs("Eleftheria Panagiotis Chrysoula Despina", "Stavropoulou Vlachos Zografou Raptis"),
    ],
)
def test_names_that_no_list_has(scanner: Scanner, values: list[str]) -> None:
    assert _found(scanner, values) == "PERSON"
    assert _found(scanner, values, "NAME1") == "PERSON"


@pytest.mark.parametrize(
    "values",
    [
        _pairs("K. M. J.-P. A.B.", "Kowalski Abernathy Delacroix Ferreira Haugen"),
        _pairs("Kowalski Abernathy Delacroix Ferreira Haugen", "K. M. J. A.", ", "),
        _pairs("Kowalski Abernathy Delacroix Ferreira Haugen", "K. M. J. A."),
    ],
)
def test_surnames_with_initials(scanner: Scanner, values: list[str]) -> None:
    assert _found(scanner, values) == "PERSON"


@pytest.mark.parametrize(
    "values",
    [
        _pairs("王 李 欧阳 陈", "伟 秀英 敏 志强 磊", ""),
        _pairs("김 이 박 최", "민준 서연 지훈 혜진", ""),
        _pairs("佐藤 鈴木 高橋 田中", "太郎 花子 健一 美咲"),
        _pairs("サトウ スズキ ワタナベ タナカ", "タロウ ハナコ ケンイチ ミサキ"),
    ],
)
def test_names_in_scripts_without_spaces(scanner: Scanner, values: list[str]) -> None:
    assert _found(scanner, values) == "PERSON"


@pytest.mark.parametrize(
    "values",
    [
        _pairs("Solar Rapid Nordic Urban", "Desk Kettle Router Tent Lamp"),
        [f"{name} (8548{n})" for n, name in enumerate(_pairs("Solar Urban", "Desk Kettle Tent"))],
        _pairs("Borussia Dinamo Lokomotiv Slavia", "Dortmund Zagreb Plovdiv Praha"),
        _pairs("Zylker Quantex Novatek Omnira", "Solvera Plexor Vireo Holdex"),
        _pairs("Color: Size: Material:", "Red Large Cotton Blue Linen"),
        _pairs("A. B. C. D.", "Class Grade Series Type"),
        _pairs("Red Blue Green Black", "White Yellow Grey Orange", "; "),
        _pairs("红色 电动 不锈钢 儿童", "外套 水壶 书包 办公桌", ""),
        _pairs("전기 무선 빨간 작은", "주전자 이어폰 소파 책상"),
        ["财务部", "人事部", "销售部", "技术部", "采购部", "法务部", "行政部", "市场部"],
    ],
)
def test_things_that_are_written_alike_stay(scanner: Scanner, values: list[str]) -> None:
    assert _found(scanner, list(islice(cycle(values), 60))) is None
    assert _found(scanner, list(islice(cycle(values), 60)), "name") is None


def test_codes_of_customers_are_nobodys_names(scanner: Scanner) -> None:
    table = {"customer_no": [f"C-{100231 + n}" for n in range(60)], "surname": NAMES}
    assert values_found(verdicts(scanner, table)) == {"surname": "PERSON"}


def test_what_stands_around_a_name() -> None:
    assert people.alone("Patient: Anna Kowalski (12345)") == "Anna Kowalski"
    assert people.alone("KOWALSKI^ANNA^^^") == "KOWALSKI, ANNA"
    assert people.alone("Anna Kowalski, PhD, MBA") == "Anna Kowalski"
    assert people.alone("C-100231") == "C-100231"
    assert people.several("Anna & Peter Kowalski") == ["Anna", "Peter Kowalski"]
    assert people.full_alone("Anna & Peter Kowalski")
    assert not people.full_alone("Anna & Peter")
