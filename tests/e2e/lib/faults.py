"""System calls of running daemons that fail, kill or are late on demand, and a
wrong clock (tests/lib/faults.c).

    with Faults() as f:
        server.start()              # everything started here obeys
        f.add("write", errno.ENOSPC, path="spool/", times=1)
        ...
        f.clear()
        f.clock(86400)              # the wall clock jumps a day ahead
"""

import mmap
import os
import struct
import tempfile

from lib.server import BUILD

OPEN, WRITE, SYNC, NAME, UNLINK, CLOSE = 1, 2, 4, 8, 16, 32
OFF, COUNT, KILL, FAIL = range(4)
WORDS = ("mode", "calls", "at", "error", "kinds", "struck", "clock",
         "passed", "rules_first", "rules_end")
PREFIX = struct.Struct("=256s")
PREFIX_AT = 4 * len(WORDS)
PASSING = struct.Struct("=28s")
PASSING_AT = PREFIX_AT + PREFIX.size
RULE = struct.Struct("=16s96s4i")
RULES_AT = PASSING_AT + PASSING.size
RULES = 512
WATCHED = 1 << 30
SIZE = RULES_AT + RULE.size * RULES


class Faults:
    def __init__(self, prefix=None):
        """`prefix`: the directory below which calls are counted."""
        self.file = tempfile.NamedTemporaryFile(prefix="mailstead-faults-")
        self.file.truncate(SIZE)
        self.map = mmap.mmap(self.file.fileno(), SIZE)
        # pack_into() would let who reads meanwhile see zeros
        self.words = memoryview(self.map)[:PREFIX_AT].cast("i")
        if prefix is not None:
            PREFIX.pack_into(self.map, PREFIX_AT, f"{prefix}/".encode())
        self.environment = {"FAULTS_FILE": self.file.name,
                            "LD_PRELOAD": str(BUILD / "tests/faults.so")}

    def __enter__(self):
        os.environ.update(self.environment)
        return self

    def started(self):
        """What was started has the library; nothing else shall."""
        for name in self.environment:
            os.environ.pop(name, None)

    def __exit__(self, *exc):
        self.started()
        self.close()

    def close(self):
        self.words.release()
        self.map.close()
        self.file.close()

    def _put(self, word, value):
        self.words[WORDS.index(word)] = value

    def _get(self, word):
        return self.words[WORDS.index(word)]

    def clock(self, seconds):
        """The wall clock is wrong by this from now on."""
        self._put("clock", seconds)

    def arm(self, mode, at=0, error=0, kinds=0):
        """The at-th call of these kinds fails, or kills its process."""
        for word, value in (("mode", OFF), ("calls", 0), ("at", at),
                            ("error", error), ("kinds", kinds),
                            ("struck", 0), ("mode", mode)):
            self._put(word, value)

    def calls(self):
        return self._get("calls")

    def struck(self):
        return self._get("struck") > 0

    def add(self, call, error, path="", times=1 << 30, skip=0):
        """A rule; its number, for hits().  Error 0: the process is killed;
        below: the call is made so many milliseconds late."""
        number = self._get("rules_end")
        assert number < RULES
        RULE.pack_into(self.map, RULES_AT + RULE.size * number, call.encode(),
                       path.encode(), error, skip, times, 0)
        self._put("rules_end", number + 1)
        return number

    def hits(self, number):
        return RULE.unpack_from(self.map, RULES_AT + RULE.size * number)[5]

    def watch(self, call, path):
        """A rule that never strikes; its number, for passed()."""
        return self.add(call, 0, path, skip=WATCHED)

    def passed(self, number):
        return WATCHED - RULE.unpack_from(
            self.map, RULES_AT + RULE.size * number)[3]

    def pass_time(self, seconds, program):
        """Time passes for what waits in a program: limits are reached."""
        PASSING.pack_into(self.map, PASSING_AT, program.encode())
        self._put("passed", self._get("passed") + seconds)

    def each_call(self, case, begin, act, check):
        """Kill whoever makes one of the calls of act(thing), each in turn
        (some of them, spread, without FAULTS_EACH=1); then check(thing).
        `thing` is what begin(name) made for it."""
        kinds = OPEN | WRITE | SYNC | NAME | UNLINK | CLOSE
        thing = begin("count")
        self.arm(COUNT, kinds=kinds)
        act(thing)
        count = self.calls()
        self.arm(OFF)
        case.assertGreater(count, 3)
        check(thing)
        # what goes on beside it is counted as well: rather the early ones
        some = sorted({1 + count * part // 6 for part in (0, 1, 2, 4)})
        struck = 0
        for k in range(1, count + 1) if os.environ.get("FAULTS_EACH") else some:
            with case.subTest(call=k):
                thing = begin(f"k{k}")
                self.arm(KILL, k, kinds=kinds)
                try:
                    act(thing)
                except (OSError, ValueError):
                    pass  # no answer
                struck += self.struck()
                self.arm(OFF)
                check(thing)
        case.assertGreater(struck, 1)

    def clear(self):
        # never a slot again: a call may still look at its rule
        self._put("rules_first", self._get("rules_end"))
        for word in ("passed", "clock"):
            self._put(word, 0)


def are_possible():
    """Sanitizers want to be the first library themselves."""
    return "-" not in BUILD.name
