"""A worker that lives so many times: whenever it was killed, a fork that has imported everything
takes its place, which is quicker than a new process.

    python tests/lives.py LIVES [MAX_ATTEMPTS]
"""

import os
import sys
from pathlib import Path


def main(lives, max_attempts=20):
    import django

    django.setup()

    from django_jackfield import brokers
    from django_jackfield.registry import discover
    from django_jackfield.worker.worker import Worker

    registry = discover()
    for _ in range(lives):
        pid = os.fork()
        if not pid:
            Worker(brokers["default"], registry, threads=4, max_attempts=max_attempts).run()
        with Path(os.environ["TEST_LOG"]).with_suffix(".pids").open("a") as file:
            file.write(f"{pid}\n")
        os.waitpid(pid, 0)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
