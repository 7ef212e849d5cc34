"""``python -m bench.pii [--source own|fresh] [--part NAME…] [--half dev|held] [--details] …``.

Exit code 0: all limits are kept; 1: one is missed; 2: wrong usage. With other rows than the limits
are meant for, or another source, they are shown and not decided.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import cached_property

from bench.pii import measures, sentences, sparse, speed, tables
from bench.pii.contestants import Atlas, Contestant, Presidio, Structured
from bench.pii.fresh import tables as fresh
from bench.pii.measures import Judged
from bench.pii.model import Table, Unit
from bench.pii.words import Half
from bench.report import Cell, Limit, Result, console, print_result
from bench.report import Table as Shown

ROWS = 1_000
"""Rows of a table that the limits are meant for."""
SAMPLE = 20
"""Rows of a table that the peers read."""
SPEED_SAMPLE = 50
"""The same where speed is measured."""
ROUNDS = 3
CELLS, SPARSE_CELLS = 3, 60
"""Wrong cells shown of a unit, each way: of tables, of sparse text."""
FRESH = ("columns", "sparse", "leak")
"""Parts that the fresh source has data of its own for."""


class Bench:
    """The data of one half and seed, and what the contestants make of it, each done once."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.half: Half = given.half
        self.seed: int = given.seed
        self.rows: int = given.rows
        self.rounds: int = given.rounds
        self.details: bool = given.details
        self.fresh: bool = given.source == "fresh"
        self.hidden = self.fresh and self.half == "held"
        self.binding = self.rows == ROWS and not self.fresh
        self.atlas = Atlas()
        self.cells = Presidio("AnalyzerEngine", batches=False)
        self.batches = Presidio("BatchAnalyzerEngine", batches=True)
        self.peers: list[Contestant] = []
        if given.peers:
            self.peers = [self.cells, self.batches, Structured()]

    @cached_property
    def tables(self) -> list[Table]:
        """The labelled tables."""
        build = fresh.build if self.fresh else tables.build
        return build(self.half, self.seed, self.rows)

    @cached_property
    def sparse(self) -> dict[str, Judged]:
        """The sparse texts by rate, and what Atlas made of them."""
        build = fresh.sparse if self.fresh else sparse.build
        made = build(self.half, self.seed, self.rows / ROWS)
        return {name: (table, self.atlas.table(table)) for name, table in made.items()}

    @cached_property
    def ours(self) -> list[Judged]:
        """The tables and what Atlas made of them."""
        return [(table, self.atlas.table(table)) for table in self.tables]

    @cached_property
    def renamed(self) -> list[Judged]:
        """The same with columns c1, c2, …."""
        return [(table, self.atlas.table(table)) for table in map(Table.renamed, self.tables)]

    @cached_property
    def theirs(self) -> dict[str, list[Judged]]:
        """The first rows of the tables and what each peer made of them."""
        heads = [table.head(SAMPLE) for table in self.tables]
        return {peer.name: [(head, peer.table(head)) for head in heads] for peer in self.peers}

    @property
    def origin(self) -> str:
        """The half, and the source if it is the other one."""
        return f"fresh, {self.half}" if self.fresh else self.half

    def limit(self, what: str, measured: float | None, bound: float, unit: str = "%") -> Limit:
        """A least value, in percent if not said otherwise."""
        return Limit(what, measured or 0.0, bound, unit, at_most=False, binding=self.binding)

    def most(self, what: str, measured: float | None, bound: float) -> Limit:
        """A greatest value in percent."""
        return Limit(what, measured or 0.0, bound, "%", binding=self.binding)

    def title(self, what: str) -> str:
        """A table's title with what it was measured on."""
        peers = f"; peers on the first {SAMPLE}" if self.peers else ""
        return f"{what} ({self.origin}, seed {self.seed}, {self.rows:,} rows a table{peers})"


def columns(bench: Bench) -> Result:
    """Verdicts on columns."""
    all_ours = {"Atlas": bench.ours, "Atlas, columns renamed": bench.renamed}
    scores = {name: measures.columns(judged) for name, judged in (all_ours | bench.theirs).items()}
    rows: list[list[Cell]] = []
    for name, judged in (all_ours | bench.theirs).items():
        plain, mixed = (measures.columns(judged, plain).micro for plain in (True, False))
        score, gone = scores[name], measures.overlooked(judged)
        numbers = (score.micro, score.macro, plain, mixed)
        rows.append([name, *(100 * number for number in numbers), len(gone)])
    entities = scores["Atlas"].counts
    by_entity: list[list[Cell]] = [
        [entity, *entities[entity], *scores["Atlas, columns renamed"].counts.get(entity, (0, 0, 0))]
        for entity in entities
    ]
    gone = measures.overlooked(bench.ours)
    shown = [
        Shown(
            bench.title("columns: F1 of the entities of columns and JSON leaves, in percent"),
            ["", "micro", "macro", "micro, plain", "micro, free text", "overlooked"],
            rows,
        ),
        Shown(
            "columns: Atlas by entity",
            ["entity", "right", "wrong", "missed", "renamed: right", "wrong", "missed"],
            by_entity,
        ),
    ]
    if gone and not bench.hidden:
        shown.append(
            Shown("columns: overlooked plain columns", ["column"], [[one] for one in gone])
        )
    if bench.details:
        shown += [_details(bench.ours, "columns"), _wrong(bench.renamed)]
        shown.append(_cells(bench.ours, "columns", CELLS))
    ours, renamed = scores["Atlas"], scores["Atlas, columns renamed"]
    limits = [
        bench.limit("columns, micro-F1", 100 * ours.micro, 97),
        bench.limit("columns, macro-F1", 100 * ours.macro, 95),
        bench.limit("columns renamed, micro-F1", 100 * renamed.micro, 85),
        Limit("overlooked plain columns", len(gone), 0, "", binding=bench.binding),
    ]
    return Result("columns", shown, limits)


def leak(bench: Bench) -> Result:
    """What is left after the mask, and what is masked for nothing."""
    judged = {"Atlas": [*bench.ours, *bench.sparse.values()], **bench.theirs}
    rows: list[list[Cell]] = []
    for name, found in judged.items():
        whole, partly = measures.leaks(found)
        rows += [[name, *(share.percent for share in whole.values())]]
        rows += [[f"{name}, partly", *(share.percent for share in partly.values()), None]]
    whole, _ = measures.leaks(judged["Atlas"])
    rows.append(["cells", *(share.total for share in whole.values())])
    shown = [
        Shown(
            bench.title("leak: cells of which a personal piece still stands, in percent"),
            ["", *whole],
            rows,
        )
    ]
    if bench.details:
        shown.append(_details([*bench.ours, *bench.sparse.values()], "leak"))
    limits = [
        bench.most(f"leak, {measures.COLUMNS}", whole[measures.COLUMNS].percent, 0.1),
        bench.most(f"leak, {measures.SHAPES}", whole[measures.SHAPES].percent, 0),
        bench.most(f"leak, {measures.TEXT}", whole[measures.TEXT].percent, 3),
        bench.most("over-masking", whole[measures.OVER].percent, 0.5),
    ]
    return Result("leak", shown, limits)


def sparse_text(bench: Bench) -> Result:
    """Free text in which something personal is rare."""
    found = {
        name: measures.sparse(table, outcome, _text(table))
        for name, (table, outcome) in bench.sparse.items()
    }
    total = measures.merged(found.values())
    rows: list[list[Cell]] = []
    names = ["all", "e-mail and checksums", "PERSON in en"]
    names += sorted(set(total.recall) - set(names)) if bench.details else []
    for name in names:
        share = total.recall[name]
        by_rate = (one.recall[name].percent for one in found.values())
        rows.append([f"found: {name}", share.total, share.percent, *by_rate])
    by_rate = (one.precision.percent for one in found.values())
    flagged = total.precision
    sizes = (f"{table.rows:,}" for table, _ in bench.sparse.values())
    rows.append(["precision of flagged cells", flagged.total, flagged.percent, *by_rate])
    shown = Shown(
        f"sparse: cells of free text found and flagged by Atlas, in percent ({bench.origin}, seed "
        f"{bench.seed}; rows: {', '.join(sizes)})",
        ["", "cells", "all", *found],
        rows,
    )
    more = [_cells(bench.sparse.values(), "sparse", SPARSE_CELLS)] if bench.details else []
    limits = [
        bench.limit("sparse, cell recall", total.recall["all"].percent, 97),
        bench.limit("sparse, e-mail and checksums", total.recall[names[1]].percent, 99),
        bench.limit("sparse, persons in English", total.recall[names[2]].percent, 90),
        bench.limit("sparse, precision of flagged cells", flagged.percent, 90),
    ]
    return Result("sparse", [shown, *more], limits)


def labelled(bench: Bench) -> Result:
    """Presidio's labelled sentences; read by the peers whatever is said, they are few."""
    given = sentences.load(bench.half)
    texts = [one.text for one in given]
    better = Presidio("Presidio, score 0.5 and more", batches=True, threshold=0.5)
    found = {one.name: one.spans(texts) for one in (bench.atlas, bench.batches, better)}
    scores = {name: sentences.score(given, spans) for name, spans in found.items()}
    bare = [one.without_regions() for one in given]
    shown_scores = scores | {
        f"{name}, GPE aside": sentences.score(bare, sentences.outside(given, spans))
        for name, spans in found.items()
    }
    rows: list[list[Cell]] = [
        [name, *(100 * share for share in (one.f1, one.precision, one.recall, one.covered))]
        for name, one in shown_scores.items()
    ]
    shown = [
        Shown(
            f"sentences: {len(given)} of presidio-research ({bench.half}), in percent",
            ["", "span F1", "precision", "recall", "cell recall"],
            rows,
        )
    ]
    if bench.details:
        entities = sorted({span.entity for one in given for span in one.spans})
        by_entity: list[list[Cell]] = []
        for entity in entities:
            each = [sentences.score(given, spans, entity) for spans in found.values()]
            by_entity.append([entity, *(100 * x for one in each for x in (one.f1, one.covered))])
        heads = [head for name in found for head in (f"{name}: F1", "cell recall")]
        shown.append(Shown("sentences: by entity", ["entity", *heads], by_entity))
    ours, *theirs = scores.values()
    best = max(one.f1 for one in theirs), max(one.covered for one in theirs)
    limits = [
        Limit("sentences, span F1", 100 * ours.f1, 100 * best[0], "%", at_most=False),
        Limit("sentences, cell recall", 100 * ours.covered, 100 * best[1], "%", at_most=False),
    ]
    return Result("sentences", shown, limits)


def fast(bench: Bench) -> Result:
    """Values per second of CPU time."""
    texts = [one.text for one in sentences.load(bench.half)]
    speed.texts(bench.atlas, bench.batches, texts[:20], 1)  # models are loaded before
    prose = speed.texts(bench.atlas, bench.batches, texts, bench.rounds)
    whole = speed.tables(bench.atlas, bench.batches, bench.tables, SPEED_SAMPLE, bench.rounds)
    rows: list[list[Cell]] = []
    limits = []
    for what, rounds, bound in (("tables", whole, 50), ("free text", prose, 3)):
        ratios = [ours / theirs for ours, theirs in rounds]
        middle = speed.ratio(rounds)
        first = [sorted(pair[who] for pair in rounds)[len(rounds) // 2] for who in (0, 1)]
        rows.append([what, *first, middle, min(ratios), max(ratios)])
        limits.append(bench.limit(f"speed, {what}", middle, bound, "x"))
    title = (
        f"speed: values per CPU second, {bench.rows:,} rows a table (BatchAnalyzerEngine: the "
        f"first {SPEED_SAMPLE}), {len(texts)} sentences; median of {bench.rounds} pairs"
    )
    heads = ["", "Atlas", "BatchAnalyzerEngine", "times as fast", "from", "to"]
    return Result("speed", [Shown(title, heads, rows)], limits)


def _details(judged: list[Judged], what: str) -> Shown:
    """Per unit what is wrong: the verdict, or what leaked or was masked for nothing."""
    rows: list[list[Cell]] = []
    for table, outcome in judged:
        for unit in table.units:
            leaked, over, shapes = measures.of_unit(table, outcome, unit)
            found = measures.credited(unit, outcome.verdicts.get(unit.key, ()))
            if unit.judged and (found != unit.truth if what == "columns" else leaked or over):
                kinds = [_said(unit.truth), _said(found)]
                rows.append([f"{table.name}.{unit}", *kinds, leaked, over, "; ".join(shapes)])
    heads = ["unit", "truth", "verdict", "leaked", "over-masked", "shapes that leaked"]
    return Shown(f"{what}: Atlas, units with something wrong", heads, rows)


def _wrong(judged: list[Judged]) -> Shown:
    rows: list[list[Cell]] = [
        [f"{table.name}.{unit}", _said(unit.truth), _said(found)]
        for table, outcome in judged
        for unit in table.units
        if (found := measures.credited(unit, outcome.verdicts.get(unit.key, ()))) != unit.truth
        if unit.judged
    ]
    return Shown("columns renamed: Atlas, wrong verdicts", ["unit", "truth", "verdict"], rows)


def _cells(judged: Iterable[Judged], what: str, most: int) -> Shown:
    rows: list[list[Cell]] = []
    for table, outcome in judged:
        for unit in table.units:
            if unit.judged:
                found: dict[str, list[tuple[str, str]]] = defaultdict(list)
                for kind, *texts in measures.wrong(table, outcome, unit):
                    found[kind.split()[0]].append((kind, *map(repr, texts)))
                rows += [
                    [f"{table.name}.{unit}", *one] for kind in found for one in found[kind][:most]
                ]
    title = f"{what}: Atlas, the first {most} cells of a unit that are wrong in either way"
    return Shown(title, ["unit", "", "cell, in part", "what stands or was made"], rows)


def _said(entities: frozenset[str]) -> str:
    return ", ".join(sorted(entities)) or "-"


def _text(table: Table) -> Unit:
    return next(unit for unit in table.units if unit.column != table.key)


PARTS: dict[str, Callable[[Bench], Result]] = {
    "columns": columns,
    "sparse": sparse_text,
    "leak": leak,
    "sentences": labelled,
    "speed": fast,
}


def main() -> int:
    """Run what the command line asks for; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.pii", description="Measure the scanner for personal data."
    )
    parser.add_argument("--part", action="append", choices=PARTS, help="only this; may be repeated")
    parser.add_argument(
        "--source",
        choices=("own", "fresh"),
        default="own",
        help="fresh: tables that the scanner was never tuned on; default: own",
    )
    parser.add_argument("--half", choices=("dev", "held"), default="held", help="default: held")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rows", type=int, default=ROWS, help=f"of a table (default {ROWS:,})")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"of speed (default {ROUNDS})")
    parser.add_argument(
        "--peers",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="Presidio on the tables as well (columns, leak); it takes half of the time",
    )
    parser.add_argument("--details", action="store_true", help="what is wrong, column by column")
    given = parser.parse_args()
    if given.rows < SPEED_SAMPLE or given.rounds < 1:
        parser.error(f"--rows must be at least {SPEED_SAMPLE}, --rounds at least 1")
    parts = given.part or (FRESH if given.source == "fresh" else PARTS)
    if given.source == "fresh" and not set(parts) <= set(FRESH):
        parser.error(f"--source fresh has the parts {', '.join(FRESH)}")
    if given.source == "fresh" and given.half == "held" and given.details:
        parser.error("--details of fresh data are for --half dev; nobody looks at held in detail")
    bench = Bench(given)
    out, missed = console(), list[Limit]()
    for name in parts:
        result = PARTS[name](bench)
        print_result(out, result)
        missed += [limit for limit in result.limits if limit.missed]
    for limit in missed:
        print(f"limit missed: {limit}", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
