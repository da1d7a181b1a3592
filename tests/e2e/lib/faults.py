"""System calls of a running server that fail on demand (faults.c).

    with Faults() as f:
        server.start()              # everything started here obeys
        f.add("write", errno.ENOSPC, path="spool/", times=1)
        ...
        f.clear()
"""

import mmap
import os
import shutil
import struct
import subprocess
import tempfile
from pathlib import Path

from lib.server import BUILD, ROOT

RULE = struct.Struct("=16s96s4i")
RULES = 16


class Faults:
    def __enter__(self):
        self.top = Path(tempfile.mkdtemp(prefix="mailstead-faults-"))
        library = self.top / "faults.so"
        subprocess.run(
            ["cc", "-shared", "-fPIC", "-O1", "-D_GNU_SOURCE", "-o",
             str(library), str(ROOT / "tests/e2e/lib/faults.c")], check=True)
        rules = self.top / "rules"
        rules.write_bytes(bytes(RULE.size * RULES))
        with open(rules, "r+b") as f:
            self.map = mmap.mmap(f.fileno(), RULE.size * RULES)
        os.environ["FAULTS"] = str(rules)
        os.environ["LD_PRELOAD"] = str(library)
        self.count = self.passed = 0
        return self

    def started(self):
        """What was started has the library; nothing else shall."""
        os.environ.pop("LD_PRELOAD", None)
        os.environ.pop("FAULTS", None)

    def __exit__(self, *exc):
        self.started()
        self.map.close()
        shutil.rmtree(self.top)

    def add(self, call, error, path="", times=1 << 30, skip=0):
        """A rule; its number, for hits()."""
        number = self.count
        RULE.pack_into(self.map, RULE.size * number, call.encode(),
                       path.encode(), error, skip, times, 0)
        self.count += 1
        return number

    def hits(self, number):
        return RULE.unpack_from(self.map, RULE.size * number)[5]

    def pass_time(self, seconds, program):
        """Time passes for what waits in a program: limits are reached."""
        self.passed += seconds
        RULE.pack_into(self.map, RULE.size * (RULES - 1), b"clock",
                       program.encode(), self.passed, 0, 1, 0)

    def clear(self):
        self.map[:] = bytes(RULE.size * RULES)
        self.count = self.passed = 0


def are_possible():
    """Sanitizers want to be the first library themselves."""
    return "-" not in BUILD.name
