"""Masking: batches of a stream in, the masked twins of its personal columns out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from atlas.errors import TerminalError
from atlas.model.personal import Operator, Scope, Verdict
from atlas.model.stream import Column, ColumnType
from atlas.pii.claims import claim, tokens
from atlas.pii.generalising import Kind, generalised, kind_of, tenth, year_start
from atlas.pii.operators import TEXTUAL, Operators, fixed
from atlas.pii.paths import UNSEARCHED, Plan, Whole, decode, encode, is_data
from atlas.pii.places import around, covers, steps
from atlas.pii.policy import MERGING
from atlas.pii.recurring import Digests
from atlas.pii.scanner import Scanner
from atlas.pii.screen import Part, screen
from atlas.pii.sealing import Sealing
from atlas.pii.spans import Spans
from atlas.pii.study import alike

ID = "_atlas_id"
_SUFFIX = {
    ColumnType.DATE: "",
    ColumnType.TIMESTAMP: " 00:00:00",
    ColumnType.TIMESTAMPTZ: " 00:00:00+00:00",
}
_NUMBERS = frozenset({ColumnType.BIGINT, ColumnType.NUMERIC})
_ALIKE = frozenset({Operator.REDACT, Operator.DROP})
_Twin = Callable[[pa.Array], pa.Array]


class Masker:
    """Masks the columns of one stream as its verdicts say.

    Attributes:
        columns: the type of each masked column, by name. It is the column's own, but for one that
            is tokenized, encrypted or has ages in it, which is text whatever it was (JSON stays
            JSON).
        as_typed: names of the columns whose values must come as their type writes them, whatever
            way they were sent in: those that are tokenized or encrypted, unless of texts or JSON.
            ``1`` and ``1.0`` are one key, and must have one token.
        operators: what is done to each masked column, or in it.

    Whole values: text becomes a form without its characters; of dates and timestamps the year's
    first day is left, in their own type; numbers, booleans and times have no masked form and become
    NULL, unless they are tokenized, encrypted, or known to be ages or coordinates that are made
    less exact. In JSON a masked string is a string, a masked number null. Spans become
    ``<ENTITY_TYPE>``.
    """

    def __init__(
        self,
        scanner: Scanner,
        columns: Sequence[Column],
        verdicts: Sequence[Verdict],
        keys: frozenset[str],
        secret: bytes,
        sealing: Sealing | None = None,
        *,
        again: bool = False,
        former: bytes | None = None,
    ) -> None:
        """Plan the masks of ``columns``.

        Args:
            secret: what tokens come from.
            sealing: what encrypts; None: nothing can.
            again: values may have been masked before; see :class:`Operators`.
            former: what tokens came from before; see :attr:`renewed`.

        Raises:
            TerminalError: a verdict is on a column that the stream lacks, or on spans that a
            scanner of another fingerprint found.
        """
        alike([it.evidence for it in verdicts if it.scope is Scope.SPAN], scanner.fingerprint)
        self._finder = scanner.finder
        self._operators = Operators(secret, sealing, again=again, former=former)
        self._digests = Digests(secret)
        self.columns: dict[str, ColumnType] = {}
        self.as_typed: set[str] = set()
        self._twins: dict[str, _Twin] = {}
        by_name = {column.name: column for column in columns}
        of_column: dict[str, list[tuple[Verdict, Operator]]] = {}
        self._kept: dict[str, set[str]] = {}
        for verdict in verdicts:
            if verdict.column not in by_name:
                raise TerminalError(
                    f"a pii verdict is on column {verdict.column}, which the stream lacks: "
                    "retry the run, so that the column is scanned anew"
                )
            operator = verdict.operator
            # Two members of one name would be one.
            names = verdict.path.endswith(".~")
            if (verdict.column in keys or names) and operator in MERGING:
                operator = Operator.TOKENIZE
            if operator is Operator.KEEP:
                self._kept.setdefault(verdict.column, set()).add(verdict.path)
            else:
                of_column.setdefault(verdict.column, []).append((verdict, operator))
        self.operators = {name: {op for _, op in work} for name, work in of_column.items()}
        for name, work in of_column.items():
            column = by_name[name]
            self.columns[name], self._twins[name] = self._plan(column, work)

    @property
    def renewed(self) -> dict[str, str]:
        """The tokens made so far, by what they would have been before."""
        return self._operators.renewed

    def mask(self, batch: pa.Table) -> pa.Table:
        """``_atlas_id`` of ``batch`` and the masked columns, row by row as they stand in it.

        Args:
            batch: texts, those of ``as_typed`` as their types write them.

        Raises:
            TerminalError: a recognizer raised.
        """
        out = {ID: batch.column(ID)}
        for name, twin in self._twins.items():
            out[name] = twin(batch.column(name).combine_chunks())
        return pa.table(out)

    def _plan(
        self, column: Column, work: Sequence[tuple[Verdict, Operator]]
    ) -> tuple[ColumnType, _Twin]:
        in_json = column.type is ColumnType.JSONB
        # What is said of a place in a column that is no JSON holds for the whole of it.
        whole = next(
            ((v, op) for v, op in work if v.scope is Scope.VALUE and (not v.path or not in_json)),
            None,
        )
        if in_json:
            if whole is not None:
                return ColumnType.JSONB, self._whole_document(whole[0].entity_type, whole[1])
            return ColumnType.JSONB, self._documents(column, work)
        if whole is None:
            return ColumnType.TEXT, self._spans(column, work)
        entity, operator = whole[0].entity_type, whole[1]
        if operator in TEXTUAL:
            if column.type is not ColumnType.TEXT:
                self.as_typed.add(column.name)
            return ColumnType.TEXT, lambda values: _distinct(
                values, lambda text: self._operators.textual(operator, text)
            )
        kind = _less_exact(operator, entity, column)
        if column.type is ColumnType.TEXT or (column.type in _NUMBERS and kind is Kind.AGE):
            return ColumnType.TEXT, self._whole_text(entity, operator, kind)
        if column.type in _NUMBERS and kind is Kind.PLACE:
            # To the degree, an integer is less exact already.
            return column.type, lambda values: _distinct(
                values, tenth if column.type is ColumnType.NUMERIC else _degree
            )
        suffix = _SUFFIX.get(column.type)
        if suffix is None or operator in (Operator.REDACT, Operator.DROP):
            return column.type, lambda values: pa.nulls(len(values), pa.string())
        return column.type, lambda values: _distinct(values, lambda text: year_start(text, suffix))

    def _whole_text(self, entity: str, operator: Operator, kind: Kind | None) -> _Twin:
        if kind is not None or (operator not in _ALIKE and not fixed(entity)):
            return lambda values: _distinct(
                values, lambda text: self._operators.value(operator, entity, text, kind)
            )
        same = pa.scalar(self._operators.value(operator, entity, ""), pa.string())
        return lambda values: pc.if_else(pc.is_valid(values), same, pa.scalar(None, pa.string()))

    def _whole_document(self, entity: str, operator: Operator) -> _Twin:
        return lambda values: _distinct(values, lambda text: self._document(entity, operator, text))

    def _document(self, entity: str, operator: Operator, text: str) -> str | None:
        """The masked form of a whole document, which is JSON as well."""
        if text.startswith('"') and self._operators.made(text.strip('"')):
            text = text.strip('"')
        masked = self._operators.value(operator, entity, text)
        return None if masked is None else encode(masked)

    def _spans(self, column: Column, work: Iterable[tuple[Verdict, Operator]]) -> _Twin:
        by_entity = {verdict.entity_type: operator for verdict, operator in work}
        read_all = any(verdict.evidence.get("read_all", True) for verdict, _ in work)
        recurring = _recurring(work)
        asked = claim(tokens(column.property))
        claimed = None if asked is None else asked.entity_type

        def twin(values: pa.Array) -> pa.Array:
            encoded = values.dictionary_encode()
            masked = self._replaced(
                encoded.dictionary, claimed, by_entity, recurring, read_all=read_all
            )
            if not masked:
                return values
            texts = encoded.dictionary.to_pylist()
            for index, text in masked.items():
                texts[index] = text
            return pa.array(texts, pa.string()).take(encoded.indices)

        return twin

    def _replaced(
        self,
        distinct: pa.Array,
        claimed: str | None,
        by_entity: dict[str, Operator],
        recurring: frozenset[str],
        *,
        read_all: bool,
    ) -> dict[int, str | None]:
        """The masked texts of those of ``distinct`` that hold a span to mask, by their place."""
        part = Part(distinct, claimed, read=True, read_all=read_all, theirs=self._finder.theirs)
        seen = screen([part])[0]
        found = self._finder.find(seen.texts, seen.prose, claimed, seen.own)
        masked: dict[int, str | None] = {}
        for index, text, spans in zip(seen.indices, seen.texts, found, strict=True):
            wanted = tuple(span for span in spans if span.entity in by_entity)
            wanted = self._digests.without(text, wanted, recurring)
            if wanted:
                masked[index] = self._splice(text, wanted, by_entity)
        return masked

    def _splice(self, text: str, spans: Spans, by_entity: dict[str, Operator]) -> str | None:
        parts: list[str] = []
        at = 0
        for span in spans:
            operator = by_entity[span.entity]
            if operator is Operator.DROP:
                return None
            parts.append(text[at : span.start])
            parts.append(self._operators.span(operator, span.entity, text[span.start : span.end]))
            at = span.end
        parts.append(text[at:])
        return "".join(parts)

    def _documents(self, column: Column, work: Sequence[tuple[Verdict, Operator]]) -> _Twin:
        whole = [(v, op) for v, op in work if v.scope is Scope.VALUE]
        # Where a person denied the verdict, what is in them is no less unknown.
        unsearched = next(
            ((v.entity_type, op) for v, op in work if not v.path), ("PERSONAL", Operator.MASK)
        )
        by_path = _on_spans(work)
        replaced = {verdict.path for verdict, _ in whole}
        # What the policy keeps of a place all else of which is replaced.
        spared = [
            path
            for path in self._kept.get(column.name, ())
            if replaced.intersection([*around(path)][1:])
        ]

        def twin(values: pa.Array) -> pa.Array:
            encoded = values.dictionary_encode()
            texts = encoded.dictionary.to_pylist()
            documents = [decode(text) for text in texts]
            plan = Plan()
            for verdict, operator in whole:
                plan.at(verdict.path).whole = self._whole_leaf(column, verdict, operator)
            for path in spared:
                plan.at(path).whole = _AS_IT_IS
            if by_path:
                self._plan_spans(plan, column, by_path, documents)
            plan.spread()
            for index, document in enumerate(documents):
                if document is UNSEARCHED:
                    if "" not in self._kept.get(column.name, ()):
                        texts[index] = self._document(*unsearched, texts[index])
                    continue
                masked, changed = plan.apply(document)
                if changed:
                    texts[index] = encode(masked)
            return pa.array(texts, pa.string()).take(encoded.indices)

        return twin

    def _whole_leaf(self, column: Column, verdict: Verdict, operator: Operator) -> Whole:
        entity = verdict.entity_type
        kind = _less_exact(operator, entity, column, verdict.path)

        def replace(value: Any) -> Any:
            if type(value) is str:
                return self._operators.value(operator, entity, value, kind)
            if operator in TEXTUAL:
                return self._operators.textual(operator, str(value))
            if type(value) is bool or kind not in (Kind.AGE, Kind.PLACE):
                return None  # it has no masked form
            less = generalised(kind, str(value))
            return Decimal(less) if less is not None and kind is Kind.PLACE else less

        apart = operator if operator in TEXTUAL else Operator.TOKENIZE
        return Whole(replace, lambda name: self._operators.textual(apart, name))

    def _plan_spans(
        self,
        plan: Plan,
        column: Column,
        by_path: dict[str, list[tuple[Verdict, Operator]]],
        documents: Collection[Any],
    ) -> None:
        """Find the spans at the places of ``by_path`` in all ``documents``, and plan them."""
        for path, work in by_path.items():
            texts: dict[str, None] = {}
            for document in documents:
                texts.update(dict.fromkeys(_at(document, list(steps(path)))))
            asked = claim(_words(column, path))
            distinct = pa.array(texts, pa.string())
            masked = self._replaced(
                distinct,
                None if asked is None else asked.entity_type,
                {verdict.entity_type: operator for verdict, operator in work},
                _recurring(work),
                read_all=any(verdict.evidence.get("read_all", True) for verdict, _ in work),
            )
            ordered = list(texts)
            replaced = {ordered[index]: text for index, text in masked.items()}
            plan.at(path).spans = _lookup(replaced)


_AS_IT_IS = Whole(lambda value: value, lambda name: name)


def _on_spans(
    work: Sequence[tuple[Verdict, Operator]],
) -> dict[str, list[tuple[Verdict, Operator]]]:
    """The verdicts on spans by their places in a document, but where all of a place is replaced;
    with those on any member of an object for each of its members."""
    by_path: dict[str, list[tuple[Verdict, Operator]]] = {}
    for verdict, operator in work:
        if verdict.scope is Scope.SPAN and verdict.path:
            by_path.setdefault(verdict.path, []).append((verdict, operator))
    for verdict, _ in work:
        if verdict.scope is Scope.VALUE:
            by_path.pop(verdict.path, None)
    for path, found in by_path.items():
        for star in [each for each in by_path if each != path and covers(each, path)]:
            known = {verdict.entity_type for verdict, _ in found}
            found += [each for each in by_path[star] if each[0].entity_type not in known]
    return by_path


def _recurring(work: Iterable[tuple[Verdict, Operator]]) -> frozenset[str]:
    """The digests of the words that the verdicts on one place hold for its vocabulary."""
    return frozenset().union(*(verdict.evidence.get("recurring", ()) for verdict, _ in work))


def _less_exact(operator: Operator, entity: str, column: Column, path: str = "") -> Kind | None:
    """What the operator takes a column or leaf for, if it makes values less exact."""
    return kind_of(entity, _words(column, path)) if operator is Operator.GENERALISE else None


def _words(column: Column, path: str) -> tuple[str, ...]:
    """The words of a leaf's name, those of its column first."""
    words = tokens(column.property)
    for kind, member in steps(path):
        words += tokens(member) if kind == "member" else ()
    return words


def _degree(text: str) -> str | None:
    return None if tenth(text) is None else text


def _lookup(replaced: dict[str, str | None]) -> Callable[[Any], Any]:
    def replace(value: Any) -> Any:
        return replaced.get(value, value) if type(value) is str else value

    return replace


def _at(value: Any, path: Sequence[tuple[str, str]]) -> Iterable[str]:
    """The strings of ``value`` at ``path``."""
    if not path:
        if type(value) is str:
            yield value
        return
    kind, name = path[0]
    if kind == "member" and type(value) is dict and name in value:
        yield from _at(value[name], path[1:])
    elif kind == "names" and type(value) is dict:
        yield from filter(is_data, value)
    elif kind == "star" and type(value) is dict:
        for member in value.values():
            yield from _at(member, path[1:])
    elif kind == "item" and type(value) is list:
        for element in value:
            yield from _at(element, path[1:])


def _distinct(values: pa.Array, one: Callable[[str], str | None]) -> pa.Array:
    """``one`` of each distinct value, laid out as ``values`` are; nulls stay null."""
    encoded = values.dictionary_encode()
    made = [one(text) for text in encoded.dictionary.to_pylist()]
    return pa.array(made, pa.string()).take(encoded.indices)
