"""Every setting of Atlas: read from the environment once, checked at start, described here.

A setting is an ``ATLAS_`` variable. A wrong value, or an ``ATLAS_`` variable that is no setting,
ends the program at start with one line that names it. docs/settings.md lists them all; a test
fails when one is missing there.
"""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any

from atlas import addresses
from atlas.errors import AtlasError, UsageError
from atlas.roles import Role

PREFIX = "ATLAS_"


def _positive_int(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError("must be a whole number of at least 1")
    return value


_CENTURY = 36_500


def _days(text: str) -> int | None:
    if text == "off":
        return None
    value = int(text)
    if not 1 <= value <= _CENTURY:
        raise ValueError(f"must be a number of days, 1 to {_CENTURY}, or off: for ever")
    return value


def _whole(text: str) -> int:
    value = int(text)
    if value < 0:
        raise ValueError("must be a whole number of at least 0")
    return value


def _positive_float(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise ValueError("must be a number of seconds above 0")
    return value


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise ValueError("must be a number from 0 to 1")
    return value


def _path(text: str) -> Path:
    return Path(text).expanduser().absolute()


def _file(text: str) -> Path:
    path = _path(text)
    if not path.is_file():
        raise ValueError("is no file")
    return path


_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+=[ -~]+", re.A)


def _headers(text: str) -> tuple[str, ...]:
    words = _words(text)
    if not all(_HEADER.fullmatch(word) for word in words):
        raise ValueError("must be headers such as Authorization=Basic%20YWJj, with commas between")
    return words


def _ascii(text: str) -> str:
    if not text.isascii():  # the library that speaks to mail servers knows nothing else
        raise ValueError("must be of ASCII characters alone")
    return text


def _yes_or_no(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError("must be true or false")
    return text == "true"


def _roles(text: str) -> tuple[str, ...]:
    words = _words(text)
    for word in words:
        value, _, role = word.rpartition("=")
        if not value or role not in set(Role):
            raise ValueError("must be words such as data-admins=admin, separated by commas")
    return words


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _some_of(known: Sequence[str]) -> Callable[[str], tuple[str, ...]]:
    def parse(text: str) -> tuple[str, ...]:
        words = tuple(word.upper() for word in _words(text))
        if strange := sorted(set(words) - set(known)):
            raise ValueError(f"has {', '.join(strange)}; known are {', '.join(known)}")
        return words

    return parse


def _one_of(*words: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in words:
            raise ValueError("must be one of " + ", ".join(words))
        return text

    return parse


@dataclass(frozen=True, slots=True)
class Rate:
    """At most so many requests in so many seconds."""

    requests: int
    seconds: int

    def __str__(self) -> str:
        """As a setting says it."""
        return f"{self.requests}/{next(name for name, of in _SPANS.items() if of == self.seconds)}"


_SPANS = {"second": 1, "minute": 60, "hour": 3600}


def _rate(text: str) -> Rate | None:
    if text == "off":
        return None
    number, _, span = text.partition("/")
    if not (number.isascii() and number.isdecimal() and int(number) and span in _SPANS):
        raise ValueError("must be requests in a time, such as 600/minute (second, hour), or off")
    return Rate(int(number), _SPANS[span])


def _setting(parse: Callable[[str], Any], default: Any, about: str, *, secret: bool = False) -> Any:
    return field(default=default, metadata={"parse": parse, "about": about, "secret": secret})


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of one process. Field ``database_url`` is variable ``ATLAS_DATABASE_URL``."""

    home: Path = _setting(
        _path, Path(".atlas"), "Where Atlas keeps what it owns: embedded data, connectors, logs."
    )
    database_url: str | None = _setting(
        addresses.url("postgresql", "postgres"),
        None,
        "PostgreSQL 15 or newer; unset: Atlas runs its own.",
        secret=True,
    )
    redis_url: str | None = _setting(
        addresses.redis,
        None,
        "Redis 6.2 or newer; unset: Atlas runs its own.",
        secret=True,
    )
    redis_may_evict: bool = _setting(
        _yes_or_no,
        False,
        "Whether workers start on a Redis that throws keys away when memory is short.",
    )
    secret_key: str | None = _setting(
        str,
        None,
        "Opens what stored configurations and tokens are keyed with. At least 32 characters. "
        "Made and kept under ATLAS_HOME on the embedded stack, required otherwise.",
        secret=True,
    )
    secret_key_new: str | None = _setting(
        str,
        None,
        "What `atlas keys rotate-secret` puts in the place of ATLAS_SECRET_KEY; nothing else "
        "reads it.",
        secret=True,
    )
    host: str = _setting(str, "127.0.0.1", "Address that the web process listens on.")
    port: int = _setting(
        addresses.listening, 8000, "Port that the web process listens on; 0: a free one."
    )
    metrics_open: bool = _setting(_yes_or_no, False, "Whether `/metrics` is open without a key.")
    rate_limit: Rate | None = _setting(
        _rate,
        Rate(3000, 60),
        "Requests that an API key, or a person who is logged in, may make: `3000/minute`, or off.",
    )
    rate_limit_address: Rate | None = _setting(
        _rate, Rate(300, 60), "Requests without a valid key that an address may make, or off."
    )
    flower_port: int = _setting(addresses.listening, 0, "Port of Flower; 0: a free one.")
    public_url: str | None = _setting(
        addresses.origin,
        None,
        "Where browsers reach Atlas, such as https://atlas.example.org; unset: as it listens. With "
        "https its cookies are sent by https only.",
    )
    proxies: int = _setting(
        _whole,
        0,
        "Reverse proxies in front of the web process, each of which adds to X-Forwarded-For; 0: "
        "none, and nobody is believed.",
    )
    session_idle_seconds: float = _setting(
        _positive_float, 28800.0, "Seconds after which a login that is not used ends."
    )
    session_seconds: float = _setting(
        _positive_float, 604800.0, "Seconds after which a login ends, however it is used."
    )
    oidc_issuer: str | None = _setting(
        addresses.url("https", "http"),
        None,
        "Issuer of OpenID Connect that people may log in by; unset: none, and nobody is asked.",
    )
    oidc_client_id: str | None = _setting(str, None, "What the issuer calls this Atlas.")
    oidc_client_secret: str | None = _setting(
        str, None, "By which the issuer knows it; unset: a public client.", secret=True
    )
    oidc_role_claim: str = _setting(
        str, "groups", "Claim of the ID token that says what somebody is, a text or a list."
    )
    oidc_roles: tuple[str, ...] = _setting(
        _roles,
        (),
        "Which role that gives, such as data-admins=admin,analysts=viewer; the highest counts.",
    )
    oidc_name_claim: str = _setting(
        str, "preferred_username", "Claim that a new user is called by; else the email."
    )
    log_level: str = _setting(
        _one_of("DEBUG", "INFO", "WARNING", "ERROR"), "INFO", "Least severe level that is logged."
    )

    log_format: str = _setting(
        _one_of("text", "json"), "text", "What log lines are: for people, or a JSON object each."
    )
    otel_endpoint: str | None = _setting(
        addresses.collector,
        None,
        "Collector of OpenTelemetry that gets traces by OTLP over HTTP, such as "
        "http://localhost:4318; unset: none are made.",
    )
    otel_headers: tuple[str, ...] = _setting(
        _headers,
        (),
        "Headers that it wants, such as `Authorization=Bearer%20TOKEN`, with commas between.",
        secret=True,
    )
    extract_concurrency: int = _setting(
        _positive_int, 4, "Processes of a worker on queue extract (they wait for connectors)."
    )
    scan_concurrency: int = _setting(
        _positive_int, 2, "Processes of a worker on queue scan (they use a core each)."
    )
    load_concurrency: int = _setting(
        _positive_int, 4, "Processes of a worker on queue load (they wait for SQL)."
    )
    control_concurrency: int = _setting(_positive_int, 2, "Processes of a worker on queue control.")
    connector_slots: int = _setting(
        _positive_int, 16, "Connectors that run at once, over all hosts."
    )
    run_log_lines: int = _setting(
        _positive_int,
        10_000,
        "Lines of its connector that the log of a run keeps; of more, the newest.",
    )
    probe_interval: float = _setting(
        _positive_float, 15.0, "Seconds between two looks of `atlas up` whether its workers work."
    )

    lease_seconds: float = _setting(
        _positive_float,
        15.0,
        "How long a stage stays claimed without a sign of life of its worker.",
    )
    quarantine_days: int | None = _setting(
        _days,
        None,
        "Days after which rows in quarantine are discarded, or off: never.",
    )
    explore_days: int | None = _setting(
        _days,
        None,
        "Days after which rows of explore that came to chart are deleted, or off: never.",
    )
    run_log_days: int | None = _setting(
        _days, 90, "Days after the end of a run that its log is kept, or off: for ever."
    )
    lineage_days: int | None = _setting(
        _days,
        365,
        "Days after the end of a run that its delivered lineage events are kept, or off: for ever.",
    )
    recovery_interval: float = _setting(
        _positive_float, 5.0, "Seconds between two looks for work that lost its worker or message."
    )
    relay_interval: float = _setting(
        _positive_float, 2.0, "Seconds between two deliveries of what waits in the outbox."
    )
    redispatch_seconds: float = _setting(
        _positive_float,
        10.0,
        "How long a dispatched stage may stay unclaimed before it is sent again.",
    )
    shutdown_seconds: float = _setting(
        _positive_float,
        10.0,
        "Seconds that a worker which is told to stop gives its tasks; then they are handed back.",
    )
    max_attempts: int = _setting(
        _positive_int,
        5,
        "Attempts in a row, without getting on, that a stage may fail before it ends failed.",
    )
    retry_base_seconds: float = _setting(
        _positive_float, 2.0, "Delay before the second attempt; it doubles with each further one."
    )
    retry_max_seconds: float = _setting(
        _positive_float, 300.0, "Longest delay between two attempts."
    )
    statement_timeout: float = _setting(
        _positive_float, 3600.0, "Longest time in seconds that one SQL statement may run."
    )
    lock_timeout: float = _setting(
        _positive_float, 60.0, "Longest time in seconds that a SQL statement may wait for a lock."
    )

    connector_idle_timeout: float = _setting(
        _positive_float, 600.0, "Seconds without any output after which a connector is ended."
    )
    connector_check_timeout: float = _setting(
        _positive_float, 120.0, "Seconds that spec, check or discover of a connector may take."
    )
    connector_install_timeout: float = _setting(
        _positive_float, 900.0, "Seconds that installing a connector may take."
    )
    max_record_bytes: int = _setting(
        _positive_int, 64 * 1024 * 1024, "Largest line of a connector's output that is read."
    )
    record_counts: str = _setting(
        _one_of("fail", "warn"),
        "fail",
        "What comes of a stream whose source counted other records than came: fail or warn.",
    )
    files_roots: tuple[str, ...] = _setting(
        _words,
        (),
        "Directories whose files may be read by source-files, or source-file with local storage, "
        "when configured over HTTP; none: nothing.",
    )
    uploads: Path | None = _setting(
        _path, None, "Where files that were sent are kept; unset: `uploads` below ATLAS_HOME."
    )
    max_upload_bytes: int = _setting(
        _positive_int, 1024**3, "Largest file that the HTTP interface takes for source-files."
    )
    checkpoint_rows: int = _setting(
        _positive_int, 10_000, "Rows after which explore commits at the source's next STATE."
    )
    checkpoint_seconds: float = _setting(
        _positive_float, 2.0, "Seconds after which explore commits at the source's next STATE."
    )
    buffer_bytes: int = _setting(
        _positive_int, 8 * 1024 * 1024, "Bytes of records that explore holds before it sends them."
    )
    batch_rows: int = _setting(
        _positive_int,
        20_000,
        "Rows that pii scans and masks at a time; larger streams are spread over the scan workers.",
    )

    pii_model: str = _setting(
        str, "en_core_web_sm", "spaCy model of the named-entity recognition, an installed package."
    )
    pii_language: str = _setting(str, "en", "Language of the model, as ISO 639-1.")
    pii_nlp: Path | None = _setting(
        _file, None, "Presidio's NLP configuration, a YAML file; unset: spaCy with ATLAS_PII_MODEL."
    )
    pii_recognizers: Path | None = _setting(
        _file, None, "Recognizers of your own, a YAML file in Presidio's format."
    )
    pii_phone_regions: tuple[str, ...] = _setting(
        _words, ("US", "GB", "DE", "DK", "FR"), "Regions whose national phone formats are known."
    )
    pii_locales: tuple[str, ...] = _setting(
        _some_of(
            "US GB DE FR ES IT PL FI SE DK NL PT NO BE CH AT IE CZ BR CA".split()  # noqa: SIM905
        ),
        tuple("US GB DE FR ES IT PL FI SE DK NL PT NO BE CH AT IE CZ BR".split()),  # noqa: SIM905
        "Countries whose national identifiers are looked for.",
    )
    pii_sample: int = _setting(
        _positive_int, 250, "Distinct values that decide what a column is (never what is masked)."
    )
    pii_threshold: float = _setting(
        _share, 0.5, "Least score at which a verdict counts as personal data."
    )

    quality_timeout: float = _setting(
        _positive_float, 300.0, "Seconds that the Soda scan of one stream may take."
    )
    openlineage_url: str | None = _setting(
        addresses.url("http", "https"),
        None,
        "OpenLineage endpoint; unset: events go to ATLAS_HOME/lineage/events.jsonl.",
    )
    openlineage_api_key: str | None = _setting(
        str, None, "Bearer token for the OpenLineage endpoint.", secret=True
    )
    openlineage_config: Path | None = _setting(
        _file, None, "Where lineage events go, a YAML file in the format of openlineage.yml."
    )
    openlineage_namespace: str = _setting(
        str, "atlas", "Namespace of Atlas's jobs in lineage events."
    )

    webhook_private: bool = _setting(
        _yes_or_no,
        False,
        "Whether webhooks may lead to a private network, and by http: true or false.",
    )

    smtp_host: str | None = _setting(
        addresses.host,
        None,
        "Mail server that receivers by mail are told through; unset: there are none.",
    )
    smtp_port: int | None = _setting(
        addresses.port, None, "Its port; unset: 587, with tls 465, with none 25."
    )
    smtp_security: str = _setting(
        _one_of("starttls", "tls", "none"), "starttls", "How the way to it is secured."
    )
    smtp_user: str | None = _setting(_ascii, None, "Who Atlas logs in as there; unset: nobody.")
    smtp_password: str | None = _setting(_ascii, None, "With this password.", secret=True)
    smtp_sender: str | None = _setting(addresses.mailbox, None, "Address that messages come from.")

    @property
    def embedded(self) -> bool:
        """Whether Atlas runs at least one of its own servers."""
        return self.database_url is None or self.redis_url is None

    def __hash__(self) -> int:  # of a few: every request looks up what is made once for settings
        return hash((self.home, self.database_url, self.redis_url))

    def __repr__(self) -> str:
        """Names the settings, never a secret's value."""
        shown = []
        for spec in fields(self):
            value = getattr(self, spec.name)
            hidden = spec.metadata["secret"] and value is not None
            shown.append(f"{spec.name}={'***' if hidden else repr(value)}")
        return f"Settings({', '.join(shown)})"


def parse(environ: Mapping[str, str]) -> Settings:
    """Read the settings from ``environ``.

    Raises:
        UsageError: a variable is misspelt or its value is wrong; the message names it.
    """
    known = {PREFIX + f.name.upper(): f for f in fields(Settings)}
    for name in sorted(environ):
        if name.startswith(PREFIX) and name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = (
                f"did you mean {near[0]}?" if near else "see docs/settings.md for those there are"
            )
            raise UsageError(f"unknown setting {name}: {hint}")
    values: dict[str, Any] = {}
    for name, spec in known.items():
        text = environ.get(name, "")
        if not text:
            continue
        try:
            values[spec.name] = spec.metadata["parse"](text)
        except ValueError as error:
            what = str(error)
            if what.startswith(("invalid literal", "could not convert")):
                what = "must be a number"
            shown = "its value" if spec.metadata["secret"] else repr(text)
            raise UsageError(f"setting {name}: {shown} {what}") from error
    values.setdefault("home", _path(".atlas"))
    settings = Settings(**values)
    for name in ("oidc_client_id", "public_url", "oidc_roles"):
        if settings.oidc_issuer is not None and not getattr(settings, name):
            raise UsageError(
                f"setting {PREFIX}OIDC_ISSUER: also set {PREFIX}{name.upper()}, without which "
                "nobody could log in"
            )
    _see_retention(settings)
    _see_mail(settings)
    for name in ("secret_key", "secret_key_new"):
        if len(getattr(settings, name) or 32 * "x") < 32:
            raise UsageError(f"setting {PREFIX}{name.upper()}: must be at least 32 characters long")
    return settings


def _see_retention(settings: Settings) -> None:
    kept, aside = settings.explore_days, settings.quarantine_days
    if kept is not None and (aside is None or aside > kept):
        raise UsageError(
            f"setting {PREFIX}EXPLORE_DAYS: also set {PREFIX}QUARANTINE_DAYS, to {kept} at most: a "
            "row in quarantine keeps its raw row, and all that came after it"
        )


def _see_mail(settings: Settings) -> None:
    given = {name: getattr(settings, f"smtp_{name}") for name in ("user", "password", "sender")}
    if settings.smtp_host is None:
        for name in (name for name, value in given.items() if value is not None):
            raise UsageError(f"setting {PREFIX}SMTP_{name.upper()}: also set {PREFIX}SMTP_HOST")
        return
    if given["sender"] is None:
        raise UsageError(f"setting {PREFIX}SMTP_HOST: also set {PREFIX}SMTP_SENDER")
    if (given["user"] is None) != (given["password"] is None):
        raise UsageError(f"setting {PREFIX}SMTP_USER: it goes with {PREFIX}SMTP_PASSWORD")
    if given["user"] is not None and settings.smtp_security == "none":
        raise UsageError(
            f"setting {PREFIX}SMTP_SECURITY: none would show {PREFIX}SMTP_PASSWORD to the network"
        )


@cache
def settings() -> Settings:
    """The settings of this process, read from its environment at the first call."""
    return parse(os.environ)


def embedded_state(settings: Settings) -> dict[str, Any]:
    """What ``atlas up`` wrote of the stack it runs (``stack.json``), or {} when none is written."""
    try:
        return dict(json.loads((settings.home / "stack.json").read_bytes()))
    except FileNotFoundError:
        return {}


def _endpoint(settings: Settings, name: str) -> str:
    value: str | None = getattr(settings, name) or embedded_state(settings).get(name)
    if value is None:
        raise AtlasError(
            f"no stack is running in {settings.home}: start one with `atlas up`, "
            f"or set {PREFIX}{name.upper()}"
        )
    return value


def database_url(settings: Settings) -> str:
    """URL of PostgreSQL: the setting, else the embedded server's.

    Raises:
        AtlasError: neither is there.
    """
    return _endpoint(settings, "database_url")


def redis_url(settings: Settings) -> str:
    """URL of Redis: the setting, else the embedded server's.

    Raises:
        AtlasError: neither is there.
    """
    return _endpoint(settings, "redis_url")


def secret_key(settings: Settings) -> bytes:
    """The key that everything secret is derived from: the setting, else the embedded stack's file.

    Raises:
        AtlasError: neither is there.
    """
    if settings.secret_key is not None:
        return settings.secret_key.encode()
    try:
        return (settings.home / "secret.key").read_bytes()
    except FileNotFoundError as error:
        raise AtlasError(
            "no secret key: set ATLAS_SECRET_KEY to at least 32 random characters "
            "(the embedded stack makes its own)"
        ) from error
