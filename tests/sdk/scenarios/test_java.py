"""The unmodified Java SDK plays its scenarios in a JVM; each is a test here."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from players import CONFIG, KEY
from serving import Server
from speakers import SECRET

HERE = Path(__file__).parent / "java"
NAMES = re.findall(r'scenario\("([^"]+)"', (HERE / "Scenarios.java").read_text())
JARS = os.environ.get("JACKFIELD_JAVA_JARS", "")


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    if not (shutil.which("java") and shutil.which("javac")):
        pytest.skip("there is no Java")
    if not list(Path(JARS or "nowhere").glob("centrifuge-java-*.jar")):
        pytest.skip("JACKFIELD_JAVA_JARS names no folder with the Java SDK; see java/pom.xml")
    classes = tmp_path_factory.mktemp("classes")
    path = f"{classes}{os.pathsep}{JARS}/*"
    subprocess.run(["javac", "-cp", path, "-d", classes, *HERE.glob("*.java")], check=True)
    with Server(CONFIG) as server:
        command = ["java", "-cp", path, "Scenarios", str(server.port), str(server.internal), KEY, SECRET]
        done = subprocess.run(command, capture_output=True, text=True, timeout=500)
        lines = [line.split(" ", 2) for line in done.stdout.splitlines() if line.startswith(("passed ", "failed "))]
        assert done.returncode == 0, done.stderr
        yield {name: "" if verdict == "passed" else " ".join(why) for verdict, name, *why in lines}


@pytest.mark.parametrize("name", NAMES)
def test_java(outcomes: dict[str, str], name: str) -> None:
    assert name in outcomes, "it was not played"
    assert outcomes[name] == ""
