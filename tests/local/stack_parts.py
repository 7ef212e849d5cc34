"""Small children for a stack under test, and what they leave to see."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

from atlas.local import leftovers
from atlas.local.children import Child
from atlas.settings import Settings

WEB = """if True:
    import http.server, os
    class Ready(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path == "/readyz" else 404)
            self.end_headers()
        def log_message(self, *arguments):
            pass
    address = ("127.0.0.1", int(os.environ["ATLAS_PORT"]))
    http.server.ThreadingHTTPServer(address, Ready).serve_forever()
"""
Eventually = Callable[..., None]


def python(name: str, source: str, *arguments: object) -> Child:
    queues = ("scan",) if name.startswith("worker") else ()
    return Child(name, (sys.executable, "-c", source, *map(str, arguments)), queues)


web = python("web", WEB)
idle = python("worker-scan", "import time; time.sleep(600)")


def entries(settings: Settings) -> dict[str, dict[str, object]]:
    document = json.loads((settings.home / "stack.json").read_text())
    return {entry["name"]: entry for entry in document["processes"]}


def living(found: dict[str, dict[str, object]]) -> list[str]:
    return [
        name
        for name, entry in found.items()
        if leftovers.of_session(entry["pid"], entry["created"])  # type: ignore[arg-type]
    ]
