"""Follows docs/django-tutorial.md, as README.md beside this file says. Prints what it does; ends with 0 if all went well."""

from __future__ import annotations

import ast
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "django-tutorial.md"
PATIENCE_SECONDS = 300.0
PORTS = (8000, 8001, 8401, 8402)
"""Of runserver, the server, its health, its queue."""
FENCE = re.compile(r"^```(\w+)?(?: title=\"([^\"]+)\")?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
WORDS_A_MINUTE = 180
"""How fast technical text is read."""


@dataclass(frozen=True)
class Block:
    """A fenced block of the page."""

    language: str
    title: str
    text: str

    @property
    def commands(self) -> list[str]:
        return [line[2:] for line in self.text.splitlines() if line.startswith("$ ")]


class Terminal:
    """A shell into which commands are typed."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.log = tempfile.TemporaryFile()
        self.busy = False
        self.shell = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            stdin=subprocess.PIPE,
            stdout=self.log,
            stderr=self.log,
            cwd=folder,
            env=environment,
            start_new_session=True,
        )

    def type(self, command: str) -> str:
        """Types a command and waits for its end; gives what it printed."""
        assert not self.busy, f"a server runs in this terminal: {command!r} needs a second one"
        mark = f"--done-{time.monotonic_ns()}-"
        before = len(self.said())
        if "runserver" in command:
            self.busy = True
            self.write(command)
            self.wait(lambda: "Quit the server" in self.said()[before:], command)
            return self.said()[before:]
        self.write(f"{command}\necho {mark}$?")
        self.wait(lambda: re.search(rf"{mark}\d+\n", self.said()), command)
        said, _, code = self.said()[before:].partition(mark)
        assert code.strip() == "0", f"{command!r} ended with {code.strip()}:\n{said}"
        return said

    def write(self, text: str) -> None:
        assert self.shell.stdin
        self.shell.stdin.write(text.encode() + b"\n")
        self.shell.stdin.flush()

    def said(self) -> str:
        return os.pread(self.log.fileno(), 10_000_000, 0).decode(errors="replace")

    def wait(self, condition, what: str) -> None:
        end = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            assert self.shell.poll() is None, f"the shell ended:\n{self.said()}"
            assert time.monotonic() < end, f"{what!r} did not end:\n{self.said()}"
            time.sleep(0.05)

    def close(self) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.shell.pid, number)
                self.shell.wait(15)
            except ProcessLookupError:
                return
            except subprocess.TimeoutExpired:
                continue


def blocks(page: str) -> Iterator[Block]:
    """The fenced blocks of a page."""
    for language, title, text in FENCE.findall(page):
        yield Block(language, title, text)


def apply(block: Block, folder: Path) -> None:
    """Makes or changes the file that a block is titled with."""
    name, _, how = block.title.partition(", ")
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if not how:
        path.write_text(block.text)
    elif how == "at the end":
        path.write_text(path.read_text().rstrip("\n") + "\n\n" + block.text)
    elif how.startswith("in place of "):
        path.write_text(replaced(path.read_text(), how.removeprefix("in place of "), block.text))
    else:
        raise AssertionError(f"what is {block.title!r}?")


def replaced(source: str, name: str, text: str) -> str:
    """Source with another statement in place of the one that assigns a name."""
    found = [
        node
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign) and any(getattr(one, "id", "") == name for one in node.targets)
    ]
    assert len(found) == 1, f"{name} is assigned {len(found)} times"
    lines = source.splitlines(keepends=True)
    return "".join([*lines[: found[0].lineno - 1], text, *lines[found[0].end_lineno :]])


def environment(wheels: Path, python: str) -> dict[str, str]:
    """That of somebody who has nothing yet; the two wheels lie where pip looks first."""
    names = ("HOME", "LANG", "PIP_INDEX_URL", "PIP_CERT", "SSL_CERT_FILE")
    kept = {name: os.environ[name] for name in names if name in os.environ}
    # A folder in which `python3` is the interpreter of choice.
    own = Path(tempfile.mkdtemp(prefix="jackfield-python-"))
    (own / "python3").symlink_to(python)
    return kept | {
        "PATH": f"{own}:/usr/local/bin:/usr/bin:/bin",
        "PIP_FIND_LINKS": str(wheels),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PYTHONUNBUFFERED": "1",
    }


def pages(stage: str) -> None:
    """Two pages in Chromium; see two_pages.mjs."""
    script = Path(__file__).with_name("two_pages.mjs")
    subprocess.run(["node", str(script), "http://127.0.0.1:8000/", stage], check=True, timeout=120)


def free() -> None:
    """The page names its ports, so nobody else may have them."""
    for port in PORTS:
        with socket.socket() as probe:
            taken = probe.connect_ex(("127.0.0.1", port)) == 0
        assert not taken, f"port {port} is taken: the tutorial needs {', '.join(map(str, PORTS))}"


def follow(wheels: Path, python: str) -> int:
    """Does everything the page says, in its order. Returns how many steps there were."""
    free()
    steps = 0
    folder = Path(tempfile.mkdtemp(prefix="jackfield-tutorial-"))
    surroundings = environment(wheels, python)
    terminals: dict[str, Terminal] = {}
    page = PAGE.read_text()
    served = False
    start = time.monotonic()
    try:
        found = list(blocks(page))
        for number, block in enumerate(found):
            if block.language == "console":
                if served and block.title:
                    # Where the page begins to look at itself, all of part 4 is in place.
                    wait_until_served("Wave")
                    pages("waves")
                    steps += 1
                    print("  two pages wave to each other, and count each other")
                if block.title not in terminals:
                    terminals[block.title] = Terminal(folder, surroundings)
                terminal = terminals[block.title]
                for command in block.commands:
                    print(f"$ {command}", flush=True)
                    said = terminal.type(command)
                    steps += 1
                    if "runserver" in command:
                        expected = next(one.text for one in found[number:] if one.language == "text")
                        assert expected.strip() in said, f"{expected!r} is not in\n{said}"
                        pages("entries")
                        steps += 1
                        served = True
                        print("  two pages see each other's entries")
                    if "doctor" in command:
                        assert "nothing is wrong" in said, said
            elif block.title:
                print(f"  {block.title}", flush=True)
                apply(block, folder)
                steps += 1
        assert served, "the page starts no runserver"
        assert set(terminals) == {"", "second terminal"}
    except BaseException:
        for terminal in terminals.values():
            print(terminal.said()[-6000:], file=sys.stderr)
        raise
    finally:
        for terminal in terminals.values():
            terminal.close()
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(surroundings["PATH"].partition(":")[0], ignore_errors=True)
    prose = len(re.sub(r"```.*?```", "", page, flags=re.DOTALL).split())
    code = sum(len(block.text.split()) for block in found)
    print(
        f"followed in {time.monotonic() - start:.0f} s; to be read: {prose} words and {code} of code, "
        f"{(prose + code) / WORDS_A_MINUTE:.0f} minutes"
    )
    assert (prose + code) / WORDS_A_MINUTE <= 15, "the tutorial takes more than 15 minutes to read"
    return steps + 1


def wait_until_served(text: str) -> None:
    """The reloader needs a moment for what was typed last."""
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            with urllib.request.urlopen("http://127.0.0.1:8000/", timeout=10) as answer:
                if text in answer.read().decode():
                    return
        except OSError:
            pass
        assert time.monotonic() < end, f"the page never showed {text!r}"
        time.sleep(0.2)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("follow.py FOLDER-OF-WHEELS [PYTHON]")
    # Whoever ends this ends what it started, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended from outside"))
    try:
        done = follow(Path(sys.argv[1]).resolve(), sys.argv[2] if len(sys.argv) > 2 else sys.executable)
    except BaseException:
        print("0 passed, 1 failed, 0 skipped", flush=True)
        raise
    print(f"{done} passed, 0 failed, 0 skipped")
