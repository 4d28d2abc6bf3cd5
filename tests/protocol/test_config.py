"""The configuration: mistakes are named with what to write, and what stands over what."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from pathlib import Path

import pytest
from serving import BINARY, RawWebSocket, Server, free_port
from speakers import BASE, PATH, JsonSocket


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("JACKFIELD_")}
    command = [str(BINARY), *arguments]
    return subprocess.run(command, env={**clean, **environment}, capture_output=True, text=True, timeout=30)


BAD = {
    "a typo in a key": ('[client]\nalowed_origins = ["*"]\n', ["jackfield.toml:2", "did you mean `allowed_origins`?"]),
    "a typo in a table": ("[clent]\ninsecure = true\n", ["jackfield.toml", "clent", "did you mean `client"]),
    "a key of another table": ("port = 1\n", ["did you mean `http_server.port`?"]),
    "an unknown driver": ('[app_link]\ndriver = "reddis"\n', ['"reddis" is unknown; did you mean "redis"?']),
    "a bad URL": ('[app_link]\ndriver = "redis"\nurl = "htp:/x"\n', ["app_link.url", 'write "redis://127.0.0.1:6379/0"']),
    "no URL": ('[app_link]\ndriver = "rabbitmq"\n', ["app_link.url", "amqp://"]),
    "a bad duration": ('[client]\nping_interval = "soon"\n', ["client.ping_interval", '"25s"']),
    "a number for a text": ("[http_server]\naddress = 5\n", ["http_server.address"]),
    "a bad port": ("[http_server]\nport = 70000\n", ["http_server.port"]),
    "pongs later than pings": ('[client]\nping_interval = "5s"\npong_timeout = "8s"\n', ["pong_timeout", "ping_interval"]),
    "no TOML": ("[client\n", ["jackfield.toml:1"]),
}


@pytest.mark.parametrize("command", ["check", "serve"])
@pytest.mark.parametrize("name", BAD)
def test_mistakes(tmp_path: Path, name: str, command: str) -> None:
    text, words = BAD[name]
    path = tmp_path / "jackfield.toml"
    path.write_text(text)
    ran = run(command, "-c", str(path))
    assert ran.returncode != 0 and ran.stdout == ""
    for word in words:
        assert word in ran.stderr, ran.stderr


def test_all_mistakes_at_once(tmp_path: Path) -> None:
    path = tmp_path / "jackfield.toml"
    path.write_text('[client]\nalowed_origins = []\nping_interval = "x"\n[app_link]\ndriver = "reddis"\n')
    ran = run("check", "-c", str(path), "--set", "http_server.prt=1")
    assert ran.returncode != 0
    for word in (":2: ", ":3: ", ":5: ", "command line"):
        assert word in ran.stderr, ran.stderr


def test_no_such_file() -> None:
    ran = run("check", "-c", "/nowhere/jackfield.toml")
    assert ran.returncode != 0 and "/nowhere/jackfield.toml" in ran.stderr


def test_a_good_one(tmp_path: Path) -> None:
    path = tmp_path / "jackfield.toml"
    path.write_text('[client.token]\nhmac_secret_key = "a-secret-of-at-least-32-bytes-for-tests"\n')
    ran = run("check", "-c", str(path))
    assert ran.returncode == 0 and "good" in ran.stdout and "secret" not in ran.stdout


def test_a_secret_is_never_said(tmp_path: Path) -> None:
    ran = run("check", "--set", "app_link.driver=redis", "--set", "app_link.url=htp://user:passw0rd@h")
    assert ran.returncode != 0 and "passw0rd" not in ran.stderr


@pytest.mark.parametrize("key", ["http_server.port", "http_server.internal_port", "embedded.port"])
def test_a_port_in_use(key: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        number = taken.getsockname()[1]
        ports = {k: free_port() for k in ("http_server.port", "http_server.internal_port", "embedded.port")} | {key: number}
        sets = [word for k, port in ports.items() for word in ("--set", f"{k}={port}")]
        ran = run("serve", *sets, "--set", "app_link.driver=embedded", "--set", "http_server.address=127.0.0.1")
    assert ran.returncode != 0
    assert str(number) in ran.stderr and key in ran.stderr and "in use" in ran.stderr, ran.stderr


def test_dev_refuses_to_listen_beyond_loopback() -> None:
    ran = run("serve", "--dev", "--set", "http_server.address=0.0.0.0")
    assert ran.returncode != 0 and "loopback" in ran.stderr


def limit_of(port: int) -> str:
    client = RawWebSocket(port, PATH)
    client.frame(1, b" " * 5000)
    reason = client.closed()[1]
    client.close()
    return reason


def test_the_command_line_stands_over_the_file() -> None:
    config = BASE + "\n[websocket]\nmessage_size_limit = 1000\n"
    with Server(config) as server:
        assert "limit of 1000 bytes" in limit_of(server.port)
    with Server(config, sets=("websocket.message_size_limit=2000",)) as server:
        assert "limit of 2000 bytes" in limit_of(server.port)


def test_layers_of_check(tmp_path: Path) -> None:
    """A wrong value is named with the layer it came from, so the layer that won is the one that is named."""
    path = tmp_path / "jackfield.toml"
    path.write_text('[client]\nping_interval = "1s"\npong_timeout = "500ms"\n')
    assert run("check", "-c", str(path)).returncode == 0
    ran = run("check", "-c", str(path), JACKFIELD_CLIENT_PING_INTERVAL="400ms")
    assert ran.returncode != 0 and "pong_timeout" in ran.stderr
    assert run("check", "-c", str(path), "--set", "client.ping_interval=2s", JACKFIELD_CLIENT_PING_INTERVAL="400ms").returncode == 0
    assert run("check", JACKFIELD_CONFIG=str(path), JACKFIELD_CLIENT_PONG_TIMEOUT="2s").returncode != 0
    ran = run("check", "-c", str(path), JACKFIELD_CLIENT_INSECUR="true")
    assert ran.returncode == 0 and "JACKFIELD_CLIENT_INSECURE" in ran.stdout


def test_a_token_of_the_command_line_lets_in(tmp_path: Path) -> None:
    path = tmp_path / "jackfield.toml"
    with Server(BASE) as server:
        path.write_text(BASE.replace("{tcp_json}", "0").replace("{tcp_raw}", "0"))
        made = run("token", "-c", str(path), "ann", "--info", json.dumps({"name": "Ann"}))
        assert made.returncode == 0, made.stderr
        client = JsonSocket(server.port)
        hello = client.result(connect={"token": made.stdout.strip()})
        assert hello["expires"] is True and hello["ttl"] > 3000
        client.close()
