"""Records counted twice: by their source, which says so with its states, and as they came.

The protocol has a source say with each state how many records it emitted since the one before,
of the stream, or for a GLOBAL or LEGACY state of all streams that it is about.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Collection, Iterable

from atlas.connectors.protocol import State
from atlas.model.stream import StreamKey
from atlas.settings import Settings

log = logging.getLogger(__name__)


class Counts:
    """How many records of each stream came since its last state.

    Args:
        streams: what the source was asked for.
        anew: those of them that are read from their start.
        stateless: those of them that no state lets go on; a state of several streams is not about
            them.

    Attributes:
        wrong: the streams whose records are not those that their source counted, with the error.
    """

    def __init__(
        self,
        settings: Settings,
        streams: Iterable[StreamKey],
        anew: Collection[StreamKey] = (),
        stateless: Collection[StreamKey] = (),
    ) -> None:
        self._fails = settings.record_counts == "fail"
        self._streams = frozenset(streams)
        self._anew = frozenset(anew)
        self._resumable = self._streams - frozenset(stateless)
        self._since: dict[StreamKey, int] = defaultdict(int)
        self._ignored = 0
        self.wrong: dict[StreamKey, str] = {}

    def add(self, key: StreamKey, records: int) -> None:
        """So many records of this stream came."""
        self._since[key] += records

    def state(self, message: State, *, ignored: int) -> tuple[frozenset[StreamKey], int] | None:
        """A state came.

        Args:
            ignored: records of streams that nobody asked for, so far.

        Returns:
            The streams that it is about and their records since the state before; None when it is
            not to be kept: it is of no stream that was asked for, or of one that went wrong.
        """
        streams = self._about(message)
        if not streams:
            return None
        came = sum(self._since[key] for key in streams)
        if not streams.isdisjoint(self.wrong):
            return None
        said = message.record_count
        if said is not None and said >= 0 and said not in self._right(message, streams, ignored):
            line = f"the source counted {said} records since its last state, and {came} came"
            if self._fails:
                error = f"{line}: what came stays in explore, and the state before it holds"
                self.wrong |= dict.fromkeys(streams, error)
                return None
            log.warning("stream %s: %s", min(map(str, streams)), line)
        for key in streams:
            self._since[key] = 0
        if message.stream is None:
            self._ignored = ignored
        return streams, came

    def _about(self, message: State) -> frozenset[StreamKey]:
        if message.stream is not None:
            return self._streams & {message.stream}
        # A GLOBAL state that names none, and a LEGACY one, is about all.
        return self._resumable & set(message.streams) if message.streams else self._resumable

    def _right(self, message: State, streams: frozenset[StreamKey], ignored: int) -> set[int]:
        """The counts that the source may have said.

        Whether a GLOBAL state counts streams that it does not name, or that are read from their
        start and so have no part in it, or records that nobody asked for, the protocol leaves open.
        """
        if message.stream is not None:
            return {self._since[message.stream]}
        named = self._streams & set(message.streams)
        sums = {
            sum(self._since[key] for key in some)
            for every in (streams, named, self._streams)
            for some in (every, every - self._anew)
        }
        return sums | {one + ignored - self._ignored for one in sums}
