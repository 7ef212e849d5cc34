"""A column's name claims something only with its head."""

from __future__ import annotations

import pytest

from atlas.pii.claims import claim, tokens


@pytest.mark.parametrize(
    ("name", "entity", "strong"),
    [
        ("email", "EMAIL_ADDRESS", True),
        ("customerEmailAddress", "EMAIL_ADDRESS", True),
        ("e_mail_2", "EMAIL_ADDRESS", True),
        ("billingPhone", "PHONE_NUMBER", True),
        ("phone_home", "PHONE_NUMBER", True),
        ("PhoneNumbers", "PHONE_NUMBER", True),
        ("telephone", "PHONE_NUMBER", True),
        ("first_name", "PERSON", True),
        ("FIRSTNAME", "PERSON", True),
        ("lastName", "PERSON", True),
        ("surname", "PERSON", True),
        ("customer_name", "PERSON", True),
        ("name", "PERSON", False),
        ("assignee", "PERSON", False),
        ("street", "LOCATION", True),
        ("shipping_address_line_1", "LOCATION", True),
        ("zipCode", "LOCATION", True),
        ("city", "LOCATION", True),
        ("house_no", "LOCATION", True),
        ("date_of_birth", "DATE_OF_BIRTH", True),
        ("DOB", "DATE_OF_BIRTH", True),
        ("card_number", "CREDIT_CARD", True),
        ("ssn", "US_SSN", True),
        ("clientIp", "IP_ADDRESS", True),
        ("passport_no", "NATIONAL_ID", True),
    ],
)
def test_claims(name: str, entity: str, strong: bool) -> None:
    found = claim(tokens(name))
    assert found is not None
    assert (found.entity_type, found.strong) == (entity, strong)


@pytest.mark.parametrize(
    "name",
    [
        "phone_model",
        "email_count",
        "email_verified",
        "address_type",
        "address_id",
        "product_name",
        "fileName",
        "company_name",
        "country_code",
        "state",
        "zip_count",
        "cardinality",
        "mobile_os",
        "city_population",
        "created_at",
        "birth_rate",
        "ip_version",
        "web_address",
        "nameplate",
        "title",
        "occupation",
        "",
    ],
)
def test_names_that_only_sound_personal_claim_nothing(name: str) -> None:
    assert claim(tokens(name)) is None
