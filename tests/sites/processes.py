"""What processes hold: connections, memory, children; read from /proc."""

from __future__ import annotations

import contextlib
from pathlib import Path

ESTABLISHED = "01"


def family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    found, fresh = [pid], [pid]
    while fresh:
        parent = fresh.pop()
        for listed in Path(f"/proc/{parent}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                children = [int(child) for child in listed.read_text().split()]
                found += children
                fresh += children
    return found


def connections(pids: list[int]) -> list[tuple[int, int]]:
    """The established TCP connections that these processes hold, as (own port, other port)."""
    inodes = set()
    for pid in pids:
        with contextlib.suppress(OSError):
            for entry in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    inodes.add(str(entry.readlink()).removeprefix("socket:[").removesuffix("]"))
    held = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == ESTABLISHED and fields[9] in inodes:
                held.append(tuple(int(fields[n].rsplit(":", 1)[1], 16) for n in (1, 2)))
    return held


def memory(pid: int) -> dict[str, int]:
    """Resident and proportional memory of a process in KiB."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return {
        name: int(line.split()[1])
        for line in text.splitlines()
        for name in ("Rss", "Pss")
        if line.startswith(f"{name}:")
    }


def name(pid: int) -> str:
    """What the process calls itself."""
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
