"""Installs one connector with PyAirbyte: ``python -m atlas.connectors.installer``.

The one module that imports ``airbyte``, and that nothing imports. It answers with one line of JSON
on standard output, ``{"command": [...], "version": ...}`` or ``{"error": ...}``; progress goes to
standard error.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

_UV_INDEXES = (
    "UV_DEFAULT_INDEX",
    "UV_INDEX",
    "UV_INDEX_URL",
    "UV_EXTRA_INDEX_URL",
    "UV_FIND_LINKS",
    "UV_OFFLINE",
    "UV_CONFIG_FILE",
)


def pip_as_uv(listing: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Environment that makes uv use the package indexes that pip is configured for.

    Args:
        listing: what ``pip config list`` prints: files and PIP_ variables together.
        environ: an index configured for uv itself wins, and leaves nothing to do.
    """
    if any(environ.get(name) for name in _UV_INDEXES):
        return {}
    found: dict[str, str] = {}
    # pip's own order: what is set for `install` wins over what is set for all, the environment
    # over both.
    for section in ("global", "install", ":env:"):
        for match in re.finditer(rf"^{section}\.([\w-]+)='(.*)'$", listing, re.MULTILINE):
            found[match[1]] = match[2].replace("\\n", " ").strip()
    wanted: dict[str, str] = {}
    if url := found.get("index-url"):
        wanted["UV_DEFAULT_INDEX"] = url
    if extra := found.get("extra-index-url"):
        wanted["UV_INDEX"] = " ".join(extra.split())
        # pip takes the best version of all its indexes, uv by default the first index's.
        wanted["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    # uv fails on a directory that is missing, pip does not.
    links = [x for x in found.get("find-links", "").split() if "://" in x or Path(x).exists()]
    if links:
        wanted["UV_FIND_LINKS"] = ",".join(links)
    if found.get("no-index", "").lower() in ("1", "true", "yes", "on"):
        wanted["UV_OFFLINE"] = "1"  # uv knows no such variable for its --no-index
    if hosts := found.get("trusted-host"):
        wanted["UV_INSECURE_HOST"] = " ".join(hosts.split())
    if certificate := found.get("cert"):
        wanted["SSL_CERT_FILE"] = certificate
    return {name: value for name, value in wanted.items() if name not in environ}


def uv_says(text: str) -> str:
    """uv's error as one line: without its progress, its drawing and passwords in URLs."""
    lines = [re.sub(r"^[^\w]+", "", line).strip() for line in text.splitlines()]
    start = next(
        (i for i, line in enumerate(lines) if re.match(r"error\b|No solution|Failed", line)), 0
    )
    told = " ".join(line for line in lines[start:] if line)
    return re.sub(r"//[^/@\s]+@", "//***@", told)[:600]


def _become_installer(name: str, package: str, version: str, target: str, *overrides: str) -> None:
    # Whoever started this died: nothing of it may go on.
    signal.signal(signal.SIGTERM, lambda *_: os.killpg(0, signal.SIGKILL))
    listing = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"],
        check=False,  # without pip there is no configuration of it
        capture_output=True,
        text=True,
    ).stdout
    os.environ.update(pip_as_uv(listing, os.environ))
    answer = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):  # PyAirbyte prints
        result = _install_with_pyairbyte(name, package, version, Path(target), overrides)
    json.dump(result, answer)


def _install_with_pyairbyte(
    name: str, package: str, version: str, target: Path, overrides: tuple[str, ...]
) -> dict[str, object]:
    from airbyte import exceptions, get_source

    asked = f"{package}=={version}"
    if overrides:
        file = target / "pyairbyte" / "overrides.txt"
        file.write_text("\n".join(overrides))
        # PyAirbyte appends this, split as a shell would, to `uv pip install`.
        asked += f" --override {shlex.quote(str(file))}"
    try:
        get_source(
            name,
            pip_url=asked,
            # Otherwise uv takes whatever python comes first.
            use_python=Path(sys.executable),
            install_root=target,
            install_if_missing=True,
        )
    except exceptions.PyAirbyteError as error:
        cause = error.__cause__ or error
        text = (
            getattr(cause, "log_text", None) or cause.get_message()
            if isinstance(cause, exceptions.PyAirbyteError)
            else str(cause)
        )
        if isinstance(text, list):
            text = "\n".join(text)
        return {"error": uv_says(str(text))}
    finally:
        shutil.rmtree(target / "pyairbyte", ignore_errors=True)
    command = target / f".venv-{name}" / "bin" / name
    return {"command": [str(command)], "version": version}


if __name__ == "__main__":
    _become_installer(*sys.argv[1:])
