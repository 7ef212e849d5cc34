"""New connection, and an existing one edited, step by step: source, check, streams, rules, review.

What a step says is kept in a draft in the ledger (:mod:`atlas.sync.drafting`), so that it works
without JavaScript and no secret ever stands in a page or a cookie.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from flask import Response, g, request

from atlas.connectors import catalog
from atlas.connectors.masking import masked
from atlas.errors import AtlasError, NotFound, UsageError
from atlas.ledger import drafts, operations
from atlas.ledger.drafts import Draft
from atlas.ledger.operations import Kind
from atlas.model.personal import Operator
from atlas.roles import Role
from atlas.settings import secret_key
from atlas.web.api.connectors import ask, entry_of
from atlas.web.database import engine, settings, transaction
from atlas.web.ui import rules_form, spec_answer, spec_form, stream_form
from atlas.web.ui.connectors import WAYS, installed
from atlas.web.ui.pages import Page, go, render

STEPS = (
    ("source", "Source"),
    ("check", "Check"),
    ("streams", "Streams"),
    ("rules", "Rules"),
    ("review", "Review"),
)


def choose() -> Response:
    """Which connector? Those that are installed come first."""
    words = request.args.get("q", "")[:100]
    there = installed(settings())
    found = [
        entry
        for entry in catalog.search(words, settings())
        if entry.install in ("package", "native")
    ]
    found.sort(key=lambda entry: (entry.name not in there, entry.title.lower()))
    return render(
        "wizard_choose.html",
        items=found[:48],
        found=len(found),
        installed=there,
        ways=WAYS,
        words=words,
    )


def begin() -> Response:
    """A draft for the connector that was chosen."""
    from atlas.sync import drafting

    entry = entry_of(request.form.get("connector", ""))
    with transaction() as conn:
        draft = drafting.begin(conn, settings(), entry.name, asked_by=g.key.id)
    _learn(draft)
    return go(f"/drafts/{draft}/source")


def edit(name: str) -> Response:
    """A draft of an existing connection."""
    from atlas.sync import drafting

    with transaction() as conn:
        draft = drafting.begin_edit(conn, settings(), name, asked_by=g.key.id)
        program = _draft(conn, draft).connector is None
    _learn(draft)
    return go(f"/drafts/{draft}/{'rules' if program else 'source'}")


def source(draft_id: str) -> Response:
    """Name and configuration, by the connector's spec."""
    from atlas.sync import drafting

    with transaction() as conn:
        draft = _draft(conn, draft_id)
        spec = drafting.spec(draft, settings())
        pending = None if spec else _learning(conn, draft)
    fresh = not draft.document.get("configured") and draft.connection is None and not draft.config
    form = None
    if spec is not None:
        form = spec_form.build(spec, drafting.shown(draft, settings()), fresh=fresh)
    return _source_page(draft, form, pending)


def learn(draft_id: str) -> Response:
    """Ask the connector what it wants to know."""
    _learn(draft_id)
    return go(f"/drafts/{draft_id}/source")


def post_source(draft_id: str) -> Response:
    """Keep them, and ask the source; what is wrong is shown where it is."""
    from atlas.sync import dispatch, drafting

    with transaction() as conn:
        draft = _draft(conn, draft_id, lock=True)
        spec = drafting.spec(draft, settings())
        if spec is None:
            return go(f"/drafts/{draft_id}/source")
        answer = spec_answer.parse(
            spec, request.form.to_dict(flat=False), drafting.shown(draft, settings())
        )
        name = draft.connection or request.form.get("name", "").strip()
        adding = "_add" in request.form
        errors, shown = dict(answer.errors), masked(spec, answer.config)
        try:
            drafting.configure(conn, settings(), draft, name, answer.config)
            draft = _draft(conn, draft_id, lock=True)
            shown = drafting.shown(draft, settings())
            if not errors and not adding:
                drafting.confirm(conn, settings(), draft)
        except UsageError as error:
            errors[""] = str(error)
        wrong_name = None if adding else _wrong_name(conn, draft, name)
        if adding or errors or wrong_name:
            form = spec_form.build(spec, shown, fresh=False)
            general = spec_form.place_errors(form, errors)
            status = 422 if errors or wrong_name else 200
            return _source_page(draft, form, None, general, wrong_name, name, status)
        draft = _draft(conn, draft_id, lock=True)
        messages = []
        if _unanswered(drafting.answers(conn, draft)):
            try:
                messages = drafting.probe(
                    conn, settings(), draft, asked_by=g.key.id, actor=g.key.actor
                )
            except UsageError as error:
                return go(f"/drafts/{draft_id}/streams", f"Not checked: {error}.", "warn")
    dispatch.try_deliver(engine(), messages)
    return go(f"/drafts/{draft_id}/check")


def check(draft_id: str) -> Response:
    """What the source answered."""
    from atlas.sync import drafting

    with transaction() as conn:
        draft = _draft(conn, draft_id)
        answers = drafting.answers(conn, draft)
    return _page("wizard_check.html", draft, "check", answers=answers)


def check_again(draft_id: str) -> Response:
    """Ask the source once more."""
    from atlas.sync import dispatch, drafting

    with transaction() as conn:
        draft = _draft(conn, draft_id, lock=True)
        try:
            messages = drafting.probe(conn, settings(), draft, asked_by=g.key.id, actor=g.key.actor)
        except UsageError as error:
            return go(f"/drafts/{draft_id}/check", f"Not checked: {error}.", "warn")
    dispatch.try_deliver(engine(), messages)
    return go(f"/drafts/{draft_id}/check")


def streams(draft_id: str) -> Response:
    """The streams that the source offers: which of them, and how they are read."""
    with transaction() as conn:
        draft = _draft(conn, draft_id)
        offered, asked = _offered(conn, draft)
    return _page(
        "wizard_streams.html",
        draft,
        "streams",
        streams=stream_form.shown(offered, draft.document.get("streams")),
        asked=asked,
        every=draft.document.get("streams") is None,
        error=None,
    )


def post_streams(draft_id: str) -> Response:
    """Keep them."""
    from atlas.sync import drafting

    with transaction() as conn:
        draft = _draft(conn, draft_id, lock=True)
        offered, asked = _offered(conn, draft)
        if not offered:
            return go(f"/drafts/{draft_id}/rules")
        before = draft.document.get("streams")
        chosen, error = stream_form.parse(offered, request.form, before)
        if error is None:
            drafting.say(conn, settings(), draft, streams=chosen)
            return go(f"/drafts/{draft_id}/rules")
    return _page(
        "wizard_streams.html",
        draft,
        "streams",
        422,
        streams=stream_form.shown(offered, chosen or {}, before),
        asked=asked,
        every=False,
        error=error,
    )


def rules(draft_id: str) -> Response:
    """Policy for personal data, quality, schedule, changes at the source."""
    with transaction() as conn:
        draft = _draft(conn, draft_id)
        choices = _choices(conn)
    return _page(
        "wizard_rules.html", draft, "rules", values=rules_form.shown(draft.document), **choices
    )


def post_rules(draft_id: str) -> Response:
    """Keep them, if they are what a connection can have."""
    from atlas.sync import connections_file, drafting

    values = rules_form.typed(request.form)
    with transaction() as conn:
        draft = _draft(conn, draft_id, lock=True)
        try:
            said = rules_form.asked(values, draft.document)
            streams = draft.document.get("streams")
            connections_file.from_document(
                {"name": "draft", "connector": "draft", "streams": streams, **said}
            )
        except UsageError as error:
            choices = _choices(conn)
            choices["error"] = str(error).removeprefix("connection draft: ")
            return _page("wizard_rules.html", draft, "rules", 422, values=values, **choices)
        drafting.say(conn, settings(), draft, **said)
    return go(f"/drafts/{draft_id}/review")


def review(draft_id: str) -> Response:
    """All of it, before it counts."""
    return _review(draft_id, None)


def _review(draft_id: str, error: str | None) -> Response:
    from atlas.sync import drafting

    with transaction() as conn:
        draft = _draft(conn, draft_id)
        answers = drafting.answers(conn, draft)
        config = drafting.shown(draft, settings())
    return _page(
        "wizard_review.html",
        draft,
        "review",
        200 if error is None else 422,
        config=config,
        answers=answers,
        changes=drafting.changes(draft),
        error=error,
    )


def finish(draft_id: str) -> Response:
    """Make or change the connection; with ``sync`` also start its first run."""
    from atlas.sync import dispatch, drafting
    from atlas.sync.request import record

    run_id = None
    try:
        with transaction() as conn:
            draft = _draft(conn, draft_id, lock=True)
            name = drafting.finish(
                conn,
                settings(),
                draft,
                actor=g.key.actor,
                may_unmask=g.key.may(Role.PRIVACY),
                may_query=g.key.may(Role.ADMIN),
                reset_state="reset_state" in request.form,
            )
            if "sync" in request.form:
                run_id = record(conn, name, trigger="api", actor=g.key.actor)
    except NotFound:
        raise
    except AtlasError as error:
        return _review(draft_id, str(error))
    if run_id is not None:
        dispatch.start(engine(), [run_id])
        return go(f"/runs/{run_id}", f"Connection {name} is there, and its first sync was started.")
    words = "is there" if draft.connection is None else "was changed"
    return go(f"/connections/{name}", f"Connection {name} {words}.")


def discard(draft_id: str) -> Response:
    """Forget the draft."""
    with transaction() as conn:
        draft = _draft(conn, draft_id, lock=True)
        drafts.delete(conn, draft.id)
    back = f"/connections/{draft.connection}" if draft.connection else "/connections"
    return go(back, "Nothing was changed.")


# --- what the steps share ------------------------------------------------------------------------


def _draft(conn: sa.Connection, draft_id: str, *, lock: bool = False) -> Draft:
    return drafts.get(conn, secret_key(settings()), draft_id, asked_by=g.key.id, lock=lock)


def _page(template: str, draft: Draft, step: str, status: int = 200, **context: Any) -> Response:
    title = None
    if draft.connector is not None:
        known = catalog.entries(settings()).get(draft.connector)
        title = known.title if known else draft.connector
    done = [
        name
        for name, _ in STEPS
        # Of one that is edited every step can be gone to; of a new one those behind.
        if draft.connection is not None or name == "source" or draft.document.get("configured")
    ]
    if draft.connector is None:
        done = [name for name in done if name in ("rules", "review")]
    return render(
        template,
        status,
        draft=draft,
        step=step,
        steps=STEPS,
        open_steps=done,
        title=title,
        **context,
    )


def _source_page(
    draft: Draft,
    form: spec_form.Field | None,
    pending: dict[str, Any] | None,
    error: str | None = None,
    name_error: str | None = None,
    name: str | None = None,
    status: int = 200,
) -> Response:
    return _page(
        "wizard_source.html",
        draft,
        "source",
        status,
        form=form,
        pending=pending,
        error=error,
        name=draft.document.get("name", "") if name is None else name,
        name_error=name_error,
    )


def _wrong_name(conn: sa.Connection, draft: Draft, name: str) -> str | None:
    from atlas.ledger import connections
    from atlas.web.api.names import connection as known

    if draft.connection is not None:
        return None
    try:
        connections.selects(conn, known(name))
    except NotFound:
        taken = False
    else:
        taken = True
    if taken:
        return f"there is a connection {name} already: choose another name"
    try:
        known(name)
    except NotFound:
        return "a lower-case letter, then up to 39 letters, digits or _"
    return None


def _learning(conn: sa.Connection, draft: Draft) -> dict[str, Any] | None:
    """The question for the connector's spec, where it was asked."""
    asked = draft.document.get("spec")
    try:
        return operations.document(conn, str(asked)) if asked else None
    except NotFound:
        return None


def _learn(draft_id: str) -> None:
    """Have the connector asked for its spec, and installed for that, unless it is known."""
    from atlas.sync import drafting

    with transaction() as conn:
        draft = _draft(conn, draft_id)
        if draft.connector is None or drafting.spec(draft, settings()) is not None:
            return
        version = draft.document.get("version")
        asked = operations.unfinished(conn, Kind.SPEC, draft.connector, version)
    if asked is None:
        asked = ask(Kind.SPEC, entry_of(draft.connector), version=version)
    with transaction() as conn:
        mine = _draft(conn, draft_id, lock=True)
        drafts.save(conn, secret_key(settings()), mine, spec=asked)


def _unanswered(answers: dict[str, dict[str, Any] | None]) -> bool:
    return any(each is None or each["status"] == "failed" for each in answers.values())


def _offered(
    conn: sa.Connection, draft: Draft
) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
    """The streams that the source said it has, and the question that was asked."""
    from atlas.sync import drafting

    asked = drafting.answers(conn, draft)["discover"]
    result = asked["result"] if asked else None
    return (result["streams"] if result else []), asked


def _choices(conn: sa.Connection) -> dict[str, Any]:
    """What the rules' form offers."""
    from atlas.pii.policy import entity_types
    from atlas.sync import policies

    return {
        "policies": [each["name"] for each in policies.listed(conn)],
        "kinds": sorted(entity_types().items()),
        "operators": [each.value for each in Operator],
        "dimensions": rules_form.DIMENSIONS,
        "error": None,
    }


PAGES = [
    Page("/connections/new", Role.OPERATOR, choose),
    Page("/connections/new", Role.OPERATOR, begin, ("POST",)),
    Page("/connections/<name>/edit", Role.OPERATOR, edit, ("POST",)),
    Page("/drafts/<draft_id>/source", Role.OPERATOR, source),
    Page("/drafts/<draft_id>/source", Role.OPERATOR, post_source, ("POST",)),
    Page("/drafts/<draft_id>/spec", Role.OPERATOR, learn, ("POST",)),
    Page("/drafts/<draft_id>/check", Role.OPERATOR, check),
    Page("/drafts/<draft_id>/check", Role.OPERATOR, check_again, ("POST",)),
    Page("/drafts/<draft_id>/streams", Role.OPERATOR, streams),
    Page("/drafts/<draft_id>/streams", Role.OPERATOR, post_streams, ("POST",)),
    Page("/drafts/<draft_id>/rules", Role.OPERATOR, rules),
    Page("/drafts/<draft_id>/rules", Role.OPERATOR, post_rules, ("POST",)),
    Page("/drafts/<draft_id>/review", Role.OPERATOR, review),
    Page("/drafts/<draft_id>/review", Role.OPERATOR, finish, ("POST",)),
    Page("/drafts/<draft_id>/discard", Role.OPERATOR, discard, ("POST",)),
]
