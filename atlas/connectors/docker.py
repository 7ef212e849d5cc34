"""Connectors in Docker images: ``python -m atlas.connectors.docker IMAGE VERB …`` runs one.

That program becomes ``docker run`` itself. A container belongs to the engine, not to whoever asked
for it, and would outlive a client that is killed; so a guard, which no signal to the connector's
process group reaches, ends the container once the client is gone, however it went.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
from pathlib import Path

from atlas.errors import TerminalError, TransientError

_GUARD = 'read -r _; exec docker rm --force "$1" >/dev/null 2>&1'
_ANSWER_SECONDS = 20


def command(name: str, image: str, pull_seconds: float) -> tuple[str, ...]:
    """The command line that runs ``image``, to which the verb is added; the image is pulled first
    if the engine has it not, which is no time of the connector's.

    Raises:
        TerminalError: no Docker engine answers here.
        TransientError: the image could not be pulled within ``pull_seconds``.
    """
    found = shutil.which("docker")
    try:
        if found is None:
            raise TerminalError(f"connector {name} is {_NEEDS}: install Docker there")
        subprocess.run(
            [found, "version", "--format", "{{.Server.Version}}"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_ANSWER_SECONDS,
            check=True,
        )
    except (subprocess.SubprocessError, OSError) as error:
        raise TerminalError(
            f"connector {name} is {_NEEDS}, and none answers: start it there, or set DOCKER_HOST"
        ) from error
    if _quiet([found, "image", "inspect", image], _ANSWER_SECONDS) and _quiet(
        [found, "pull", "--quiet", image], pull_seconds
    ):
        raise TransientError(
            f"connector {name}: its image could not be pulled within {pull_seconds:g} s: try "
            f"`docker pull {image}` where the connector runs",
            max_attempts=2,
        )
    return (*_PROGRAM, image)


def _quiet(line: list[str], seconds: float) -> bool:
    """Whether the client failed. What it says may name users of the engine."""
    try:
        subprocess.run(
            line, stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds, check=True
        )
    except (subprocess.SubprocessError, OSError):
        return True
    return False


_PROGRAM = (sys.executable, "-P", "-m", __name__)


def is_image(command: tuple[str, ...]) -> bool:
    """Whether this command line came from :func:`command`."""
    return command[: len(_PROGRAM)] == _PROGRAM


_NEEDS = "a Docker image, which needs a Docker engine where the connector runs"


def run_arguments(image: str, name: str, directory: Path, arguments: list[str]) -> list[str]:
    """``docker run`` for ``image``: the connector's private directory at its own path, read and
    written as the user that Atlas runs as, and nothing else of this machine."""
    return [
        *("docker", "run", "--rm", "--init", "--interactive", "--name", name),
        *("--user", f"{os.getuid()}:{os.getgid()}", "--env", "HOME=/tmp"),
        *(
            "--volume",
            f"{directory}:{directory}",
            "--add-host",
            "host.docker.internal:host-gateway",
        ),
        image,
        *arguments,
    ]


def main(image: str, *arguments: str) -> None:
    """Start the guard and become ``docker run``."""
    name = f"atlas-{secrets.token_hex(8)}"
    reader, writer = os.pipe()
    subprocess.Popen(
        ["/bin/sh", "-c", _GUARD, "atlas-guard", name],
        stdin=reader,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    os.close(reader)
    os.set_inheritable(writer, True)  # it closes when the client ends
    line = run_arguments(image, name, Path.cwd(), list(arguments))
    os.execvp(line[0], line)  # noqa: S606 - an argument list of our own


if __name__ == "__main__":
    main(*sys.argv[1:])
