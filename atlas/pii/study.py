"""The study of one stream: batches in, evidence gathered, verdicts out."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from atlas.errors import TerminalError, UsageError
from atlas.model.personal import Operator, Scope, Verdict
from atlas.model.stream import Column, ColumnType
from atlas.pii import people, places
from atlas.pii.claims import abbreviated, prefix, tokens
from atlas.pii.decide import NUMBERS, Company, Finding, Leaf, company, decide, looked_at, settled
from atlas.pii.evidence import Evidence
from atlas.pii.examples import LOOKED_AT, example
from atlas.pii.folding import as_read
from atlas.pii.paths import UNSEARCHED, Node, decode
from atlas.pii.patterns import (
    CARD_LIKE,
    ORGANIZATION,
    code_like,
    coordinate,
    date_like,
    dates,
    far_quad,
    handle_like,
    id_like,
    international,
    mac_like,
    mail_like,
    mail_spelled,
    many_digits,
    name_like,
    no_name,
    phone_like,
    postcode_like,
    quad,
    token_like,
    trunk,
    user_like,
    version,
    wallet_like,
    wide_quad,
)
from atlas.pii.policy import MERGING, Policy
from atlas.pii.recurring import Digests, trim
from atlas.pii.screen import Part, Screened, screen
from atlas.pii.spans import Finder, Span, Spans
from atlas.pii.streets import street_like

_TRIAL = 100
_READ_ALL = 0.2
_TRAITS: dict[str, Callable[[str], bool]] = {
    "prose": lambda text: len(text.split(None, 5)) >= 5,
    "name_like": lambda text: all(map(name_like, people.several(text))),
    "single": people.single,
    "full": people.full_alone,
    "nearly": people.nearly_alone,
    "foreign": people.foreign,
    "initialled": people.initialled,
    "initialled_form": people.initialled_form,
    "unspaced": people.unspaced,
    "place": people.place,
    "street_like": street_like,
    "phone_like": phone_like,
    "trunk": trunk,
    "mail_like": mail_like,
    "mail_spelled": mail_spelled,
    "date_like": date_like,
    "id_like": id_like,
    "digits": many_digits,
    "no_name": no_name,
    "card_like": lambda text: CARD_LIKE.fullmatch(text.strip()) is not None,
    "ssn_like": lambda text: text.isdigit() and 7 <= len(text) <= 9,
    "number": lambda text: text.strip().isdigit(),
    "international": international,
    "coordinate": coordinate,
    "quad": quad,
    "wide_quad": wide_quad,
    "far_quad": far_quad,
    "code_like": code_like,
    "postcode_like": postcode_like,
    "user_like": user_like,
    "version": version,
    "token_like": token_like,
    "handle_like": handle_like,
    "wallet_like": wallet_like,
    "mac_like": mac_like,
    "addressed": lambda text: "\n" in text and people.full(text.strip().partition("\n")[0]),
    "organization": lambda text: ORGANIZATION.search(text) is not None,
}


class _Part(NamedTuple):
    """Values of a batch (not null, not distinct) that stand at one place."""

    column: str
    path: str
    leaf: Leaf
    values: pa.Array


Denied = Callable[[str, str], frozenset[str]]
"""Entity types that a column (path "") or the leaf at a path is not."""


def alike(evidence: Sequence[Mapping[str, Any]], fingerprint: str) -> None:
    """See that evidence, or what was kept of it with a verdict, is of a scanner of this
    fingerprint. What an older Atlas wrote has none.

    Raises:
        TerminalError: it is not. Another scanner would find other spans than the verdicts are on.
    """
    if any(each.get("scanner", fingerprint) != fingerprint for each in evidence):
        raise TerminalError(
            "this worker scans with another Atlas, other recognizers, another model or other "
            "ATLAS_PII_ settings than the one that scanned before it in this run: nothing was "
            "promoted; start all scan workers anew with the same, then retry the run"
        )


def _nothing_denied(_column: str, _path: str) -> frozenset[str]:
    return frozenset()


class Study:
    """Gathers evidence on the columns of one stream, batch by batch, in bounded memory.

    Every distinct value of every text is searched by the patterns and, where it is prose, read by
    NER; a sample of them decides what a column is. Made by :meth:`atlas.pii.scanner.Scanner.study`.
    """

    def __init__(
        self,
        finder: Finder,
        columns: Sequence[Column],
        keys: frozenset[str],
        sample: int,
        threshold: float,
        first: Sequence[Mapping[str, Any]] = (),
        searched: frozenset[str] = frozenset(),
        fingerprint: str = "",
        kept: frozenset[str] = frozenset(),
        digests: Digests | None = None,
    ) -> None:
        self._fingerprint = fingerprint
        self._finder = finder
        self._columns = {column.name: column for column in columns}
        self._keys = keys
        self._sample = sample
        self._threshold = threshold
        self._searched = searched
        self._kept = kept
        self._prefix = prefix([column.property for column in columns])
        self._digests = digests
        self._leaves: dict[tuple[str, str], Leaf] = {}
        self._roots: dict[str, Node] = {}
        alike(first, fingerprint)
        self._first = {
            (each["column"], each["path"]): Evidence.from_json(each["evidence"]) for each in first
        }

    def observe(self, batch: pa.Table) -> None:
        """Count one batch in: a text column for each of the stream's columns, JSON as text.

        Raises:
            TerminalError: a recognizer raised.
        """
        parts: list[_Part] = []
        for name, column in self._columns.items():
            if name not in batch.column_names:
                continue
            values = batch.column(name).combine_chunks().drop_null()
            if not len(values):
                continue
            if column.type is ColumnType.JSONB:
                parts.extend(self._documents(column, values))
                continue
            words = abbreviated(column.property, self._prefix)
            leaf = self._leaf(name, "", words, column.type)
            # What is no text is looked at by its name; the user's recognizers need no name.
            if looked_at(leaf) or (column.type in NUMBERS and self._finder.theirs is not None):
                parts.append(_Part(name, "", leaf, values))
        self._observe_parts(parts)

    def _leaf(self, column: str, path: str, words: tuple[str, ...], of: ColumnType) -> Leaf:
        leaf = self._leaves.get((column, path))
        if leaf is None:
            leaf = self._leaves[column, path] = Leaf(words, of, Evidence())
            # What the first part showed is not its own evidence, and steers only the reading.
            leaf.evidence.read_all = self._prior(column, path).read_all
        return leaf

    def _prior(self, column: str, path: str) -> Evidence:
        return self._first.get((column, path)) or Evidence()

    def _documents(self, column: Column, documents: pa.Array) -> Iterator[_Part]:
        root = self._root(column.name)
        distinct = documents.unique().to_pylist()
        unsearched = set()
        for text in distinct:
            document = decode(text)
            if document is UNSEARCHED:
                unsearched.add(text)
                continue
            root.gather(document)
            root.narrow()
        whole = self._leaf(column.name, "", root.words, column.type).evidence
        whole.scanned += len(distinct)
        if unsearched:
            whole.values += sum(text in unsearched for text in documents.to_pylist())
            whole.distinct += len(unsearched)
        self._gathered_together(column.name)
        for node in root.walk():
            if node.texts:
                yield self._place(column.name, node.path, node, ColumnType.TEXT, node.texts)
            if node.numbers and node.wants_numbers:
                numbers = [str(number) for number in node.numbers]
                path = f"{node.path}#"
                yield self._place(column.name, path, node, ColumnType.NUMERIC, numbers)
            node.texts.clear()
            node.numbers.clear()

    def _place(
        self, column: str, path: str, node: Node, of: ColumnType, gathered: list[str]
    ) -> _Part:
        leaf = self._leaf(column, path, node.words, of)
        return _Part(column, path, leaf, pa.array(gathered, pa.string()))

    def _root(self, column: str) -> Node:
        root = self._roots.get(column)
        if root is None:
            root = self._roots[column] = Node("$", tokens(self._columns[column].property))
        return root

    def _gathered_together(self, column: str) -> None:
        """Where members have come to share a node, so does what is known of them."""
        root = self._root(column)
        for (name, path), leaf in list(self._leaves.items()):
            if name != column or not path:
                continue
            number = "#" if path.endswith("#") else ""
            node = root.place(path.removesuffix("#"))
            if node is None or node.path + number == path:
                continue
            del self._leaves[name, path]
            if not number or node.wants_numbers:
                shared = self._leaf(name, node.path + number, node.words, leaf.type)
                shared.evidence.add(leaf.evidence)

    def _observe_parts(self, parts: Sequence[_Part]) -> None:
        """A sample of each first, then all of those that it did not show to be one thing."""
        sampled: list[tuple[_Part, pa.Array, Part]] = []
        for part in parts:
            evidence, prior = part.leaf.evidence, self._prior(part.column, part.path)
            evidence.values += len(part.values)
            distinct = part.values.unique()
            evidence.distinct += len(distinct)
            whole = part.column not in self._searched
            if not (whole and (evidence.settled or prior.settled)):
                picked = self._pick(distinct, prior.sampled + evidence.sampled)
                asked = Part(picked, _claimed(part.leaf), theirs=self._finder.theirs)
                sampled.append((part, distinct, asked))
        left: list[tuple[Leaf, Part]] = []
        seen = screen([picked for *_, picked in sampled])
        for (part, distinct, picked), looked in zip(sampled, seen, strict=True):
            leaf, evidence = part.leaf, part.leaf.evidence
            self._observe_sample(leaf, picked.values, looked)
            if part.column not in self._searched:
                evidence.settled |= settled(leaf, self._threshold) - self._kept
            if leaf.type is not ColumnType.TEXT:
                continue
            evidence.read_all |= evidence.trait("prose") >= _READ_ALL
            if evidence.settled:
                # It is masked whole: what the sample showed stands for the rest.
                self._search(leaf, len(picked.values), looked)
            else:
                every = picked._replace(values=distinct, read=True, read_all=evidence.read_all)
                left.append((leaf, every))
        for (leaf, asked), looked in zip(left, screen([asked for _, asked in left]), strict=True):
            self._search(leaf, len(asked.values), looked)

    def _pick(self, distinct: pa.Array, sampled: int) -> pa.Array:
        """The sample's share of this batch; later batches add a twentieth each.

        Picked at random, for a stride would fall in step with periodic data; but always the same
        places, so that the same input gives the same verdicts.
        """
        quota = min(len(distinct), max(self._sample - sampled, self._sample // 20, 1))
        places = random.Random(sampled).sample(range(len(distinct)), quota)  # noqa: S311
        return distinct.take(pa.array(sorted(places), pa.int64()))

    def _observe_sample(self, leaf: Leaf, picked: pa.Array, seen: Screened) -> None:
        evidence, claimed = leaf.evidence, _claimed(leaf)
        texts = [as_read(text) for text in picked.to_pylist()]
        evidence.sampled += len(texts)
        for trait, holds in _TRAITS.items():
            evidence.traits[trait] += sum(map(holds, texts))
        evidence.show("", [example("", text) for text in picked[:LOOKED_AT].to_pylist()])
        evidence.traits.update(dates(texts))
        evidence.traits.update(self._finder.identifiers.count(texts))
        found = self._finder.find(seen.texts, seen.prose, claimed, seen.own)
        for text, spans in zip(seen.texts, found, strict=True):
            if not spans:
                continue
            evidence.sample_found.update({span.entity for span in spans})
            whole = _whole(text, spans)
            if whole is not None:
                evidence.sample_whole[whole.entity] += 1
        asked = leaf.claim
        if asked is not None and asked.entity_type == "PERSON" and not asked.strong:
            trial = [text for text in texts if " " in text.strip() and name_like(text)][:_TRIAL]
            read = self._finder.find(trial, [True] * len(trial), claimed)
            evidence.traits["ner_read"] += len(trial)
            evidence.traits["ner_person"] += sum(
                any(span.entity == "PERSON" for span in spans) for spans in read
            )

    def _search(self, leaf: Leaf, scanned: int, seen: Screened) -> None:
        evidence, claimed = leaf.evidence, _claimed(leaf)
        evidence.scanned += scanned
        shown: dict[str, list[str]] = {}
        found = self._finder.find(seen.texts, seen.prose, claimed, seen.own)
        for text, spans in zip(seen.texts, found, strict=True):
            if not spans:
                continue
            evidence.found.update({span.entity for span in spans})
            evidence.kinds.update({f"{span.entity} {span.kind}" for span in spans})
            for span in spans:
                best = evidence.scores.get(span.entity, 0.0)
                evidence.scores[span.entity] = max(best, span.score)
                examples = shown.setdefault(span.entity, [])
                if len(examples) < LOOKED_AT:
                    examples.append(example(span.entity, text[span.start : span.end]))
            whole = _whole(text, spans)
            if whole is not None:
                evidence.whole[whole.entity] += 1
            if self._digests is not None:
                self._digests.count(text, spans, evidence.words, evidence.only)
        trim(evidence.words)
        trim(evidence.only)
        for entity, examples in shown.items():
            evidence.show(entity, examples)

    def evidence(self) -> list[dict[str, Any]]:
        """All evidence as JSON values, for another process to :meth:`merge`; no raw values."""
        return [
            {
                "column": column,
                "path": path,
                "words": list(leaf.words),
                "type": leaf.type.value,
                "evidence": leaf.evidence.to_json(),
                "scanner": self._fingerprint,
            }
            for (column, path), leaf in self._leaves.items()
        ]

    def merge(self, evidence: Sequence[Mapping[str, Any]]) -> None:
        """Add what another study of the same stream gathered (its :meth:`evidence`).

        Raises:
            TerminalError: it was made by a scanner of another fingerprint.
        """
        alike(evidence, self._fingerprint)
        for each in evidence:
            leaf = self._leaf(
                each["column"], each["path"], tuple(each["words"]), ColumnType(each["type"])
            )
            leaf.evidence.add(Evidence.from_json(each["evidence"]))
            if each["path"]:
                root = self._root(each["column"])
                root.place(each["path"].removesuffix("#"), make=True)
                root.narrow()
        for column in self._roots:
            self._gathered_together(column)

    def verdicts(self, policy: Policy, denied: Denied = _nothing_denied) -> list[Verdict]:
        """What each column and leaf is, and what ``policy`` does to it; in order of the columns.

        A primary key is tokenized where the policy would make different keys equal.

        Args:
            denied: entity types that a column, or a leaf at its path, is not.

        Raises:
            UsageError: the policy names a key column and asks for just that.
        """
        for name in sorted(self._keys & policy.columns.keys()):
            if policy.columns[name] in MERGING:
                raise UsageError(
                    f"pii: column {name} is part of the primary key and {policy.columns[name]} "
                    "would merge its keys: say tokenize, or keep"
                )
        made = self._verdicts(policy, denied)
        scanner = {"scanner": self._fingerprint}
        return [dataclasses.replace(it, evidence=it.evidence | scanner) for it in made]

    def _verdicts(self, policy: Policy, denied: Denied) -> list[Verdict]:
        around = company(self._leaves.values())
        verdicts: list[Verdict] = []
        for name in self._columns:
            whole = policy.columns.get(name)
            if whole is not None and whole is not Operator.KEEP:
                verdicts.append(self._imposed(name, "", whole, around))
                continue
            for (column, path), leaf in sorted(self._leaves.items()):
                if column == name:
                    not_it = denied(name, path.removesuffix("#"))
                    verdicts.extend(self._of_leaf(name, path, leaf, around, policy, not_it))
            verdicts.extend(self._unsearched(name, around, policy))
            verdicts.extend(self._imposed_inside(name, verdicts, policy, around))
        return verdicts

    def _imposed_inside(
        self, name: str, verdicts: Sequence[Verdict], policy: Policy, around: Company
    ) -> list[Verdict]:
        """The verdicts on places in a column that the policy names, and that have none yet."""
        known = {verdict.path for verdict in verdicts if verdict.column == name}
        imposed = []
        for place, operator in sorted(policy.columns.items()):
            column, path = places.split(place)
            if column != name or not path or path in known:
                continue
            inside = any(name + each[1:] in policy.columns for each in [*places.around(path)][1:])
            if operator is Operator.KEEP and not inside:
                continue
            if name in self._keys and operator in MERGING:
                operator = Operator.TOKENIZE
            imposed.append(self._imposed(name, path, operator, around))
        return imposed

    def _of_leaf(
        self,
        column: str,
        path: str,
        leaf: Leaf,
        around: Company,
        policy: Policy,
        denied: frozenset[str],
    ) -> list[Verdict]:
        place = path.removesuffix("#")
        explicit = policy.explicit(column, place)
        if place and explicit is not None and explicit is not Operator.KEEP:
            return [] if place != path else [self._imposed(column, place, explicit, around)]
        verdicts = []
        for found in self._found(leaf, around, policy, denied, explicit):
            operator = policy.operator(found.entity_type, column, place)
            if (column in self._keys or place.endswith(".~")) and operator in MERGING:
                operator = Operator.TOKENIZE
            verdicts.append(_verdict(column, place, leaf, found, operator, around))
        return verdicts

    def _found(
        self,
        leaf: Leaf,
        around: Company,
        policy: Policy,
        denied: frozenset[str],
        explicit: Operator | None,
    ) -> list[Finding]:
        """What a leaf is and what is in it. Where the policy keeps what it is, that is also
        whatever else would have been found: one entity type is kept, not the column."""
        found: dict[str, Finding] = {}
        while True:
            now = decide(leaf, around, denied, self._threshold)
            for each in now:
                found.setdefault(each.entity_type, each)
            kept = {
                each.entity_type
                for each in now
                if each.scope is Scope.VALUE and policy.of(each.entity_type) is Operator.KEEP
            }
            if not kept or explicit is Operator.KEEP:
                return list(found.values())
            denied |= kept

    def _unsearched(self, column: str, around: Company, policy: Policy) -> list[Verdict]:
        """The verdict on the documents of a column that nobody can search: what is in them is not
        known, so they are masked whole."""
        leaf = self._leaves.get((column, ""))
        if leaf is None or leaf.type is not ColumnType.JSONB or not leaf.evidence.distinct:
            return []
        evidence = leaf.evidence
        operator = policy.operator("PERSONAL", column)
        if column in self._keys and operator in MERGING:
            operator = Operator.TOKENIZE
        found = Finding(
            "PERSONAL",
            Scope.SPAN,
            1.0,
            round(evidence.distinct / evidence.scanned, 6),
            "documents that cannot be searched: nested too deeply, or with a number too long",
        )
        return [_verdict(column, "", leaf, found, operator, around)]

    def _imposed(self, column: str, path: str, operator: Operator, around: Company) -> Verdict:
        """The verdict on a column or leaf that the policy names: all of it, whatever it holds."""
        leaf = self._leaves.get((column, path)) or Leaf((), ColumnType.TEXT, Evidence())
        best = next(iter(decide(leaf, around)), None)
        found = Finding(
            best.entity_type if best is not None else "PERSONAL",
            Scope.VALUE,
            1.0,
            best.share if best is not None else 0.0,
            "the policy names it",
        )
        return _verdict(column, path, leaf, found, operator, around)


def _claimed(leaf: Leaf) -> str | None:
    asked = leaf.claim
    return None if asked is None else asked.entity_type


def _whole(text: str, spans: Spans) -> Span | None:
    """The span that is all of ``text``, but for space and punctuation around it."""
    for span in spans:
        rest = text[: span.start] + text[span.end :]
        if not any(map(str.isalnum, rest)):
            return span
    return None


def _verdict(
    column: str, path: str, leaf: Leaf, found: Finding, operator: Operator, around: Company
) -> Verdict:
    evidence, asked, entity = leaf.evidence, leaf.claim, found.entity_type
    told: dict[str, Any] = {
        "reason": found.reason,
        "name": list(leaf.words),
        "claim": None if asked is None else f"{asked.entity_type} {asked.part}",
        "claim_strong": asked is not None and asked.strong,
        "values": evidence.values,
        "distinct": evidence.distinct,
        "scanned": evidence.scanned,
        "sampled": evidence.sampled,
        "found": evidence.held(entity),
        "whole": evidence.whole[entity],
        "kinds": {
            name.partition(" ")[2]: count
            for name, count in sorted(evidence.kinds.items())
            if name.startswith(f"{entity} ")
        },
        "traits": {
            name: round(count / evidence.sampled, 4)
            for name, count in sorted(evidence.traits.items())
            # With a space: steps on the way to another.
            if count and evidence.sampled and not name.startswith("ner_") and " " not in name
        },
        "ner_named": round(evidence.named, 4),
        "read_all": evidence.read_all,
        "examples": list(evidence.examples.get(entity) or evidence.examples.get("", ())),
        "beside": [each for each in ("people", "contact", "street") if getattr(around, each)],
    }
    if found.scope is Scope.SPAN and evidence.recurring and entity in ("PERSON", "LOCATION"):
        told["recurring"] = sorted(evidence.recurring)
    if found.against:
        told["against"] = found.against
    return Verdict(column, path, entity, found.score, found.scope, operator, found.share, told)
