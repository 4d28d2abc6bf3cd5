"""Runs the Autobahn testsuite's fuzzing client against the echo endpoint, and refuses all that is not OK.

The suite runs on CPython 2.7 only. Where there is none this says so and counts as skipped; everything else that goes wrong
is a failure. The cases are dealt out to as many fuzzing clients as there are processors, each with a folder of its own.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from serving import ROOT, Server  # noqa: E402

FOLDER = ROOT / ".test" / "autobahn"
REQUIREMENTS = HERE / "requirements.txt"
LARGEST = 16 * 1024 * 1024
GOOD = ("OK", "INFORMATIONAL")
# Each group of cases; of the long ones, those with small messages.
QUICK = [*(f"{n}.*" for n in range(1, 8)), "10.*", "9.1.1", "9.2.1", "9.3.*", "9.4.1", "9.5.*", "9.6.*", "9.7.*", "9.8.*"]
QUICK += [f"{group}.{row}.{size}" for group, rows in ((12, 5), (13, 7)) for row in range(1, rows + 1) for size in (1, 4, 11)]
PATIENCE = 3600

CONFIG = f"""
[client]
message_rate_limit = 0
queue_max_size = {4 * LARGEST}
ping_interval = "10m"
pong_timeout = "5m"

[websocket]
compression = true
compression_min_size = 0
decompressed_message_size_limit = {2 * LARGEST}
compression_ratio_limit = 2000

[[raw]]
path = "/echo"
dialect = "echo"
message_size_limit = {LARGEST + 1024}
"""


def python2() -> str | None:
    """A CPython 2.7: $PYTHON2, one on the path, or one of pyenv's."""
    names = [os.environ.get("PYTHON2"), shutil.which("python2.7"), shutil.which("python2")]
    roots = [os.environ.get("PYENV_ROOT"), str(Path.home() / ".pyenv")]
    for root in filter(None, roots):
        names += [str(path) for path in sorted(Path(root).glob("versions/2.7*/bin/python2.7"), reverse=True)]
    for name in filter(None, names):
        with contextlib.suppress(OSError):
            # A shim of pyenv is there whether or not the version is chosen.
            said = subprocess.run([name, "-c", "import sys; print(sys.version_info[:2])"], capture_output=True, text=True)
            if said.stdout.strip() == "(2, 7)":
                return name
    return None


def install(python: str) -> Path:
    """The fuzzing client, installed in a private folder unless it is there already, and known to start."""
    client, stamp = FOLDER / "venv" / "bin" / "wstest", FOLDER / "installed.txt"
    wanted = REQUIREMENTS.read_text()
    if client.exists() and stamp.exists() and stamp.read_text() == wanted:
        return client
    print("installing the testsuite", flush=True)
    FOLDER.mkdir(parents=True, exist_ok=True)
    tool, venv = FOLDER / "tool", FOLDER / "venv"
    with open(FOLDER / "pip.log", "w") as log:

        def run(*command: str, path: str = "") -> None:
            environment = {**os.environ, "PYTHONPATH": path}
            if subprocess.run(command, stdout=log, stderr=log, env=environment).returncode:
                log.flush()
                lines = (FOLDER / "pip.log").read_text(errors="replace").splitlines()
                raise SystemExit("\n".join([*lines[-20:], f"failed to install the testsuite: {' '.join(command)}"]))

        run(python, "-m", "pip", "install", "-q", "--upgrade", "--target", str(tool), "virtualenv<20.16")
        shutil.rmtree(venv, ignore_errors=True)
        run(python, "-m", "virtualenv", "-q", str(venv), path=str(tool))
        run(str(venv / "bin" / "pip"), "install", "-q", "--no-deps", "-r", str(REQUIREMENTS))
        run(str(client), "-a")
    stamp.write_text(wanted)
    return client


def all_cases(client: Path) -> list[str]:
    """The ids of all cases, in the order of the suite."""
    ask = "from autobahntestsuite.case import Cases; print(' '.join(c.__name__[4:].replace('_', '.') for c in Cases))"
    return subprocess.run([client.parent / "python", "-c", ask], check=True, capture_output=True, text=True).stdout.split()


def chosen(patterns: list[str], cases: list[str]) -> list[str]:
    shapes = [re.compile(pattern.replace(".", r"\.").replace("*", ".*") + "$") for pattern in patterns]
    return [case for case in cases if any(shape.match(case) for shape in shapes)]


def deal(cases: list[str], count: int) -> list[list[str]]:
    """The cases for each client; those of the groups that take long lie side by side, so each gets its share."""
    hands = [cases[n::count] for n in range(count)]
    return [hand for hand in hands if hand]


@contextlib.contextmanager
def serving(url: str | None) -> Iterator[str]:
    if url:
        yield url
        return
    with Server(CONFIG, workers=os.cpu_count() or 1) as server:
        yield f"ws://127.0.0.1:{server.port}/echo"


def run(client: Path, url: str, hands: list[list[str]]) -> dict[str, dict[str, object]]:
    """Runs every hand of cases at once; what the suite says of each case."""
    runs = []
    for n, cases in enumerate(hands):
        folder = FOLDER / f"client-{n}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        spec = {"outdir": str(folder / "report"), "servers": [{"agent": "jackfield", "url": url}], "cases": cases}
        (folder / "spec.json").write_text(json.dumps(spec))
        log = open(folder / "log", "wb")
        command = [client, "-m", "fuzzingclient", "-s", str(folder / "spec.json")]
        runs.append((folder, subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)))
    verdicts: dict[str, dict[str, object]] = {}
    try:
        for folder, process in runs:
            process.wait(PATIENCE)
            report = folder / "report" / "index.json"
            if not report.exists():
                print((folder / "log").read_text(errors="replace")[-2000:])
                raise SystemExit(f"the fuzzing client wrote no report; its words are in {folder / 'log'}")
            for case, verdict in json.loads(report.read_text())["jackfield"].items():
                verdicts[case] = {**verdict, "folder": folder / "report"}
    finally:
        for _, process in runs:
            process.kill()
    return verdicts


def judge(cases: list[str], verdicts: dict[str, dict[str, object]]) -> int:
    """Prints what came out, and gives the number of cases that are not good."""
    behaviours = collections.Counter(str(verdict["behavior"]) for verdict in verdicts.values())
    closes = collections.Counter(str(verdict["behaviorClose"]) for verdict in verdicts.values())
    for title, counter in (("behaviour", behaviours), ("closing", closes)):
        print(f"{title}: " + ", ".join(f"{count} {name}" for name, count in counter.most_common()))
    bad = 0
    for case in cases:
        verdict = verdicts.get(case)
        if verdict is None:
            bad += 1
            print(f"case {case} was not run")
        elif verdict["behavior"] not in GOOD or verdict["behaviorClose"] not in GOOD:
            bad += 1
            detail = json.loads((Path(str(verdict["folder"])) / str(verdict["reportfile"])).read_text())
            print(f"case {case}: {verdict['behavior']}, closing {verdict['behaviorClose']}")
            print(f"  {detail['result']} {detail['resultClose']}\n  {Path(str(verdict['folder'])) / str(verdict['reportfile'])}")
    return bad


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/autobahn", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="every group of cases, but of the long ones only the short")
    parser.add_argument("--cases", nargs="+", metavar="PATTERN", help="only these cases, such as 6.4.3 or 12.*")
    parser.add_argument("--clients", type=int, default=os.cpu_count() or 1, help="fuzzing clients at once")
    parser.add_argument("--url", help="another server's echo endpoint instead of our own")
    options = parser.parse_args()
    python = python2()
    if python is None:
        print("the Autobahn testsuite was not run: it needs CPython 2.7 (PYTHON2, python2.7 on the path, or pyenv's), and there is none")
        print("0 passed, 0 failed, 1 skipped")
        return 0
    client = install(python)
    started = time.monotonic()
    cases = chosen(options.cases or (QUICK if options.quick else ["*"]), all_cases(client))
    if not cases:
        raise SystemExit(f"no case matches {' '.join(options.cases or [])}; write an id such as 6.4.3 or a pattern such as 12.*")
    hands = deal(cases, options.clients)
    print(f"{len(cases)} cases by {len(hands)} fuzzing clients", flush=True)
    with serving(options.url) as url:
        verdicts = run(client, url, hands)
    bad = judge(cases, verdicts)
    print(f"in {time.monotonic() - started:.0f} seconds")
    print(f"{len(cases) - bad} passed, {bad} failed, 0 skipped")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
