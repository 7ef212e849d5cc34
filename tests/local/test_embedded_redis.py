"""The embedded Redis: it keeps its data, and starts again whatever befell it."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from redis import Redis as Client

from atlas.errors import AtlasError
from atlas.local import files
from atlas.local.redis import Redis, _program


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Redis]:
    server = Redis(tmp_path / "home")
    yield server
    server.stop()


def get(server: Redis, key: str) -> object:
    with Client.from_url(server.url()) as client:
        return client.get(key)


def put(server: Redis, key: str, value: str) -> None:
    with Client.from_url(server.url()) as client:
        client.set(key, value)


def test_data_survive_a_restart(server: Redis) -> None:
    server.start()
    put(server, "a", "1")
    first = server.pid
    server.stop()
    assert not psutil.pid_exists(first)
    server.start()
    assert get(server, "a") == b"1"


def test_data_survive_sigkill(server: Redis) -> None:
    server.start()
    put(server, "a", "1")
    os.kill(server.pid, signal.SIGKILL)
    server.stop()
    server.start()
    assert get(server, "a") == b"1"


def test_what_it_is(server: Redis, tmp_path: Path) -> None:
    server.start()
    with Client.from_url(server.url()) as client:
        shown = {
            name: client.config_get(name)[name]
            for name in ("appendonly", "appendfsync", "maxmemory-policy", "save", "port")
        }
    assert shown == {
        "appendonly": "yes",
        "appendfsync": "everysec",
        "maxmemory-policy": "noeviction",
        "save": "",
        "port": "0",
    }
    assert psutil.Process(server.pid).net_connections(kind="inet") == []
    socket = files.socket_directory(tmp_path / "home") / "redis.sock"
    assert socket.stat().st_mode & 0o077 == 0


def test_runs_without_root(
    another_user: tuple[list[str], Path], program: Callable[..., subprocess.Popen[str]]
) -> None:
    prefix, home = another_user
    source = """if True:
        import os, sys
        from pathlib import Path
        from redis import Redis as Client
        from atlas.local.redis import Redis, _program
        for _ in range(2):
            with Redis(Path(sys.argv[1]) / "home") as server:
                with Client.from_url(server.url()) as client:
                    print(os.geteuid() != 0, client.incr("n"))
    """
    process = program(source, home, prefix=prefix)
    assert process.communicate(timeout=300)[0].splitlines() == ["True 1", "True 2"]


def test_starts_after_sigkill_of_its_parent(
    server: Redis, tmp_path: Path, program: Callable[..., subprocess.Popen[str]]
) -> None:
    source = """if True:
        import sys, time
        from pathlib import Path
        from redis import Redis as Client
        from atlas.local.redis import Redis, _program
        server = Redis(Path(sys.argv[1]))
        server.start()
        with Client.from_url(server.url()) as client:
            client.set("a", "1")
        print(server.pid, flush=True)
        time.sleep(600)
    """
    parent = program(source, tmp_path / "home")
    orphan = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    server.start()
    assert server.pid != orphan
    assert get(server, "a") == b"1"


def test_a_server_left_behind_is_ended_first(server: Redis, tmp_path: Path) -> None:
    """As on systems where children outlive a killed parent: two would write one file."""
    server.start()
    put(server, "a", "1")
    server.stop()
    home = tmp_path / "home"
    socket = files.socket_directory(home) / "redis.sock"
    orphan = subprocess.Popen(
        [
            *(_program(), "--port", "0", "--unixsocket", socket, "--dir", home / "redis"),
            *("--appendonly", "yes", "--save", ""),
        ],
        stdout=subprocess.DEVNULL,
    )
    try:
        server.start()
        assert orphan.poll() is not None
    finally:
        orphan.kill()
        orphan.wait()
    assert get(server, "a") == b"1"


def test_stale_socket(server: Redis, tmp_path: Path) -> None:
    home = tmp_path / "home"
    files.private_directory(home)
    (files.socket_directory(home) / "redis.sock").touch()
    server.start()
    put(server, "a", "1")
    assert get(server, "a") == b"1"


def test_long_home(tmp_path: Path) -> None:
    home = tmp_path / ("long, and with spaces " + "x" * 150)
    with Redis(home) as server:
        put(server, "a", "1")
        assert get(server, "a") == b"1"
    files.socket_directory(home).rmdir()


def test_second_server_of_a_home_is_refused(server: Redis, tmp_path: Path) -> None:
    server.start()
    with pytest.raises(AtlasError, match="another process runs Redis"):
        Redis(tmp_path / "home").start()


def test_failure_says_why_in_one_line(server: Redis, tmp_path: Path) -> None:
    server.start()
    server.stop()
    (tmp_path / "home" / "redis" / "appendonly.aof").write_text("nonsense\n")
    with pytest.raises(AtlasError, match=r"Redis did not start: .*Bad file format") as caught:
        server.start()
    assert "\n" not in str(caught.value)
