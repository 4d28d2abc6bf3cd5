"""`python -m jackfield`: the binary, in the place of this process."""

import os
import subprocess
import sys

from jackfield import find_bin

if __name__ == "__main__":
    command = [find_bin(), *sys.argv[1:]]
    if os.name == "nt":
        # exec on Windows returns to the shell at once.
        sys.exit(subprocess.call(command))
    os.execv(command[0], command)
