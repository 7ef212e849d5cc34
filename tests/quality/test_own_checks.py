"""A connection's own SodaCL file: what is taken, what is refused, and by which line."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from atlas.errors import TerminalError, UsageError
from atlas.model.checks import CheckResult, Dimension, OnFailure, Outcome
from atlas.quality.own import own_checks, own_sql, validate
from atlas.quality.rules import failing
from atlas.quality.score import gate
from atlas.quality.soda import MOST_TOLD, SodaHost
from tests.quality.quality_staging import USERS, Staging, users_plan

Scan = Callable[..., dict[str, CheckResult]]

OWN = """\
# what the shop promises
checks for users:
  - row_count > 1
  - missing_count(name) = 0
  - missing_count(price) = 0:
      name: every user has a price
  - invalid_count(status) = 0:
      valid values: [new, "o'ld"]
  - invalid_count(price) = 0:
      valid min: 1
      valid max: 20
  - invalid_count(code) = 0:
      valid regex: ^A'
  - duplicate_count(email) = 0
  - avg(price) between 1 and 20:
      attributes:
        dimension: consistency
  - schema:
      name: the columns we read
      fail:
        when required column missing: [id, nix]
  - failed rows:
      name: dear news
      fail condition: status = 'new' and price > 30

  - failed rows:
      name: news by query
      fail query: |
        SELECT *
        FROM users
        WHERE status = 'new';

checks for orders:
  - row_count > 1000

filter users [news]:
  where: status = 'new'

checks for users [news]:
  - missing_count(code) = 0
"""


def test_own_checks_are_scanned_scored_and_named(staging: Staging, scan: Scan) -> None:
    staging.user(1, price=None)
    staging.user(2, price="31", status="o'ld", code=None)
    staging.user(3, price="31", code="B'1", email="somebody1@example.org")
    results = scan(staging, checks=OWN)
    told = {
        result.name: (result.dimension.value, result.outcome.value, result.failed_rows)
        for result in list(results.values())[len(users_plan().checks) :]
    }
    assert told == {
        "row_count > 1": ("completeness", "pass", None),
        "missing_count(name) = 0": ("completeness", "pass", 0),
        "every user has a price": ("completeness", "fail", 1),
        "invalid_count(status) = 0": ("validity", "pass", 0),
        "invalid_count(price) = 0": ("validity", "fail", 2),
        "invalid_count(code) = 0": ("validity", "fail", 1),
        "duplicate_count(email) = 0": ("uniqueness", "fail", None),
        "avg(price) between 1 and 20": ("consistency", "fail", None),
        "the columns we read": ("consistency", "fail", None),
        "dear news": ("accuracy", "fail", 1),
        "news by query": ("accuracy", "fail", 2),
        "missing_count(code) = 0": ("completeness", "pass", 0),
    }
    assert "value" not in results["avg(price) between 1 and 20"].detail


def test_rows_of_own_checks_are_named_where_every_row_must_pass(
    staging: Staging, scan: Scan
) -> None:
    staging.user(1, price=None)
    staging.user(2, price="31", status="other")
    staging.user(3, price="0.5", code="B'1")
    planned = users_plan(checks=OWN)
    results = scan(staging, planned)
    rules = [check.rule for check in planned.checks if check.line and check.rule]
    assert {rule.check: staging.count(failing(rule)) for rule in rules} == {
        rule.check: results[rule.check].failed_rows for rule in rules
    }
    assert {rule.check for rule in rules} == {
        "missing_count(name) = 0",
        "every user has a price",
        "invalid_count(status) = 0",
        "invalid_count(price) = 0",
        "invalid_count(code) = 0",
    }


GROUPS = (
    "group evolution:\n      name: groups\n      query: SELECT nix FROM users GROUP BY 1\n      {}"
)

NAMED = """
filter users [news]:
  where: status = 'new'

checks for users:
  - failed rows:
      name: dear
      fail condition: price > 30
  - failed rows:
      name: by query
      fail query: SELECT * FROM users WHERE code IS NULL;
  - failed rows:
      name: by a query that names none
      fail query: SELECT code FROM users WHERE code IS NULL
  - failed rows:
      name: by a query of other ids
      fail query: SELECT 10 + _atlas_id AS _atlas_id FROM users WHERE code IS NULL
  - failed rows:
      name: by a query of no ids
      fail query: SELECT NULL::bigint AS _atlas_id FROM users WHERE code IS NULL
  - failed rows:
      name: by a query that names some
      fail query: >
        SELECT CASE WHEN code IS NULL THEN _atlas_id END AS _atlas_id FROM users WHERE price > 30
  - failed rows:
      name: by a query that names one twice
      fail query: SELECT u.* FROM users u, users v WHERE u.code IS NULL
  - failed rows:
      name: some may
      fail condition: price > 30
      fail: when > 1
  - invalid_count(name) = 0:
      valid max length: 8
  - missing_count(code) < 1:
      missing values: [n/a]
  - invalid_count(price) < 3:
      valid max: 30
checks for users [news]:
  - failed rows:
      name: dear news
      fail condition: price > 30
"""


def test_rows_are_named_by_soda_s_own_words(staging: Staging, scan: Scan) -> None:
    staging.user(1)
    staging.user(2, price="31", code=None)
    staging.user(3, price="31", status="o'ld", code="n/a", name="Somebody else")
    staging.user(4, price="31", name=None)
    results = scan(staging, checks=NAMED)
    own = list(results)[len(users_plan().checks) :]
    assert {name: results[name].rows for name in own} == {
        "dear": (2, 3, 4),
        "by query": (2,),
        "by a query that names none": None,
        "by a query of other ids": None,
        "by a query of no ids": None,
        # The rows without an id would be promoted.
        "by a query that names some": None,
        "by a query that names one twice": (2,),
        # Which of them are too many nobody can say.
        "some may": None,
        "invalid_count(name) = 0": (3,),
        "missing_count(code) < 1": (2, 3),
        "invalid_count(price) < 3": None,
        "dear news": (2, 4),
    }
    assert results.pop("by a query that names one twice").failed_rows == 4
    own.remove("by a query that names one twice")
    failed = {name: results[name].failed_rows for name in own if results[name].rows}
    assert failed == {name: len(results[name].rows or ()) for name in failed}


def test_of_what_blocks_some_rows_are_told(staging: Staging, scan: Scan) -> None:
    staging.user(1, price="31")
    for number in range(2, 120):
        staging.user(number, name="Somebody else")
    results = scan(staging, checks=NAMED, on_failure=OnFailure.BLOCK)
    assert results["dear"].rows == (1,)
    assert len(results["invalid_count(name) = 0"].rows or ()) == MOST_TOLD + 1


def test_numbers_in_a_text_have_bounds(staging: Staging, scan: Scan) -> None:
    staging.user(1, code="4,5")
    staging.user(2, price="31", code="5 apples")
    staging.user(3, price="31", code="-7")
    own = "checks for users:\n  - invalid_count(code) = 0:\n      valid format: decimal\n"
    results = scan(staging, checks=own + "      valid min: -6\n")
    assert results["invalid_count(code) = 0"].rows == (2, 3)


def test_a_check_that_cannot_be_evaluated_fails_alone(staging: Staging, scan: Scan) -> None:
    staging.user(0)
    own = """
checks for users:
  - missing_count(nix) = 0
  - failed rows:
      name: divides
      fail condition: 1 / id = 1
  - failed rows:
      name: writes
      fail query: WITH gone AS (DELETE FROM pipeline.staging_1 RETURNING *) SELECT * FROM gone
  - failed rows:
      name: writes aside
      fail query: SELECT * FROM users, setval('pipeline.staging_1__atlas_id_seq', 99)
  - invalid_count(name) = 0:
      valid regex: '('
"""
    planned = users_plan(checks=own, on_failure=OnFailure.BLOCK)
    results = scan(staging, planned)
    reasons = {r.name: r.detail["reason"] for r in results.values() if r.outcome is Outcome.ERROR}
    assert reasons.pop("writes") == "FeatureNotSupported, SQLSTATE 0A000"
    assert reasons == {
        "missing_count(nix) = 0": 'column "nix" does not exist',
        "divides": "DivisionByZero, SQLSTATE 22012",
        "writes aside": "ReadOnlySqlTransaction, SQLSTATE 25006",
        "invalid_count(name) = 0": "InvalidRegularExpression, SQLSTATE 2201B",
    }
    assert {r.score for r in results.values() if r.outcome is Outcome.ERROR} == {0.0}
    decision = gate(planned, list(results.values()))
    assert "divides" in decision.blocking
    assert staging.count("true") == 1


def test_a_share_of_what_cannot_be_counted_is_none_and_does_not_pass(
    staging: Staging, scan: Scan
) -> None:
    staging.user(1)
    own = """
checks for users:
  - missing_percent(nix) = 0
  - invalid_percent(nix) < 5 %:
      valid min: 1
  - duplicate_percent(nix) = 0
  - duplicate_percent(name, nix) = 0
  - missing_percent(name) = 0
"""
    results = scan(staging, checks=own)
    told = {r.name: r.detail["reason"] for r in results.values() if r.outcome is Outcome.ERROR}
    assert told == dict.fromkeys(
        (
            "missing_percent(nix) = 0",
            "invalid_percent(nix) < 5 %",
            "duplicate_percent(nix) = 0",
            "duplicate_percent(name, nix) = 0",
        ),
        'column "nix" does not exist',
    )
    assert results["missing_percent(name) = 0"].outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("check", "reason"),
    [
        ("values in (id) must exist in nix (id)", 'relation "nix" does not exist'),
        (
            GROUPS.format("fail: {when required group missing: [x]}"),
            'column "nix" does not exist',
        ),
    ],
)
def test_what_relates_or_groups_fails_alone_too(
    staging: Staging, scan: Scan, check: str, reason: str
) -> None:
    staging.user(1)
    results = scan(staging, checks=f"checks for users:\n  - {check}\n  - row_count = 1\n")
    told = [r.detail["reason"] for r in results.values() if r.outcome is Outcome.ERROR]
    assert told == [reason]
    assert results["row_count = 1"].outcome is Outcome.PASS


@pytest.mark.parametrize(
    "condition",
    ["to_tsquery('simple', name) IS NULL", "query_to_xml(name, true, true, '') IS NULL"],
)
def test_no_reason_quotes_a_value_that_was_taken_for_a_text_with_a_syntax(
    staging: Staging, scan: Scan, condition: str
) -> None:
    staging.user(1, name="Jane ( Doe")
    own = f"""
checks for users:
  - failed rows:
      name: reads
      fail condition: {condition}
"""
    detail = scan(staging, checks=own)["reads"].detail
    assert detail["reason"] == "SyntaxError, SQLSTATE 42601"


def test_what_can_only_warn_is_said_to_unless_it_cannot_be_evaluated(
    staging: Staging, scan: Scan
) -> None:
    staging.user(0)
    own = """
checks for users:
  - row_count:
      warn: when > 100
  - failed rows:
      name: cannot
      warn: when > 5
      fail condition: 1 / id = 1
  - row_count:
      name: both
      warn: when > 100
      fail: when > 200
  - row_count < 1:
      name: held
      warn: when > 0
  - row_count not between 1 and 5:
      name: held between
      warn: when > 0
"""
    planned = users_plan(checks=own, on_failure=OnFailure.BLOCK)
    results = scan(staging, planned)
    names = ("row_count", "cannot", "both", "held", "held between")
    assert {name: results[name].gate.value for name in names} == {
        "row_count": "warn",
        "cannot": "block",
        "both": "block",
        "held": "block",
        "held between": "block",
    }
    assert {"cannot", "held", "held between"} <= set(gate(planned, list(results.values())).blocking)


def test_what_its_column_s_type_does_not_know_blocks_by_its_name(
    staging: Staging, scan: Scan
) -> None:
    staging.user(1)
    own = """
checks for users:
  - invalid_count(id) = 0:
      name: regex of a number
      valid regex: ^[0-9]+$
  - invalid_count(id) = 0:
      name: other numbers
      valid values: [1.5, 7]
  - invalid_count(id) = 0:
      name: these numbers
      valid values: [7]
  - invalid_count(name) = 0:
      name: numbers of a text
      valid values: [1, 2]
  - invalid_count(name) = 0:
      name: no regex
      valid regex: "(["
"""
    planned = users_plan(checks=own)
    results = scan(staging, planned)
    unknown = {"regex of a number", "numbers of a text", "no regex"}
    assert unknown <= {r.name for r in results.values() if r.outcome is Outcome.ERROR}
    decision = gate(planned, list(results.values()))
    assert set(decision.blocking) == unknown
    assert "regex of a number (could not be evaluated)" in (decision.reason or "")
    # Rows that can be named are, by a rule where PostgreSQL reads the values alike.
    assert decision.rows == {"other numbers": (1,)}
    assert "these numbers" in {rule.check for rule in decision.rules}


def test_the_score_of_a_check_is_by_its_formula(staging: Staging, scan: Scan) -> None:
    for number in range(4):
        staging.user(number)
    own = """
filter users [first]:
  where: id < 2
checks for users:
  - failed rows:
      name: allowed
      fail: when > 3
      fail condition: id = 0
  - failed rows:
      name: told twice
      fail query: SELECT u.* FROM users u CROSS JOIN users v
  - row_count:
      name: warned
      warn: when > 3
  - row_count = 4:
      name: passes
checks for users [first]:
  - failed rows:
      name: filtered
      fail condition: id > 0
"""
    results = scan(staging, users_plan(checks=own))
    names = ("allowed", "told twice", "warned", "passes", "filtered")
    assert [results[name].score for name in names] == [0.75, 0, 0, 1, 0.75]
    assert results["allowed"].outcome is Outcome.PASS


def test_a_reason_is_the_check_s_own(staging: Staging, scan: Scan) -> None:
    staging.user(1)
    own = """
checks for users:
  - missing_kount(id) = 0
  - avg(name) > 3
  - stddev(id) >= 0
"""
    results = scan(staging, checks=own)
    told = {r.name: r.detail.get("reason") for r in results.values() if r.outcome is Outcome.ERROR}
    assert told == {
        "missing_kount(id) = 0": "Soda knows no metric missing_kount",
        "avg(name) > 3": "function avg(text) does not exist",
        "stddev(id) >= 0": None,  # of a single row there is none
    }


_OUT = "COMMIT; BEGIN READ WRITE; DELETE FROM pipeline.staging_1; COMMIT"


@pytest.mark.parametrize(
    "item",
    [
        f"failed rows:\n      fail query: SELECT 1) AS a; {_OUT}; SELECT 1 FROM (SELECT 1",
        f"broken = 0:\n      broken query: SELECT 1; {_OUT}; SELECT 1",
        f"broken = 0:\n      broken expression: 1 FROM users; {_OUT}; SELECT 1",
        "broken = 0:\n      broken query: COPY (SELECT 1) TO PROGRAM 'true'",
        "broken = 0:\n      broken query: SELECT 1; COPY (SELECT 1) TO PROGRAM 'true'; SELECT 1",
    ],
)
def test_a_check_is_one_query_and_leaves_its_transaction_as_it_is(
    staging: Staging, scan: Scan, item: str
) -> None:
    staging.user(1)
    results = scan(staging, checks=f"checks for users:\n  - {item}\n  - row_count = 1\n")
    *_, broken, rows = results.values()
    assert staging.count("true") == 1
    assert broken.outcome is Outcome.ERROR
    assert broken.detail["reason"] == "it has to be one query that reads, not several statements"
    assert rows.outcome is Outcome.PASS


FILTERED = """\
filter users [news]:
  where: id > 0
checks for users [news]:
  - row_count > 0
  - rows
"""

MISSPELT = """\
checks for users:
  - row_count > 0
  - invalid_count(id) = 0:
      name: x
      valid valoos: [1]
"""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("checks for users:\n  - missing_count(id = 0\n", "line 2: .*missing_count"),
        ("checks for users:\n  - row_count > 0\n\n  - row_count >> 0\n", "line 4: "),
        (
            MISSPELT,
            r"line 5: .*valid valoos",
        ),
        (
            FILTERED,
            "line 5: ",
        ),
        (
            "checks for users:\n  - invalid_count(name) = 0:\n      valid format: emial",
            "line 3: .*emial",
        ),
    ],
)
def test_soda_s_syntax_errors_name_the_line(
    staging: Staging, host: SodaHost, text: str, message: str
) -> None:
    with pytest.raises(TerminalError, match=message):
        host.scan(staging.url, "pipeline", "staging_1", users_plan(checks=text), 30)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("checks for users: [\n  - a", "line 2: no YAML"),
        ("- a", "line 1: must start with"),
        ("\ndiscover datasets:\n  datasets: [a]", "line 2: cannot take `discover datasets`"),
        ("\nprofile columns:\n  columns: [a]", "line 2: cannot take"),
        ("checks for each dataset D:\n  - row_count > 0", "line 1: cannot take"),
        ("checks for users:\n  row_count > 0", "line 1: below .* a list"),
        ("checks for users:\n  - [a]", "line 2: is no check"),
        (
            "checks for users:\n  - failed rows:\n      fail sql_file: /etc/passwd",
            "line 3: sql_file",
        ),
        (
            "checks for users:\n  - group by:\n      checks:\n      - a:\n          a sql_file: /a",
            "line 5: sql_file",
        ),
        (
            "checks for users:\n  - a(id) > 1:\n      distribution reference file: /etc/passwd",
            "line 3: files are not taken here",
        ),
        ("checks for users:\n  - failed rows:\n      name: ${PATH}", "line 3: variables"),
        ("checks for users [x]:\n  - row_count > 0", r"line 1: no filter \[x\]"),
        (
            "checks for users:\n  - row_count > 0:\n      attributes:\n        dimension: beauty",
            "line 4: no dimension beauty",
        ),
        ("checks for users:\n  - row_count > 0\n  - invalid_count(name) = 0", "line 3: .* valid"),
        (
            "checks for users:\n  - invalid_percent(name) < 5 %:\n      valid values: []",
            "line 2: .* valid",
        ),
        ("checks for users:\n  - group by:\n      name: a", "line 2: `group by` is not taken"),
        ("checks for users:\n  - change for row_count < 5", "line 2: `change` is .* Soda's cloud"),
        ("checks for users:\n  - anomaly score for row_count < default", "line 2: `anomaly` is"),
        ("checks for users:\n  - missing_count(name) = NaN", "line 2: `NaN` is no number"),
        ("checks for users:\n  - row_count > abc", "line 2: `abc` is no number"),
        ("checks for users:\n  - row_count:\n      fail: when > inf", "line 3: `inf` is no number"),
        ("checks for users:\n  - &a row_count > 0\n  - *a", r"line 3: \*a is not taken"),
        ("checks for users:\n  - row_count > 0: &a\n      a: *a", r"line 3: \*a is not taken"),
    ],
)
def test_what_is_not_taken_is_refused_by_its_line(text: str, message: str) -> None:
    with pytest.raises(TerminalError, match=message):
        own_checks(text, "users", USERS)


ELSEWHERE = """\
checks for users:
  - row_count > 0:
      attributes: {a: "
  - failed rows: # ", b: &a row_count > 0, c: "
      name: &a row_count > 0
      fail query: |
        SELECT 1 FROM pg_authid
      # "}
  - row_count >= 0
  - *a
"""


def test_no_check_is_read_at_another_place_than_it_is_judged_at() -> None:
    """The last item is the words behind ``b: &a`` for who may write SQL, the lines from there on
    for Soda."""
    with pytest.raises(TerminalError, match=r"line 10: \*a is not taken"):
        own_sql(ELSEWHERE)


def test_a_long_line_is_judged_as_fast_as_it_is_read() -> None:
    """Spaces that two parts of an expression may match took the square of their number."""
    line = f"  - 'row_count >{' ' * 200_000}!'\n"
    assert own_sql(f"checks for users:\n{line}") == 2


def test_a_heading_for_a_stream_that_is_not_there_is_refused_when_applied() -> None:
    validate(OWN, ["users", "orders"])
    with pytest.raises(UsageError, match=r"line 33: there is no stream orders \(there are users\)"):
        validate(OWN, ["users"])


def test_checks_of_other_streams_and_an_empty_file_are_no_checks() -> None:
    assert own_checks(OWN, "products", USERS) == []
    assert own_checks("# nothing yet\n", "users", USERS) == []


def test_names_and_dimensions() -> None:
    text = (
        'checks for "users":\n  - row_count > 0\n  - row_count > 0\n'
        "  - freshness(updated_at) < 1d\n  - missing_count(id) = 0\n"
    )
    checks = own_checks(text, "users", USERS, {"missing_count(id) = 0"})
    assert [(check.name, check.dimension, check.line) for check in checks] == [
        ("row_count > 0", Dimension.COMPLETENESS, 2),
        ("row_count > 0 (2)", Dimension.COMPLETENESS, 3),
        ("freshness(updated_at) < 1d", Dimension.TIMELINESS, 4),
        ("missing_count(id) = 0 (2)", Dimension.COMPLETENESS, 5),
    ]
    assert checks[2].column == "updated_at"
