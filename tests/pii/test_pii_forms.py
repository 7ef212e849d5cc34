"""How personal data are written: escaped, full-width, broken over lines, in URLs, beside others."""

from __future__ import annotations

import pytest
from presidio_analyzer.predefined_recognizers import PhoneRecognizer

from atlas.pii.chains import eip55, keccak256, paid_to
from atlas.pii.folding import as_read, fold
from atlas.pii.patterns import births, branded, day, handle_like
from atlas.pii.recognizers import IBAN_LENGTHS, PlannedPhoneRecognizer
from atlas.pii.scanner import Scanner
from tests.pii.tables import masked, verdicts


def _masked(scanner: Scanner, text: str, name: str = "note") -> str | None:
    return masked(scanner, {name: [text]}).get(name, [text])[0]


def _wide(text: str) -> str:
    """``text`` in full width."""
    return "".join(chr(ord(char) + 0xFEE0) for char in text)


@pytest.mark.parametrize(
    "written",
    [
        "tove&#64;kirk-mail.example",
        "tove&#x40;kirk-mail.example",
        "tove&commat;kirk-mail.example",
        "tove%40kirk-mail.example",
        f"tove{_wide('@')}kirk-mail.example",
        _wide("tove@kirk-mail.example"),
        "tove@\nkirk-mail.example",
        "tove\n@kirk-mail.example",
        "tove@kirk-mail\n.example",
        "tove@kirk-=\nmail.example",
        "tove@kirk\u200b-mail.example",
        r"tove\u0040kirk-mail.example",
        "tove@ki=C5=99k-mail.example",
        r"tove@ki\\u0159k-mail.example",
    ],
)
def test_an_address_is_masked_however_it_is_written(scanner: Scanner, written: str) -> None:
    assert _masked(scanner, f"ask {written} ok") == "ask <EMAIL_ADDRESS> ok"


@pytest.mark.parametrize(
    "address",
    [
        "jane/roe@example.com",
        "tom&jerry@example.com",
        '"jane roe"@example.com',
        "jane@[192.168.5.44]",
        "jane.doe/sales@example.com",
    ],
)
def test_an_address_is_masked_with_all_of_its_local_part(scanner: Scanner, address: str) -> None:
    assert _masked(scanner, f"write to {address} today") == "write to <EMAIL_ADDRESS> today"


@pytest.mark.parametrize(
    "before", ["https://x.io/u/", "https://x.io/?a=b&to=", "x.io/", "/unsubscribe/", "a=1&to="]
)
def test_what_is_of_a_url_before_an_address_stays(scanner: Scanner, before: str) -> None:
    text = f"see {before}jane@example.com today"
    assert _masked(scanner, text) == f"see {before}<EMAIL_ADDRESS> today"


def test_the_next_line_is_no_part_of_an_address(scanner: Scanner) -> None:
    text = "mail tove@kirk.example\nsee.you there, @tove\nkirk.example"
    assert _masked(scanner, text) == "mail <EMAIL_ADDRESS>\nsee.you there, @tove\nkirk.example"


def test_what_was_folded_is_where_it_was_written() -> None:
    text = "a &amp; b&#64;c%20d " + _wide("e")
    folded = fold(text)
    assert folded is not None
    assert folded.text == "a & b@c d e"
    assert text[slice(*folded.original(4, 7))] == "b&#64;c"
    assert text[slice(*folded.original(10, 11))] == _wide("e")
    assert fold("nothing & nobody; 100% sure") is None


def test_personal_parameters_of_urls_are_masked_and_others_stay(scanner: Scanner) -> None:
    url = (
        "https://shop.example/x?first_name=Xiulan&utm_source=mail&email=xiulan%40kirk.example"
        "&tel=%2B45%2033%2012%2045%2078&page=12&file_name=Anna"
    )
    assert _masked(scanner, url, "referer") == (
        "https://shop.example/x?first_name=<PERSON>&utm_source=mail&email=<EMAIL_ADDRESS>"
        "&tel=<PHONE_NUMBER>&page=12&file_name=Anna"
    )


@pytest.mark.parametrize(
    "iban",
    [
        "BE68 5390 0754 7034",
        "NO9386011117947",
        "DE89370400440532013000",
        "GB82 WEST 1234 5698 7654 32",
        "NL91ABNA0417164300",
        "de89-3704-0044-0532-0130-00",
    ],
)
def test_an_iban_ends_where_its_country_says(scanner: Scanner, iban: str) -> None:
    assert _masked(scanner, f"pay {iban} please") == "pay <IBAN_CODE> please"
    wrong = iban.replace(iban[-2:], f"{(int(iban[-2:]) + 1) % 100:02}")
    assert _masked(scanner, f"pay {wrong} please") == f"pay {wrong} please"


@pytest.mark.parametrize(
    ("written", "entity"),
    [
        ("4539 1488\n0343 6467", "CREDIT_CARD"),
        ("4539-1488-0343\n6467", "CREDIT_CARD"),
        ("4539\r\n1488 0343 6467", "CREDIT_CARD"),
        ("4539 1488 0343\n> 6467", "CREDIT_CARD"),
        ("3782 822463\n10005", "CREDIT_CARD"),
        ("DE89 3704 0044\n0532 0130 00", "IBAN_CODE"),
        ("DE89 3704 0044 0532 0130\n00", "IBAN_CODE"),
        ("DE89\n3704 0044 0532 0130 00", "IBAN_CODE"),
        ("GB82 WEST\n1234 5698 7654 32", "IBAN_CODE"),
        ("GB82 WEST 1234=\n5698 7654 32", "IBAN_CODE"),
    ],
)
def test_a_number_in_groups_is_masked_over_two_lines(
    scanner: Scanner, written: str, entity: str
) -> None:
    assert _masked(scanner, f"ask {written} ok") == f"ask <{entity}> ok"


@pytest.mark.parametrize(
    "text",
    [
        "orders 4539 1488\n0343 6468 came",
        "4539 1488\n\n0343 6467",
        "rooms 2021 2022\n2023 2024\n2025 2026",
        "45391488\n03436467",
        "AB12 CDEF\n1234 5678 9012 34",
        "sold 33 1245\n7890 pieces",
        "call 0171 2345\n67 times",
        "lot 20 7946\n0958 pcs",
    ],
)
def test_groups_of_digits_in_lines_are_no_number(scanner: Scanner, text: str) -> None:
    assert _masked(scanner, text) == text


def test_lengths_of_ibans() -> None:
    assert len(IBAN_LENGTHS) > 70
    assert (IBAN_LENGTHS["NO"], IBAN_LENGTHS["BE"], IBAN_LENGTHS["MT"]) == (15, 16, 31)


@pytest.mark.parametrize(
    "card",
    [
        "4111 1111 1111 1111",
        "5555-5555-5555-4444",
        "2223003122003222",
        "378282246310005",
        "3782 822463 10005",
        "6011111111111117",
        "3530111333300000",
        "30569309025904",
    ],
)
def test_cards_of_the_brands(scanner: Scanner, card: str) -> None:
    assert _masked(scanner, f"paid with {card} today") == "paid with <CREDIT_CARD> today"


@pytest.mark.parametrize(
    "text",
    [
        "order 4111111111111111 was sent",
        "Sendung Nr. 5555555555554444 kommt",
        "EAN 4006381333931 in stock",
        "barcode 5701234567899 in stock",
        "counted 7992739871300004 of them",
        "trace-4111111111111111-ab",
    ],
)
def test_numbers_of_things_are_no_cards(scanner: Scanner, text: str) -> None:
    assert _masked(scanner, text) == text


def test_older_cards_stand_where_words_say_so(scanner: Scanner) -> None:
    assert _masked(scanner, "limit of card 501800000009 please") == (
        "limit of card <CREDIT_CARD> please"
    )
    assert _masked(scanner, "see 501800000009 please") == "see 501800000009 please"


def test_brands() -> None:
    assert branded("2720990000000007")
    assert not branded("2721000000000004")
    assert not branded("4222222222222")
    assert not branded("9111111111111111")


ETHER = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"


def test_addresses_of_ethereum_stand_by_their_case_or_by_words(scanner: Scanner) -> None:
    assert _masked(scanner, f"sent to {ETHER} ok") == "sent to <CRYPTO> ok"
    lower = ETHER.lower()
    assert _masked(scanner, f"commit {lower} ok") == f"commit {lower} ok"
    assert _masked(scanner, f"my wallet {lower} ok") == "my wallet <CRYPTO> ok"
    swapped = ETHER.replace("aAeb", "AaEB")
    assert _masked(scanner, f"sent to {swapped} ok") == f"sent to {swapped} ok"
    named = masked(scanner, {"wallet": [lower, "0x" + 20 * "0f"]})["wallet"]
    assert named == ["***", "***"]


def test_checksums_of_addresses() -> None:
    assert keccak256(b"").hex().startswith("c5d2460186f7233c927e7db2dcc703c0")
    assert keccak256(b"abc").hex().startswith("4e03657aea45a94fc7d47ba826c8d667")
    assert eip55(ETHER) is True
    assert eip55(ETHER[:-1] + "D") is False
    assert eip55(ETHER.upper().replace("0X", "0x")) is None
    assert paid_to("LM2WMpR1Rp6j3Sa59cMXMs1SPzj9eXpGc1")
    assert not paid_to("LM2WMpR1Rp6j3Sa59cMXMs1SPzj9eXpGc2")


def test_days_of_birth_in_prose(scanner: Scanner) -> None:
    text = "Born 3 March 1980, seen 12/04/2024; geb. 12.03.1975; né le 1er mai 1961."
    assert [text[slice(*place)] for place in births(text)] == [
        "3 March 1980",
        "12.03.1975",
        "1er mai 1961",
    ]
    assert _masked(scanner, "DOB: 1980-02-29, admitted 2024-01-05") == (
        "DOB: <DATE_OF_BIRTH>, admitted 2024-01-05"
    )


def test_days_are_read_in_any_order() -> None:
    assert str(day("29.02.1980")) == str(day("02/29/1980")) == str(day("1980-02-29"))
    assert day("31/02/1980") is None
    for written in (
        "3 May 1980",
        "May 3rd, 1980",
        "3. Mai 1980",
        "3 de mayo de 1980",
        "3 maja 1980",
        "1980\u5e745\u67083\u65e5",
        "1980-05-03T00:00:00Z",
    ):
        assert str(day(written)) == "1980-05-03"
    assert str(day("12 juillet 1980")) == "1980-07-12"
    assert day("Ward 12 1980") is None
    assert day("1980-02-29 12:30:00") is None


@pytest.mark.parametrize("text", ["jane.doe", "mjensen7", "anna_nielsen", "marylopez", "@peter-k"])
def test_user_names_of_names(text: str) -> None:
    assert handle_like(text)


@pytest.mark.parametrize("text", ["coolcat99", "qx1", "svc-backup", "x7", "Anna Nielsen"])
def test_user_names_of_nobody(text: str) -> None:
    assert not handle_like(text)


@pytest.mark.parametrize(
    "text",
    ["versión 1.117.0.9 lista", "upgrade to 12.204.3.1 now", "Springfield, IL 62704-1234"],
)
def test_versions_and_long_postal_codes_stay(scanner: Scanner, text: str) -> None:
    kinds = {each.entity_type for each in verdicts(scanner, {"note": [text]})}
    assert not kinds & {"IP_ADDRESS", "PHONE_NUMBER"}


@pytest.mark.parametrize(
    ("before", "number"),
    [
        ("Sie erreichen ihn unter", "0171 / 2345678"),
        ("Ring her on", "07700 900123"),
        ("su número:", "612 345 678"),
        ("joignable au", "0612345678"),
        ("Ring på tlf.", "33 12 45 78"),
    ],
)
def test_numbers_of_a_country_stand_behind_words_that_lead_up_to_one(
    scanner: Scanner, before: str, number: str
) -> None:
    out = _masked(scanner, f"{before} {number} bitte")
    assert out is not None
    assert out.endswith(" <PHONE_NUMBER> bitte")
    told = f"Auftragsnummer: {number} bitte"
    assert "PHONE_NUMBER" not in {each.entity_type for each in verdicts(scanner, {"note": [told]})}


def test_numbering_plans_find_what_presidio_finds_of_each_region() -> None:
    regions = ("US", "GB", "DE")
    theirs = PhoneRecognizer(supported_regions=regions)
    ours = PlannedPhoneRecognizer(supported_regions=regions)
    for text in (
        "+44 20 7946 0958",
        "0171 2345678",
        "(212) 555-0143",
        "call +49 171 2345678 or 020 7946 0958, ext. 4",
        "no number, 4711",
    ):
        assert {(each.start, each.end) for each in ours.analyze(text, ["PHONE_NUMBER"])} == {
            (each.start, each.end) for each in theirs.analyze(text, ["PHONE_NUMBER"])
        }


_CARD, _IBAN = "4111 1111 1111 1111", "DE89 3704 0044 0532 0130 00"


@pytest.mark.parametrize(
    ("text", "read"),
    [
        (f"a,b\\n{_CARD}\\nc", "a,b\\n<CREDIT_CARD>\\nc"),
        (f"card=3D{_CARD}", "card=3D<CREDIT_CARD>"),
        (f"paid=by&{_CARD.replace(' ', '+')}+on+{_IBAN.replace(' ', '+')}",
         "paid=by&<CREDIT_CARD>+on+<IBAN_CODE>"),
        (f"a {_CARD.replace(' ', chr(9))} b", "a <CREDIT_CARD> b"),
        (f"a {_IBAN.replace(' ', '  ')} b", "a <IBAN_CODE> b"),
        (f"on 2024-05-01 {_CARD} 12:00", "on 2024-05-01 <CREDIT_CARD> 12:00"),
        (f"12 {_CARD.replace(' ', '-')} 34", "12 <CREDIT_CARD> 34"),
        (f"ref: {_CARD}", "ref: <CREDIT_CARD>"),
        (f"is *_{_CARD}_*", "is *_<CREDIT_CARD>_*"),
        (f"is *_{_IBAN}_*", "is *_<IBAN_CODE>_*"),
        ("from:2001:db8:7::9: refused", "from:<IP_ADDRESS>: refused"),
    ],
)  # fmt: skip
def test_a_number_is_masked_whatever_is_written_around_it(
    scanner: Scanner, text: str, read: str
) -> None:
    assert _masked(scanner, text) == read


@pytest.mark.parametrize(
    "text",
    [
        r"C:\new\temp\urgent",  # a path
        "a_4111111111111111 x",  # in a longer code
        "ref: 4111111111111111",  # not as on cards, and said to be something else
        "1234-4111111111111111",
        "id=3DhiKLd4koHiZ5SRFRnFbiF62Ks2RYGNoX",  # no "=" in quoted-printable
    ],
)
def test_what_only_looks_escaped_or_like_a_card_stays(scanner: Scanner, text: str) -> None:
    assert _masked(scanner, text) == text


_LETTER = (
    "we tried to reach the tenant on\n020 7946\n0958 but nobody answered so Dr.\nAbernathy was\n"
    "asked to write\nto them"
)


def test_lines_that_a_machine_cut_are_read_as_one(scanner: Scanner) -> None:
    assert _masked(scanner, _LETTER) == _LETTER.replace("020 7946\n0958", "<PHONE_NUMBER>").replace(
        "Abernathy", "<PERSON>"
    )


@pytest.mark.parametrize(
    "text",
    [
        "Anna Muster\nHauptstr. 5\n10115 Berlin\nGermany",  # an address
        "please call\nus back\n\nRegards,\nTove Kirk\nHead of Sales",  # a signature
        "to buy:\n1. milk\n2. oats\n3. bread",  # a list
    ],
)
def test_lines_that_mean_something_stay_lines(text: str) -> None:
    assert as_read(text) == text
