"""Whatever the OpenAPI document allows and forbids, the answers are as it says: by schemathesis.

Every operation is asked with the document's examples, with the edges of each of its schemas and
with some that are drawn, right ones and wrong ones; then operations are asked one after the other
along the document's links. What is asked is the same in every run.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import hypothesis
import pytest
import schemathesis
import sqlalchemy as sa
from flask import Flask
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.generation.hypothesis.builder import (
    HypothesisTestConfig,
    HypothesisTestMode,
    create_test,
)

from atlas.settings import Settings
from atlas.web import create_app
from atlas.web.app import operations

_SETTINGS = {
    "generation": {
        "max-examples": 6,
        "deterministic": True,
        "no-shrink": True,
        "database": "none",
        "with-security-parameters": False,
    },
    "checks": {
        # What the document allows may be wrong all the same: a cursor of another list, a stream
        # that is not there.
        "positive_data_acceptance": {"enabled": False},
        "negative_data_rejection": {
            "expected-statuses": ["400", "404", "405", "409", "412", "413", "415", "422", "429"]
        },
    },
    "phases": {"stateful": {"max-steps": 8}},
    "suppress-health-check": ["all"],
}
# By the thousand they take seconds to draw.
_BOUNDS = {"maxItems", "maxLength"}


@pytest.fixture
def app(settings: Settings, engine: sa.Engine, queue: object) -> Flask:
    """The application, which counts nobody's requests here."""
    return create_app(replace(settings, rate_limit=None, rate_limit_address=None))


@pytest.fixture
def schema(app: Flask, users: str) -> Any:
    """The document, beside a connection, a run and a dataset."""
    config = schemathesis.Config.from_dict(_SETTINGS)
    document = _bounded(app.test_client().get("/api/v1/openapi.json").json)
    loaded = schemathesis.openapi.from_dict(document, config=config)
    loaded.app = app
    return loaded


def _bounded(part: Any) -> Any:
    if isinstance(part, list):
        return [_bounded(each) for each in part]
    if not isinstance(part, dict):
        return part
    return {
        name: _bounded(value)
        for name, value in part.items()
        if not (name in _BOUNDS and isinstance(value, int) and value > 100)
    }


@pytest.mark.parametrize("name", [each.id for each in operations()])
def test_an_operation_answers_as_documented(name: str, schema: Any, api: Any) -> None:
    (operation,) = (
        each.ok()
        for each in schema.get_all_operations()
        if each.ok().definition.raw["operationId"] == name
    )
    headers = {"Authorization": f"Bearer {api.texts['admin']}"}
    excluded = _but_for(operation.path)

    def ask(case: Any) -> None:
        case.call_and_validate(headers=headers, excluded_checks=excluded)

    config = HypothesisTestConfig(
        project=schema.config,
        modes=list(HypothesisTestMode),
        settings=schema.config.get_hypothesis_settings(operation=operation, phase="fuzzing"),
        as_strategy_kwargs={"headers": headers},
        seed=1,
    )
    create_test(operation=operation, test_func=ask, config=config)()


def _but_for(path: str) -> list[Any]:
    """Checks that say nothing here: a stream may be called `history`, and its state be reset."""
    load_all_checks()
    over = "/api/v1/connections/{name}/state/"
    return [CHECKS.get_one("unsupported_method")] if path.startswith(over) else []


def test_operations_answer_as_documented_one_after_the_other(
    schema: Any, api: Any, engine: sa.Engine
) -> None:
    headers = {"Authorization": f"Bearer {api.texts['admin']}"}
    asked = set()

    linked = {link: each.id for each in operations() for at in each.links for link in at.operations}
    chosen = schema.include(operation_id=sorted({*linked, *linked.values()}))

    class Machine(chosen.as_state_machine()):  # type: ignore[misc]
        def setup(self) -> None:
            # An active run would refuse every other one.
            with engine.begin() as conn:
                conn.execute(sa.text("UPDATE pipeline.run SET status = 'succeeded'"))

        def get_call_kwargs(self, case: Any) -> dict[str, Any]:
            return {"headers": headers}

        def before_call(self, case: Any) -> None:
            # By names that are drawn nothing would be found.
            for name, value in {"name": "shop", "connector": "source-faker"}.items():
                if name in case.path_parameters:
                    case.path_parameters[name] = value

        def after_call(self, response: Any, case: Any) -> None:
            asked.add((case.operation.definition.raw["operationId"], response.status_code))

        def validate_response(self, response: Any, case: Any, **kwargs: Any) -> None:
            # A wrong name may have become a right one.
            excluded = [*_but_for(case.operation.path), CHECKS.get_one("negative_data_rejection")]
            case.validate_response(response, excluded_checks=excluded, headers=headers)

    drawn = schema.config.get_hypothesis_settings(phase="stateful")
    Machine.run(settings=hypothesis.settings(drawn, max_examples=15))
    # It went along links: by an id that is drawn nobody finds anything.
    followed = {name for name, status in asked if status == 200}
    assert followed & {"get_run", "cancel_run", "get_operation"}
