"""Packs the server binary into a wheel: a build backend (PEP 517) of the standard library.

Why not maturin: the binary is built once by cargo, tested, and packed as it is. The wheel is the
same, byte for byte, whenever the binary and the packer are. `deflate` (libdeflate) packs 3 %
better than zlib and is used where it is installed; the format is the same.

The binary is $JACKFIELD_BIN, or what `cargo build --release -p jackfield` makes.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import shutil
import struct
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
import zlib
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]

MACHINES = {3: "i686", 40: "armv7l", 62: "x86_64", 183: "aarch64", 243: "riscv64"}
"""The machines of the ELF header, as platform tags name them."""

DOS_TIME = (0, (1980 - 1980) << 9 | 1 << 5 | 1)
"""Midnight of 1980-01-01, the first that a zip file can tell: the same in every build."""


def get_requires_for_build_wheel(config_settings: object = None) -> list[str]:
    """Nothing beside what pyproject.toml names."""
    return []


def build_wheel(
    wheel_directory: str, config_settings: object = None, metadata_directory: object = None
) -> str:
    """Writes the wheel and gives its name."""
    project = tomllib.loads((HERE / "pyproject.toml").read_text())["project"]
    program = stripped(binary())
    tag = f"py3-none-{platform_tag(program)}"
    stem = f"{project['name']}-{project['version']}"
    suffix = ".exe" if program[:2] == b"MZ" else ""
    files = [
        File(f"{stem}.data/scripts/jackfield{suffix}", program, executable=True),
        *(
            File(str(path.relative_to(HERE / "src")), path.read_bytes())
            for path in sorted((HERE / "src" / "jackfield").iterdir())
            if path.suffix in {".py", ".typed"}
        ),
        *(
            File(f"{stem}.dist-info/licenses/{path.name}", path.read_bytes())
            for path in sorted(ROOT.glob("LICENSE-*"))
        ),
        File(f"{stem}.dist-info/METADATA", metadata(project).encode()),
        File(f"{stem}.dist-info/WHEEL", about_wheel(tag).encode()),
    ]
    files.append(File(f"{stem}.dist-info/RECORD", record(files, stem).encode()))
    name = f"{stem}-{tag}.whl"
    Path(wheel_directory, name).write_bytes(zipped(files))
    return name


def build_sdist(sdist_directory: str, config_settings: object = None) -> str:
    """There is none."""
    raise SystemExit(
        "jackfield is a binary and has no source distribution: build the server from the "
        "repository (cargo build --release -p jackfield) and put it on PATH"
    )


@dataclass(frozen=True)
class File:
    """A member of the wheel."""

    name: str
    data: bytes
    executable: bool = False


def binary() -> Path:
    """The program to pack."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    path = Path(os.environ.get("JACKFIELD_BIN") or target / "release" / "jackfield")
    if not path.is_file():
        raise SystemExit(
            f"{path} is missing: cargo build --release -p jackfield, or set JACKFIELD_BIN"
        )
    return path


def stripped(path: Path) -> bytes:
    """The program without its symbols, a fifth of it, where there is `strip`."""
    tool = shutil.which(os.environ.get("STRIP", "strip"))
    if tool is None:
        print("strip is not installed: the binary keeps its symbols", file=sys.stderr)
        return path.read_bytes()
    with tempfile.TemporaryDirectory(prefix="jackfield-wheel-") as folder:
        copy = shutil.copy(path, folder)
        subprocess.run([tool, copy], check=True)
        return Path(copy).read_bytes()


def platform_tag(program: bytes) -> str:
    """The platform that the program itself is for: the newest glibc it asks for, or musl."""
    if program[:4] != b"\x7fELF":
        return re.sub(r"[-.]", "_", sysconfig.get_platform())
    number = struct.unpack_from("<H", program, 18)[0]
    machine = MACHINES.get(number)
    if machine is None:
        raise SystemExit(f"no platform tag is known for ELF machine {number}")
    versions = {
        (int(major), int(minor))
        for major, minor in re.findall(rb"\0GLIBC_(\d+)\.(\d+)(?:\.\d+)?(?=\0)", program)
    }
    if not versions:
        return f"musllinux_1_2_{machine}"
    major, minor = max(versions)
    return f"manylinux_{major}_{minor}_{machine}"


def metadata(project: dict[str, object]) -> str:
    """The METADATA file."""
    words = project["keywords"]
    assert isinstance(words, list)
    lines = [
        "Metadata-Version: 2.4",
        f"Name: {project['name']}",
        f"Version: {project['version']}",
        f"Summary: {project['description']}",
        f"Keywords: {','.join(words)}",
        f"License-Expression: {project['license']}",
        *(f"License-File: {path.name}" for path in sorted(ROOT.glob("LICENSE-*"))),
        f"Requires-Python: {project['requires-python']}",
        "Description-Content-Type: text/markdown",
    ]
    return "\n".join(lines) + "\n\n" + (HERE / "README.md").read_text()


def about_wheel(tag: str) -> str:
    """The WHEEL file."""
    return (
        "Wheel-Version: 1.0\nGenerator: jackfield build_wheel\n"
        f"Root-Is-Purelib: false\nTag: {tag}\n"
    )


def record(files: list[File], stem: str) -> str:
    """The RECORD file: every member with hash and size, itself without."""
    lines = [f"{one.name},sha256={_digest(one.data)},{len(one.data)}" for one in files]
    return "\n".join([*lines, f"{stem}.dist-info/RECORD,,"]) + "\n"


def zipped(files: list[File]) -> bytes:
    """A zip archive. `zipfile` cannot be told how to deflate, so the few headers stand here."""
    body, directory = b"", b""
    for one in files:
        packed, name = deflated(one.data), one.name.encode()
        common = struct.pack(
            "<HHHHHIIIHH",
            *(20, 0, 8, *DOS_TIME, zlib.crc32(one.data)),
            *(len(packed), len(one.data), len(name), 0),
        )
        mode = (0o100755 if one.executable else 0o100644) << 16
        directory += b"PK\1\2" + struct.pack("<H", 3 << 8 | 20) + common
        directory += struct.pack("<HHHII", 0, 0, 0, mode, len(body)) + name
        body += b"PK\3\4" + common + name + packed
    end = struct.pack("<HHHHIIH", 0, 0, len(files), len(files), len(directory), len(body), 0)
    return body + directory + b"PK\5\6" + end


def deflated(data: bytes) -> bytes:
    """Data as a raw deflate stream, as small as can be."""
    try:
        import deflate
    except ImportError:
        packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS, 9)
        return packer.compress(data) + packer.flush()
    return bytes(deflate.deflate_compress(data, 12))


def _digest(data: bytes) -> str:
    digest = hashlib.sha256(data).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


if __name__ == "__main__":
    print(build_wheel(sys.argv[1] if len(sys.argv) > 1 else "."))
