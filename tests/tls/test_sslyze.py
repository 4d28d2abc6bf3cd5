"""What sslyze thinks of our ports."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from authority import Authority
from secure import SecureNeighbours, SecureServer, base, context, tls

OLD = ("ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1")
STRONG = {
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    *(
        f"TLS_ECDHE_{key}_WITH_{cipher}"
        for key in ("ECDSA", "RSA")
        for cipher in ("AES_128_GCM_SHA256", "AES_256_GCM_SHA384", "CHACHA20_POLY1305_SHA256")
    ),
}


@pytest.fixture(scope="module", params=["ECDSA", "RSA"])
def server(request: pytest.FixtureRequest, authority: Authority) -> Iterator[SecureServer]:
    issued = authority.issue("localhost", rsa_key=request.param == "RSA")
    config = base(issued) + tls("http_server.internal_tls", issued)
    config += '\n[[tcp]]\nname = "json"\nport = {tcp_json}\n' + tls("tcp.tls", issued)
    with SecureServer(config) as server:
        yield server


def scan(ports: list[int], authority: Authority, tmp_path: Path) -> list[dict[str, Any]]:
    """The results of the scans, one for each port; not of resumption, which sslyze misses where tickets are renewed."""
    out = tmp_path / "sslyze.json"
    targets = [f"localhost:{port}{{127.0.0.1}}" for port in ports]
    options = ["--json_out", str(out), "--certinfo_ca_file", str(authority.certificate), "--mozilla_config", "disable"]
    scans = "sslv2 sslv3 tlsv1 tlsv1_1 tlsv1_2 tlsv1_3 reneg compression heartbleed openssl_ccs fallback robot"
    scans += " early_data elliptic_curves ems certinfo"
    command = [sys.executable, "-m", "sslyze", *options, *(f"--{one}" for one in scans.split()), *targets]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert out.exists(), done.stdout + done.stderr
    results = json.loads(out.read_text())["server_scan_results"]
    assert len(results) == len(ports)
    return list(results)


def test_no_weak_protocol_or_cipher(server: SecureServer, authority: Authority, tmp_path: Path) -> None:
    neighbours = SecureNeighbours(server, context(authority))
    for target in scan([server.port, server.internal, server.tcp_json], authority, tmp_path):
        assert target["scan_status"] == "COMPLETED", target
        found = target["scan_result"]
        results = {}
        for name, attempt in found.items():
            if name == "http_headers" or attempt["status"] == "NOT_SCHEDULED":
                continue
            assert attempt["status"] == "COMPLETED", (name, attempt)
            results[name] = attempt["result"]
        for version in OLD:
            assert results[f"{version}_cipher_suites"]["accepted_cipher_suites"] == [], version
        for version in ("tls_1_2", "tls_1_3"):
            taken = {
                one["cipher_suite"]["name"] for one in results[f"{version}_cipher_suites"]["accepted_cipher_suites"]
            }
            assert taken and taken <= STRONG, taken
        assert results["heartbleed"]["is_vulnerable_to_heartbleed"] is False
        assert results["openssl_ccs_injection"]["is_vulnerable_to_ccs_injection"] is False
        assert results["robot"]["robot_result"].startswith("NOT_VULNERABLE"), results["robot"]
        assert results["tls_compression"]["supports_compression"] is False
        assert results["tls_1_3_early_data"]["supports_early_data"] is False
        assert results["session_renegotiation"]["is_vulnerable_to_client_renegotiation_dos"] is False
        assert results["session_renegotiation"]["supports_secure_renegotiation"] is True
        assert results["tls_extended_master_secret"]["supports_ems_extension"] is True
        curves = {curve["name"] for curve in results["elliptic_curves"]["supported_curves"]}
        assert curves and curves <= {"X25519", "secp256r1", "prime256v1", "secp384r1"}, curves
        (deployment,) = results["certificate_info"]["certificate_deployments"]
        assert any(path["was_validation_successful"] for path in deployment["path_validation_results"])
    neighbours.check()
