"""The files of packaging/: the server takes its file, systemd its units, and the rest is what its readers expect."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from serving import BINARY, Server

ROOT = Path(__file__).resolve().parents[2]
PACKAGING = ROOT / "packaging"
UNITS = sorted((PACKAGING / "systemd").glob("*.service"))
MANIFESTS = sorted((PACKAGING / "kubernetes").glob("*.yaml"))
OFFERED = {"worker", "relay"}  # Jobs of manage.py jackfield that the files name.


def secrets() -> dict[str, str]:
    lines = (PACKAGING / "config/secrets.env.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def checked(path: Path, **variables: str) -> str:
    """What `jackfield check` says to a file; it must be good."""
    plain = {key: value for key, value in os.environ.items() if not key.startswith("JACKFIELD_")}
    done = subprocess.run(
        [BINARY, "check", "-c", path],
        env=plain | secrets() | variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_the_server_takes_its_file() -> None:
    assert "good" in checked(PACKAGING / "config/jackfield.toml")


def test_a_server_runs_with_it() -> None:
    """With the embedded queue and without TLS, which are not about the rest of the file."""
    text = (PACKAGING / "config/jackfield.toml").read_text().replace("8443", "{port}").replace("8401", "{internal}")
    sets = ("http_server.tls.enabled=false", "app_link.driver=embedded", "client.token.hmac_secret_key=" + "k" * 32)
    with Server(text, sets=sets) as server:
        assert server.healthy()


def ini(path: Path) -> dict[str, list[tuple[str, str]]]:
    """The sections of a unit; a key may come several times."""
    sections: dict[str, list[tuple[str, str]]] = {}
    for line in path.read_text().splitlines():
        if line.startswith("["):
            section = sections.setdefault(line.strip("[]"), [])
        elif line and not line.startswith("#"):
            key, value = line.split("=", 1)
            section.append((key, value))
    return sections


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd-analyze")
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_takes_the_units(unit: Path, tmp_path: Path) -> None:
    # What a unit starts must exist for systemd to be content: here it is `true` in every place.
    text = re.sub(r"^(Exec\w+=)(/srv|/usr/bin/jackfield)\S*", r"\1/bin/true", unit.read_text(), flags=re.MULTILINE)
    shutil.copy(PACKAGING / "systemd/jackfield-workers.target", tmp_path)
    made = tmp_path / unit.name.replace("@.", "@1.")
    (tmp_path / unit.name).write_text(text)
    made.write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", made],
        env=os.environ | {"SYSTEMD_UNIT_PATH": f"{tmp_path}:"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    said = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith((unit.stem, made.stem, str(tmp_path)))]
    assert done.returncode == 0 and not said, done.stdout + done.stderr


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_units_are_hardened_and_patient(unit: Path) -> None:
    service = dict(ini(unit)["Service"])
    assert service["NoNewPrivileges"] == service["PrivateTmp"] == service["ProtectHome"] == "yes"
    assert service["ProtectSystem"] == "strict"
    assert service["User"] != "root"
    assert service["Restart"] in ("always", "on-failure")
    # Whoever may take 30 s to end is given more than that.
    assert int(service["TimeoutStopSec"]) > 30


def test_the_server_s_unit_starts_the_server() -> None:
    for key, value in ini(PACKAGING / "systemd/jackfield.service")["Service"]:
        if key.startswith("Exec") and "jackfield" in value:
            job, *options = value.split()[1:]
            said = subprocess.run([BINARY, job, "--help"], capture_output=True, text=True, check=True, timeout=60).stdout
            for option in options:
                assert not option.startswith("--") or option in said, f"jackfield {job} has no {option}"


def commands() -> list[list[str]]:
    """Every `manage.py jackfield ...` that packaging names, as its words behind `jackfield`."""
    found = [value.split() for unit in UNITS for key, value in ini(unit)["Service"] if key == "ExecStart"]
    compose = yaml.safe_load((PACKAGING / "docker/compose.yaml").read_text())
    found += [service["command"] for service in compose["services"].values() if "manage.py" in service.get("command", [])]
    for manifest in documents():
        for container in pod_of(manifest).get("containers", ()):
            found.append(container.get("command", []))
    return [words[words.index("jackfield") + 1 :] for words in found if "manage.py" in words]


def test_the_package_knows_the_jobs() -> None:
    named = commands()
    assert {words[0] for words in named} == OFFERED
    settings = {"DJANGO_SETTINGS_MODULE": "project.settings", "PYTHONPATH": str(ROOT / "python/tests")}
    for job, *options in named:
        said = subprocess.run(
            [sys.executable, "-m", "django", "jackfield", job, "--help"],
            env=os.environ | settings,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert said.returncode == 0, f"manage.py jackfield {job}: {said.stderr}"
        for option in options:
            assert not option.startswith("--") or option in said.stdout, f"jackfield {job} has no {option}"


def documents() -> list[dict[str, Any]]:
    return [one for path in MANIFESTS for one in yaml.safe_load_all(path.read_text())]


def pod_of(manifest: dict[str, Any]) -> dict[str, Any]:
    return manifest.get("spec", {}).get("template", {}).get("spec", {})


def test_manifests_have_what_kubernetes_asks_for() -> None:
    kinds = {(one["kind"], one["metadata"]["name"]) for one in documents()}
    assert {("Deployment", "jackfield"), ("Deployment", "jackfield-worker"), ("Secret", "jackfield")} <= kinds
    for one in documents():
        assert one["apiVersion"] and one["kind"] and one["metadata"]["name"]
        if one["kind"] != "Deployment":
            continue
        labels = one["spec"]["template"]["metadata"]["labels"]
        assert one["spec"]["selector"]["matchLabels"].items() <= labels.items()
        pod = pod_of(one)
        assert pod["securityContext"]["runAsNonRoot"] is True
        for container in pod["containers"]:
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            assert {"name", "image", "resources"} <= set(container)
            for reference in container["envFrom"]:
                assert ("Secret", reference["secretRef"]["name"]) in kinds


def test_a_pod_of_the_server_drains(tmp_path: Path) -> None:
    """Its time to end is longer than the pause and the time the server takes; the file it mounts is one the server takes."""
    manifests = {(one["kind"], one["metadata"]["name"]): one for one in documents()}
    text = manifests["ConfigMap", "jackfield"]["data"]["jackfield.toml"]
    path = tmp_path / "jackfield.toml"
    path.write_text(text)
    checked(path, JACKFIELD_BROKER_URL="redis://redis:6379/0")
    config = tomllib.loads(text)
    pod = pod_of(manifests["Deployment", "jackfield"])
    pause = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pause + int(config["shutdown"]["timeout"].rstrip("s")) < pod["terminationGracePeriodSeconds"]
    ports = {port["name"]: port["containerPort"] for port in pod["containers"][0]["ports"]}
    assert ports == {"sockets": config["http_server"]["port"], "internal": config["http_server"]["internal_port"]}
    probe = pod["containers"][0]["readinessProbe"]["httpGet"]
    assert probe == {"path": "/health", "port": "internal"}


def test_compose_is_whole() -> None:
    compose = yaml.safe_load((PACKAGING / "docker/compose.yaml").read_text())
    services = compose["services"]
    assert {"redis", "jackfield", "web", "worker"} == set(services)
    for name, service in services.items():
        assert "image" in service or "build" in service, name
        assert set(service.get("depends_on", {})) <= set(services)
    assert services["worker"]["environment"] == services["web"]["environment"]
    # Its variables are keys of the server: one that is none is warned about.
    told = {
        key: "v" * 40 if "KEY" in key else value
        for key, value in services["jackfield"]["environment"].items()
        if key != "JACKFIELD_CLIENT_ALLOWED_ORIGINS"
    }
    said = checked(PACKAGING / "config/jackfield.toml", **told)
    assert "no known key" not in said and "unknown" not in said.lower(), said


def test_images_are_of_the_parts_that_there_are() -> None:
    for dockerfile in (PACKAGING / "docker").glob("Dockerfile*"):
        lines = dockerfile.read_text().splitlines()
        assert any(line.startswith("FROM ") for line in lines)
        assert "STOPSIGNAL SIGTERM" in lines
    for source in re.findall(r"^COPY ((?!--)\S.*) \S+$", (PACKAGING / "docker/Dockerfile").read_text(), re.MULTILINE):
        for one in source.split():
            assert (ROOT / one).exists(), f"the Dockerfile copies {one}, which is not there"
