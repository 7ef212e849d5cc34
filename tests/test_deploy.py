"""Procfile, docker-compose.yml, Dockerfile and what is under deploy/: sound in form, one with
`atlas up`, no secret."""

from __future__ import annotations

import configparser
import copy
import fnmatch
import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from jsonschema import Draft202012Validator

from atlas.cli.worker_health import worker_health
from atlas.local.children import QUEUES, children
from atlas.settings import PREFIX, Settings

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = {PREFIX + spec.name.upper() for spec in fields(Settings)}
SERVERS = {"postgres", "redis"}
MONITORING = {"prometheus", "alertmanager", "grafana"}
ONE_SHOT = {"migrate"}
_SECRET_NAME = re.compile(r"PASSW|SECRET|KEY|TOKEN|AUTH", re.IGNORECASE)
_VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?::(?P<kind>[-?])(?P<text>[^}]*))?\}")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return document


@pytest.fixture(scope="module")
def procfile() -> dict[str, tuple[list[str], set[str]]]:
    """By process: its command with every default in place, and what it sets before it."""
    found = {}
    for line in (ROOT / "Procfile").read_text().splitlines():
        match = re.fullmatch(r"([A-Za-z0-9_-]+):\s*(.+)", line)
        assert match or line.startswith("#"), line
        if match:
            words = shlex.split(_with_defaults(match[2]))
            environment = set()
            while "=" in words[0]:
                environment.add(words.pop(0))
            found[match[1]] = (words, environment)
    return found


@pytest.fixture(scope="module")
def dockerfile() -> list[tuple[str, str]]:
    """The instructions with their arguments, continued lines joined."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return [(line.split()[0].upper(), line.split(None, 1)[1]) for line in lines if line.strip()]


def _with_defaults(text: str) -> str:
    def value(match: re.Match[str]) -> str:
        return match["text"] if match["kind"] == "-" else f"<{match['name']}>"

    return _VARIABLE.sub(value, text).replace("$$", "$")


def _app_services(compose: dict[str, Any]) -> dict[str, dict[str, Any]]:
    others = SERVERS | MONITORING
    return {name: s for name, s in compose["services"].items() if name not in others}


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _strings(key)
            yield from _strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner)


# --- one set of processes ------------------------------------------------------------------------


def _as_up_runs_them() -> dict[str, list[str]]:
    settings = replace(Settings(), flower_port=5555)
    # Each is `python -P -m PROGRAM …` there.
    return {child.name: list(child.argv[3:]) for child in children(settings)}


def test_procfile_runs_what_atlas_up_runs(procfile: dict[str, tuple[list[str], set[str]]]) -> None:
    assert {name: words for name, (words, _) in procfile.items()} == _as_up_runs_them()


def test_compose_runs_what_the_procfile_runs(
    compose: dict[str, Any], procfile: dict[str, tuple[list[str], set[str]]]
) -> None:
    services = _app_services(compose)
    assert set(services) - ONE_SHOT == set(procfile)
    for name, (expected, _) in procfile.items():
        words = [_with_defaults(word) for word in services[name]["command"]]
        # In a container, "listen" means to those outside of it.
        outside = [word.replace("127.0.0.1", "0.0.0.0") for word in expected]
        assert words == (outside if services[name].get("ports") else expected)


def test_every_queue_has_its_worker(
    compose: dict[str, Any], procfile: dict[str, tuple[list[str], set[str]]]
) -> None:
    for queue in QUEUES:
        words, environment = procfile[f"worker-{queue}"]
        assert words[words.index("-Q") + 1] == queue
        assert environment == set()
        service = compose["services"][f"worker-{queue}"]
        node = words[words.index("-n") + 1].removesuffix("@%h")
        assert service["healthcheck"]["test"] == ["CMD", "atlas", "worker-health", node]


def test_an_unhealthy_worker_may_say_so_itself(compose: dict[str, Any]) -> None:
    (timeout,) = (param.default for param in worker_health.params if param.name == "timeout")
    for queue in QUEUES:
        check = compose["services"][f"worker-{queue}"]["healthcheck"]
        # The answer, the worker's parent, the ledger.
        assert float(check["timeout"].removesuffix("s")) >= timeout + 15


def test_only_settings_that_exist_are_set(
    compose: dict[str, Any], dockerfile: list[tuple[str, str]]
) -> None:
    # Atlas ends at start when it meets an ATLAS_ variable that it does not know.
    text = " ".join(_strings(compose)) + (ROOT / "Procfile").read_text()
    text += " ".join(arguments for _, arguments in dockerfile)
    named = set(re.findall(rf"\b{PREFIX}[A-Z_]+\b", text))
    assert named
    assert named <= SETTINGS


# --- the Compose file ----------------------------------------------------------------------------


def _validator() -> Draft202012Validator:
    schema = json.loads((ROOT / "tests/schemas/compose-spec.json").read_bytes())
    return Draft202012Validator(schema)


def test_compose_file_is_valid_by_the_specification(compose: dict[str, Any]) -> None:
    assert [error.message for error in _validator().iter_errors(compose)] == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"helthcheck": {}},
        {"healthcheck": {"test": ["CMD", "true"], "intervall": "1s"}},
        {"depends_on": {"redis": {"condition": "healthy"}}},
        {"stop_grace_period": 30},
        {"ports": [{"target": "web", "publish": 1}]},
    ],
)
def test_schema_would_refuse_a_mistake(compose: dict[str, Any], wrong: dict[str, Any]) -> None:
    broken = copy.deepcopy(compose)
    broken["services"]["web"] |= wrong
    assert not _validator().is_valid(broken)


def test_what_a_service_refers_to_is_there(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert set(service["networks"]) <= set(compose["networks"]), name
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            if source.startswith("./"):
                assert (ROOT / source).exists(), name
                assert volume.endswith(":ro"), name
            else:
                assert source in compose["volumes"], name
        for secret in service.get("secrets", ()):
            assert secret["source"] in compose["secrets"], name
        for other, needed in service.get("depends_on", {}).items():
            if needed["condition"] == "service_healthy":
                assert "healthcheck" in compose["services"][other], name
            else:
                assert needed["condition"] == "service_completed_successfully", name
                assert compose["services"][other]["restart"] == "no", name


def test_every_process_is_watched_and_comes_after_what_it_needs(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        if name in ONE_SHOT:
            continue
        assert service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL"), name
        assert service["restart"] == "unless-stopped", name
        if name not in SERVERS | MONITORING:
            assert set(service["depends_on"]) == SERVERS | ONE_SHOT, name


def test_workers_can_be_scaled(compose: dict[str, Any]) -> None:
    for queue in QUEUES:
        worker = compose["services"][f"worker-{queue}"]
        assert not {"container_name", "hostname", "ports", "network_mode"} & set(worker)


def test_stop_leaves_running_stages_their_time(compose: dict[str, Any]) -> None:
    for queue in QUEUES:
        grace = compose["services"][f"worker-{queue}"]["stop_grace_period"]
        assert float(grace.removesuffix("s")) >= Settings().shutdown_seconds + 10


def test_redis_keeps_its_messages(compose: dict[str, Any]) -> None:
    command = compose["services"]["redis"]["command"]
    options = dict(zip(command[1::2], command[2::2], strict=True))
    assert options["--appendonly"] == "yes"
    assert options["--maxmemory-policy"] == "noeviction"


def test_servers_are_reached_from_inside_alone(compose: dict[str, Any]) -> None:
    assert compose["networks"]["inside"]["internal"] is True
    for name in SERVERS:
        assert compose["services"][name]["networks"] == ["inside"]
        assert "ports" not in compose["services"][name]
    for name in ("prometheus", "alertmanager", "grafana"):
        assert compose["services"][name]["networks"] == ["outside"]
    for name, service in compose["services"].items():
        for port in service.get("ports", ()):
            assert _with_defaults(port).startswith("127.0.0.1:"), name


def test_processes_of_atlas_have_few_rights(compose: dict[str, Any]) -> None:
    for name, service in _app_services(compose).items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert "no-new-privileges:true" in service["security_opt"], name
        assert not {"privileged", "user", "cap_add", "devices"} & set(service), name


def test_images_are_pinned_to_a_version(
    compose: dict[str, Any], dockerfile: list[tuple[str, str]]
) -> None:
    images = [service["image"] for service in compose["services"].values()]
    images += [arguments.split()[0] for word, arguments in dockerfile if word == "FROM"]
    for image in images:
        assert re.search(r":[\w.-]+$", image), image
        assert not image.endswith(":latest")


# --- monitoring ----------------------------------------------------------------------------------


def test_monitoring_comes_when_it_is_asked_for(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert service.get("profiles", []) == (["monitoring"] if name in MONITORING else []), name
        if name in MONITORING:
            assert service["read_only"] is True, name
            assert service["cap_drop"] == ["ALL"], name


@pytest.mark.parametrize(("password", "starts"), [("", False), ("x", True)])
def test_grafana_has_no_password_that_everybody_knows(
    compose: dict[str, Any], password: str, starts: bool
) -> None:
    *shell, script = compose["services"]["grafana"]["entrypoint"]
    script = script.replace("$$", "$").replace("exec /run.sh", "echo started")
    done = subprocess.run(
        [*shell, script],
        env={"GF_SECURITY_ADMIN_PASSWORD": password},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode == 0, "started" in done.stdout) == (starts, starts)
    assert ("GRAFANA_PASSWORD" in done.stderr) is not starts


def _read(name: str) -> Any:
    return yaml.safe_load((ROOT / "deploy" / name).read_text())


_SCRAPE = {
    "type": "object",
    "required": ["scrape_configs", "rule_files", "global"],
    "additionalProperties": False,
    "properties": {
        "global": {"type": "object"},
        "rule_files": {"const": ["alerts.yml"]},
        "alerting": {"type": "object", "required": ["alertmanagers"]},
        "scrape_configs": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["job_name", "metrics_path", "authorization", "static_configs"],
                "additionalProperties": False,
                "properties": {
                    "job_name": {"const": "atlas"},
                    "metrics_path": {"const": "/metrics"},
                    "authorization": {"required": ["credentials_file"], "maxProperties": 1},
                    "static_configs": {"type": "array", "minItems": 1},
                },
            },
        },
    },
}
_RULES = {
    "type": "object",
    "required": ["groups"],
    "additionalProperties": False,
    "properties": {
        "groups": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name", "rules"],
                "additionalProperties": False,
                "properties": {
                    "name": {"type": "string"},
                    "rules": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["alert", "expr", "labels", "annotations"],
                            "additionalProperties": False,
                            "properties": {
                                "alert": {"pattern": "^Atlas[A-Za-z]+$"},
                                "expr": {"type": "string"},
                                "for": {"pattern": "^[0-9]+[smh]$"},
                                "labels": {"additionalProperties": {"type": "string"}},
                                "annotations": {"additionalProperties": {"type": "string"}},
                            },
                        },
                    },
                },
            },
        }
    },
}


def test_prometheus_files_have_their_form(compose: dict[str, Any]) -> None:
    for name in ("prometheus.yml", "compose.yml"):
        config = _read(f"prometheus/{name}")
        assert [e.message for e in Draft202012Validator(_SCRAPE).iter_errors(config)] == [], name
    rules = _read("prometheus/alerts.yml")
    assert [error.message for error in Draft202012Validator(_RULES).iter_errors(rules)] == []
    wrong = copy.deepcopy(rules)
    wrong["groups"][0]["rules"][0]["fro"] = "2m"
    assert not Draft202012Validator(_RULES).is_valid(wrong)
    beside = _read("prometheus/compose.yml")
    (scrape,) = beside["scrape_configs"]
    targets = scrape["static_configs"][0]["targets"]
    (manager,) = beside["alerting"]["alertmanagers"]
    for target in targets + manager["static_configs"][0]["targets"]:
        assert target.split(":")[0] in compose["services"]
    (secret,) = compose["services"]["prometheus"]["secrets"]
    assert scrape["authorization"]["credentials_file"] == secret["target"]


def test_promtool_takes_them() -> None:
    """Where it is installed: `apt-get install prometheus`."""
    if not shutil.which("promtool"):
        pytest.skip("promtool is not installed")
    for name in ("alerts.yml",):
        subprocess.run(
            ["promtool", "check", "rules", ROOT / "deploy/prometheus" / name], check=True
        )


def test_alertmanager_has_whom_it_routes_to() -> None:
    config = _read("prometheus/alertmanager.yml")
    assert set(config) == {"route", "receivers", "inhibit_rules"}
    assert config["route"]["receiver"] in {each["name"] for each in config["receivers"]}
    names = {
        rule["alert"]
        for group in _read("prometheus/alerts.yml")["groups"]
        for rule in group["rules"]
    }
    for rule in config["inhibit_rules"]:
        for matcher in rule["source_matchers"] + rule["target_matchers"]:
            label, operator, pattern = re.fullmatch(r'(\w+)(=~|!=|=)"([^"]+)"', matcher).groups()  # type: ignore[union-attr]
            assert label == "alertname"
            words = pattern.split("|") if operator == "=~" else [pattern]
            assert all(any(re.fullmatch(word, name) for name in names) for word in words), matcher


def test_grafana_is_given_what_it_shows(compose: dict[str, Any]) -> None:
    (source,) = _read("grafana/provisioning/datasources/prometheus.yml")["datasources"]
    host = re.fullmatch(r"http://(\w+):9090", source["url"])
    assert host is not None
    assert host[1] in compose["services"]
    assert source["type"] == "prometheus"
    assert source["isDefault"] is True
    (provider,) = _read("grafana/provisioning/dashboards/atlas.yml")["providers"]
    volumes = [v.split(":") for v in compose["services"]["grafana"]["volumes"]]
    (shown,) = (target for source, target, *_ in volumes if source.endswith("atlas.json"))
    assert shown == f"{provider['options']['path']}/atlas.json"
    dashboard = json.loads((ROOT / "deploy/grafana/atlas.json").read_bytes())
    assert {"title", "uid", "schemaVersion", "panels", "templating"} <= set(dashboard)
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        if panel["type"] != "row":
            assert panel["targets"], panel["title"]
            assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    (variable,) = dashboard["templating"]["list"]
    assert (variable["name"], variable["query"]) == ("datasource", "prometheus")


def test_every_file_of_deployment_is_looked_at() -> None:
    """By a test of this module; a new one needs one, too."""
    there = {
        str(path.relative_to(ROOT))
        for path in [
            *(ROOT / "deploy").rglob("*"),
            *ROOT.glob("*compose*"),
            *ROOT.glob("Dockerfile*"),
        ]
        if path.is_file()
    }
    units = {str(path.relative_to(ROOT)) for path in (ROOT / "deploy/systemd").iterdir()}
    manifests = {str(path.relative_to(ROOT)) for path in (ROOT / "deploy/kubernetes").glob("*.yml")}
    assert all(re.search(r"\.(service|target)$", name) for name in units)
    assert there - units - manifests == {
        "Dockerfile",
        "docker-compose.yml",
        "deploy/grafana/atlas.json",
        "deploy/grafana/provisioning/dashboards/atlas.yml",
        "deploy/grafana/provisioning/datasources/prometheus.yml",
        "deploy/prometheus/alertmanager.yml",
        "deploy/prometheus/alerts.yml",
        "deploy/prometheus/compose.yml",
        "deploy/prometheus/prometheus.yml",
    }
    assert manifests
    assert (ROOT / "Procfile").is_file()


# --- secrets -------------------------------------------------------------------------------------


def _secrets(text: str) -> list[str]:
    """What in ``text``, the values of variables left out, looks like a secret."""
    bare = _VARIABLE.sub("", text)
    passwords = re.findall(r"://[^/\s:@]*:([^@/\s]+)@", bare)
    words = re.findall(r"[A-Za-z0-9+_-]{24,}", bare)
    return passwords + [word for word in words if re.search(r"\d", word) and not word.isupper()]


def test_secret_would_be_seen() -> None:
    assert _secrets("postgresql://atlas:hunter2@db/atlas")
    assert _secrets("ATLAS_SECRET_KEY: 3f9c0d7be61a4c2f8e5d7a90b1c2d3e4")
    assert not _secrets("postgresql://atlas:${POSTGRES_PASSWORD:?set it}@db/atlas")


@pytest.mark.parametrize(
    "name",
    [
        "docker-compose.yml",
        "Procfile",
        "Dockerfile",
        *(str(path.relative_to(ROOT)) for path in sorted((ROOT / "deploy").rglob("*.*"))),
    ],
)
def test_no_secret_in_the_files(name: str) -> None:
    assert _secrets((ROOT / name).read_text()) == []


def test_secrets_come_from_outside_and_are_asked_for(compose: dict[str, Any]) -> None:
    asked = set()
    # An endpoint may be open, and mail sent without a login or not at all; and what is asked for
    # here is asked for whatever the profile.
    optional = {"ATLAS_OPENLINEAGE_API_KEY", "ATLAS_SMTP_PASSWORD", "GF_SECURITY_ADMIN_PASSWORD"}
    for name, service in compose["services"].items():
        for variable, value in service.get("environment", {}).items():
            for match in _VARIABLE.finditer(value):
                if match["kind"] == "?":
                    asked.add(match["name"])
            if _SECRET_NAME.search(variable):
                whole = _VARIABLE.fullmatch(value)
                assert whole, f"{name}: {variable}"
                assert whole["kind"] == "?" or (variable in optional and not whole["text"])
    assert asked == {"ATLAS_SECRET_KEY", "POSTGRES_PASSWORD", "FLOWER_BASIC_AUTH"}


def test_flower_listens_on_this_machine_only(
    compose: dict[str, Any], procfile: dict[str, tuple[list[str], set[str]]]
) -> None:
    everywhere = replace(Settings(), host="0.0.0.0")
    (flower,) = (child for child in children(everywhere) if child.name == "flower")
    assert "--address=127.0.0.1" in flower.argv
    assert "--address=127.0.0.1" in procfile["flower"][0]
    for port in compose["services"]["flower"]["ports"]:
        assert port.startswith("127.0.0.1:")
    assert "FLOWER_BASIC_AUTH" in compose["services"]["flower"]["environment"]


def test_beat_and_flower_do_not_know_the_ledger(compose: dict[str, Any]) -> None:
    for name in ("beat", "flower"):
        known = set(compose["services"][name]["environment"])
        assert not known & {"ATLAS_DATABASE_URL", "ATLAS_SECRET_KEY"}


# --- the image -----------------------------------------------------------------------------------


def test_image_installs_from_the_locks_by_hash(dockerfile: list[tuple[str, str]]) -> None:
    installs = [
        shlex.split(command)
        for word, arguments in dockerfile
        if word == "RUN"
        for command in re.split(r"&&|;", arguments)
        if re.search(r"\bpip (install|sync)\b", command)
    ]
    third_parties = [words for words in installs if "--no-deps" not in words]
    assert {words[-1] for words in third_parties} == {
        "requirements/bootstrap.txt",
        "requirements/lock.txt",
    }
    assert all("--require-hashes" in words for words in third_parties)
    # What is left is Atlas itself.
    assert [words[-1] for words in installs if "--no-deps" in words] == ["."]


def test_image_leaves_out_what_only_developers_need(dockerfile: list[tuple[str, str]]) -> None:
    (text,) = (arguments for word, arguments in dockerfile if "uninstall -r" in arguments)
    assert "options.extras_require" in text
    assert "['dev']" in text
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    assert "pytest" in parser["options.extras_require"]["dev"]


def test_image_runs_unprivileged_and_builds_nothing(dockerfile: list[tuple[str, str]]) -> None:
    starts = [number for number, (word, _) in enumerate(dockerfile) if word == "FROM"]
    assert len(starts) == 2
    last = dockerfile[starts[-1] :]
    users = [arguments for word, arguments in last if word == "USER"]
    assert users
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", users[-1])
    commands = " ".join(arguments for word, arguments in last if word == "RUN")
    assert not re.search(r"\b(apt-get|gcc|git|curl)\b|pip install", commands)
    assert re.search(r"pip uninstall .*\bpip\b", commands)


def test_tmpfs_belongs_to_the_user_of_the_image(
    compose: dict[str, Any], dockerfile: list[tuple[str, str]]
) -> None:
    uid, gid = [arguments for word, arguments in dockerfile if word == "USER"][-1].split(":")
    for queue in QUEUES:
        (entry,) = (
            entry
            for entry in compose["services"][f"worker-{queue}"]["tmpfs"]
            if entry.startswith("/var/lib/atlas/tmp:")
        )
        assert entry.endswith(f"mode=0700,uid={uid},gid={gid}")


def _sent(path: str, rules: list[str]) -> bool:
    sent = True
    for rule in rules:
        pattern = rule.removeprefix("!").rstrip("/").removeprefix("**/")
        parts = path.split("/")
        whole = any(fnmatch.fnmatch("/".join(parts[:end]), pattern) for end in range(1, 99))
        anywhere = "**/" in rule and any(fnmatch.fnmatch(part, pattern) for part in parts)
        if whole or anywhere:
            sent = rule.startswith("!")
    return sent


def test_builder_gets_what_it_copies_and_nothing_else(dockerfile: list[tuple[str, str]]) -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    for word, arguments in dockerfile:
        if word == "COPY" and "--from" not in arguments:
            for source in arguments.split()[:-1]:
                assert (ROOT / source).exists(), source
                assert _sent(source.rstrip("/"), rules), source
    for private in (".git/config", ".env", ".venv/bin/python", ".atlas/secret.key", "atlas/.env"):
        assert not _sent(private, rules), private


# --- Kubernetes ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def manifests() -> list[dict[str, Any]]:
    return [
        document
        for path in sorted((ROOT / "deploy" / "kubernetes").glob("*.yml"))
        for document in yaml.safe_load_all(path.read_text())
    ]


def _pods(manifests: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {
        each["metadata"]["name"]: each["spec"]["template"]["spec"]
        for each in manifests
        if each["kind"] in ("Deployment", "Job")
    }


def test_manifests_are_valid_by_kubernetes_own_schemas(manifests: list[dict[str, Any]]) -> None:
    for manifest in manifests:
        kubernetes_validate.validate(manifest, "1.35", strict=True)


def test_a_mistake_in_a_manifest_would_be_refused(manifests: list[dict[str, Any]]) -> None:
    broken = copy.deepcopy(next(each for each in manifests if each["kind"] == "Deployment"))
    broken["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, "1.35", strict=True)


def test_kubernetes_runs_what_the_procfile_runs(
    manifests: list[dict[str, Any]], procfile: dict[str, tuple[list[str], set[str]]]
) -> None:
    pods = _pods(manifests)
    assert set(pods) - ONE_SHOT == set(procfile)
    for name, (expected, _) in procfile.items():
        (container,) = pods[name]["containers"]
        if name == "web":  # "listen" means to those outside of the pod
            expected = [word.replace("127.0.0.1", "0.0.0.0") for word in expected]
        assert container["command"] == expected


def test_pods_have_few_rights_and_are_watched(
    manifests: list[dict[str, Any]], dockerfile: list[tuple[str, str]]
) -> None:
    uid, gid = [arguments for word, arguments in dockerfile if word == "USER"][-1].split(":")
    for name, pod in _pods(manifests).items():
        assert (
            pod["securityContext"] | {"runAsUser": int(uid), "runAsGroup": int(gid)}
            == (pod["securityContext"])
        )
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["automountServiceAccountToken"] is False, name
        (container,) = pod["containers"]
        rights = container["securityContext"]
        assert rights["readOnlyRootFilesystem"] is True, name
        assert rights["allowPrivilegeEscalation"] is False, name
        assert rights["capabilities"] == {"drop": ["ALL"]}, name
        assert {"cpu", "memory"} <= set(container["resources"]["requests"]), name
        assert ("livenessProbe" in container) is (name not in ONE_SHOT), name
        if name.startswith("worker-"):
            queue = name.removeprefix("worker-")
            assert container["livenessProbe"]["exec"]["command"] == [
                *("atlas", "worker-health"),
                queue,
            ]
            grace = pod["terminationGracePeriodSeconds"]
            assert grace >= Settings().shutdown_seconds + 10
            # Configurations of connectors, while they run: in memory, this pod's own.
            mounts = {each["mountPath"]: each["name"] for each in container["volumeMounts"]}
            volumes = {each["name"]: each for each in pod["volumes"]}
            assert volumes[mounts["/var/lib/atlas/tmp"]]["emptyDir"]["medium"] == "Memory"
    web = _pods(manifests)["web"]["containers"][0]
    assert web["readinessProbe"]["httpGet"]["path"] == "/readyz"
    # One that waits for PostgreSQL is not restarted for it.
    assert web["livenessProbe"]["httpGet"]["path"] == "/healthz"


def test_what_a_manifest_refers_to_is_there(manifests: list[dict[str, Any]]) -> None:
    named: dict[str, set[str]] = {}
    for each in manifests:
        named.setdefault(each["kind"], set()).add(each["metadata"]["name"])
        assert each["metadata"]["namespace"] == "atlas"
    for name, pod in _pods(manifests).items():
        assert pod["serviceAccountName"] in named["ServiceAccount"], name
        volumes = {each["name"]: each for each in pod["volumes"]}
        for volume in volumes.values():
            claim = volume.get("persistentVolumeClaim", {"claimName": "atlas-home"})
            assert claim["claimName"] in named["PersistentVolumeClaim"], name
        (container,) = pod["containers"]
        assert {each["name"] for each in container["volumeMounts"]} == set(volumes), name
    scaled = [each for each in manifests if each["kind"] == "HorizontalPodAutoscaler"]
    for each in scaled:
        assert each["spec"]["scaleTargetRef"]["name"] in named["Deployment"]
    interruptible = {each["metadata"]["name"] for each in scaled} | {"web"}
    assert interruptible <= named["PodDisruptionBudget"]


def test_secrets_of_pods_come_from_a_secret(manifests: list[dict[str, Any]]) -> None:
    assert "Secret" not in {each["kind"] for each in manifests}
    (settings,) = (each["data"] for each in manifests if each["kind"] == "ConfigMap")
    assert set(settings) <= SETTINGS
    assert not [name for name in settings if _SECRET_NAME.search(name)]
    for name in ("beat", "flower"):  # they do not know the ledger
        (container,) = _pods(manifests)[name]["containers"]
        assert "envFrom" not in container
        assert [each["name"] for each in container["env"]] == ["ATLAS_REDIS_URL"]


# --- systemd -------------------------------------------------------------------------------------


def _units(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted(folder.iterdir())}


def _verified(folder: Path, tmp_path: Path, wrong: str = "") -> str:
    """What systemd says of the units; programs stand in for those that are not installed here."""
    for name, text in _units(folder).items():
        text = re.sub(r"/opt/atlas/\.venv/bin/\w+", "/bin/true", text)
        text = text.replace("WorkingDirectory=/opt/atlas", f"WorkingDirectory=/\n{wrong}")
        (tmp_path / name).write_text(text)
    assert shutil.which("systemd-analyze"), "tests need systemd-analyze: apt-get install systemd"
    units = ["atlas.target", *(f"atlas-worker@{queue}.service" for queue in QUEUES)]
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *(str(tmp_path / unit) for unit in units)],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stderr + ("" if done.returncode == 0 else f"exit {done.returncode}")


def test_units_are_sound(tmp_path: Path) -> None:
    folder = ROOT / "deploy" / "systemd"
    said = _verified(folder, tmp_path)
    assert "atlas" not in said, said
    assert "Restrat" in _verified(folder, tmp_path, "Restrat=always")


def test_units_leave_little_open(tmp_path: Path) -> None:
    """By `systemd-analyze security`: 0 is shut, 10 open; 4.0 is what it calls OK."""
    for name, text in _units(ROOT / "deploy" / "systemd").items():
        if name.endswith(".service"):
            (tmp_path / name).write_text(text)
            command = ["systemd-analyze", "security", "--offline=true", "--no-pager"]
            unit = str(tmp_path / name)
            for threshold, expected in (("40", 0), ("10", 1)):
                done = subprocess.run(
                    [*command, f"--threshold={threshold}", unit], capture_output=True, check=False
                )
                assert min(done.returncode, 1) == expected, name


def test_units_run_what_the_procfile_runs(
    procfile: dict[str, tuple[list[str], set[str]]],
) -> None:
    units = _units(ROOT / "deploy" / "systemd")
    found = {}
    for name, text in units.items():
        if not (
            started := re.search(r"^ExecStart=/opt/atlas/\.venv/bin/(.+)$", text, re.MULTILINE)
        ):
            continue
        defaults = dict(
            pair.split("=", 1)
            for line in re.findall(r"^Environment=(.+)$", text, re.MULTILINE)
            for pair in line.split()
        )
        words = shlex.split(started[1])
        for queue in QUEUES if "@" in name else [""]:
            process = name.removesuffix(".service").removeprefix("atlas-").replace("@", f"-{queue}")
            values = defaults
            if queue:
                concurrency = str(getattr(Settings(), f"{queue}_concurrency"))
                values = defaults | {"CONCURRENCY": concurrency}
            found[process] = [
                re.sub(r"\$\{(\w+)\}", lambda m, v=values: v[m[1]], word)
                .replace("%i", queue)
                .replace("%%", "%")
                for word in words
            ]
    assert found.pop("migrate") == ["atlas", "migrate"]
    assert found == {name: words for name, (words, _) in procfile.items()}
    target = units["atlas.target"]
    for process in found:
        unit = re.sub(r"^worker-", "worker@", process)
        assert f"atlas-{unit}.service" in target


def test_units_have_few_rights() -> None:
    for name, text in _units(ROOT / "deploy" / "systemd").items():
        if not name.endswith(".service"):
            continue
        for line in ("User=atlas", "NoNewPrivileges=yes", "ProtectSystem=strict"):
            assert f"\n{line}\n" in text, name
        assert re.search(r"^CapabilityBoundingSet=$", text, re.MULTILINE), name
        # Secrets come from a file that only root reads.
        assert "\nEnvironmentFile=/etc/atlas/atlas.env\n" in text, name
