"""What columns are called in other languages and other conventions."""

from __future__ import annotations

import pytest

from atlas.pii.claims import claim, tokens


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("cust_nm", "name"),
        ("LST_NM", "name"),
        ("fst_nm", "name"),
        ("soyadi", "name"),
        ("musteri_adi", "name"),
        ("vezeteknev", "name"),
        ("příjmení", "name"),
        ("nama_lengkap", "name"),
        ("apellido_paterno", "name"),
        ("Фамилия", "name"),
        ("姓名", "name"),
        ("성명", "name"),
        ("SURNAME_TXT", "name"),
        ("TELF1", "telephone"),
        ("HOME_PH", "telephone"),
        ("전화번호", "telephone"),
        ("телефон", "telephone"),
        ("e_posta", "e-mail"),
        ("KKNR", "number"),
        ("nr_karty", "number"),
        ("TC_KIMLIK_NO", "number"),
        ("no_ktp", "number"),
        ("nr_paszportu", "number"),
        ("NIF_TITULAR", "number"),
        ("doğum_tarihi", "date"),
        ("datum_narozeni", "date"),
        ("tanggal_lahir", "date"),
        ("дата_рождения", "date"),
        ("生年月日", "date"),
        ("PSČ", "postal code"),
        ("город", "city"),
        ("lakcím", "street"),
        ("travelDocument", "number"),
        ("travel_doc_no", "number"),
        ("Reisedokument", "number"),
        ("documento_de_viaje", "number"),
        ("identity_document", "number"),
        ("identity_card_no", "number"),
        ("prawo_jazdy", "number"),
        ("kennitala", "number"),
    ],
)
def test_names_of_columns_in_other_conventions(name: str, part: str) -> None:
    said = claim(tokens(name))
    assert said is not None
    assert said.part == part
    assert said.strong


@pytest.mark.parametrize(
    "name",
    ["prod_nm", "item_nm", "CNTRY_NM", "srv_nm", "ph", "rfc", "document_no", "tipo_documento"],
)
def test_names_of_things_in_these_conventions_claim_nothing(name: str) -> None:
    assert claim(tokens(name)) is None
