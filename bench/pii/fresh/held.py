"""The tables of the half that is reported and never looked at in detail; as in ``fresh.dev``."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

from bench.pii.fresh import numbers
from bench.pii.fresh.people import LOCALES
from bench.pii.fresh.row import Row, broken, encoded, escaped, wide
from bench.pii.model import Piece, Text, disputed, mine


def _pupils(r: Row) -> dict[str, Any]:
    return {
        "elev_id:bigint": 52_000 + r.number,
        "fornavn": mine("PERSON", r.who.first),
        "efternavn": mine("PERSON", r.who.last),
        "fodt": r.born("%d-%m-%Y"),
        "cprnr": r.nid(),
        "klasse": f"{r.rng.randint(0, 9)}.{r.among('a', 'b', 'x')}",
        "homeroomTeacher": mine("PERSON", r.other().name),
        "guardianContact": mine("PHONE", r.who.phone),
        "vejnavn_nr": mine("LOCATION", r.who.street),
        "fag": r.word("subject"),
        "karakter": r.word("grade"),
        "termin": r.word("term"),
        "fravaer_pct:numeric": round(r.rng.uniform(0, 30), 1),
        "busRoute": r.shaped("%##E"),
        "kontaktbog": r.text(("da", "en"), "forum", 0.15),
    }


def _postings(r: Row) -> dict[str, Any]:
    payer, account = r.other(), numbers.account(r.rng, r.among("de", "es", "pl"))
    return {
        "buchungs_id": r.uuid(),
        "wertstellung:date": r.when("%Y-%m-%d"),
        "cptyAccount": mine("IBAN", account),
        "cptyHolder": mine("PERSON", f"{payer.last} {payer.first}"),
        "betrag:numeric": r.money(5_000),
        "waehrung": r.word("currency"),
        "txKind": r.word("txtype"),
        "haendler": r.word("merchant"),
        "e2eRef": r.shaped("NOTPROVIDED-####-??##"),
        "panFull": r.mostly(mine("CARD", numbers.grouped(numbers.card(r.rng))), 0.1),
        "mcc": r.shaped("5###"),
        "swift": r.shaped("????ESMM"),
        "verwendungszweck": r.mostly(r.text(("de",), "minutes", 0.2), 0.6),
        "fxRate:numeric": round(r.rng.uniform(0.1, 11), 5),
    }


def _stays(r: Row) -> dict[str, Any]:
    who = r.who
    guest = {
        "fullName": mine("PERSON", who.name),
        "mail": mine("EMAIL", who.email),
        "home": {"calle": mine("LOCATION", who.street), "cp": mine("LOCATION", who.postcode)},
        "vip": r.among(True, False),
        "pillow": r.among("feather", "foam"),
    }
    return {
        "folio": r.shaped("F-######"),
        "huesped:jsonb": guest,
        "tipoHab": r.word("roomtype"),
        "regimen": r.word("boardtype"),
        "llegada:date": r.when("%Y-%m-%d"),
        "noches:bigint": r.rng.randint(1, 14),
        "precioNoche:numeric": r.money(400),
        "dni_huesped": r.nid(),
        "movil": mine("PHONE", who.phone),
        "fnac": r.mostly(r.born("%d/%m/%Y"), 0.8),
        "agencia": r.word("company"),
        "paisOrigen": r.word("country"),
        "wakeUp": r.when("%H:%M"),
        "comentarios": r.text(("es", "en"), "complaint", 0.15),
    }


def _donors(r: Row) -> dict[str, Any]:
    return {
        "donorSeq:bigint": 300 + r.number,
        "salutation_line": mine("PERSON", f"{r.who.first} {r.who.last}"),
        "postalAddr": mine("LOCATION", r.who.address),
        "eml": mine("EMAIL", r.who.email),
        "landline": r.mostly(mine("PHONE", r.who.phone), 0.5),
        "appeal": r.word("cause"),
        "giftAid": r.among("Y", "N"),
        "pledge_gbp:numeric": r.money(250),
        "ddAccount": r.mostly(mine("IBAN", numbers.account(r.rng, "gb")), 0.3),
        "inMemoryOf": r.mostly(mine("PERSON", r.other().name), 0.06),
        "legacyBand": r.among("A1", "B2", "C"),
        "acquiredVia": r.among("street", "gala dinner", "web", "radio"),
        "givenOn": r.when("%d %B %Y"),
        "stewardNote": r.mostly(r.text(("en",), "minutes", 0.25), 0.6),
        "maritalState": r.word("marital"),
    }


def _consignments(r: Row) -> dict[str, Any]:
    return {
        "awb": "020-" + r.shaped("########"),
        "vesselName": r.word("vessel"),
        "pol": r.word("port"),
        "pod": r.word("port"),
        "incoterm": r.word("incoterm"),
        "goodsDesc": r.word("goods"),
        "tariffHeading": r.shaped("%###%#00"),
        "containerNo": r.shaped("MSKU#######"),
        "shipperName": r.word("company"),
        "notifyParty": mine("PERSON", r.who.name),
        "notifyTel": mine("PHONE", r.who.phone),
        "driverHandle": mine("PERSON", r.other().user),
        "dropAddress": mine("LOCATION", r.who.address),
        "dropLat:numeric": mine("LOCATION", r.who.latitude),
        "dropLon:numeric": mine("LOCATION", r.who.longitude),
        "grossKg:numeric": r.money(20_000),
        "legState": r.word("status"),
        "portCall": r.text(("en",), "contract", 0.05),
    }


def _players(r: Row) -> dict[str, Any]:
    return {
        "playerGuid": r.uuid(),
        "gamerTag": disputed(r.word("handle")),
        "loginMail": mine("EMAIL", r.who.email),
        "realm": r.word("realm"),
        "charClass": r.word("class"),
        "equipped": r.word("item"),
        "xp:bigint": r.rng.randrange(10**6),
        "lastHost": mine("IP", numbers.ip(r.rng)),
        "nic": r.mostly(mine("MAC", numbers.mac(r.rng, "-")), 0.5),
        "payoutCoin": r.mostly(mine("CRYPTO", numbers.coin(r.rng)), 0.1),
        "clientBuild": r.shaped("#.#%.1.###"),
        "inventory:jsonb": [{"itm": r.word("item"), "qty": r.rng.randint(1, 9)}],
        "guildChat": r.among(r.text(("en",), "forum", 0.06), r.text(("pt",), "chat", 0.06)),
        "bannedFor": r.mostly(r.among("macro use", "toxicity", "chargeback"), 0.05),
    }


def _specimens(r: Row) -> dict[str, Any]:
    return {
        "sampleUid": r.shaped("S%%-######"),
        "imie": mine("PERSON", r.who.first),
        "nazwisko": mine("PERSON", r.who.last),
        "pesel": r.nid(),
        "oddzial": r.word("ward"),
        "rozpoznanie": r.word("diagnosis"),
        "kod_icd": r.word("icd"),
        "lek": r.word("medicine"),
        "analyte": r.among("Na+", "Hb", "TSH", "CRP", "HDL-C", "Vitamin D3"),
        "wynik:numeric": round(r.rng.uniform(0.1, 200), 2),
        "zlecil": mine("PERSON", f"lek. {r.other().name}"),
        "wiek:bigint": r.rng.randint(0, 99),
        "reagent": r.word("chemical"),
        "pobrano": r.when("%Y.%m.%d %H:%M"),
        "uwagi": r.text(("en", "da"), "visit", 0.15),
    }


def _syslog(r: Row) -> dict[str, Any]:
    return {
        "seq:bigint": r.number,
        "sev": r.word("level"),
        "origin": r.word("host"),
        "line": r.text(("en",), "syslog", 0.06),
        "peer": mine("IP", numbers.ip(r.rng)),
        "principal": r.mostly(mine("PERSON", r.who.user), 0.5),
        "ua_raw": r.word("agent"),
        "exc": r.mostly(r.word("trace"), 0.3),
        "querytext": r.word("sqltext"),
        "req_url": r.word("url"),
        "trace_id": r.hex(32),
        "dur": f"{r.rng.randint(1, 900)}ms",
        "pkgVer": r.shaped("1.#.%#.#"),
        "payload:jsonb": {"ok": r.among(True, False), "art": r.word("product"), "n": r.number},
    }


def _posts(r: Row) -> dict[str, Any]:
    languages = ("en", "es", "da", "fr")
    archive = None
    if r.number % 330 == 17:
        archive = r.long("en", "forum", 51_000)
    elif r.number % 10 == 4:
        archive = r.dense((*languages, "pl", "pt", "de"))
    return {
        "postId": r.shaped("p########"),
        "boardTitle": r.word("board"),
        "nick": disputed(r.word("handle")),
        "regMail": mine("EMAIL", r.who.email),
        "content_md": r.text(languages, "forum", 0.12),
        "content_html": r.mostly(r.text(("en", "fr"), "forum", 0.2, escaped), 0.5),
        "qs": r.mostly(r.text(("en", "es"), "forum", 0.2, encoded), 0.2),
        "mobilePaste": r.mostly(r.text(("fr", "en"), "forum", 0.4, broken), 0.2),
        "jp_ime": r.mostly(r.text(("en",), "forum", 0.4, wide), 0.1),
        "hashtags:jsonb": [r.word("tag"), r.word("tag")],
        "threadDump": archive,
        "likes:bigint": r.rng.randint(0, 400),
        "favTeam": r.word("team"),
        "nowPlaying": r.word("song"),
        "story": r.mostly(r.text(("en",), "story", 0.08), 0.4),
    }


def _meters(r: Row) -> dict[str, Any]:
    return {
        "cups": "ES" + r.shaped("################??"),
        "abonent": mine("PERSON", f"{r.who.last.upper()} {r.who.first}"),
        "supplyPoint": mine("LOCATION", f"{r.who.street}, {r.who.city}"),
        "kodPocztowy": mine("LOCATION", r.who.postcode),
        "taryfa": r.word("tariff"),
        "locationDesc": r.word("facility"),
        "reg_kwh:numeric": r.money(30_000),
        "stanNa:date": r.when("%Y-%m-%d"),
        "kontoZwrotu": mine("IBAN", numbers.account(r.rng, "pl")),
        "tel_kontakt": mine("PHONE", r.who.phone),
        "inkasent": mine("PERSON", r.other().name),
        "serialNo": r.shaped("LG#########"),
        "fault": r.mostly(r.word("error"), 0.1),
        "reklamacja": r.mostly(r.text(("pl",), "complaint", 0.3), 0.5),
    }


def _applicants(r: Row) -> dict[str, Any]:
    parsed = {
        "cand": {"n": mine("PERSON", r.who.name), "m": mine("EMAIL", r.who.email)},
        "skills": [r.word("skill"), r.word("skill")],
        "lastEmployer": r.word("company"),
        "refs": [{"who": mine("PERSON", r.other().name), "call": mine("PHONE", r.other().phone)}],
    }
    return {
        "reqNo": r.shaped("REQ####"),
        "stellenTitel": r.word("position"),
        "cvParsed:jsonb": parsed,
        "abteilung": r.word("dept"),
        "wunschgehalt": f"{r.rng.randint(28, 95)}.000 €",
        "geburtstag": r.mostly(r.born("%d.%m.%Y"), 0.6),
        "wohnort": mine("LOCATION", r.who.city),
        "quelle": r.among("LinkedIn", "StepStone", "Jobteaser", "Empfehlung"),
        "beworbenAm": r.when("%d.%m.%Y"),
        "recruiter": mine("PERSON", r.other("de").first),
        "steuerId": r.mostly(r.nid(), 0.4),
        "prevJob": r.word("job"),
        "score:numeric": round(r.rng.random(), 3),
        "eindruck": r.text(("de", "en"), "feedback", 0.2),
    }


def _rentals(r: Row) -> dict[str, Any]:
    return {
        "contrato": r.shaped("BR-%#####"),
        "condutor": mine("PERSON", r.who.name),
        "cpf_condutor": r.nid(),
        "modelo": r.word("carmodel"),
        "placa": disputed(r.shaped("???#?##")),
        "retirada": r.when("%d/%m/%Y %H:%M"),
        "fone": mine("PHONE", r.who.phone),
        "cidadeCliente": mine("LOCATION", r.who.city),
        "enderecoCliente": mine("LOCATION", r.who.street),
        "dtNasc": r.born("%Y/%m/%d"),
        "kmSaida:bigint": r.rng.randint(10, 90_000),
        "cor": r.word("colour"),
        "seguradora": r.word("company"),
        "segundoCondutor": r.mostly(mine("PERSON", r.other().name), 0.1),
        "ocorrencia": r.mostly(r.text(("pt",), "complaint", 0.2), 0.5),
    }


def _lookups(r: Row) -> dict[str, Any]:
    return {
        "uid": r.uuid(),
        "label": r.word("brand"),
        "bankCode": r.shaped("????PLPW"),
        "legalEntityId": "2138" + r.shaped("00??##??%%??##"),
        "upc": numbers.ean13(r.rng)[1:],
        "kolor": r.word("colour"),
        "mes": r.word("month"),
        "dagNavn": r.word("weekday"),
        "breed": r.word("animal"),
        "bloom": r.word("plant"),
        "bookTitle": r.word("title"),
        "headline_es": r.text(("es",), "news", 0.08),
        "artDescr": r.text(("en",), "ad", 0.02),
        "stars_pl": r.text(("pl",), "review", 0.02),
        "tmpl": r.word("snippet"),
        "cfg_text": r.word("config"),
        "artifact": r.word("path"),
        "media": r.word("mime"),
        "blob": base64.b64encode(r.rng.randbytes(30)).decode(),
        "branchLon:numeric": round(r.rng.uniform(-9, 24), 2),
        "species": r.word("species"),
        "changelog": r.text(("en",), "release", 0.04),
        "pct": f"{r.rng.randint(0, 100)}%",
    }


def _climae(r: Row) -> dict[str, Any]:
    return {
        "CLICOD:bigint": 880_000 + r.number,
        "CLINOM": mine("PERSON", f"{r.who.last}, {r.who.first}".upper()),
        "CLIDIR": mine("LOCATION", r.who.street.upper()),
        "CLICPO": mine("LOCATION", r.who.postcode),
        "CLIPOB": mine("LOCATION", r.who.city.upper()),
        "CLITF1": mine("PHONE", r.who.phone),
        "CLIFAX": r.mostly(mine("PHONE", wide(r.other().phone)), 0.05),
        "CLINIF": r.nid(),
        "CLIFNA": r.born("%Y%m%d"),
        "CLIFAL": r.when("%Y%m%d"),
        "CLITIP": r.among("M", "D", "E"),
        "CLISAL": f"{r.money():,.2f}",
        "CLIZON": disputed(r.word("place")),
        "CLIOBS": r.mostly(r.text(("es",), "complaint", 0.15), 0.3),
    }


def _dump(r: Row) -> dict[str, Any]:
    who = r.who
    signature = Text(
        f"{who.name}\n{who.phone}", (Piece("PERSON", who.name), Piece("PHONE", who.phone))
    )
    return {
        "n:bigint": r.number,
        "customer_name": r.word("item"),
        "mail_address": r.among("bounced", "valid", "n/a"),
        "telephone": r.among("yes", "no", "ask"),
        "street": r.word("facility"),
        "first_name": r.word("class"),
        "author": r.word("company"),
        "ip_address": r.shaped("v%.#.%#"),
        "date_of_birth": r.word("species"),
        "person": r.word("vessel"),
        "mac": r.among("cheese", "book", "mini"),
        "field_a": mine("EMAIL", who.email),
        "field_b": mine("PERSON", who.name),
        "field_c": mine("LOCATION", who.address),
        "batch": mine("PHONE", who.phone),
        "sku_ref": mine("NATIONAL_ID", numbers.national(r.rng, "br", r.who.born)),
        "weight": mine("BIRTH_DATE", who.born.strftime("%d/%m/%Y")),
        "sig_block": signature,
        "fruit": mine("IBAN", numbers.grouped(numbers.account(r.rng, who.locale))),
        "geo:jsonb": {"p": [mine("LOCATION", who.latitude), mine("LOCATION", who.longitude)]},
    }


TABLES: dict[str, tuple[Callable[[Row], dict[str, Any]], tuple[str, ...]]] = {
    "elever": (_pupils, ("da",)),
    "umsaetze": (_postings, ("de", "es")),
    "estancias": (_stays, ("es",)),
    "donors": (_donors, ("gb", "us")),
    "consignments": (_consignments, ("us", "de", "br", "da")),
    "players": (_players, LOCALES),
    "probki": (_specimens, ("pl",)),
    "syslog": (_syslog, ("us", "gb", "es", "br")),
    "posts": (_posts, LOCALES),
    "liczniki": (_meters, ("pl",)),
    "bewerber": (_applicants, ("de", "fr", "pl")),
    "locacoes": (_rentals, ("br",)),
    "lookups": (_lookups, LOCALES),
    "climae": (_climae, ("es",)),
    "dump": (_dump, LOCALES),
}
"""What makes a row of each table, and where its people live."""
