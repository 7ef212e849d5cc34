"""``python -m atlas.cli``: the same as the console script, wherever that is."""

from __future__ import annotations

from atlas.cli import main

main()
