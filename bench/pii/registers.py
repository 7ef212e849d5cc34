"""Registers of people in six languages: the rows of tables in :mod:`bench.pii.tables`."""

from __future__ import annotations

from typing import Any

from bench.pii import numbers, prose
from bench.pii.model import mine
from bench.pii.row import ALL, Row


def kunden(r: Row) -> dict[str, Any]:
    """Customers of a German shop."""
    who = r.who
    return {
        "kundennr|kd_nr": f"{r.id(70_000)}",
        "vorname|rufname": mine("PERSON", who.first),
        "nachname|familienname": mine("PERSON", who.last),
        "strasse|anschrift": mine("LOCATION", who.street),
        "plz|postleitzahl": mine("LOCATION", who.postcode),
        "ort|wohnort": mine("LOCATION", who.city),
        "geburtsdatum|geb_datum": mine("BIRTH_DATE", f"{who.born:%d.%m.%Y}"),
        "telefon|rufnummer": mine("PHONE", who.phone),
        "emailAdresse|mailadresse": mine("EMAIL", who.email),
        "kontoverbindung|bankkonto": mine("IBAN", numbers.iban_written(r.rng, "DE")),
        "steuer_id|steuernummer": mine("NATIONAL_ID", numbers.steuer_id(r.rng)),
        "bemerkung|notiz": r.mostly(r.text("de", 0.2, ALL), 0.8),
        "kategorie|warengruppe": r.word("category"),
        "umsatz|umsatz_vj:numeric": r.amount(20_000),
        "anlagedatum|angelegt_am": prose.day(r.rng).strftime("%d.%m.%Y"),
        "versandart|lieferart": r.among("DHL Paket", "Selbstabholung", "Spedition", "Express"),
        "artikelname|bezeichnung": r.word("product"),
    }


def employees(r: Row) -> dict[str, Any]:
    """Employees of an American and British company."""
    who, boss, kin = r.who, r.other("us", "uk"), r.other("us", "uk")
    return {
        "emp_id|personnel_no:bigint": r.id(20_000),
        "name|employee": mine("PERSON", f"{who.last}, {who.first}"),
        "work_email|mail": mine("EMAIL", who.email),
        "job_title|position": r.word("job"),
        "department|org_unit": r.word("department"),
        "hire_date|start_date:date": r.day(),
        "birthDate|bday": mine("BIRTH_DATE", f"{who.born:%m/%d/%Y}"),
        "ssn|social_security_number": mine("NATIONAL_ID", numbers.ssn(r.rng)),
        "salary|base_pay:numeric": float(r.rng.randint(28, 160) * 1000),
        "manager|reports_to": mine("PERSON", boss.full),
        "officePhone|desk_phone": mine("PHONE", who.phone),
        "emergency_contact|next_of_kin:jsonb": {
            r.k("name|fullName"): mine("PERSON", kin.full),
            "relation": r.among("spouse", "parent", "sibling", "friend"),
            r.k("phone|tel"): mine("PHONE", kin.phone),
        },
        "performance_note|review_comment": r.mostly(r.text("en", 0.15, {"person": 5}), 0.8),
        "shirt_size|badge_colour": r.among("S", "M", "L", "XL", "#ff8800", "#0a3d62"),
        "day_off|rest_day": r.word("weekday"),
        "cost_center|kostenstelle": f"{r.rng.randint(10, 99)}-{r.rng.randint(100, 999)}",
    }


def patients(r: Row) -> dict[str, Any]:
    """Patients of a British hospital."""
    who = r.who
    return {
        "patient_id|pat_no:bigint": r.id(80_000),
        "patient_name|pat_name": mine("PERSON", f"{who.last.upper()}, {who.first.upper()}"),
        "dob|birth_dt:date": mine("BIRTH_DATE", who.born.isoformat()),
        "nhs_number|nhs_no": mine("NATIONAL_ID", numbers.nhs(r.rng)),
        "gp_name|attending": mine("PERSON", f"Dr. {r.other('uk').full}"),
        "diagnosis|dx": r.word("diagnosis"),
        "medication|rx": r.word("drug"),
        "blood_type|blood_group": r.among("A+", "A-", "B+", "O+", "O-", "AB+"),
        "admitted|adm_ts:timestamp with time zone": r.stamp(),
        "ward|unit": r.among("Ward 7", "ICU", "Maternity", "Day surgery", "4 West"),
        "home_phone|contact_phone": mine("PHONE", who.phone),
        "postcode|pcode": mine("LOCATION", who.postcode),
        "clinical_notes|narrative": r.text(
            "en", 0.2, {"person": 4, "dob": 1, "nid": 1, "phone": 1, "address": 1}
        ),
        "bmi|body_mass:numeric": round(r.rng.uniform(17, 40), 1),
        "systolic|bp_sys:bigint": r.rng.randint(95, 180),
    }


def clientes(r: Row) -> dict[str, Any]:
    """Customers of a Spanish company."""
    who = r.who
    return {
        "codigo|num_cliente:bigint": r.id(3000),
        "nombre|nombre_pila": mine("PERSON", who.first),
        "apellidos|apellido": mine("PERSON", who.last),
        "dni|nif": mine("NATIONAL_ID", numbers.nif(r.rng)),
        "correo|correo_electronico": mine("EMAIL", who.email),
        "telefono|movil": mine("PHONE", who.phone),
        "direccion|domicilio": mine("LOCATION", who.street),
        "ciudad|poblacion": mine("LOCATION", who.city),
        "codigo_postal|cp": mine("LOCATION", who.postcode),
        "fecha_nacimiento|nacimiento": mine("BIRTH_DATE", f"{who.born:%d/%m/%Y}"),
        "importe|total:numeric": r.amount(),
        "observaciones|comentarios": r.mostly(r.text("es", 0.2, ALL), 0.7),
        "estado|situacion": r.among("activo", "baja", "pendiente"),
        "fecha_alta|alta": prose.day(r.rng).strftime("%d/%m/%Y"),
    }


def borgere(r: Row) -> dict[str, Any]:
    """Citizens of a Danish municipality."""
    who = r.who
    return {
        "id|loebenr:bigint": r.id(1),
        "fornavn|kaldenavn": mine("PERSON", who.first),
        "efternavn|slaegtsnavn": mine("PERSON", who.last),
        "cpr|cprNummer": mine("NATIONAL_ID", numbers.cpr(r.rng, who.born)),
        "adresse|vejnavn": mine("LOCATION", who.street),
        "postnr|postnummer": mine("LOCATION", who.postcode),
        "by|bynavn": mine("LOCATION", who.city),
        "telefonnummer|mobil": mine("PHONE", who.phone),
        "e-mail|mailadresse": mine("EMAIL", who.email),
        "oprettet|oprettelsesdato:date": r.day(),
        "beløb|saldo:numeric": r.amount(),
        "bemærkning|notat": r.mostly(r.text("da", 0.2, ALL), 0.6),
        "sagstype|kategori": r.among("Flytning", "Pas", "Børnepasning", "Byggesag"),
    }


def adherents(r: Row) -> dict[str, Any]:
    """Members of a French club."""
    who = r.who
    return {
        "num_adherent|matricule": f"AD{r.id(10_000)}",
        "prenom|prénom": mine("PERSON", who.first),
        "nom|nom_de_famille": mine("PERSON", who.last),
        "adresse|rue": mine("LOCATION", who.street),
        "code_postal|cp": mine("LOCATION", who.postcode),
        "ville|commune": mine("LOCATION", who.city),
        "courriel|adresse_mail": mine("EMAIL", who.email),
        "tel|portable": mine("PHONE", who.phone),
        "date_naissance|né_le:date": mine("BIRTH_DATE", who.born.isoformat()),
        "date_inscription|inscrit_le:date": r.day(),
        "commentaire|remarque": r.mostly(r.text("fr", 0.2, ALL), 0.7),
        "cotisation|montant:numeric": r.amount(120),
        "formule|abonnement": r.among("Annuel", "Mensuel", "Étudiant", "Famille"),
    }


def registry(r: Row) -> dict[str, Any]:
    """Identifiers of many countries, one a column."""
    return {
        "entry|line:bigint": r.id(1),
        "codice_fiscale|cf": mine("NATIONAL_ID", numbers.fiscal(r.rng)),
        "pesel|nr_pesel": mine("NATIONAL_ID", numbers.pesel(r.rng)),
        "hetu|henkilotunnus": r.mostly(mine("NATIONAL_ID", numbers.hetu(r.rng)), 0.5),
        "itin|us_taxpayer_id": mine("NATIONAL_ID", numbers.itin(r.rng)),
        "patient_ref|health_no": mine("NATIONAL_ID", numbers.nhs(r.rng)),
        "person_number|cpr_no": mine("NATIONAL_ID", numbers.cpr(r.rng)),
        "case_no|file_no": f"{r.rng.randint(2015, 2025)}/{r.rng.randint(1, 99999):05d}",
        "decision|outcome": r.among("granted", "rejected", "withdrawn", "pending"),
        "fee|charge:numeric": r.amount(300),
        "received|lodged:date": r.day(),
    }
