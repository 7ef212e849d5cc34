"""The tables of the half that is looked at in detail.

A key is a column and its type, text if none is said. Names are such as systems have them: of many
languages, cut to eight letters, and in ``misc_export`` telling
the contrary of what the column holds.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

from bench.pii.fresh import numbers
from bench.pii.fresh.people import LOCALES
from bench.pii.fresh.row import Row, broken, encoded, escaped, wide
from bench.pii.model import Piece, Text, disputed, mine


def _admissions(r: Row) -> dict[str, Any]:
    return {
        "fallnr:bigint": 770_100 + r.number,
        "patNachname": mine("PERSON", r.who.last),
        "patVorname": mine("PERSON", r.who.first),
        "gebdat:date": r.born(),
        "nhs_or_ssn": r.nid(),
        "station": r.word("ward"),
        "hauptdiagnose": r.word("diagnosis"),
        "icd10": r.word("icd"),
        "medikation": r.word("medicine"),
        "behandelnder_arzt": mine("PERSON", f"Dr. {r.other().name}"),
        "alter_j:bigint": r.rng.randint(1, 97),
        "gewicht_kg:numeric": round(r.rng.uniform(41, 130), 1),
        "famstand": r.word("marital"),
        "aufn_zeit:timestamp without time zone": r.when("%Y-%m-%d %H:%M:%S"),
        "pflegebericht": r.text(("en", "de", "sv"), "clinical", 0.2),
    }


def _bookings(r: Row) -> dict[str, Any]:
    who, title = r.who, r.among("MR", "MRS", "MS")
    passenger = f"{who.last}/{who.first} {title}".upper()
    apis = {
        "docType": r.among("P", "I"),
        "docNo": disputed(r.shaped("?#######")),
        "birth": mine("BIRTH_DATE", who.born.strftime("%d%b%y").upper()),
        "nat": r.word("landcode"),
    }
    return {
        "recloc": r.shaped("??%?%?"),
        "pax_nm": mine("PERSON", passenger),
        "dep": r.word("iata"),
        "destinationAirport": r.word("airport"),
        "acft": r.word("aircraft"),
        "seatNo": f"{r.rng.randint(1, 38)}{r.among(*'ABCDEF')}",
        "meal_cd": r.word("meal"),
        "ctcm": r.mostly(mine("PHONE", who.phone), 0.4),
        "ctce": r.mostly(mine("EMAIL", who.email), 0.3),
        "fare_amt:numeric": r.money(),
        "fare_basis": r.shaped("?%?#RT"),
        "tkt_no": "074-" + r.shaped("##########"),
        "apis:jsonb": apis,
        "std_utc:timestamp with time zone": r.when(),
        "osi_remark": r.mostly(r.text(("en",), "support", 0.1), 0.3),
    }


def _calls(r: Row) -> dict[str, Any]:
    return {
        "cdrId": r.hex(16),
        "a_party": mine("PHONE", r.who.phone),
        "b_party": mine("PHONE", r.other().phone),
        "imei_tac": r.shaped("35######"),
        "dur_s:bigint": r.rng.randint(1, 4_000),
        "tariffPlan": r.word("plan"),
        "relCause": r.word("cause"),
        "handsetModel": r.word("handset"),
        "cell_name": r.among("NORD", "CITY", "HBF", "WEST") + r.shaped("_%##_") + r.among("A", "B"),
        "framed_ip": mine("IP", numbers.ip(r.rng)),
        "bytesDown:bigint": r.rng.randrange(10**9),
        "setup_at": r.when("%d/%m/%Y %H:%M:%S"),
        "roaming_in": r.mostly(r.word("country"), 0.2),
    }


def _salaries(r: Row) -> dict[str, Any]:
    account = numbers.account(r.rng, "fr")
    return {
        "matricule": r.shaped("M%####"),
        "nom_usage": mine("PERSON", r.who.last.upper()),
        "prenom": mine("PERSON", r.who.first),
        "intitule_poste": r.word("job"),
        "direction": r.word("dept"),
        "brut_mensuel:numeric": r.money(9_000),
        "date_entree:date": r.when("%Y-%m-%d"),
        "ddn": r.born("%d/%m/%Y"),
        "nir": r.nid(),
        "coord_bancaires": mine("IBAN", r.among(account, numbers.grouped(account))),
        "courriel_pro": mine("EMAIL", r.who.email),
        "poste_tel": mine("PHONE", r.who.phone),
        "n_plus_1": mine("PERSON", r.other().name),
        "sit_fam": r.word("marital"),
        "convention": r.among("Syntec", "Métallurgie", "HCR", "Bâtiment"),
        "taux_activite": f"{r.among(100, 80, 50)} %",
        "avis_entretien": r.text(("fr",), "review", 0.15),
    }


def _orders(r: Row) -> dict[str, Any]:
    who = r.who
    ship = {
        "nm": mine("PERSON", who.name),
        "ln1": mine("LOCATION", who.street),
        "pc": mine("LOCATION", who.postcode),
        "twn": mine("LOCATION", who.city),
        "ctry": r.word("landcode"),
        "leaveAt": r.among("porch", "neighbour", "parcel box"),
    }
    lines = [
        {"art": r.word("product"), "ean": numbers.ean13(r.rng), "px": r.money(300)}
        for _ in range(r.rng.randint(1, 3))
    ]
    return {
        "ordNo": r.shaped("OR-####-####"),
        "custMail": mine("EMAIL", who.email),
        "shipTo:jsonb": ship,
        "cartLines:jsonb": lines,
        "giftMsg": r.mostly(r.text(("en", "sv"), "chat", 0.1), 0.2),
        "brandName": r.word("brand"),
        "variantColour": r.word("colour"),
        "sellerName": r.word("company"),
        "hsCode": r.shaped("%###.##.##"),
        "parcelTrack": r.shaped("JD0146##########"),
        "shipState": r.word("status"),
        "payToken": "tok_" + r.hex(24),
        "clientIp": mine("IP", numbers.ip(r.rng)),
        "promisedDay": r.word("weekday"),
        "prodBlurb": r.text(("en",), "catalog", 0.0),
        "cardUsed": r.mostly(mine("CARD", numbers.card(r.rng)), 0.04),
    }


def _cases(r: Row) -> dict[str, Any]:
    languages = ("en", "en", "de", "fr", "it", "nl", "sv", "es", "pl")
    transcript = None
    if r.number % 350 == 31:
        transcript = r.long("en", "chat", 50_500)
    elif r.number % 12 == 5:
        transcript = r.dense(languages)
    return {
        "case_ref": r.shaped("CS%######"),
        "headline": r.text(("en",), "support", 0.0),
        "descr": r.text(languages, "support", 0.25),
        "htmlBody": r.mostly(r.text(("en", "de", "fr"), "support", 0.2, escaped), 0.5),
        "rawForm": r.mostly(r.text(("en", "it"), "support", 0.2, encoded), 0.2),
        "fax_ocr": r.mostly(r.text(("en", "de"), "support", 0.4, broken), 0.2),
        "ime_input": r.mostly(r.text(("en",), "support", 0.4, wide), 0.1),
        "handledBy": mine("PERSON", r.other("gb", "us").name),
        "reporterLogin": mine("PERSON", r.who.user),
        "queue_state": r.word("ticketstate"),
        "csat:bigint": r.rng.randint(1, 5),
        "labels_arr:jsonb": [r.word("brand"), r.word("ticketstate")],
        "chatTranscript": transcript,
        "escalated_on": r.mostly(r.word("weekday"), 0.1),
    }


def _gateways(r: Row) -> dict[str, Any]:
    return {
        "devEui": r.hex(16),
        "wifi_hw": mine("MAC", numbers.mac(r.rng, r.among(":", "-"))),
        "fwVer": r.among("1", "2") + "." + r.shaped("#.%#.#"),
        "sensorLabel": r.word("sensor"),
        "uom": r.word("unit"),
        "reading:numeric": round(r.rng.uniform(-20, 1_000), 3),
        "wan_addr": mine("IP", numbers.ip(r.rng)),
        "siteName": f"{r.word('place')} {r.among('DC', 'Plant', 'Depot')} {r.rng.randint(1, 9)}",
        "fitter": mine("PERSON", r.other().name),
        "battery_pct:bigint": r.rng.randint(0, 100),
        "uptime": f"{r.rng.randint(0, 300)}d {r.rng.randint(0, 23)}h",
        "conf:jsonb": {"hb": r.rng.randint(5, 60), "host": r.word("host"), "crc": r.hex(8)},
        "lastErr": r.mostly(r.word("error"), 0.3),
        "seen_epoch:bigint": r.rng.randint(1_600_000_000, 1_700_000_000),
    }


def _loans(r: Row) -> dict[str, Any]:
    return {
        "itemBarcode": r.shaped("3110#########"),
        "isbn13": "978" + numbers.ean13(r.rng)[3:],
        "title_proper": r.word("title"),
        "publ": r.word("company"),
        "pubYear:bigint": r.rng.randint(1890, 2023),
        "shelfmark": r.shaped("%##.## ???"),
        "lezer": mine("PERSON", f"{r.who.last}, {r.who.first}"),
        "lezer_mail": r.mostly(mine("EMAIL", r.who.email), 0.7),
        "woonadres": mine("LOCATION", r.who.address),
        "about": r.word("subject"),
        "due:date": r.when("%Y-%m-%d"),
        "boete:numeric": r.money(20),
        "renewals:bigint": r.rng.randint(0, 5),
        "damageNote": r.mostly(r.text(("nl", "en"), "support", 0.05), 0.3),
    }


def _commits(r: Row) -> dict[str, Any]:
    who = r.who
    author = Text(
        f"{who.name} <{who.email}>", (Piece("PERSON", who.name), Piece("EMAIL", who.email))
    )
    return {
        "sha": r.hex(40),
        "authorIdent": author,
        "pusher": mine("PERSON", r.other().user),
        "msg": r.text(("en",), "commit", 0.08),
        "ref": r.word("branch"),
        "pathsTouched:jsonb": [r.word("path") for _ in range(r.rng.randint(1, 3))],
        "spdx": r.word("license"),
        "tagName": f"v{r.shaped('#.%#.#')}-rc{r.rng.randint(1, 4)}",
        "insertions:bigint": r.rng.randint(0, 900),
        "ciRunner": r.word("host"),
        "ciLogTail": r.text(("en",), "log", 0.03),
        "authored": r.when("%a %b %d %H:%M:%S %Y +0200"),
    }


def _events(r: Row) -> dict[str, Any]:
    traits = {
        "planTier": r.word("plan"),
        "loc": r.among("en_GB", "de_DE", "fr_FR"),
        "em": mine("EMAIL", r.who.email),
        "device": {"model": r.word("handset"), "os": r.among("iOS 16.6", "Android 13")},
    }
    return {
        "evtId": r.uuid(),
        "evtName": r.word("eventname"),
        "screenName": r.word("screen"),
        "anonId": r.uuid(),
        "traits:jsonb": traits,
        "ua": r.word("agent"),
        "srcIp": mine("IP", numbers.ip(r.rng)),
        "referrer": r.word("url"),
        "deeplink": Text(f"myapp://invite?by={r.hex(6)}&src=mail"),
        "buildNo": r.shaped("4.#%.#.1##"),
        "abBucket": r.among("control", "treatment_a", "holdout"),
        "revenue:numeric": r.mostly(r.money(99), 0.2),
        "at:timestamp with time zone": r.when(),
        "searchTerm": r.mostly(r.among(r.word("product").lower(), r.word("brand").lower()), 0.4),
    }


def _policies(r: Row) -> dict[str, Any]:
    return {
        "num_polizza": r.shaped("IT/##/######"),
        "contraente": mine("PERSON", r.who.name),
        "cod_fisc": r.nid(),
        "targa": disputed(r.shaped("??###??")),
        "veicolo": r.word("vehicle"),
        "via_residenza": mine("LOCATION", r.who.street),
        "cap": mine("LOCATION", r.who.postcode),
        "comune": mine("LOCATION", r.who.city),
        "nato_il": r.born("%d-%m-%Y"),
        "premio_annuo:numeric": r.money(),
        "garanzia": r.word("coverage"),
        "compagnia": r.word("company"),
        "classe_bm:bigint": r.rng.randint(1, 18),
        "beneficiario": r.mostly(mine("PERSON", r.other().name), 0.15),
        "decorrenza": r.when("%d/%m/%Y"),
        "nota_perito": r.text(("it",), "support", 0.2),
    }


def _accounts(r: Row) -> dict[str, Any]:
    return {
        "acctKey:bigint": 4_000 + r.number,
        "firma": r.word("company"),
        "contactpersoon": mine("PERSON", r.who.name),
        "functie": r.word("job"),
        "mob": mine("PHONE", r.who.phone),
        "mail": mine("EMAIL", r.who.email),
        "vestigingsplaats": disputed(r.who.city),
        "webadres": f"https://www.{r.word('company').split()[0].lower()}.example/",
        "fase": r.word("stage"),
        "bron": r.word("campaign"),
        "afdeling": r.word("dept"),
        "kvk": r.shaped("%#######"),
        "födelsedag": r.mostly(r.born(), 0.3),
        "gespreksnotitie": r.text(("nl", "sv", "de"), "support", 0.2),
        "minutes_last": r.mostly(r.text(("en", "de", "nl"), "meeting", 0.2), 0.4),
    }


def _codes(r: Row) -> dict[str, Any]:
    return {
        "rowguid": r.uuid(),
        "bic": r.shaped("????DEFF") + r.among("", "XXX"),
        "lei": "5299" + r.shaped("00??##??##??##") + r.shaped("##"),
        "gtin": numbers.ean13(r.rng),
        "farbe": r.word("colour"),
        "maand": r.word("month"),
        "jour": r.word("weekday"),
        "tier": r.word("animal"),
        "cultivar": r.word("plant"),
        "trackTitle": r.word("song"),
        "club": r.word("team"),
        "ingredient": r.word("chemical"),
        "stmt": r.word("sqltext"),
        "stack": r.word("trace"),
        "frag": r.word("snippet"),
        "settingsJson": r.word("config"),
        "filePath": r.word("path"),
        "ctype": r.word("mime"),
        "b64": base64.b64encode(r.rng.randbytes(24)).decode(),
        "store_lat:numeric": round(r.rng.uniform(40, 58), 2),
        "clause": r.text(("en", "de", "fr"), "legal", 0.01),
        "newsline": r.text(("en", "it"), "news", 0.1),
        "userReview": r.text(("en", "fr", "it"), "review", 0.03),
    }


def _kdstamm(r: Row) -> dict[str, Any]:
    return {
        "KDNR:bigint": 10_000_000 + r.number,
        "KDANRED": r.among("Herr", "Frau", "Firma"),
        "KDNAM1": mine("PERSON", f"{r.who.last} {r.who.first}".upper()),
        "KDSTR": mine("LOCATION", r.who.street.upper()),
        "KDPLZ": mine("LOCATION", r.who.postcode),
        "KDORT": mine("LOCATION", r.who.city.upper()),
        "KDTEL1": mine("PHONE", r.who.phone),
        "KDTEL2": r.mostly(mine("PHONE", wide(r.other().phone)), 0.05),
        "KDGEBD": r.born("%Y%m%d"),
        "KDMAHN:bigint": r.rng.randint(0, 3),
        "KDBRSCH": r.word("dept"),
        "KDUMS1": f"{r.money():.2f}".replace(".", ","),
        "KDKZ7": r.among("J", "N", "X"),
        "KDANLDT": r.when("%Y%m%d"),
        "KDBEM": r.mostly(r.text(("de",), "support", 0.15), 0.3),
    }


def _misc(r: Row) -> dict[str, Any]:
    return {
        "pk:bigint": r.number,
        "name": r.word("product"),
        "email": r.among("opt-in", "opt-out", "unknown"),
        "address": "0x" + r.hex(12),
        "phone": r.word("handset"),
        "city": r.word("team"),
        "last_name": r.word("path").rsplit("/", 1)[-1],
        "owner": r.word("company"),
        "ip": r.among("static", "dhcp", "pool-b"),
        "birthday": r.word("campaign"),
        "contact": r.among("by post", "none", "weekly"),
        "value1": mine("PERSON", r.who.name),
        "attr2": mine("EMAIL", r.who.email),
        "ref3": mine("PHONE", r.who.phone),
        "x4": mine("LOCATION", r.who.address),
        "product_code": mine("NATIONAL_ID", numbers.national(r.rng, "pl", r.who.born)),
        "material": mine("BIRTH_DATE", r.who.born.strftime("%d.%m.%Y")),
        "wallet": mine("CRYPTO", numbers.coin(r.rng)),
        "hue": mine("IBAN", numbers.account(r.rng, r.who.locale)),
        "pos:jsonb": {
            "user": {
                "lat": mine("LOCATION", r.who.latitude),
                "lon": mine("LOCATION", r.who.longitude),
            },
            "job": r.word("job"),
        },
    }


TABLES: dict[str, tuple[Callable[[Row], dict[str, Any]], tuple[str, ...]]] = {
    "admissions": (_admissions, ("de", "gb", "us", "sv")),
    "pnr": (_bookings, ("us", "gb", "fr", "it", "nl", "es")),
    "cdr": (_calls, ("us", "de", "it", "nl", "pl")),
    "paie": (_salaries, ("fr",)),
    "web_orders": (_orders, ("gb", "us", "de", "nl", "sv", "it")),
    "cases": (_cases, LOCALES),
    "gateways": (_gateways, ("de", "nl", "us")),
    "uitleen": (_loans, ("nl",)),
    "commits": (_commits, ("us", "gb", "de", "sv", "br", "pl")),
    "events": (_events, ("gb", "de", "fr")),
    "polizze": (_policies, ("it",)),
    "accounts": (_accounts, ("nl", "sv", "da")),
    "codes": (_codes, LOCALES),
    "kdstamm": (_kdstamm, ("de",)),
    "misc_export": (_misc, LOCALES),
}
"""What makes a row of each table, and where its people live."""
