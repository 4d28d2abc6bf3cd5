"""Pages in Chromium over https and wss, under an authority that the browser trusts because it was told to."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from authority import Authority
from secure import SecureServer, base
from serving import free_port
from speakers import token

HERE = Path(__file__).parent
STREAMS = "\n".join(f"[{name}]\nenabled = true\n" for name in ("sse", "http_stream", "uni_sse"))


@pytest.mark.skipif(not shutil.which("certutil"), reason="there is no certutil (libnss3-tools)")
@pytest.mark.skipif(
    not os.path.exists(os.environ.get("JACKFIELD_CHROMIUM", "/usr/bin/chromium")), reason="there is no Chromium"
)
def test_pages_over_https_and_wss(authority: Authority, stranger: Authority, tmp_path: Path) -> None:
    store = tmp_path / ".pki" / "nssdb"
    store.mkdir(parents=True)
    for arguments in (
        ["-N", "--empty-password"],
        ["-A", "-n", "test authority", "-t", "C,,", "-i", str(authority.certificate)],
    ):
        subprocess.run(["certutil", "-d", f"sql:{store}", *arguments], check=True, timeout=60)
    page = authority.issue("localhost")
    site = free_port()
    sets = (f"client.allowed_origins=https://localhost:{site}",)
    with (
        SecureServer(base(page) + STREAMS, sets=sets) as server,
        SecureServer(base(stranger.issue("localhost")), sets=sets) as unknown,
    ):
        told = {
            "home": str(tmp_path),
            "port": server.port,
            "site": site,
            "unknown": unknown.port,
            "token": token("ann"),
            "certificate": str(page.certificate),
            "key": str(page.key),
        }
        done = subprocess.run(
            ["node", "--test", "--test-reporter=spec", "browser.mjs"],
            cwd=HERE,
            env={**os.environ, "JACKFIELD_TOLD": json.dumps(told)},
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        print(done.stdout)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        assert "ℹ pass 0" not in done.stdout
