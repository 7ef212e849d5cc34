"""Where a connections file stands in git: told where it is so, byte for byte, and else not."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from atlas.model.source_code import SourceCode
from atlas.sync.source_code import located

GITHUB = "https://github.com/acme/data"


def git(directory: Path, *arguments: str) -> str:
    """What git answers there, whatever configuration the machine has."""
    given = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    alone = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    who = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(
        ["git", *who, *arguments],
        cwd=directory,
        env={**given, **alone},
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A connections file that is committed in a repository whose origin is known."""
    directory = tmp_path / "data"
    (directory / "our sources").mkdir(parents=True)
    git(directory, "init", "-q")
    git(directory, "remote", "add", "origin", f"{GITHUB}.git")
    path = directory / "our sources" / "shop.yml"
    path.write_text("connections: []\n")
    _commit(path)
    return path


def _commit(path: Path) -> str:
    git(path.parent, "add", path.name)
    git(path.parent, "commit", "-q", "-m", "changed")
    return git(path.parent, "rev-parse", "HEAD")


def test_a_committed_file_is_told_with_its_own_last_commit(file: Path) -> None:
    version = git(file.parent, "rev-parse", "HEAD")
    (file.parent / "other.yml").write_text("other\n")
    assert _commit(file.parent / "other.yml") != version
    url = f"{GITHUB}/blob/{version}/our%20sources/shop.yml"
    assert located(file) == SourceCode(url, GITHUB, "our sources/shop.yml", version)
    file.write_text("connections: [] # changed\n")
    after = _commit(file)
    found = located(file)
    assert found is not None
    assert found.version == after != version


def test_a_file_that_is_not_as_committed_is_nowhere(file: Path) -> None:
    file.write_text("connections: [] # and not committed\n")
    assert located(file) is None
    git(file.parent, "add", file.name)
    assert located(file) is None
    _commit(file)
    assert located(file) is not None


def test_a_file_of_no_commit_of_no_repository_or_of_no_git_is_nowhere(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = file.parent / "new.yml"
    new.write_text("connections: []\n")
    assert located(new) is None
    outside = tmp_path / "shop.yml"
    outside.write_text("connections: []\n")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert located(outside) is None
    assert located(tmp_path / "missing.yml") is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert located(file) is None


def test_the_repository_of_a_hook_that_applies_it_is_not_taken_for_its_own(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = located(file)
    git(tmp_path, "init", "-q", "other")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(tmp_path / "other"))
    assert found is not None
    assert located(file) == found


def test_a_link_stands_where_it_leads(file: Path, tmp_path: Path) -> None:
    link = tmp_path / "linked.yml"
    link.symlink_to(file)
    assert located(link) == located(file) is not None


@pytest.mark.parametrize(
    ("remote", "repository", "between"),
    [
        ("https://github.com/acme/data", "https://github.com/acme/data", "blob"),
        ("https://bob:hunter2@github.com/acme/data.git/", "https://github.com/acme/data", "blob"),
        ("https://hunter2@github.com/acme/data.git?x=hunter2", GITHUB, "blob"),
        ("git@github.com:acme/data.git", "https://github.com/acme/data", "blob"),
        ("ssh://git@GitHub.com:2222/acme/data.git", "https://github.com/acme/data", "blob"),
        (
            "https://gitlab.example.org:8443/a/b/data.git",
            "https://gitlab.example.org:8443/a/b/data",
            "-/blob",
        ),
        ("git@bitbucket.org:acme/data.git", "https://bitbucket.org/acme/data", "src"),
        ("https://codeberg.org/acme/data", "https://codeberg.org/acme/data", "src/commit"),
        ("http://gitea.local/acme/data", "http://gitea.local/acme/data", "src/commit"),
    ],
)
def test_of_a_remote_only_host_and_path_are_told(
    file: Path, remote: str, repository: str, between: str
) -> None:
    git(file.parent, "remote", "set-url", "origin", remote)
    found = located(file)
    assert found is not None
    assert found.repository == repository
    assert found.url == f"{repository}/{between}/{found.version}/our%20sources/shop.yml"
    assert "hunter2" not in repr(found)


@pytest.mark.parametrize(
    "remote",
    [
        "../data",
        "/srv/git/data.git",
        "file:///srv/git/data.git",
        "git@git.example.org:acme/data.git",
        "https://example.org/github/data.git",
        "work:acme/data.git",
        "git@github:acme/data.git",
        "https://[::1/acme/data",
        "https://github.com:port/acme/data",
        "https://github.com/",
    ],
)
def test_a_host_whose_pages_are_not_known_is_none(file: Path, remote: str) -> None:
    git(file.parent, "remote", "set-url", "origin", remote)
    assert located(file) is None


def test_of_several_remotes_it_is_origin_or_nobody_knows(file: Path) -> None:
    git(file.parent, "remote", "add", "mirror", "https://gitlab.com/mirror/data.git")
    found = located(file)
    assert found is not None
    assert found.repository == GITHUB
    git(file.parent, "remote", "rename", "origin", "upstream")
    assert located(file) is None
    git(file.parent, "remote", "remove", "mirror")
    assert located(file) == found
    git(file.parent, "remote", "remove", "upstream")
    assert located(file) is None
