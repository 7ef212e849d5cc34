"""Bad input gets one line that names the thing and the remedy, and leaves nothing half done."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from atlas.errors import UsageError
from atlas.settings import parse
from tests import command

KEY = "k" * 40


def atlas(home: Path, *args: str, **environ: str | None) -> subprocess.CompletedProcess[str]:
    """Run the command line in an environment of its own."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("ATLAS_")}
    given = {"ATLAS_HOME": str(home), **environ}
    return command.run(*args, env=kept | {k: v for k, v in given.items() if v is not None})


def refused(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    """One line on stderr with these words, nothing on stdout, this exit code."""
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    lines = [line for line in done.stderr.splitlines() if not line.startswith("checking ")]
    assert len(lines) == 1, done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in lines[0], lines[0]
    assert done.stdout == ""


@pytest.fixture
def migrated(database_url: str, migrated_database: str) -> Iterator[str]:
    """URL of a migrated database."""
    engine = sa.create_engine(database_url, poolclass=sa.NullPool)
    yield database_url
    with engine.connect() as conn:
        left = conn.execute(sa.text("SELECT count(*) FROM pipeline.connection")).scalar_one()
    assert left == 0, "something was created by half"


def test_a_misspelt_setting(tmp_path: Path) -> None:
    done = atlas(tmp_path, "status", ATLAS_LEASE_SECOND="3")
    refused(done, 2, "ATLAS_LEASE_SECOND", "ATLAS_LEASE_SECONDS")


def test_a_wrong_value_of_a_setting(tmp_path: Path) -> None:
    refused(atlas(tmp_path, "status", ATLAS_PORT="eight"), 2, "ATLAS_PORT", "number")
    refused(atlas(tmp_path, "status", ATLAS_LOG_LEVEL="LOUD"), 2, "ATLAS_LOG_LEVEL", "INFO")


def test_a_secret_of_a_setting_is_not_shown(tmp_path: Path) -> None:
    done = atlas(tmp_path, "status", ATLAS_DATABASE_URL="mysql://me:hunter2@db/x")
    refused(done, 2, "ATLAS_DATABASE_URL", "postgresql:")
    assert "hunter2" not in done.stderr


@pytest.mark.parametrize(
    "url", ["postgresql://u:s3cr/et@h/d", "postgresql://u:s3cret@a:1,b:2/d", "postgresql://h:x/d"]
)
def test_a_url_that_does_not_come_apart(tmp_path: Path, url: str) -> None:
    done = atlas(tmp_path, "connections", "list", ATLAS_DATABASE_URL=url)
    refused(done, 2, "setting ATLAS_DATABASE_URL", "a port that is no number", "?host=A:5432")
    assert "s3cr" not in done.stderr


def test_a_url_of_redis_that_workers_could_not_use(tmp_path: Path) -> None:
    done = atlas(tmp_path, "up", ATLAS_REDIS_URL="redis://:s3cret@h:6379?db=0")
    refused(done, 2, "setting ATLAS_REDIS_URL", "redis://host:6379/0")
    assert "s3cr" not in done.stderr


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("redis://:s3cret@h/0?socket_timeout=5", "redis://host:6379/0"),
        ("redis://:12?s3cret@h/0", "%3F"),
        ("redis://:12/s3cret@h/0", "%2F"),
        ("redis://:s3cret@h/shop", "number of a database"),
        ("redis://:s3cret@h/0/", "number of a database"),
        ("redis://:s3cret@h/0#x", "%23"),
        ("rediss://:s3cret@h?db=1", "rediss://host:6379/0"),
        ("rediss://:s3cret@h/0?ssl_cert_reqs=CERT_NONE", "ssl_cert_reqs"),
        ("rediss://:s3cret@h/0?ssl_ca_certs=", "ssl_ca_certs"),
        ("unix:/run/s3cret.sock", "unix://"),
        ("unix:///run/s3cret.sock?db=x", "?db=0"),
        ("unix:///run/redis.sock?password=s3cret", "unix://USER:PASSWORD@/PATH"),
        ("unix://run/s3cret.sock", "unix:///PATH"),
        ("REDIS://:s3cret@h/0", "redis://"),
    ],
)
def test_another_url_of_redis_that_they_could_not(url: str, words: str) -> None:
    with pytest.raises(UsageError) as refusal:
        parse({"ATLAS_REDIS_URL": url})
    assert str(refusal.value).startswith("setting ATLAS_REDIS_URL: its value must")
    assert words in str(refusal.value)
    assert "s3cr" not in str(refusal.value)


@pytest.mark.parametrize(
    "url",
    [
        "redis://h",
        "redis://:p%3F@h:1/15",
        "redis://u:p@[::1]:6379/0",
        "rediss://h/2?ssl_ca_certs=/ca.pem&ssl_check_hostname=false",
        "unix:///run/redis.sock?db=3",
        "unix://u:p@/run/redis.sock",
    ],
)
def test_a_url_of_redis_that_they_can(url: str) -> None:
    assert parse({"ATLAS_REDIS_URL": url}).redis_url == url


@pytest.mark.parametrize("password", ["s3cr℀et", "s3cr[et"])
def test_a_url_that_is_none(tmp_path: Path, password: str) -> None:
    """Of the first one the parser of URLs quotes all that stands before the path."""
    url = f"postgresql://u:{password}@h/d"
    done = atlas(tmp_path, "connections", "list", ATLAS_DATABASE_URL=url)
    refused(done, 2, "setting ATLAS_DATABASE_URL", "is no URL")
    assert "s3cr" not in done.stderr


def test_no_stack(tmp_path: Path) -> None:
    refused(atlas(tmp_path, "runs", "list"), 1, "atlas up", "ATLAS_DATABASE_URL")


def test_an_unreachable_database(tmp_path: Path) -> None:
    # Bound and not listened at: no server of another test gets the port meanwhile.
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        url = f"postgresql://me:hunter2@127.0.0.1:{port}/x"
        settings = {"ATLAS_DATABASE_URL": url, "ATLAS_SECRET_KEY": KEY, "ATLAS_PORT": "0"}
        refusals = [
            atlas(tmp_path, *asked, **settings) for asked in (["runs", "list"], ["migrate"], ["up"])
        ]
    for done in refusals:
        assert done.returncode == 1
        last = done.stderr.splitlines()[-1]
        assert f"127.0.0.1:{port}" in last
        assert "ATLAS_DATABASE_URL" in last
        assert "hunter2" not in done.stderr
        assert "Traceback" not in done.stderr


def test_an_unreachable_redis(tmp_path: Path, database_url: str) -> None:
    done = atlas(
        tmp_path,
        "up",
        ATLAS_DATABASE_URL=database_url,
        ATLAS_REDIS_URL="redis://:hunter2@127.0.0.1:1/0",
        ATLAS_SECRET_KEY=KEY,
        ATLAS_PORT="0",
    )
    assert done.returncode == 1
    assert "127.0.0.1:1" in done.stderr.splitlines()[-1]
    assert "ATLAS_REDIS_URL" in done.stderr.splitlines()[-1]
    assert "hunter2" not in done.stderr


def test_a_port_in_use(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = atlas(tmp_path, "up", ATLAS_PORT=str(port))
    refused(done, 1, str(port), "ATLAS_PORT")


def test_a_database_without_tables(tmp_path: Path, database_url: str) -> None:
    done = atlas(tmp_path, "runs", "list", ATLAS_DATABASE_URL=database_url)
    refused(done, 1, "atlas migrate")


def test_no_secret_key(tmp_path: Path, migrated: str) -> None:
    file = tmp_path / "c.yml"
    file.write_text("connections: [{name: a, connector: source-faker}]")
    done = atlas(tmp_path, "apply", "-f", str(file), ATLAS_DATABASE_URL=migrated)
    refused(done, 1, "ATLAS_SECRET_KEY")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("connections: [{name: a, conector: source-faker}]", ("conector", "connector")),
        ("conections: []", ("conections", "connections")),
        ("connections: [{name: A, connector: x}]", ("name", "lower-case")),
        ("connections: [{name: a}]", ("a", "connector", "executable")),
        ("connections: [{name: a, connector: x, executable: y}]", ("either",)),
        (
            "connections: [{name: a, connector: source-faker}, {name: a, connector: source-faker}]",
            ("a", "twice"),
        ),
        ("connections:\n- name: a\n  name: b\n  connector: x", ("line 3", "name", "twice")),
        ("connections: [{name: a, connector: source-fakr}]", ("source-fakr", "source-faker")),
        ("connections: [{name: a, executable: ./nowhere}]", ("a", "nowhere")),
        ("connections: [{name: a, connector: x, streams: {u: {sync_mode: both}}}]", ("sync_mode",)),
        ("connections: [{name: a, connector: x, schedule: {cron: '* *'}}]", ("cron", "five")),
        ("connections: [{name: a, connector: x, schedule: {every: 1s}}]", ("every", "10s")),
        (
            "connections: [{name: a, connector: x, schedule: {cron: '* * * * *', timezone: Nix}}]",
            ("Nix", "timezone"),
        ),
        ("connections: [{name: a, connector: x, pii: {policy: defalt}}]", ("defalt", "default")),
        (
            "connections: [{name: a, connector: x, quality: {on_failure: explode}}]",
            ("on_failure", "block"),
        ),
        ("connections: [{name: a, connector: x, quality: {checks: no.yml}}]", ("no.yml",)),
        ("connections: {a: b}", ("list",)),
        ("connections: [", ("line", "YAML")),
        ("- a", ("mapping",)),
    ],
)
def test_a_wrong_connections_file(
    tmp_path: Path, migrated: str, text: str, words: tuple[str, ...]
) -> None:
    file = tmp_path / "connections.yml"
    file.write_text(text)
    done = atlas(
        tmp_path, "apply", "-f", str(file), ATLAS_DATABASE_URL=migrated, ATLAS_SECRET_KEY=KEY
    )
    refused(
        done,
        2,
        "connections.yml"
        if "source-fakr" not in text and "nowhere" not in text
        else "connection a",
        *words,
    )


def test_a_config_that_the_spec_refuses_stops_all_of_the_file(
    tmp_path: Path, migrated: str
) -> None:
    scripted = Path(__file__).parents[1] / "connectors" / "scripted.py"
    file = tmp_path / "connections.yml"
    file.write_text(
        "connections:\n"
        f"- {{name: good, executable: {scripted}}}\n"
        f"- {{name: bad, executable: {scripted},"
        " config: {state_every: often, api_key: hunter2}}\n"
    )
    done = atlas(
        tmp_path, "apply", "-f", str(file), ATLAS_DATABASE_URL=migrated, ATLAS_SECRET_KEY=KEY
    )
    refused(done, 2, "connection bad", "state_every", "integer")
    assert "hunter2" not in done.stderr


def test_unknown_names(tmp_path: Path, migrated: str) -> None:
    given = {"ATLAS_DATABASE_URL": migrated, "ATLAS_SECRET_KEY": KEY}
    refused(atlas(tmp_path, "sync", "nobody", **given), 2, "nobody", "connections list")
    refused(atlas(tmp_path, "runs", "show", "7", **given), 2, "7", "runs list")
    refused(atlas(tmp_path, "keys", "revoke", "7", **given), 2, "7", "keys list")


def test_wrong_usage(tmp_path: Path) -> None:
    done = atlas(tmp_path, "snyc")
    assert done.returncode == 2
    assert "snyc" in done.stderr
    assert atlas(tmp_path, "apply").returncode == 2
