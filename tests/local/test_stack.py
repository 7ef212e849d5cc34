"""The stack: one a home, supervised, stopped in order, and nothing in the way of the next one."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
from dataclasses import fields
from pathlib import Path

import psutil
import pytest

from atlas.errors import AtlasError
from atlas.local import files, leftovers, supervisor
from atlas.local.children import children, environment, with_ports
from atlas.local.stack import Stack, status
from atlas.settings import Settings, parse, secret_key
from tests.local.stack_parts import Eventually, entries, idle, living, python, web


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Of a stack with services of the user's own, which the stack itself never talks to."""
    return parse(
        {
            "ATLAS_HOME": str(tmp_path / "home"),
            "ATLAS_PORT": "0",
            "ATLAS_DATABASE_URL": "postgresql://me:hunter2@db.example/atlas?sslpassword=hunter3",
            "ATLAS_REDIS_URL": "redis://:hunter4@redis.example/0",
            "ATLAS_SECRET_KEY": "k" * 40,
        }
    )


def test_embedded_from_start_to_stop(embedded: Settings) -> None:
    prepared = []
    with Stack(embedded, prepare=prepared.append, processes=[web, idle]) as stack:
        found = status(embedded)
        assert found["ready"]
        assert [p["name"] for p in found["processes"]] == [
            "postgres",
            "redis",
            "web",
            "worker-scan",
        ]
        assert [set(p) for p in found["processes"]] == [{"name", "pid", "queues"}] * 4
        assert found["processes"][3]["queues"] == ["scan"]
        assert found["api_url"] == f"http://127.0.0.1:{stack.settings.port}"
        assert prepared == [found["database_url"]]
        assert found["redis_url"].startswith("unix:///")
        assert stat.S_IMODE(embedded.home.stat().st_mode) == 0o700
        assert stat.S_IMODE((embedded.home / "secret.key").stat().st_mode) == 0o600
        key = secret_key(embedded)
        assert len(key) >= 32
        started = entries(embedded)
    assert living(started) == []
    assert not (embedded.home / "stack.json").exists()
    assert status(embedded) == {
        "ready": False,
        "api_url": None,
        "database_url": None,
        "redis_url": None,
        "flower_url": None,
        "processes": [],
    }
    with Stack(embedded, processes=[]):
        assert secret_key(embedded) == key


def test_services_of_ones_own_are_used_and_their_passwords_told_to_nobody(
    settings: Settings,
) -> None:
    with Stack(settings, processes=[web]):
        found = status(settings)
        assert [p["name"] for p in found["processes"]] == ["web"]
        assert found["database_url"] == "postgresql://me:***@db.example/atlas?sslpassword=***"
        assert found["redis_url"] == "redis://:***@redis.example/0"
        written = (settings.home / "stack.json").read_text()
        assert "hunter" not in written
        assert "database_url" not in written
        assert not (settings.home / "secret.key").exists()
        assert not (settings.home / "postgres").exists()


def test_children_see_the_settings(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATLAS_HOME", "/somewhere/else")
    monkeypatch.setenv("FLOWER_UNAUTHENTICATED_API", "1")
    seen = environment(settings, {})
    assert "FLOWER_UNAUTHENTICATED_API" not in seen
    # Theirs are read from exactly what ours were.
    assert parse(seen) == settings


@pytest.mark.parametrize("rate", ["7/second", "600/minute", "9/hour", "off"])
def test_a_limit_of_requests_reaches_the_children(rate: str) -> None:
    given = parse({"ATLAS_RATE_LIMIT": rate, "ATLAS_RATE_LIMIT_ADDRESS": rate})
    assert parse(environment(given, {})) == given


def test_what_is_switched_on_reaches_the_children() -> None:
    switches = [spec.name for spec in fields(Settings) if isinstance(spec.default, bool)]
    assert "webhook_private" in switches
    for value in ("true", "false"):
        given = parse({f"ATLAS_{name.upper()}": value for name in switches})
        assert parse(environment(given, {})) == given


def test_the_contracts_processes(settings: Settings) -> None:
    chosen = with_ports(settings)
    assert chosen.port
    found = children(chosen, workers=3)
    assert [child.name for child in found] == [
        "web",
        "worker-extract",
        "worker-scan",
        "worker-scan-2",
        "worker-scan-3",
        "worker-load",
        "worker-control",
        "beat",
        "flower",
    ]
    nodes = [child.argv[child.argv.index("-n") + 1] for child in found if "-n" in child.argv]
    assert len(set(nodes)) == 6
    assert all("hunter" not in part for child in found for part in child.argv)


def test_what_dies_is_started_anew_with_what_it_forked_ended(
    settings: Settings, tmp_path: Path, eventually: Eventually
) -> None:
    source = """if True:
        import subprocess, sys, time
        from pathlib import Path
        orphan = subprocess.Popen(["sleep", "600"])
        Path(sys.argv[1]).write_text(str(orphan.pid))
        time.sleep(600)
    """
    note = tmp_path / "orphan"
    events: list[str] = []
    with Stack(settings, processes=[python("worker-scan", source, note)], on_event=events.append):
        eventually(lambda: note.exists() and note.read_text())
        first, orphan = entries(settings)["worker-scan"]["pid"], int(note.read_text())
        when = leftovers.created(orphan)
        os.kill(first, signal.SIGKILL)  # type: ignore[arg-type]
        eventually(lambda: entries(settings)["worker-scan"]["pid"] != first)
        assert not leftovers.alive(orphan, when)
        eventually(lambda: len(status(settings)["processes"]) == 1)
    assert any("was ended by SIGKILL, starting it anew in 1 s" in line for line in events)


def test_a_server_that_dies_is_started_anew(embedded: Settings, eventually: Eventually) -> None:
    with Stack(embedded, processes=[web]):
        for name in ("postgres", "redis"):
            first = entries(embedded)[name]["pid"]
            os.kill(first, signal.SIGKILL)  # type: ignore[arg-type]
            eventually(lambda name=name, first=first: entries(embedded)[name]["pid"] != first)
        assert status(embedded)["ready"]


def test_status_is_not_ready_while_a_process_is_missing(
    settings: Settings, eventually: Eventually
) -> None:
    stack = Stack(settings, processes=[web, idle])
    stack.start()  # and nobody supervises
    try:
        assert status(settings)["ready"]
        os.kill(entries(settings)["worker-scan"]["pid"], signal.SIGKILL)  # type: ignore[arg-type]
        eventually(lambda: not status(settings)["ready"])
        assert [p["name"] for p in status(settings)["processes"]] == ["web"]
    finally:
        stack.stop()


def test_stop_lets_tasks_end_and_signals_the_leader_alone(
    settings: Settings, tmp_path: Path, eventually: Eventually
) -> None:
    source = """if True:
        import os, signal, sys, time
        from pathlib import Path
        note = Path(sys.argv[1])
        pid = os.fork()
        if pid == 0:  # a pool process in the midst of a task: SIGTERM would end it
            (note / "begun").touch()
            while not (note / "stopping").exists():
                time.sleep(0.01)
            (note / "done").touch()
            os._exit(0)
        def stop(number, frame):
            (note / "stopping").touch()
            os.waitpid(pid, 0)
            sys.exit(0)
        signal.signal(signal.SIGTERM, stop)
        (note / "ready").touch()
        while True:
            time.sleep(1)
    """
    with Stack(settings, processes=[python("worker-load", source, tmp_path)]):
        eventually(lambda: (tmp_path / "begun").exists() and (tmp_path / "ready").exists())
    assert (tmp_path / "done").exists()


def test_what_does_not_end_is_killed(
    settings: Settings, tmp_path: Path, eventually: Eventually
) -> None:
    source = """if True:
        import signal, sys, time
        from pathlib import Path
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        Path(sys.argv[1]).touch()
        time.sleep(600)
    """
    note = tmp_path / "ready"
    events: list[str] = []
    child = python("worker-load", source, note)
    stack = Stack(settings, processes=[child], on_event=events.append)
    stack.start()
    eventually(note.exists)
    started = entries(settings)
    stack.stop(grace=0.2)
    assert living(started) == []
    assert "worker-load did not end and is killed" in events


def test_child_that_dies_at_start(embedded: Settings) -> None:
    broken = python("worker-load", "raise SystemExit('no such broker')")
    before = psutil.Process().children()  # the test session has a server of its own
    with pytest.raises(AtlasError, match=r"worker-load ended with status 1: no such broker") as e:
        Stack(embedded, processes=[python("web", "import time; time.sleep(600)"), broken]).start()
    assert "\n" not in str(e.value)
    assert str(embedded.home / "logs" / "worker-load.log") in str(e.value)
    # Nothing is left running, and nothing in the way.
    assert psutil.Process().children() == before
    assert files.lock_holder(embedded.home / supervisor.LOCK) is None
    with Stack(embedded, processes=[web]):
        assert status(embedded)["ready"]


def test_never_ready(settings: Settings) -> None:
    deaf = python("web", "import time; time.sleep(600)")
    before = psutil.Process().children()
    with pytest.raises(AtlasError, match=r"web is not ready after 0 s.*Connection refused"):
        Stack(settings, processes=[deaf]).start(timeout=0.3)
    assert psutil.Process().children() == before


def test_failed_migration_starts_no_child(settings: Settings) -> None:
    def prepare(url: str) -> None:
        raise AtlasError("no")

    events: list[str] = []
    with pytest.raises(AtlasError, match="no"):
        Stack(settings, prepare=prepare, processes=[web], on_event=events.append).start()
    assert events == []
    assert files.lock_holder(settings.home / supervisor.LOCK) is None


def test_port_in_use(settings: Settings, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        chosen = parse({"ATLAS_HOME": str(tmp_path / "home"), "ATLAS_PORT": str(port)})
        with pytest.raises(AtlasError, match=rf"port {port} is in use: set ATLAS_PORT"):
            Stack(chosen, processes=[web]).start()
        other = parse(
            {
                "ATLAS_HOME": str(tmp_path / "home"),
                "ATLAS_PORT": "0",
                "ATLAS_FLOWER_PORT": str(port),
            }
        )
        with pytest.raises(AtlasError, match="ATLAS_FLOWER_PORT"):
            with_ports(other)
    assert not (tmp_path / "home" / "postgres").exists()


def test_host_that_is_not_ours(tmp_path: Path) -> None:
    for host in ("192.0.2.1", "no.such.host.invalid"):
        chosen = parse({"ATLAS_HOME": str(tmp_path / "home"), "ATLAS_HOST": host})
        with pytest.raises(AtlasError, match=f"cannot listen on {host}.*ATLAS_HOST"):
            with_ports(chosen)


def test_second_stack_of_a_home_is_refused(settings: Settings) -> None:
    with Stack(settings, processes=[web]):
        with pytest.raises(AtlasError, match=rf"process {os.getpid()}: stop it with `atlas down`"):
            Stack(settings, processes=[web]).start()
        assert status(settings)["ready"]


def test_asking_does_not_hold_anybody_up(settings: Settings) -> None:
    settings.home.mkdir()
    lock = files.Lock(settings.home / supervisor.LOCK)
    assert lock.acquire()
    lock.release()
    assert files.lock_holder(settings.home / supervisor.LOCK) is None
    assert lock.acquire()
    assert files.lock_holder(settings.home / supervisor.LOCK) == os.getpid()
    lock.release()


def test_no_key_without_the_embedded_stack(settings: Settings, tmp_path: Path) -> None:
    chosen = parse(
        {
            "ATLAS_HOME": str(tmp_path / "home"),
            "ATLAS_DATABASE_URL": "postgresql://db.example/atlas",
            "ATLAS_REDIS_URL": "redis://redis.example",
            "ATLAS_PORT": "0",
            "ATLAS_FLOWER_PORT": "0",
        }
    )
    with pytest.raises(AtlasError, match="ATLAS_SECRET_KEY"):
        Stack(chosen, processes=[web]).start()


def test_a_key_is_never_replaced(tmp_path: Path) -> None:
    files.ensure_secret_key(tmp_path)
    key = (tmp_path / "secret.key").read_bytes()
    files.ensure_secret_key(tmp_path)
    assert (tmp_path / "secret.key").read_bytes() == key
    (tmp_path / "secret.key").write_text("")
    with pytest.raises(AtlasError, match="is no key"):
        files.ensure_secret_key(tmp_path)


def test_large_log_is_set_aside(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    log = tmp_path / "logs" / "web.log"
    with log.open("wb") as file:
        file.truncate(11 * 1024 * 1024)
    descriptor, path, start = files.open_log(tmp_path, "web")
    os.close(descriptor)
    assert (path, start, log.stat().st_size) == (log, 0, 0)
    assert (tmp_path / "logs" / "web.log.1").stat().st_size == 11 * 1024 * 1024


def test_log_is_trimmed_while_it_is_written(tmp_path: Path) -> None:
    descriptor, log, _ = files.open_log(tmp_path, "web")
    os.ftruncate(descriptor, 11 * 1024 * 1024)
    os.write(descriptor, b"before\n")
    files.trim_logs(tmp_path)
    os.write(descriptor, b"after\n")
    os.close(descriptor)
    assert log.read_bytes() == b"after\n"
    assert (tmp_path / "logs" / "web.log.1").read_bytes().endswith(b"before\n")
    assert files.last_lines(log, start=11 * 1024 * 1024) == "after"


def test_leftovers_spare_a_process_that_got_the_pid(settings: Settings) -> None:
    settings.home.mkdir()
    other = subprocess.Popen(["sleep", "600"], start_new_session=True)
    try:
        state = {"name": "web", "pid": other.pid, "created": 1.0, "queues": []}
        files.write_atomically(settings.home / "stack.json", {"processes": [state]})
        assert supervisor.end_leftovers(settings.home) is False
        assert other.poll() is None
        state["created"] = leftovers.created(other.pid)
        files.write_atomically(settings.home / "stack.json", {"processes": [state]})
        assert supervisor.end_leftovers(settings.home) is True
        assert other.wait(10) == -signal.SIGTERM
    finally:
        other.kill()
        other.wait()
