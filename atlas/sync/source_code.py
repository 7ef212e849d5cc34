"""Where a connections file stands in its git repository, for whoever asks what made a run.

Told is only what is so: the file at a commit that has it byte for byte as it is here, in a
repository whose pages have addresses that are known. All else is not known, which is no error: a
file need not be in a repository.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from urllib.parse import quote, urlsplit

from atlas.model.source_code import SourceCode

_TIMEOUT = 10.0
"""Seconds for each question to git."""
_HANDED_ON = ("PATH", "HOME", "XDG_CONFIG_HOME")
"""What git gets of our environment, beside the configuration in ``GIT_CONFIG_…``: in the rest may
be secrets, and the repository of a hook that runs us."""
_SCP = re.compile(r"(?:[^@/:]+@)?(?P<host>[^/:@]+):(?P<path>[^/].*)")
_PAGES = (
    (re.compile(r"github\..+"), "blob"),
    (re.compile(r"gitlab\..+"), "-/blob"),
    (re.compile(r"bitbucket\.org"), "src"),
    (re.compile(r"codeberg\.org|(gitea|forgejo)\..+"), "src/commit"),
)
"""Hosts by their name, and what stands between repository and commit in the address of a file."""


def located(path: Path) -> SourceCode | None:
    """Where the file stands; None: not known."""
    path = path.resolve()
    try:
        inside = _git(path, "ls-files", "-z", "--full-name", "--error-unmatch", "--", path.name)
        version = _git(path, "rev-list", "-1", "HEAD", "--", path.name)
        committed = _git(path, "cat-file", "blob", f"{_text(version)}:./{path.name}")
        if committed != path.read_bytes():
            return None
        remotes = _text(_git(path, "remote")).split()
        if "origin" not in remotes and len(remotes) != 1:
            return None
        name = "origin" if "origin" in remotes else remotes[0]
        remote = _text(_git(path, "remote", "get-url", name))
        return _page(remote, _text(inside).rstrip("\0"), _text(version))
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None


def _git(path: Path, *arguments: str) -> bytes:
    """What git answers about the file.

    Raises:
        OSError: there is no git. subprocess.SubprocessError: it knows nothing of the file.
    """
    given = {
        name: value
        for name, value in os.environ.items()
        if name in _HANDED_ON or name.startswith("GIT_CONFIG_")
    }
    return subprocess.run(
        # A program that the repository names to watch its files has no part in this.
        ["git", "-c", "core.fsmonitor=false", *arguments],
        cwd=path.parent,
        env={**given, "GIT_NO_LAZY_FETCH": "1", "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=_TIMEOUT,
        check=True,
    ).stdout


def _text(answer: bytes) -> str:
    return answer.decode().strip("\n")


def _page(remote: str, path: str, version: str) -> SourceCode | None:
    """The file's page at ``version`` in the repository that ``remote`` names.

    Of the remote only host and path are taken, so no user, password or token.
    """
    repository = _repository(remote)
    if repository is None:
        return None
    host = urlsplit(repository).hostname or ""
    for pattern, between in _PAGES:
        if pattern.fullmatch(host):
            url = f"{repository}/{between}/{version}/{quote(path)}"
            return SourceCode(url=url, repository=repository, path=path, version=version)
    return None


def _repository(remote: str) -> str | None:
    """The repository's address on the web; None: it has none."""
    try:
        parts = urlsplit(remote)
        scheme, host, port, path = parts.scheme, parts.hostname, parts.port, parts.path
    except ValueError:
        return None
    if found := _SCP.fullmatch(remote):
        scheme, host, port, path = "ssh", found["host"].lower(), None, found["path"]
    path = path.strip("/").removesuffix(".git")
    if scheme not in ("https", "http", "ssh") or not host or not path:
        return None
    if scheme == "ssh":
        scheme, port = "https", None
    return f"{scheme}://{host}{'' if port is None else f':{port}'}/{quote(path, safe='/%')}"
