"""The pipeline: one module a stage, each with ``run(work)``, a plain function of a claim.

A stage reads its inputs, does its work through the rooms below, and commits effect and record in
one transaction of :class:`atlas.stages.work.Work`.
"""

from __future__ import annotations

from atlas.model.stage import Stage

ORDER: list[Stage] = [
    Stage.EXPLORE,
    Stage.PII,
    Stage.QUALITY,
    Stage.CHART,
    Stage.NAVIGATE,
    Stage.LINEAGE,
]
"""The stages in the order of the data; explore works for the whole run, the rest a stream each."""
