"""Celery's side of Atlas: the application that ``celery -A workers`` runs, with its tasks.

A task is a wrapper of a few lines around a use case of :mod:`atlas.sync`; its arguments are ids.
"""

from __future__ import annotations

import os

from atlas.garbage import not_looked_for

# One thread a process: the pool is what scales, and two pools of threads on a core only wait.
# Before numpy and its like are imported.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

with not_looked_for():
    from atlas.sync.broker import app as _app

    app = _app()
    app.set_default()

    from workers import lifecycle, tasks  # they register with the application

__all__ = ["app", "lifecycle", "tasks"]
