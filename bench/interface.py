"""What the libraries that document a Flask interface cost at start, beside Atlas's own code.

Measured: wall time of a fresh process that makes an OpenAPI document: Atlas its whole application,
each library one operation with a path parameter, a body and another answer. Beside them
``import flask``, which all need. They take turns; one round before is not counted. Told of each:
the version of OpenAPI that its document says. It decides nothing; see decision 72.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter

from bench import Options, packages
from bench.report import Result, Table
from bench.stack import CHECKOUT

_PEERS = {
    "apiflask": ["apiflask==3.1.2"],
    "flask-openapi3": ["flask-openapi3==4.3.2"],
    "spectree": ["spectree==3.0.0", "flask"],
}
_ATLAS = """
from atlas.web import create_app
print(create_app().config["ATLAS_OPENAPI"]()["openapi"])
"""
_SCRIPTS = {
    "apiflask": """
from apiflask import APIFlask, Schema
from apiflask.fields import String
class Body(Schema):
    name = String(required=True)
app = APIFlask("one")
@app.put("/things/<name>")
@app.input(Body, location="json")
@app.output(Body)
@app.doc(responses={404: "none"})
def put(name, json_data): ...
with app.app_context():
    print(app.spec["openapi"])
""",
    "flask-openapi3": """
from flask_openapi3 import Info, OpenAPI
from pydantic import BaseModel
class Path(BaseModel):
    name: str
class Body(BaseModel):
    name: str
app = OpenAPI("one", info=Info(title="one", version="1"))
@app.put("/things/<name>", responses={404: Body})
def put(path: Path, body: Body): ...
print(app.api_doc["openapi"])
""",
    "spectree": """
from flask import Flask
from pydantic import BaseModel
from spectree import Response, SpecTree
class Body(BaseModel):
    name: str
app, spec = Flask("one"), SpecTree("flask")
@app.put("/things/<name>")
@spec.validate(json=Body, resp=Response(HTTP_200=Body, HTTP_404=Body))
def put(name): ...
spec.register(app)
with app.app_context():
    print(spec.spec["openapi"])
""",
}


def measure(options: Options) -> Result:
    """Measure."""
    runs = options.runs or 5
    missing: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="atlas-bench-") as home:
        theirs = packages.install(Path(home) / "peers", _PEERS, missing)
        python = str(theirs / "bin" / "python") if theirs else sys.executable
        commands = {
            "import flask": [sys.executable, "-c", "import flask"],
            "Atlas, all operations": [sys.executable, "-c", _ATLAS],
            **{
                f"{name}, one operation": [python, "-c", script]
                for name, script in _SCRIPTS.items()
                if name not in missing
            },
        }
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ATLAS_")}
        env = {**kept, "ATLAS_HOME": home}
        times: dict[str, list[float]] = {name: [] for name in commands}
        said: dict[str, str] = {}
        for number in range(runs + 1):
            for name, argv in commands.items():
                started = perf_counter()
                done = subprocess.run(
                    argv, env=env, cwd=CHECKOUT, check=True, capture_output=True, text=True
                )
                said[name] = done.stdout.strip()
                if number:
                    times[name].append(perf_counter() - started)
    middle = {name: median(taken) for name, taken in times.items()}
    bare = middle["import flask"]
    table = Table(
        f"interface: seconds of a fresh process, median of {runs}",
        ["", "seconds", "vs import flask", "OpenAPI"],
        [
            *([name, middle[name], middle[name] / bare, said[name] or "-"] for name in middle),
            *([name, "-", "-", why] for name, why in missing.items()),
        ],
    )
    return Result("interface", [table], [], {"seconds": times, "missing": missing})
