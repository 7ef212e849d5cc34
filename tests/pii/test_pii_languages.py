"""Columns are known by how they are called in twelve languages."""

from __future__ import annotations

import pytest

from atlas.pii.claims import claim, says_nothing, tokens, versions


@pytest.mark.parametrize(
    ("entity", "part", "columns"),
    [
        (
            "PERSON",
            "name",
            """
            vorname Nachname kundenname prénom nom_de_famille apellidos segundo_apellido fornavn
            efternavn förnamn efternamn cognome imię nazwisko etunimi sukunimi voornaam
            achternaam sobrenome owner cardholder gp_name signed_by titular KundenVorname
            """,
        ),
        (
            "EMAIL_ADDRESS",
            "e-mail",
            """
            E-Mail-Adresse correo_electronico courriel adresse_email e_post sähköposti
            emailadres indirizzo_email kundenemail correo_cliente
            """,
        ),
        (
            "PHONE_NUMBER",
            "telephone",
            """
            telefonnummer Handynummer téléphone_portable numero_telefono móvil tlf cellulare
            telefon_komórkowy puhelinnumero telemóvel rufnummer telefono_cliente diensttelefon
            """,
        ),
        (
            "LOCATION",
            "street",
            """
            straße hausnummer Hausnr adresse calle dirección direccion_cliente indirizzo ulica
            numer_domu osoite katuosoite gatuadress huisnummer morada Rechnungsadresse via
            """,
        ),
        (
            "LOCATION",
            "postal code",
            """
            PLZ postleitzahl code_postal codigo_postal postnr cap kod_pocztowy postinumero
            postcode
            """,
        ),
        (
            "LOCATION",
            "city",
            """
            stadt wohnort ort ville ciudad by città miasto kaupunki woonplaats cidade postort
            """,
        ),
        (
            "LOCATION",
            "coordinates",
            """
            lat lon latitude Längengrad longitud gps_coordinates geo_point
            """,
        ),
        (
            "DATE_OF_BIRTH",
            "date",
            """
            geburtsdatum Geburtstag fecha_nacimiento fecha_de_nacimiento date_naissance
            date_de_naissance foedselsdag fødselsdato födelsedatum data_di_nascita
            data_urodzenia syntymäaika geboortedatum data_nascimento fec_nac
            """,
        ),
        (
            "NATIONAL_ID",
            "number",
            """
            steuer_id SteuerIdNr dni nif nie codice_fiscale codiceFiscale pesel hetu cpr cpr_nr
            personnummer nir numero_securite_sociale bsn nino itin passport_no reisepass
            pasaporte fødselsnummer fodselsnr personal_identity_code henkilötunnus
            """,
        ),
        (
            "CREDIT_CARD",
            "number",
            """
            kreditkartennummer numero_tarjeta numéro_carte kortnummer
            """,
        ),
        (
            "PERSON",
            "user name",
            """
            username user_name login benutzername nombre_usuario nome_utente
            """,
        ),
        (
            "CRYPTO",
            "address",
            """
            wallet btc_address eth_wallet
            """,
        ),
    ],
)
def test_claims_in_many_languages(entity: str, part: str, columns: str) -> None:
    for name in columns.split():
        found = claim(tokens(name))
        assert found is not None, name
        assert (found.entity_type, found.part) == (entity, part), name


@pytest.mark.parametrize(
    "name",
    [
        "artikelname",
        "nombre_producto",
        "nom_produit",
        "nazwa_firmy",
        "telefon_modell",
        "adresse_typ",
        "ip_version",
        "card_type",
        "pnr",
        "fecha_pedido",
        "Lieferdatum",
        "rechnungsnummer",
        "stadtplan",
        "class_name",
        "passwort",
        "vehicle_identification_number",
        "document_number",
        "created_by_system",
    ],
)
def test_names_of_other_things_claim_nothing(name: str) -> None:
    assert claim(tokens(name)) is None


def test_accents_and_compounds_are_no_borders_of_words() -> None:
    assert tokens("Dirección") == ("address",)
    assert tokens("Straßenname") == ("street",)
    assert tokens("fødselsdag") == tokens("foedselsdag") == ("birth", "date")
    assert tokens("KUNDENNUMMER") == ("customer", "number")


def test_what_follows_a_head_says_whose_it_is() -> None:
    theirs = claim(tokens("telefono_cliente"))
    assert theirs is not None
    assert theirs.entity_type == "PHONE_NUMBER"
    alone = claim(tokens("cliente"))
    assert alone is not None
    assert (alone.entity_type, alone.strong) == ("PERSON", False)


@pytest.mark.parametrize("name", ["c7", "field_12", "date", "value", "x"])
def test_some_names_say_nothing(name: str) -> None:
    assert says_nothing(tokens(name))


@pytest.mark.parametrize("name", ["order_date", "hired", "expires", "Lieferdatum"])
def test_others_say_that_it_is_something_else(name: str) -> None:
    assert not says_nothing(tokens(name))


def test_versions_are_known_by_name() -> None:
    assert versions(tokens("osVersion"))
    assert versions(tokens("firmware"))
    assert not versions(tokens("client_ip"))
