"""What the official schemas cannot say of events: how they belong together."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from typing import Any

_ENDS = ("COMPLETE", "FAIL", "ABORT")


def wrong(events: Iterable[dict[str, Any]], unfinished: Collection[str] = ()) -> list[str]:
    """What is wrong with all the events of a ledger, a line each.

    An attempt at a stage has one START, at most one RUNNING and one end; a run as many STARTs as
    ends, for a user may resume it. The parent of an attempt is a run that is told of. What a stage
    reads of this database an earlier one has told to have written.

    Args:
        unfinished: ids of runs that have not ended: of these not everything is told yet.
    """
    events = list(events)
    kinds: dict[str, Counter[str]] = defaultdict(Counter)
    parents: dict[str, str] = {}
    for event in events:
        run = event["run"]
        kinds[run["runId"]][event["eventType"]] += 1
        if "parent" in run["facets"]:
            parents[run["runId"]] = run["facets"]["parent"]["run"]["runId"]
    found = [f"{each}: its parent {of} is not told of" for each, of in parents.items()
             if of not in kinds or of in parents]  # fmt: skip
    for each, told in kinds.items():
        if parents.get(each, each) in unfinished:
            continue
        ends = sum(told[kind] for kind in _ENDS)
        if each in parents and (told["START"], ends, told["RUNNING"] > 1) != (1, 1, False):
            found.append(f"{each}: an attempt with {dict(told)}")
        elif each not in parents and not 0 < told["START"] == ends:
            found.append(f"{each}: a run with {dict(told)}")
    return found + _gaps(events)


def _gaps(events: list[dict[str, Any]]) -> list[str]:
    done = [event for event in events if event["eventType"] == "COMPLETE"]
    written = {
        (output["namespace"], output["name"])
        for event in events
        for output in event["outputs"]
        # What a reading had brought before it broke off is there, too.
        if event["eventType"] == "COMPLETE"
        or output.get("outputFacets", {}).get("outputStatistics")
    }
    return [
        f"{event['job']['name']}: nobody has told of writing {read['name']}"
        for event in done
        for read in event["inputs"]
        if not read["namespace"].startswith("airbyte://")
        and (read["namespace"], read["name"]) not in written
    ]
