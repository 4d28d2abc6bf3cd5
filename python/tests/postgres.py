"""A private PostgreSQL on a loopback port of its own."""

import os
import pwd
import shutil
import subprocess
from pathlib import Path

from servers import Server, free_port, until


def postgres_tool(name):
    """A program of PostgreSQL, or None where it is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return shutil.which(name) or (str(found[-1]) if found else None)


class Postgres(Server):
    """Run by the user postgres where the tests are run by root, for PostgreSQL refuses root."""

    def __init__(self):
        super().__init__()
        self.port = free_port()
        self.data = self.folder / "data"
        self.dsn = f"host=127.0.0.1 port={self.port} user=postgres dbname=postgres"

    def start(self):
        if os.getuid() == 0:
            owner = pwd.getpwnam("postgres")
            os.chown(self.folder, owner.pw_uid, owner.pw_gid)
        command = [postgres_tool("initdb"), "-D", str(self.data), "-U", "postgres", "--no-sync"]
        subprocess.run(self._as_owner(command), check=True, capture_output=True)
        options = [f"-p{self.port}", "-h127.0.0.1", f"-k{self.folder}", "-cfsync=off"]
        self.spawn(self._as_owner([postgres_tool("postgres"), "-D", str(self.data), *options]))
        until(self.started, what="postgres")

    @staticmethod
    def _as_owner(command):
        return ["setpriv", "--reuid=postgres", "--clear-groups", *command] if _root() else command

    def answers(self):
        import psycopg

        try:
            psycopg.connect(self.dsn, connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True


def _root():
    return os.getuid() == 0
