"""The distribution `jackfield`: a wheel with the server binary, installed as pip does it."""

import base64
import csv
import hashlib
import importlib.util
import io
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from django_jackfield.devserver import binary

HERE = Path(__file__).parents[1] / "jackfield"
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="packs programs of Linux")


@pytest.fixture(scope="module")
def backend():
    spec = importlib.util.spec_from_file_location("build_wheel", HERE / "build_wheel.py")
    module = importlib.util.module_from_spec(spec)
    # A dataclass looks for its module.
    sys.modules["build_wheel"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["build_wheel"]


def built(backend, folder, program, monkeypatch):
    monkeypatch.setenv("JACKFIELD_BIN", str(program))
    folder.mkdir(exist_ok=True)
    return folder / backend.build_wheel(str(folder))


@pytest.fixture
def program(tmp_path):
    """A small program that stands for the server."""
    found = shutil.which("cat")
    copy = tmp_path / "jackfield"
    shutil.copy(found, copy)
    return copy


def test_the_same_program_makes_the_same_wheel(backend, program, tmp_path, monkeypatch):
    first = built(backend, tmp_path / "one", program, monkeypatch)
    os.utime(program, (1, 1))
    second = built(backend, tmp_path / "two", program, monkeypatch)
    assert first.read_bytes() == second.read_bytes()


def test_a_sound_archive_whose_record_is_complete(backend, program, tmp_path, monkeypatch):
    wheel = built(backend, tmp_path / "one", program, monkeypatch)
    with zipfile.ZipFile(wheel) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        stem = "jackfield-0.1.0"
        assert {one for one in names if not one.startswith("jackfield/")} == {
            f"{stem}.data/scripts/jackfield",
            f"{stem}.dist-info/METADATA",
            f"{stem}.dist-info/RECORD",
            f"{stem}.dist-info/WHEEL",
            f"{stem}.dist-info/licenses/LICENSE-APACHE",
            f"{stem}.dist-info/licenses/LICENSE-MIT",
        }
        script = archive.getinfo(f"{stem}.data/scripts/jackfield")
        assert script.external_attr >> 16 & 0o111 == 0o111
        rows = list(csv.reader(io.StringIO(archive.read(f"{stem}.dist-info/RECORD").decode())))
        assert [row[0] for row in rows] == names
        for name, digest, size in rows[:-1]:
            data = archive.read(name)
            expected = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=")
            assert (digest, size) == (f"sha256={expected.decode()}", str(len(data)))
        tag = wheel.stem.split("-", 2)[2]
        assert f"Tag: {tag}\n" in archive.read(f"{stem}.dist-info/WHEEL").decode()


def test_the_tag_is_that_of_the_program(backend):
    head = b"\x7fELF" + bytes(14)
    amd64, arm64 = (head + bytes([number, 0]) for number in (62, 183))
    versions = b"\0GLIBC_2.2.5\0GLIBC_2.34\0GLIBC_2.9\0"
    assert backend.platform_tag(amd64 + versions) == "manylinux_2_34_x86_64"
    assert backend.platform_tag(arm64 + versions) == "manylinux_2_34_aarch64"
    assert backend.platform_tag(amd64 + b"\0ld-musl\0") == "musllinux_1_2_x86_64"
    with pytest.raises(SystemExit, match="machine 9"):
        backend.platform_tag(head + bytes([9, 0]))


def test_both_packers_pack_the_same(backend, monkeypatch):
    import zlib

    data = b"jackfield" * 1000
    packed = [backend.deflated(data)]
    monkeypatch.setitem(sys.modules, "deflate", None)
    packed.append(backend.deflated(data))
    assert [zlib.decompress(one, -zlib.MAX_WBITS) for one in packed] == [data, data]


def test_a_missing_program_is_named(backend, tmp_path, monkeypatch):
    with pytest.raises(SystemExit, match="cargo build --release -p jackfield"):
        built(backend, tmp_path, tmp_path / "none", monkeypatch)


def test_no_source_distribution(backend):
    with pytest.raises(SystemExit, match="no source distribution"):
        backend.build_sdist(".")


def test_django_and_server_have_one_version():
    import tomllib

    versions = {
        tomllib.loads((folder / "pyproject.toml").read_text())["project"]["version"]
        for folder in (HERE, HERE.parent)
    }
    cargo = tomllib.loads((HERE.parents[1] / "Cargo.toml").read_text())
    versions.add(cargo["workspace"]["package"]["version"])
    assert len(versions) == 1


@pytest.mark.skipif(binary.find_binary() is None, reason="no server binary: set JACKFIELD_BIN")
def test_installed_into_an_empty_environment(backend, tmp_path, monkeypatch):
    wheel = built(backend, tmp_path / "dist", binary.find_binary(), monkeypatch)
    # 10.5 MB as it is released; what scripts/test builds is a tenth larger (no LTO).
    assert wheel.stat().st_size < 12_000_000
    monkeypatch.delenv("JACKFIELD_BIN")
    monkeypatch.delenv("PYTHONPATH", raising=False)
    environment = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    python = environment / "bin" / "python"

    def run(*arguments, **more):
        return subprocess.run(
            arguments, capture_output=True, text=True, check=True, cwd=tmp_path, **more
        ).stdout.strip()

    def pip(*arguments):
        run(python, "-m", "pip", "install", "-q", "--no-index", "--no-deps", *arguments, wheel)

    find = "import jackfield; print(jackfield.find_bin())"
    pip()
    script = environment / "bin" / "jackfield"
    version = run(script, "version")
    assert version.startswith("jackfield ")
    assert run(python, "-m", "jackfield", "version") == version
    assert run(python, "-c", find) == str(script)
    run(python, "-m", "pip", "uninstall", "-q", "-y", "jackfield")
    assert not script.exists()

    target = tmp_path / "target"
    pip("--target", target)
    surroundings = os.environ | {"PYTHONPATH": str(target)}
    assert run(python, "-c", find, env=surroundings) == str(target / "bin" / "jackfield")
    assert run(python, "-m", "jackfield", "version", env=surroundings) == version

    prefix = tmp_path / "prefix"
    pip("--prefix", prefix)
    packages = next(prefix.glob("lib/python3*/site-packages"))
    surroundings = os.environ | {"PYTHONPATH": str(packages)}
    assert run(python, "-c", find, env=surroundings) == str(prefix / "bin" / "jackfield")

    (target / "bin" / "jackfield").unlink()
    failed = subprocess.run(
        [python, "-c", find],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(target)},
    )
    assert "pip install --force-reinstall jackfield" in failed.stderr
