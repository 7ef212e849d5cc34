"""Other programs that measurements hold Atlas against, in a Python environment of their own.

They are pinned, so that a ratio that moves tells of Atlas. One that cannot be installed here is
said to be missing, and nothing is said of it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

DLT = ["dlt[sql_database,postgres,parquet]==1.31.0", "psycopg2-binary==2.9.13"]
DBT = ["dbt-core==1.10.15", "dbt-postgres==1.9.1"]
SLING = ["sling==1.4.11", "sling-linux-amd64==1.4.11"]


def install(home: Path, peers: dict[str, list[str]], missing: dict[str, str]) -> Path | None:
    """Make an environment with ``peers`` at ``home``; returns it, or None.

    Args:
        peers: requirements by the peer's name.
        missing: gets the name of each peer that cannot be had, and why.
    """
    uv = [str(Path(sys.executable).with_name("uv"))]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    if subprocess.run([*uv, "venv", "--python", sys.executable, str(home)], **quiet).returncode:  # type: ignore[call-overload]
        missing |= dict.fromkeys(peers, "no environment could be made")
        return None
    python = ["--python", str(home / "bin" / "python")]
    for name, packages in peers.items():
        done = subprocess.run([*uv, "pip", "install", *python, *packages], **quiet)  # type: ignore[call-overload]
        if done.returncode:
            missing[name] = "it could not be installed"
    return home


def run(environment: Path, arguments: list[str], limit: float) -> int:
    """Run Python there with ``arguments``, for ``limit`` seconds at most; returns the exit code, -1
    when the time was over. What it prints goes to ``log`` there."""
    log = environment / "log"
    with log.open("ab") as file:
        try:
            return subprocess.run(
                [str(environment / "bin" / "python"), *arguments],
                env=os.environ
                | {
                    "HOME": str(environment),
                    "RUNTIME__DLTHUB_TELEMETRY": "false",
                    "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
                    "DO_NOT_TRACK": "1",
                },
                cwd=environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                timeout=limit,
            ).returncode
        except subprocess.TimeoutExpired:
            return -1
