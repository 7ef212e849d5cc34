"""Free text against labelled sentences, where they stand beside the checkout.

The bounds are far below what is measured: they catch a scanner that stopped reading.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from atlas.pii.scanner import Scanner

SENTENCES = Path(__file__).parents[2] / "bench" / "pii" / "data" / "sentences.json"
LEAST = {
    "EMAIL_ADDRESS": 1.0,
    "IBAN_CODE": 1.0,
    "US_SSN": 1.0,
    "IP_ADDRESS": 1.0,
    "PHONE_NUMBER": 0.75,
    "CREDIT_CARD": 0.7,
    "PERSON": 0.6,
}


def test_recall_on_labelled_sentences(scanner: Scanner) -> None:
    sentences: list[dict[str, Any]] = json.loads(SENTENCES.read_text())[::2]
    texts = [each["text"] for each in sentences]
    found = scanner.finder.find(texts, [True] * len(texts), None)
    for entity, least in LEAST.items():
        hit = total = 0
        for each, spans in zip(sentences, found, strict=True):
            for gold in each["spans"]:
                if gold["entity_type"] != entity:
                    continue
                total += 1
                hit += any(
                    span.entity == entity and span.start < gold["end"] and gold["start"] < span.end
                    for span in spans
                )
        assert hit / total >= least, (entity, hit, total)
