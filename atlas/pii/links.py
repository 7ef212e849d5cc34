"""Personal parameters of URLs: ``?email=…&first_name=…``, by the parameter's name and its value."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from urllib.parse import unquote_plus

from atlas.pii import people
from atlas.pii.claims import Claim, claim, tokens
from atlas.pii.patterns import date_like, handle_like, id_like, name_like, phone_like

_PARAMETER = re.compile(r"[?&;]([A-Za-z][\w.\-\[\]]{0,40})=([^&;#\s\"'<>]{2,400})")
_FORMS: dict[str, Callable[[str], bool]] = {
    "PHONE_NUMBER": phone_like,
    "DATE_OF_BIRTH": date_like,
    "NATIONAL_ID": id_like,
    "US_SSN": id_like,
    "UK_NHS": id_like,
    "EMAIL_ADDRESS": lambda value: "@" in value[1:-1],
}


def parameters(text: str) -> Iterator[tuple[int, int, str]]:
    """Start, end and entity type of each value of a URL's parameter that is personal."""
    for match in _PARAMETER.finditer(text) if "=" in text else ():
        asked = claim(tokens(match.group(1)))
        if asked is not None and _personal(asked, unquote_plus(match.group(2)).strip()):
            yield match.start(2), match.end(2), asked.entity_type


def _personal(asked: Claim, value: str) -> bool:
    if asked.entity_type == "PERSON":
        if asked.part == "user name":
            return handle_like(value)
        if not name_like(value) or len(value) < 2:
            return False
        return asked.strong or people.full(value) or people.single(value)
    if asked.part == "street":
        return any(map(str.isalpha, value)) and any(map(str.isdigit, value))
    form = _FORMS.get(asked.entity_type)
    return form is not None and form(value)
