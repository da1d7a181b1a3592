"""Runs one file of tests as `python3 -m unittest -v` does, for tests/run.py.

    python3 -m lib.report test_pop3

Whatever fails says also what the logs of the servers it used said about
trouble.  SIGUSR1 (the time is up) fails the test that runs, and ends.
"""

import faulthandler
import os
import signal
import sys
import unittest
from pathlib import Path

LINES, TEXT = 40, 6000
_servers = {}  # state directory -> what is left of its logs when it is gone


def watch(state):
    """There is a server with this state directory."""
    _servers[Path(state)] = None


def forget(state):
    """It is about to be removed: what there is to say about it."""
    _servers[Path(state)] = trouble(Path(state))
    if os.environ.get("MAILSTEAD_SAN"):  # whose reports run.py looks for
        for name in ("run.log", "stderr"):
            out = Path(state).parent / name
            if out.exists():
                sys.stderr.write(out.read_text(errors="replace"))


def trouble(state):
    """The last lines of what its daemons said about themselves, and what they
    printed."""
    lines = []
    for file in state.glob("log/*/*.log"):
        lines += [f"{time} {file.parent.name} {rest}" for time, _, rest in (
            line.partition(" ")
            for line in file.read_text(errors="replace").splitlines()
            if " event=service " in line or " event=log-lost" in line)]
    lines = sorted(lines)[-LINES:]
    out = state.parent / "run.log"
    if out.exists():
        lines += out.read_text(errors="replace").splitlines()[-LINES:]
    return "\n".join([f"Log of {state}:", *lines])


class Stopped(Exception):
    pass


class Result(unittest.TextTestResult):
    def startTest(self, test):
        for state in [s for s, text in _servers.items() if text is not None]:
            del _servers[state]
        super().startTest(test)

    # what addError(), addFailure() and addSubTest() make of an exception
    def _exc_info_to_string(self, err, test):
        if issubclass(err[0], Stopped):
            self.stop()
        text = super()._exc_info_to_string(err, test)
        if len(text) > 2 * TEXT:  # a page, say
            text = text[:TEXT] + "\n[...]\n" + text[-TEXT:]
        texts = [text]
        for state, text in list(_servers.items()):
            texts.append(text if text is not None else trouble(state))
        return "\n".join(texts)


def time_is_up(_number, _frame):
    faulthandler.dump_traceback()
    raise Stopped("the time is up")


if __name__ == "__main__":
    # tests import this file by another name than __main__
    from lib import report
    signal.signal(signal.SIGUSR1, report.time_is_up)
    unittest.main(module=None, argv=[sys.argv[0], "-v", *sys.argv[1:]],
                  testRunner=unittest.TextTestRunner(
                      verbosity=2, resultclass=report.Result))
