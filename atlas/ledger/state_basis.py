"""Whether a stream can go on from its state: not where its cursor or its key is another one now.

A state says how far the source was read *by its cursor*; by another one it says nothing, and going
on from it could miss records. What the connector's own options mean (a start date) nobody but the
connector knows. A change of the sync mode needs no question: a full refresh takes no state, and a
state from before it is merely old.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from atlas.errors import TerminalError
from atlas.ledger.state import State
from atlas.ledger.state_documents import Basis, Reading
from atlas.model.stream import FieldPath, StreamKey, StreamSelection


def asks_for_reset(name: str, present: Iterable[State], reading: Reading) -> None:
    """See that each stream that goes on from its state is read as when that was made.

    Raises:
        TerminalError: one is not; its line names the stream, the change and the remedies.
    """
    for state, key, basis in _known(present):
        now = reading.streams.get(key)
        if now is None or key in reading.anew:
            continue
        change = _cursor(basis, now.cursor_field) or _key(basis, now.primary_key)
        if change:
            raise TerminalError(
                f"stream {key}: {change}, so it cannot go on from its state: "
                f"`{reset_command(name, state, key)}` forgets that, and "
                f"`atlas sync {name} --stream {key} --full-refresh` reads the stream anew once"
            )


def chosen_anew(
    before: Mapping[str, StreamSelection] | None,
    now: Mapping[str, StreamSelection] | None,
    present: Iterable[State],
) -> list[tuple[State, StreamKey, str]]:
    """The streams with a state whose user chose another cursor or key for them than it was made
    with, each with that state and the change in words.

    What the source itself decides is seen when it is asked, at the next run.
    """
    found = []
    for state, key, basis in _known(present):
        new = _selection(now, key)
        if new is None or new == _selection(before, key):
            continue
        change = (new.cursor_field and _cursor(basis, new.cursor_field)) or (
            new.primary_key and _key(basis, new.primary_key)
        )
        if change:
            found.append((state, key, change))
    return found


def reset_command(name: str, state: State, key: StreamKey) -> str:
    """What forgets the state of the stream."""
    whole = f"atlas state reset {name}"
    return f"{whole} --stream {key}" if key in state.streams else whole


def _known(present: Iterable[State]) -> Iterator[tuple[State, StreamKey, Basis]]:
    for state in present:
        for key, basis in state.basis.items():
            yield state, key, basis


def _selection(
    selections: Mapping[str, StreamSelection] | None, key: StreamKey
) -> StreamSelection | None:
    if selections is None:
        return None
    return selections.get(str(key)) or selections.get(key.name)


def _cursor(basis: Basis, now: FieldPath) -> str | None:
    # A cursor that the source keeps to itself cannot be compared.
    if not now or not basis.cursor_field or now == basis.cursor_field:
        return None
    return f"its cursor is {'.'.join(now)} now and was {'.'.join(basis.cursor_field)}"


def _key(basis: Basis, now: Iterable[FieldPath]) -> str | None:
    if set(now) == set(basis.primary_key):
        return None
    return f"its primary key is {_shown(now)} now and was {_shown(basis.primary_key)}"


def _shown(paths: Iterable[FieldPath]) -> str:
    return ", ".join(".".join(path) for path in paths) or "none"
