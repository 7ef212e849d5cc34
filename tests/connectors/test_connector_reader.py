"""Reading from a connector, however it behaves: exact results, classified ends, nothing left."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from atlas.connectors import install, workspace
from atlas.connectors.configure import configure
from atlas.connectors.install import Connector
from atlas.connectors.protocol import Control, State, Status
from atlas.connectors.reader import Reader, Records
from atlas.connectors.runner import check, discover, spec
from atlas.errors import TerminalError, TransientError
from atlas.model.stream import ConfiguredStream, StreamKey, SyncMode
from atlas.settings import Settings

SECRET = "k3y/with+odd=chars"
ROWS = [{"id": n, "updated_at": f"2024-01-{n:02}", "price": n + 0.5} for n in range(1, 11)]
USERS = {
    "primary_key": [["id"]],
    "cursor_field": ["updated_at"],
    "records": ROWS,
}


class Read:
    """All that one reading gave, and how it ended."""

    def __init__(self, reader: Reader) -> None:
        self.messages: list[Records | State | Status | Control] = []
        self.error: TerminalError | TransientError | None = None
        with reader:
            try:
                self.messages.extend(reader)
            except (TerminalError, TransientError) as error:
                self.error = error
        self.reader = reader

    def rows(self, name: str = "users", namespace: str | None = None) -> list[Any]:
        return [
            json.loads(data)
            for message in self.messages
            if isinstance(message, Records) and message.stream == StreamKey(name, namespace)
            for data in message.data
        ]

    @property
    def configs(self) -> list[bytes]:
        return [message.config for message in self.messages if isinstance(message, Control)]

    @property
    def states(self) -> list[State]:
        return [message for message in self.messages if isinstance(message, State)]


@pytest.fixture
def read(settings: Settings, scripted: Connector) -> Callable[..., Read]:
    """Read the scripted connector: all its streams, or those given."""

    def run(
        config: dict[str, Any],
        state: list[bytes] | None = None,
        streams: list[ConfiguredStream] | None = None,
        chosen: Settings = settings,
        full_refresh: bool = False,
        **more: Any,
    ) -> Read:
        config = {"streams": {"users": USERS}} | config
        if streams is None:
            available = discover(scripted, config, chosen)
            streams = configure(available, None, None, full_refresh)
        return Read(Reader(scripted, config, streams, state or [], chosen, **more))

    return run


def test_records_states_and_statuses_in_order(read: Callable[..., Read]) -> None:
    found = read({"state_every": 4})
    assert found.error is None
    shape = [
        len(message) if isinstance(message, Records) else type(message).__name__
        for message in found.messages
    ]
    assert shape == ["Status", "Status", 4, "State", 4, "State", 2, "State", "Status"]
    assert found.rows() == ROWS
    assert [json.loads(state.blob)["stream"]["stream_state"] for state in found.states] == [
        {"cursor": "2024-01-04"},
        {"cursor": "2024-01-08"},
        {"cursor": "2024-01-10"},
    ]
    assert [state.record_count for state in found.states] == [4, 4, 2]
    assert found.reader.statuses == {StreamKey("users"): "COMPLETE"}
    assert found.reader.saw_statuses
    now = time.time() * 1000
    emitted = [at for m in found.messages if isinstance(m, Records) for at in m.emitted_at]
    assert all(now - 60_000 < at <= now for at in emitted)


def test_incremental_goes_on_from_the_state(read: Callable[..., Read]) -> None:
    first = read({})
    again = read({}, [state.blob for state in first.states[-1:]])
    assert [row["id"] for row in again.rows()] == [10]  # the boundary comes twice


@pytest.mark.parametrize("kind", ["STREAM", "GLOBAL", "LEGACY"])
def test_each_kind_of_state_goes_back_as_it_came(read: Callable[..., Read], kind: str) -> None:
    config = {
        "streams": {"users": USERS, "more": USERS},
        "state_type": kind,
    }
    first = read(config)
    assert {state.kind for state in first.states} == {kind}
    latest = {state.stream: state.blob for state in first.states}
    again = read(config, list(latest.values()))
    assert again.error is None
    assert (len(again.rows()), len(again.rows("more"))) == (1, 1)


def test_a_full_refresh_of_an_incremental_stream_leaves_a_state(read: Callable[..., Read]) -> None:
    found = read({}, full_refresh=True)
    assert found.rows() == ROWS
    assert json.loads(found.states[-1].blob)["stream"]["stream_state"] == {"cursor": "2024-01-10"}


def test_namespaces(read: Callable[..., Read]) -> None:
    twin = {"name": "users", "records": [{"id": 1}]}
    config = {"streams": {"a": twin | {"namespace": "a"}, "b": twin | {"namespace": "b"}}}
    found = read(config)
    assert len(found.rows("users", "a")) == len(found.rows("users", "b")) == 1
    assert set(found.reader.statuses) == {StreamKey("users", "a"), StreamKey("users", "b")}


def test_the_records_file_is_read_anew(read: Callable[..., Read], tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"stream": "t", "data": {"id": 1}}\n')
    config = {"streams": {}, "records_file": str(path)}
    assert read(config).rows("t") == [{"id": 1}]
    path.write_text('{"stream": "t", "data": {"id": 2}}\n{"stream": "t", "data": {"id": 3}}\n')
    assert read(config).rows("t") == [{"id": 2}, {"id": 3}]


# --- misbehaviour --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "error", "attempts"),
    [
        ("config_error", TerminalError, None),
        ("transient_error", TransientError, None),
        ("system_error", TransientError, 2),
        (None, TransientError, 2),
        ("of_the_future", TransientError, 2),
    ],
)
def test_trace_errors_are_classified(
    read: Callable[..., Read], kind: str | None, error: type, attempts: int | None
) -> None:
    trace = {"message": "no access\nto it", "failure_type": kind}
    found = read({"trace_error": trace, "fail_after": 3})
    assert type(found.error) is error
    assert str(found.error) == "connector scripted.py: no access to it"
    assert getattr(found.error, "max_attempts", None) == attempts
    assert len(found.rows()) == 3
    assert found.reader.statuses == {StreamKey("users"): "RUNNING"}


def test_a_trace_error_fails_even_at_exit_0(read: Callable[..., Read]) -> None:
    trace = {"message": "sorry", "internal_message": "KeyError: x", "failure_type": "system_error"}
    found = read({"trace_error": trace, "exit_code": 0})
    assert str(found.error) == "connector scripted.py: sorry (KeyError: x)"


def test_an_error_of_one_stream_at_exit_0_is_that_streams_only(read: Callable[..., Read]) -> None:
    trace = {"message": "forbidden", "stream_descriptor": {"name": "users"}}
    found = read({"trace_error": trace, "exit_code": 0, "incomplete": ["users"]})
    assert found.error is None
    assert found.reader.failures == {StreamKey("users"): "forbidden"}
    assert found.reader.statuses == {StreamKey("users"): "INCOMPLETE"}


def test_the_cdks_summing_up_does_not_make_an_error_terminal(read: Callable[..., Read]) -> None:
    lines = [
        {
            "type": "TRACE",
            "trace": {
                "type": "ERROR",
                "emitted_at": 1,
                "error": {
                    "message": "rate limited",
                    "failure_type": "transient_error",
                    "stream_descriptor": {"name": "users"},
                },
            },
        },
    ]
    summary = {"message": "1 of 1 streams failed", "failure_type": "config_error"}
    config = {"raw_lines": [json.dumps(line) for line in lines], "trace_error": summary}
    found = read(config)
    assert isinstance(found.error, TransientError)
    assert "stream users: rate limited" in str(found.error)


@pytest.mark.parametrize("after", [0, 5, 10])
def test_a_crash_keeps_what_came_before(read: Callable[..., Read], after: int) -> None:
    found = read({"fail_after": after, "exit_code": 3})
    assert isinstance(found.error, TransientError)
    assert found.error.max_attempts == 2
    assert str(found.error) == "connector scripted.py: ended with exit code 3"
    assert len(found.rows()) == after


def test_a_killed_connector_is_named_so(read: Callable[..., Read]) -> None:
    found = read({"kill_after": 2})
    assert str(found.error) == "connector scripted.py: was ended by SIGKILL"
    assert len(found.rows()) == 2


def test_the_last_line_of_standard_error_says_why(read: Callable[..., Read]) -> None:
    config = {"api_key": SECRET, "log_api_key": True, "fail_after": 1}
    found = read(config)
    assert str(found.error) == (
        "connector scripted.py: ended with exit code 1: fatal: refused with ***"
    )


def test_a_hang_ends_at_the_idle_timeout(
    read: Callable[..., Read], make_settings: Callable[..., Settings]
) -> None:
    chosen = make_settings(connector_idle_timeout=1.0)
    found = read({"hang_after": 4}, chosen=chosen)
    assert isinstance(found.error, TransientError)
    assert "printed nothing for 1 s" in str(found.error)
    assert "ATLAS_CONNECTOR_IDLE_TIMEOUT" in str(found.error)
    assert len(found.rows()) == 4
    assert not psutil.pid_exists(found.reader.pid)


def test_the_callers_own_time_is_no_silence(
    scripted: Connector, make_settings: Callable[..., Settings]
) -> None:
    chosen = make_settings(connector_idle_timeout=1.5)
    config = {"streams": {"users": USERS}, "sleep_after": {"records": 2, "seconds": 2.2}}
    streams = configure(discover(scripted, config, chosen), None, None, False)
    rows = 0
    with Reader(scripted, config, streams, [], chosen) as reader:
        for message in reader:
            if isinstance(message, Records):
                if not rows:
                    time.sleep(1.6)
                rows += len(message)
    assert rows == 10


@pytest.mark.parametrize("after", ["echo", "true"])
def test_a_line_over_the_limit_is_refused(
    make_settings: Callable[..., Settings], after: str, tmp_path: Path
) -> None:
    program = tmp_path / "big.sh"
    program.write_text(
        "#!/bin/sh\n"
        'echo \'{"type":"RECORD","record":{"stream":"users","data":{},"emitted_at":1}}\'\n'
        f"head -c 300000 /dev/zero | tr '\\0' x; {after}; sleep 30\n"
    )
    program.chmod(0o755)
    chosen = make_settings(max_record_bytes=200_000)
    connector = install.resolve(None, str(program), chosen)
    stream = ConfiguredStream(StreamKey("users"), {}, SyncMode.FULL_REFRESH)
    found = Read(Reader(connector, {}, [stream], [], chosen, spec={}))
    assert isinstance(found.error, TerminalError)
    assert "more than 200000 bytes" in str(found.error)
    assert "ATLAS_MAX_RECORD_BYTES" in str(found.error)
    assert not psutil.pid_exists(found.reader.pid)


def test_a_record_of_5_mb_is_read(read: Callable[..., Read]) -> None:
    big = {"id": 1, "text": "x" * 5_000_000}
    found = read({"streams": {"users": {"records": [big, {"id": 2}]}}})
    assert found.rows() == [big, {"id": 2}]


def test_garbage_is_log(read: Callable[..., Read]) -> None:
    lines = ["hello", "{broken", '{"log": "structured"}', "", "  ", "\udcff\x00 bytes", "[1]"]
    logged: list[tuple[str, str]] = []
    found = read({"raw_lines": lines}, on_log=lambda level, text: logged.append((level, text)))
    assert found.error is None
    assert found.rows() == ROWS
    assert found.reader.garbage == 5
    assert [text for _, text in logged][:3] == ["hello", "{broken", '{"log": "structured"}']


def test_a_broken_record_amid_others_fails_after_those_before_it(
    read: Callable[..., Read],
) -> None:
    lines = ['{"type": "RECORD", "record": {"stream": "users", "data": {"hush": 1']
    found = read({"raw_lines": lines, "raw_lines_after": 3})
    assert isinstance(found.error, TransientError)
    assert found.error.max_attempts == 2
    assert "hush" not in str(found.error)
    assert [row["id"] for row in found.rows()] == [1, 2, 3]


def test_half_a_record_at_exit_0_is_an_error(read: Callable[..., Read]) -> None:
    found = read({"raw_end": '{"type": "RECORD", "record": {"stream": "us'})
    assert isinstance(found.error, TransientError)
    assert "breaks off" in str(found.error)
    assert found.rows() == ROWS


def test_half_a_record_of_a_crash_is_the_crash(read: Callable[..., Read]) -> None:
    half = '{"type": "RECORD", "record": {"stream": "us'
    found = read({"raw_end": half, "fail_after": 4, "exit_code": 3})
    assert str(found.error) == "connector scripted.py: ended with exit code 3"
    assert len(found.rows()) == 4


def test_a_last_message_without_newline_counts(read: Callable[..., Read]) -> None:
    last = {"type": "RECORD", "record": {"stream": "users", "data": {"id": 11}, "emitted_at": 5}}
    found = read({"raw_end": json.dumps(last)})
    assert found.error is None
    assert found.rows()[-1] == {"id": 11}


def test_a_flood_on_standard_error_blocks_nothing(read: Callable[..., Read]) -> None:
    found = read({"stderr_bytes": 20_000_000, "exit_code": 1})
    assert found.rows() == ROWS
    assert len(str(found.error)) < 600


def test_what_nobody_asked_for_is_ignored_and_counted(read: Callable[..., Read]) -> None:
    stranger = {"type": "RECORD", "record": {"stream": "other", "data": {}, "emitted_at": 1}}
    elsewhere = {
        "type": "RECORD",
        "record": {"stream": "users", "namespace": "x", "data": {}, "emitted_at": 1},
    }
    found = read({"raw_lines": [json.dumps(stranger), json.dumps(elsewhere)] * 2})
    assert found.error is None
    assert found.reader.ignored == 4
    assert found.rows() == ROWS


def test_what_jsonb_refuses_is_repaired_and_counted(read: Callable[..., Read]) -> None:
    row = {"id": 1, "a": "nul \0", "b": "\ud800", "c": float("nan"), "d": 2**70}
    found = read({"streams": {"users": {"records": [row]}}})
    assert found.rows() == [{"id": 1, "a": "nul �", "b": "�", "c": "NaN", "d": 2**70}]
    assert found.reader.repaired == 3


def test_orphans_and_their_output_are_not_waited_for(
    read: Callable[..., Read], tmp_path: Path
) -> None:
    path = tmp_path / "orphan"
    started = time.monotonic()
    found = read({"spawn_child": str(path)})
    assert found.error is None
    assert time.monotonic() - started < 60
    assert _gone(int(path.read_text()))


def test_a_connector_that_cannot_be_run(settings: Settings) -> None:
    stream = ConfiguredStream(StreamKey("users"), {}, SyncMode.FULL_REFRESH)
    with pytest.raises(TerminalError, match="does not exist"):
        Reader(Connector("ghost", ("/no/such/program",), ""), {}, [stream], [], settings, spec={})
    assert list((settings.home / "tmp").iterdir()) == []


def test_a_stored_state_that_is_none(read: Callable[..., Read]) -> None:
    with pytest.raises(TerminalError, match="reset it"):
        read({}, [b"{nonsense"])


# --- ending --------------------------------------------------------------------------------------


def _gone(pid: int) -> bool:
    """Whether a process ends within a while; a zombie that nobody reaps here counts."""
    for _ in range(200):
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.05)
    return False


def test_stop_ends_the_whole_group(scripted: Connector, settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "child"
    config = {"streams": {"users": USERS}, "spawn_child": str(path), "hang_after": 2}
    streams = [ConfiguredStream(StreamKey("users"), {}, SyncMode.FULL_REFRESH)]
    rows = 0
    with Reader(scripted, config, streams, [], settings) as reader:
        stopper = threading.Timer(0.0, reader.stop)
        with pytest.raises(TransientError, match="was stopped"):  # noqa: PT012
            for message in reader:
                if isinstance(message, Records):
                    rows += len(message)
                    stopper.start()
        stopper.join()
        assert _gone(reader.pid)
        assert _gone(int(path.read_text()))
    assert rows == 2


def test_leaving_early_ends_the_group(scripted: Connector, settings: Settings) -> None:
    config = {"streams": {"users": USERS}, "hang_after": 2}
    streams = [ConfiguredStream(StreamKey("users"), {}, SyncMode.FULL_REFRESH)]
    with Reader(scripted, config, streams, [], settings) as reader:
        next(iter(reader))
    assert not psutil.pid_exists(reader.pid)
    assert list((settings.home / "tmp").iterdir()) == []


_HOLDER = """
import sys
from atlas.connectors import install
from atlas.connectors.reader import Reader
from atlas.model.stream import ConfiguredStream, StreamKey, SyncMode
from atlas.settings import parse

home, program, child = sys.argv[1:]
settings = parse({"ATLAS_HOME": home})
config = {"streams": {"users": {"records": [{"id": 1}]}}, "spawn_child": child, "hang_after": 1}
streams = [ConfiguredStream(StreamKey("users"), {}, SyncMode.FULL_REFRESH)]
with Reader(install.resolve(None, program, settings), config, streams, [], settings) as reader:
    for message in reader:
        print(reader.pid, flush=True)
"""


def test_sigkill_of_the_process_takes_the_whole_group_and_the_sweep_its_files(
    scripted: Connector, settings: Settings, tmp_path: Path
) -> None:
    child = tmp_path / "child"
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(settings.home), scripted.command[-1], str(child)],
        stdout=subprocess.PIPE,
    )
    assert holder.stdout is not None
    with holder:
        leader = int(holder.stdout.readline())
        holder.kill()
    assert _gone(leader)
    assert _gone(int(child.read_text()))
    left = list((settings.home / "tmp").iterdir())
    assert len(left) == 1
    with workspace.workspace(settings) as mine:
        assert workspace.sweep(settings) == 1
        assert list((settings.home / "tmp").iterdir()) == [mine]


# --- secrets -------------------------------------------------------------------------------------


def test_secrets_stand_only_in_a_private_file_that_is_gone(
    read: Callable[..., Read], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    monkeypatch.setenv("THE_KEY", SECRET)
    monkeypatch.setenv("ATLAS_DATABASE_URL", "postgresql://u:dbpass@h/d")
    monkeypatch.setenv("PGPASSWORD", "dbpass")
    told = tmp_path / "told.json"
    found = read({"api_key": "${env:THE_KEY}", "environment_file": str(told), "state_every": 3})
    assert found.error is None
    seen = json.loads(told.read_text())
    assert seen["config_mode"] == 0o600
    assert seen["directory_mode"] == 0o700
    assert Path(seen["directory"]).is_relative_to(settings.home / "tmp")
    assert not Path(seen["directory"]).exists()
    assert SECRET not in json.dumps([seen["argv"], seen["environ"]])
    assert "dbpass" not in json.dumps(seen["environ"])
    assert not [name for name in seen["environ"] if name.startswith("ATLAS_")]
    assert "PATH" in seen["environ"]


def test_the_file_goes_even_when_reading_fails(read: Callable[..., Read], home: Path) -> None:
    read({"api_key": SECRET, "fail_after": 2})
    assert list((home / "tmp").iterdir()) == []


def test_no_secret_leaves_in_logs_and_errors(
    read: Callable[..., Read], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    monkeypatch.setenv("THE_KEY", SECRET)
    config = {"api_key": "${env:THE_KEY}", "log_api_key": True, "fail_after": 2}
    trace = {"message": "bad key", "failure_type": "config_error"}
    logged: list[str] = []
    found = read(config | {"trace_error": trace}, on_log=lambda _, text: logged.append(text))
    assert str(found.error) == "connector scripted.py: bad key ***"
    assert "using key ***" in logged
    assert SECRET not in "".join(logged)
    read(config)
    assert "using key ***" in caplog.text
    assert SECRET not in caplog.text


def test_secrets_in_a_config_sent_back_are_hidden_too(read: Callable[..., Read]) -> None:
    rotated = {"api_key": "rotated-token"}
    lines = [json.dumps({"type": "LOG", "log": {"level": "INFO", "message": "now rotated-token"}})]
    logged: list[str] = []
    found = read(
        {"control_config": rotated, "raw_lines": lines, "raw_lines_after": 5},
        on_log=lambda _, text: logged.append(text),
    )
    assert [json.loads(sent) for sent in found.configs] == [rotated]
    assert logged == ["now ***"]


def test_without_an_answer_to_spec_every_string_is_hidden(
    settings: Settings, tmp_path: Path
) -> None:
    program = tmp_path / "mute.py"
    program.write_text(
        "import sys\nif sys.argv[1] == 'read': sys.exit('refused: swordfish')\nsys.exit(1)\n"
    )
    connector = install.resolve(None, str(program), settings)
    streams = [ConfiguredStream(StreamKey("users"), {}, SyncMode.FULL_REFRESH)]
    found = Read(Reader(connector, {"pw": "swordfish"}, streams, [], settings))
    assert str(found.error) == "connector mute.py: ended with exit code 1: refused: ***"


# --- the short questions -------------------------------------------------------------------------


def test_spec_check_discover(scripted: Connector, settings: Settings) -> None:
    assert spec(scripted, settings)["properties"]["api_key"]["airbyte_secret"] is True
    config = {"streams": {"users": USERS}}
    check(scripted, config, settings)
    (users,) = discover(scripted, config, settings)
    assert users.source_defined_primary_key == (("id",),)
    assert users.default_cursor_field == ("updated_at",)


def test_check_says_the_connectors_own_words(scripted: Connector, settings: Settings) -> None:
    config = {"check_error": "bad key", "api_key": SECRET, "log_api_key": True}
    with pytest.raises(TerminalError) as caught:
        check(scripted, config, settings)
    assert str(caught.value) == "connector scripted.py: check failed: bad key ***"


def test_check_without_an_answer(scripted: Connector, settings: Settings) -> None:
    with pytest.raises(TransientError, match="ended with exit code 1: no idea"):
        check(scripted, {"check_fails": True}, settings)


def test_a_question_that_takes_too_long(
    make_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    program = tmp_path / "slow.py"
    program.write_text(
        "import time\nwhile True:\n    print('busy', flush=True); time.sleep(0.05)\n"
    )
    chosen = make_settings(connector_check_timeout=1.0)
    connector = install.resolve(None, str(program), chosen)
    with pytest.raises(TransientError, match="longer than 1 s"):
        spec(connector, chosen)


def test_a_program_that_is_no_source(settings: Settings, tmp_path: Path) -> None:
    program = tmp_path / "echo.py"
    program.write_text("print('hello')\n")
    connector = install.resolve(None, str(program), settings)
    with pytest.raises(TransientError, match="spec gave no answer; is it an Airbyte source"):
        spec(connector, settings)


def test_signals_of_the_guard_reach_no_stranger(scripted: Connector, settings: Settings) -> None:
    """After a normal end the guard is gone, so a process that gets the same id is safe."""
    spec(scripted, settings)
    found = []
    for child in psutil.Process(os.getpid()).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):  # a zombie is one too
            found += [argument for argument in child.cmdline() if "atlas-guard" in argument]
    assert found == []
    assert signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL
