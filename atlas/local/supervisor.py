"""The whole stack as the process group of one process: start, supervise, stop.

``atlas up`` is this class in the foreground, ``atlas demo`` the same one in the background of its
own work. While it runs, ``home/up.lock`` is held and ``home/stack.json`` describes it.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from atlas.errors import AtlasError
from atlas.local import files, leftovers
from atlas.local.children import Child, ask, base_url, children, environment, with_ports
from atlas.local.liveness import Liveness
from atlas.local.watched import Group, Watched, fate
from atlas.process import end
from atlas.settings import Settings, secret_key

STATE = "stack.json"
LOCK = "up.lock"
_GRACE = 30.0
_LONGEST_DELAY = 30.0
_TRIM_EVERY = 60.0
# A process that ran this long before it died was well: its delay starts anew.
_WELL_AFTER = 60.0


class _Server(Protocol):
    """What PostgreSQL and Redis have in common, and all that the stack knows of them."""

    @property
    def pid(self) -> int | None: ...
    def poll(self) -> int | None: ...
    def start(self, timeout: float = ...) -> None: ...
    def stop(self) -> None: ...


class Stack:
    """The stack of one ATLAS_HOME: servers where none are set, and the children.

    As a context manager it starts, is supervised by a thread, and stops at the end. Otherwise
    call :meth:`start`, :meth:`run` and :meth:`stop` yourself, each once. Either way start it from
    a thread that lives as long as the stack: on Linux a child ends with the thread that started
    it, which is how nothing is left when this process is killed.

    Args:
        workers: worker processes on queue ``scan``; see :func:`atlas.local.children.children`.
        prepare: called with the database's URL once the servers run and before any child does:
            the place of the migrations.
        on_event: told what happens, a line at a time.
        processes: the children, when they are not those of the contract (tests).
    """

    def __init__(
        self,
        settings: Settings,
        *,
        workers: int = 1,
        prepare: Callable[[str], object] | None = None,
        on_event: Callable[[str], object] = lambda line: None,
        processes: Sequence[Child] | None = None,
    ) -> None:
        self._settings = settings
        self._home = settings.home
        self._workers = workers
        self._prepare = prepare
        self._event = on_event
        self._processes = processes
        self._lock = files.Lock(self._home / LOCK)
        self._servers: dict[str, _Server] = {}
        self._urls: dict[str, str] = {}
        self._groups: list[Group] = []
        self._watched: list[Watched] = []
        self._liveness: Liveness | None = None
        self._started = False
        self._ready = False
        self._trim_at = 0.0
        # Plain flags, for signal handlers set them: an Event's lock could be held by the very
        # code that the handler interrupts.
        self._asked_to_stop = False
        self._hurry = False
        self._busy = threading.Lock()
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()

    @property
    def settings(self) -> Settings:
        """The settings, with the ports in place of 0 once it is started."""
        return self._settings

    def start(self, timeout: float = 120.0) -> None:
        """Start everything and return when the web process's ``/readyz`` is 200.

        Raises:
            AtlasError: a stack runs in this home already, a port is in use, or something did
                not start; nothing is left running.
        """
        files.private_directory(self._home)
        # Not at once: `atlas status` holds the lock for an instant to look at it.
        if not self._lock.acquire(wait=1.0):
            raise AtlasError(
                f"Atlas runs already in {self._home}, as process "
                f"{files.lock_holder(self._home / LOCK)}: stop it with `atlas down`"
            )
        self._started = True
        try:
            if end_leftovers(self._home):
                self._event("ended what was left of a stack that was killed")
            self._settings = with_ports(self._settings)
            if self._settings.embedded and self._settings.secret_key is None:
                files.ensure_secret_key(self._home)
            secret_key(self._settings)
            self._start_servers(timeout)
            self._write_state()
            if self._prepare is not None:
                self._check_wanted()
                self._prepare(self._settings.database_url or self._urls["database_url"])
            self._start_children()
            self._await_ready(timeout)
        except BaseException:
            # Nobody waits for work that has hardly begun.
            self._hurry = True
            self.stop()
            raise

    def request_stop(self) -> None:
        """Make :meth:`run` return, or :meth:`start` raise, soon; safe in a signal handler.

        Asked again, :meth:`stop` no longer waits for the children's work.
        """
        self._hurry = self._asked_to_stop
        self._asked_to_stop = True

    def run(self) -> None:
        """Supervise until :meth:`request_stop`: what dies is started anew, ever more slowly."""
        while not self._asked_to_stop:
            self.supervise()
            time.sleep(0.2)

    def supervise(self) -> None:
        """One look at all processes."""
        with self._busy:
            if not self._started or self._asked_to_stop:
                return
            changed = False
            for watched in self._watched:
                changed |= self._look_after(watched)
            if changed:
                self._write_state()
            if time.monotonic() > self._trim_at:
                files.trim_logs(self._home)
                self._trim_at = time.monotonic() + _TRIM_EVERY

    def stop(self, grace: float = _GRACE) -> None:
        """Stop everything: the children (workers finish their tasks, up to ``grace`` seconds,
        then their groups are killed), then Redis, then PostgreSQL. Nothing to do is fine."""
        self._asked_to_stop = True
        with self._busy:
            if not self._started:
                return
            self._started = False
            if self._liveness is not None:
                self._liveness.stop()
            try:
                self._end_children(grace)
            finally:
                with contextlib.ExitStack() as cleanup:
                    # Last in, first out.
                    cleanup.callback(self._lock.release)
                    cleanup.callback((self._home / STATE).unlink, missing_ok=True)
                    for server in self._servers.values():
                        cleanup.callback(server.stop)
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def __enter__(self) -> Stack:
        self.start()
        self._thread = threading.Thread(target=self._supervise_in_background, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _supervise_in_background(self) -> None:
        self.run()
        # The children that this thread started anew would end with it, and not gently.
        self._ended.wait()

    # --- starting ------------------------------------------------------------------------------

    def _start_servers(self, timeout: float) -> None:
        # Imported when used: with services of one's own there are none to run.
        if self._settings.database_url is None:
            from atlas.local.postgres import Postgres

            postgres = Postgres(self._home)
            self._start_server("postgres", postgres, timeout)
            self._urls["database_url"] = postgres.url()
        if self._settings.redis_url is None:
            from atlas.local.redis import Redis

            redis = Redis(self._home)
            self._start_server("redis", redis, timeout)
            self._urls["redis_url"] = redis.url()

    def _start_server(self, name: str, server: _Server, timeout: float) -> None:
        def start() -> int:
            server.stop()  # reaps one that died, and gives its lock back
            server.start(timeout)
            assert server.pid is not None  # noqa: S101 - it has just been started
            return server.pid

        self._check_wanted()
        self._servers[name] = server
        self._watch(Watched(name, start, server.poll))

    def _start_children(self) -> None:
        chosen = self._processes
        if chosen is None:
            chosen = children(self._settings, self._workers)
        env = environment(self._settings, self._urls)
        for child in chosen:
            group = Group(child, self._home)
            self._groups.append(group)

            start = partial(group.spawn, env)
            self._check_wanted()
            self._watch(Watched(child.name, start, group.poll, child.queues, group.kill))
        if any(child.queues for child in chosen):
            self._liveness = Liveness(self._settings, env, self._event)
            self._liveness.start()

    def _watch(self, watched: Watched) -> None:
        watched.run()
        self._watched.append(watched)
        self._event(f"{watched.name} started (pid {watched.pid})")
        self._write_state()

    def _await_ready(self, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        url = base_url(self._settings) + "/readyz"
        has_web = any(group.child.name == "web" for group in self._groups)
        while True:
            self._check_wanted()
            for group in self._groups:
                if (status := group.poll()) is not None:
                    raise AtlasError(
                        f"{group.child.name} {fate(status)}: "
                        f"{files.last_lines(group.log, group.log_start)}; its log is {group.log}"
                    )
            answer = ask(url) if has_web else "200"
            if answer == "200":
                break
            if time.monotonic() > deadline:
                raise AtlasError(
                    f"web is not ready after {timeout:.0f} s, {url} answers {answer}: "
                    f"the logs are in {self._home / 'logs'}"
                )
            time.sleep(0.1)
        self._ready = True
        self._write_state()
        self._event(f"ready: {base_url(self._settings)}")

    def _check_wanted(self) -> None:
        if self._asked_to_stop:
            raise AtlasError("stopped before it was ready")

    # --- supervising ---------------------------------------------------------------------------

    def _look_after(self, watched: Watched) -> bool:
        """Start ``watched`` anew if it has died and its delay is over; whether it was started."""
        now = time.monotonic()
        if watched.again_at is None:
            if (status := watched.poll()) is not None:
                why = fate(status)
            elif self._liveness is not None and (found := self._liveness.given_up(watched.pid)):
                watched.kill()
                why = found
            else:
                return False
            if now - watched.since > _WELL_AFTER:
                watched.deaths = 0
            self._schedule(watched, why)
        if watched.again_at is not None and now >= watched.again_at:
            try:
                watched.run()
            except (AtlasError, OSError) as error:
                self._schedule(watched, f"could not be started ({error})")
                return False
            self._event(f"{watched.name} started anew (pid {watched.pid})")
            return True
        return False

    def _schedule(self, watched: Watched, why: str) -> None:
        delay = min(2.0**watched.deaths, _LONGEST_DELAY)
        watched.deaths += 1
        watched.again_at = time.monotonic() + delay
        log = self._home / "logs" / f"{watched.name}.log"
        self._event(f"{watched.name} {why}, starting it anew in {delay:.0f} s; its log is {log}")

    # --- stopping ------------------------------------------------------------------------------

    def _end_children(self, grace: float) -> None:
        running = [(g, g.process) for g in self._groups if g.process is not None]
        # No new work before the workers go: beat first, and the way in.
        first = ("beat", "web", "flower")
        running.sort(
            key=lambda pair: first.index(pair[0].child.name) if pair[0].child.name in first else 9
        )
        for _, process in running:
            # The leader only: a signal to Celery's pool processes would break off their tasks.
            process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + grace
        while any(process.poll() is None for _, process in running):
            if self._hurry or time.monotonic() > deadline:
                break
            time.sleep(0.05)
        for group, process in running:
            if process.poll() is None:
                self._event(f"{group.child.name} did not end and is killed")
            end(process, grace=0.0, first=signal.SIGKILL)

    # --- stack.json ----------------------------------------------------------------------------

    def _write_state(self) -> None:
        """Describe the stack for other processes. URLs only of embedded servers: a user's own may
        hold a password, and whoever needs it has the setting."""
        names = {group.child.name for group in self._groups}
        flower = f"http://127.0.0.1:{self._settings.flower_port}"
        document: dict[str, Any] = {
            "up_pid": os.getpid(),
            "ready": self._ready,
            "api_url": base_url(self._settings),
            "flower_url": flower if "flower" in names else None,
            **self._urls,
            "processes": [
                {"name": w.name, "pid": w.pid, "queues": list(w.queues), "created": w.created}
                for w in self._watched
            ],
        }
        files.write_atomically(self._home / STATE, document)


def end_leftovers(home: Path) -> bool:
    """End what still runs of a stack whose process was killed; whether there was anything.

    Call it with ``home/up.lock`` held.
    """
    try:
        state = json.loads((home / STATE).read_bytes())
    except FileNotFoundError:
        return False
    any_left = False
    for entry in reversed(state["processes"]):
        if entry["created"] is None:
            continue
        left = leftovers.of_session(entry["pid"], entry["created"])
        any_left |= bool(left)
        gently = signal.SIGINT if entry["name"] == "postgres" else signal.SIGTERM
        leftovers.end_all(left, [(gently, 10.0), (signal.SIGKILL, 5.0)])
    (home / STATE).unlink()
    return any_left
