"""A program in the place of an installed connector of the catalog: no test has to download one."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

SCRIPTED = Path(__file__).with_name("scripted.py")


def install(home: Path, name: str, program: Path = SCRIPTED) -> Path:
    """Have ``program`` stand where connector ``name`` would be installed; returns its directory.

    It has not been asked for its spec yet, whatever stood there before.
    """
    directory = home / "connectors" / name / "pretended"
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "spec.json").unlink(missing_ok=True)
    command = directory / "command"
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(str(program))} "$@"\n')
    command.chmod(0o755)
    marker = {"name": name, "version": "0.0.0", "command": [str(command)]}
    (home / "connectors" / f"{name}.json").write_text(json.dumps(marker))
    return directory
