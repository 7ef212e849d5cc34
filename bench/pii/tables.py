"""The labelled tables: nineteen kinds that a company has, made from a seed and a half.

Registers of people are in :mod:`bench.pii.registers`, all others here.
Each function gives one row. A key is the column's name in ``dev`` and in ``held`` and its type; a
value that :func:`mine` marks is personal as a whole, a :class:`Text` carries its pieces, all else
is nobody's, and what people would not agree on is :func:`disputed`. Some names say what the column
holds in one of many languages, some mislead, some say nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from bench.pii import numbers, prose, registers
from bench.pii.model import Table, Text, disputed, mine
from bench.pii.row import ALL, Row, html, later, table, wide
from bench.pii.words import LOCALES, Half


def build(half: Half, seed: int, rows: int) -> list[Table]:
    """All tables, ``rows`` rows each, the same for the same arguments."""
    return [
        table(Random(f"{half}/{seed}/{name}"), half, name, rows, make, locales)
        for name, (make, locales) in _TABLES.items()
    ]


def _customers(r: Row) -> dict[str, Any]:
    who = r.who
    return {
        "id|customer_id:bigint": r.id(),
        "customer_no|acct_number": f"C-{r.id(100_231)}",
        "first_name|given_name": mine("PERSON", who.first),
        "last_name|surname": mine("PERSON", who.last),
        "email|e_mail": mine("EMAIL", who.email),
        "phone|telephone": mine("PHONE", who.phone),
        "mobile_2|alt_phone": r.mostly(mine("PHONE", r.other().phone), 0.05),
        "street|address_line_1": mine("LOCATION", who.street),
        "city|town": mine("LOCATION", who.city),
        "zip|postal_code": mine("LOCATION", who.postcode),
        "country|country_name": r.word("country"),
        "date_of_birth|dob:date": mine("BIRTH_DATE", who.born.isoformat()),
        "created_at|signup_ts:timestamp with time zone": r.stamp(),
        "newsletter|opt_in:boolean": r.among(True, False),
        "status|state_of_account": r.word("status"),
        "lat|latitude:numeric": mine("LOCATION", who.latitude),
        "lon|longitude:numeric": mine("LOCATION", who.longitude),
        "lang|preferred_locale": r.word("language"),
        "email_count|mails_sent:bigint": r.rng.randint(0, 40),
        "address_type|address_kind": r.among("billing", "shipping", "home", "work"),
        "notes|remarks": r.mostly(r.text("en", 0.12, ALL), 0.7),
    }


def _orders(r: Row) -> dict[str, Any]:
    who = r.who
    bill = {
        r.k("name|recipient"): r.name(),
        "address": {
            "street": mine("LOCATION", who.street),
            r.k("city|locality"): mine("LOCATION", who.city),
            r.k("zip|postcode"): mine("LOCATION", who.postcode),
            "country": r.word("country"),
        },
        r.k("phone|contact_no"): mine("PHONE", who.phone),
        "vat_included": r.among(True, False),
    }
    items = [
        {
            "sku": prose.sku(r.rng),
            r.k("name|title"): r.word("product"),
            "qty": r.rng.randint(1, 5),
            "price": r.amount(),
        }
        for _ in range(r.rng.randint(1, 3))
    ]
    return {
        "order_id|id:bigint": r.id(500_000),
        "order_number|order_no": numbers.not_card(r.rng),
        "customer_ref|buyer_id:bigint": r.rng.randint(1000, 9000),
        "product_name|item_name": r.word("product"),
        "quantity|qty:bigint": r.rng.randint(1, 12),
        "unit_price|price:numeric": r.amount(),
        "currency|ccy": r.word("currency"),
        "status|order_status": r.word("status"),
        "ship_to|delivery_address": mine("LOCATION", who.address),
        "placed_at|ordered_on:timestamp with time zone": r.stamp(),
        "tracking_no|parcel_id": f"1Z{r.hex(8).upper()}{numbers.digits(r.rng, 8)}",
        "delivery_instructions|driver_note": r.mostly(
            r.text("en", 0.15, {"phone": 3, "person": 3, "address": 1}), 0.6
        ),
        "billing|invoice_to:jsonb": bill,
        "items|lines:jsonb": items,
        "batch_no|lot": f"B{numbers.digits(r.rng, 7)}",
        "po_date|value_date:date": r.day(),
    }


def _tickets(r: Row) -> dict[str, Any]:
    language = r.rng.choices(("en", "de", "es", "fr", "da"), (6, 2, 2, 1, 1))[0]
    transcript = None
    if r.number % 400 == 207:  # not among the first rows, which stand for all where peers are slow
        kinds = ("email", "person", "phone", "iban")
        transcript = prose.long_text(r.rng, r.half, "en", 52_000, kinds)
    elif r.number % 25 == 3:
        transcript = r.text("en", 0.5, ALL)
    return {
        "ticket_id|case_no:bigint": r.id(300_000),
        "subject|summary": prose.text(r.rng, r.half, "en", (), 1),
        "body|description": r.text(language, 0.3, ALL),
        "requester|from_addr": mine("EMAIL", r.who.email),
        "channel|via": r.among("web", "email", "phone", "chat"),
        "priority|prio": r.among("low", "normal", "high", "urgent"),
        "tags|labels:jsonb": [r.word("category"), r.among("vip", "refund", "bug", "billing")],
        "cc|copied": r.mostly(mine("EMAIL", r.other().email), 0.05),
        "transcript|chat_log": transcript,
        "assignee|agent": mine("PERSON", r.other("us", "uk").first),
        "language|lang_code": language,
        "updated_at|last_touch:timestamp with time zone": r.stamp(),
        "sla_minutes|due_in:bigint": r.among(60, 240, 480, 1440),
    }


def _weblogs(r: Row) -> dict[str, Any]:
    who, step = r.who, r.word("event")
    referrer: Any = r.word("url")
    if r.rng.random() < 0.3:
        referrer = r.link(
            "https://www.summit-outdoor.com/unsubscribe",
            c=("", str(r.rng.randint(100, 999))),
            email=("EMAIL", who.email),
            src=("", step),
        )
    return {
        "request_id|trace:text": r.uuid(),
        "ts|logged_at": later(r, 3),
        "session_id|sid": r.hex(32),
        "client_ip|remote_addr": mine("IP", prose.ipv4(r.rng)),
        "forwarded_for|ip6": r.mostly(mine("IP", prose.ipv6(r.rng)), 0.6),
        "user_agent|agent": r.word("agent"),
        "path|uri": f"/{r.word('category').split()[0].lower()}/{r.rng.randint(1, 9999)}",
        "referer|landing": referrer,
        "status_code|http_status:bigint": r.among(200, 200, 301, 404, 500),
        "bytes|resp_size:bigint": r.rng.randint(180, 900_000),
        "user_name|login": r.mostly(mine("PERSON", who.handle), 0.7),
        "app_version|build": r.version(),
        "duration|took_ms:numeric": round(r.rng.uniform(1, 2500), 3),
        "host|node": r.among("web-01", "web-02", "edge-fra-3", "edge-lon-1"),
    }


def _devices(r: Row) -> dict[str, Any]:
    return {
        "device_id|asset": f"DV{r.id(40_000)}",
        "mac|wifi_addr": mine("MAC", prose.mac(r.rng)),
        "phone_model|handset": r.word("phone_model"),
        "os_version|firmware": r.version(r.among(2, 3, 4)),
        "serial|sn": "".join(r.rng.choices("ABCDEFGHJKLMNPQRSTUVWXYZ0123456789", k=12)),
        "last_ip|seen_from": mine("IP", prose.ipv4(r.rng)),
        "owner|assigned_to": mine("PERSON", r.who.full),
        "fw_hash|image_digest": r.hex(64),
        "hostname|computer": f"{r.among('LAPTOP', 'DESKTOP', 'WS')}-{r.hex(6).upper()}",
        "registered_on|enrolled:date": r.day(),
        "colour|accent": f"#{r.hex(6)}",
        "config_path|log_file": r.word("path"),
        "battery|charge:bigint": r.rng.randint(1, 100),
    }


def _payments(r: Row) -> dict[str, Any]:
    return {
        "payment_id|txn": r.uuid(),
        "pan|card_no": mine("CARD", numbers.card_written(r.rng)),
        "masked_card|card_last4": f"**** **** **** {r.rng.randint(0, 9999):04d}",
        "exp|valid_thru": f"{r.rng.randint(1, 12):02d}/{r.rng.randint(25, 31)}",
        "cardholder|name_on_card": mine("PERSON", r.who.full.upper()),
        "iban|payee_account": mine("IBAN", numbers.iban_written(r.rng)),
        "bic|swift": r.among("COBADEFFXXX", "DABADKKK", "BARCGB22", "BNPAFRPP", "CAIXESBB"),
        "amount|gross:numeric": r.amount(),
        "currency|iso_ccy": r.word("currency"),
        "reference|rf": f"RF{numbers.digits(r.rng, 10)}",
        "wallet|btc_addr": r.mostly(mine("CRYPTO", numbers.coin(r.rng)), 0.4),
        "txhash|chain_ref": "0x" + r.hex(64),
        "memo|purpose": r.mostly(r.text("en", 0.25, {"iban": 2, "card": 2, "crypto": 1}), 0.7),
        "merchant|shop": r.word("company"),
        "auth_code|approval": numbers.digits(r.rng, 6),
        "settled|booked_on:date": r.day(),
    }


def _products(r: Row) -> dict[str, Any]:
    return {
        "product_id|item_id:bigint": r.id(1),
        "name|title": r.word("product"),
        "ean|gtin": numbers.ean(r.rng),
        "sku|article_no": prose.sku(r.rng),
        "price|list_price:numeric": r.amount(),
        "weight_g|net_weight:bigint": r.rng.randint(20, 9000),
        "colour_code|hex": f"#{r.hex(6)}",
        "description|long_text": prose.text(r.rng, r.half, r.among("en", "de"), (), 2),
        "supplier|brand": r.word("company"),
        "category|department": r.word("category"),
        "image_url|link": r.word("url"),
        "material|fabric": r.word("material"),
        "made_in|origin": r.word("country"),
        "warehouse_bin|shelf": f"{r.among('A', 'B', 'C')}{r.rng.randint(1, 40)}-4",
        "internal_code|ref": numbers.not_card(r.rng, 13),
    }


def _vendors(r: Row) -> dict[str, Any]:
    contact = r.who
    return {
        "vendor_id|supplier_no:bigint": r.id(9000),
        "company_name|legal_name": r.word("company"),
        "vat_id|ust_id": r.among("DE", "DK", "FR", "ESB") + numbers.digits(r.rng, 9),
        "contact_name|contact_person": r.name(),
        "contact_email|kontakt_mail": mine("EMAIL", contact.email),
        "phone_no|tlf": mine("PHONE", contact.phone),
        "website|homepage": r.word("url"),
        "bank_account|konto": mine("IBAN", numbers.iban(r.rng)),
        "office_address|hq": disputed(contact.address),
        "rating|score:numeric": round(r.rng.uniform(1, 5), 1),
        "payment_terms|betalingsfrist": r.among("net 30", "net 60", "14 days 2%", "prepaid"),
        "opmaerkning|kommentar": r.mostly(r.text("da", 0.2, ALL), 0.6),
        "industry|branche": r.word("category"),
    }


def _bookings(r: Row) -> dict[str, Any]:
    party = [r.other() for _ in range(r.rng.randint(1, 3))]
    return {
        "booking_id|res_id:bigint": r.id(60_000),
        "pnr|locator": "".join(r.rng.choices("ABCDEFGHJKLMNPQRSTUVWXYZ23456789", k=6)),
        "passenger|guest": r.name(),
        "passport_no|travel_document": mine("NATIONAL_ID", numbers.passport(r.rng)),
        "destination|arrival": disputed(r.other().city),
        "depart|check_in:date": r.day(),
        "seat|room": f"{r.rng.randint(1, 40)}{r.among('A', 'C', 'F')}",
        "fare|rate:numeric": r.amount(),
        "contact|reachable_at": mine("PHONE", r.who.phone),
        "special_request|wishes": r.mostly(r.text(r.among("en", "fr"), 0.12, ALL), 0.5),
        "travellers|guests:jsonb": [
            {
                r.k("name|full_name"): mine("PERSON", one.full),
                r.k("dob|birthday"): mine("BIRTH_DATE", one.born.isoformat()),
                "meal": r.among("vegan", "standard", "halal"),
            }
            for one in party
        ],
        "hotel|carrier": r.word("company"),
        "nights|pieces:bigint": r.rng.randint(1, 14),
        "class|board": r.among("Economy", "Business", "Half board", "First"),
    }


def _leads(r: Row) -> dict[str, Any]:
    who = r.who
    contact = mine("EMAIL", who.email) if r.rng.random() < 0.6 else mine("PHONE", who.phone)
    phone = wide(who.phone) if r.rng.random() < 0.3 else who.phone.replace(" ", "\u00a0")
    folded_mail = who.email.replace("@", "@=\n") if r.rng.random() < 0.2 else who.email
    address = f"{who.full}\n{who.street}\n{who.town}"
    return {
        "lead_id|row_id:bigint": r.id(1),
        "contact|reach": contact,
        "Name|Kontakt": r.name(),
        "company|employer": r.word("company"),
        "role|function": r.word("job"),
        "source|origin": r.among("trade fair", "newsletter", "referral", "Google Ads", "webinar"),
        "utm|campaign:jsonb": {
            "source": r.among("google", "linkedin", "bing"),
            "medium": r.among("cpc", "email", "social"),
            "term": r.word("product"),
            "click_id": r.hex(24),
        },
        "comment_html|body_html": html(r.text("en", 0.3, {"email": 3, "person": 2})),
        "tel_raw|phone_input": mine("PHONE", phone),
        "address_block|label_text": Text(
            address,
            tuple(
                mine(entity, text).pieces[0]
                for entity, text in (
                    ("PERSON", who.full),
                    ("LOCATION", who.street),
                    ("LOCATION", who.town),
                )
            ),
        ),
        "mail_wrapped|qp_sender": mine("EMAIL", folded_mail),
        "consent|gdpr_ok:boolean": r.among(True, False),
        "score|grade:bigint": r.rng.randint(0, 100),
        "stage|funnel": r.among("new", "qualified", "won", "lost"),
    }


def _metrics(r: Row) -> dict[str, Any]:
    return {
        "reading_id|seq:bigint": r.id(10_000_000),
        "ts|sampled_at:timestamp with time zone": r.stamp(),
        "sensor|probe": f"{r.among('TH', 'PR', 'VB')}-{r.rng.randint(100, 999)}",
        "metric|series": r.word("metric"),
        "value|reading:numeric": round(r.rng.uniform(-20, 900), 4),
        "unit|uom": r.among("°C", "%", "ms", "hPa", "V"),
        "firmware|fw": r.version(),
        "checksum|md5": r.hex(32),
        "gateway|hub": f"gw-{r.among('north', 'south', 'lab')}-{r.rng.randint(1, 9)}",
        "epoch_ms|t:bigint": 1_600_000_000_000 + r.rng.randrange(10**11),
        "payload|raw:jsonb": {"rssi": -r.rng.randint(30, 99), "snr": r.amount(12), "ok": True},
    }


def _audit(r: Row) -> dict[str, Any]:
    who = r.who
    role = r.among("viewer", "editor", "admin")
    return {
        "event_id|uid": r.uuid(),
        "actor|performed_by": mine("EMAIL", who.email),
        "action|verb": r.word("event"),
        "target|object_ref": r.uuid(),
        "ip|origin_address": mine("IP", prose.ipv4(r.rng) if r.number % 3 else prose.ipv6(r.rng)),
        "at|when:timestamp with time zone": r.stamp(),
        "after|new_state:jsonb": {
            r.k("login|account"): mine("EMAIL", who.email),
            "role": role,
            "profile": {
                r.k("display|label"): mine("PERSON", who.full),
                r.k("nr|line"): mine("PHONE", who.phone),
                "theme": r.among("dark", "light"),
            },
            "groups": [r.word("department"), r.word("software")],
        },
        "field_7|attr_3": mine("IBAN", numbers.iban_written(r.rng)),
        "value|data": mine("PERSON", r.other().full),
        "col_12|x2": mine("EMAIL", r.other().email),
        "extra|misc": r.word("status"),
        "message|detail": r.text("en", 0.25, {"email": 2, "ip": 3, "person": 2}),
    }


_TABLES: dict[str, tuple[Callable[[Row], dict[str, Any]], tuple[str, ...]]] = {
    "customers": (_customers, LOCALES),
    "kunden": (registers.kunden, ("de",)),
    "orders": (_orders, LOCALES),
    "employees": (registers.employees, ("us", "uk")),
    "patients": (registers.patients, ("uk",)),
    "tickets": (_tickets, LOCALES),
    "weblogs": (_weblogs, LOCALES),
    "devices": (_devices, LOCALES),
    "payments": (_payments, LOCALES),
    "products": (_products, LOCALES),
    "vendors": (_vendors, LOCALES),
    "bookings": (_bookings, LOCALES),
    "leads": (_leads, LOCALES),
    "metrics": (_metrics, LOCALES),
    "audit": (_audit, LOCALES),
    "clientes": (registers.clientes, ("es",)),
    "borgere": (registers.borgere, ("da",)),
    "adherents": (registers.adherents, ("fr",)),
    "registry": (registers.registry, LOCALES),
}
