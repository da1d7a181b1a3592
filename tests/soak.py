#!/usr/bin/python3
"""Long proofs: the tests of `make check` with larger numbers, and those that
only make sense for minutes.  Each says in its head what scales it."""

import argparse
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LONG = (
    ("tests/e2e/smtp_model.py", {}),
    ("tests/e2e/test_pop3.py", {"POP3_SEQUENCES": "100000"}),
    ("tests/e2e/test_dkim.py", {"MAILSTEAD_DKIM_MESSAGES": "10000",
                                "MAILSTEAD_DKIM_KILLS": "1000"}),
    ("tests/soak/login_timing.py", {}),
    ("tests/e2e/test_queue_faults.py", {"FAULTS_EACH": "1"}),
    ("tests/e2e/test_queue_local.py", {"QUEUE_REPORTS": "100000",
                                       "QUEUE_MEMBERS": "50000"}),
    ("tests/soak/kills.py", {}),
    ("tests/e2e/test_ledger.py", {"SOAK_MINUTES": "60"}),
    ("tests/powercut/run.py", {}),
)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", required=True)
    arguments = parser.parse_args()
    failed = 0
    for name, extra in LONG:
        env = {**extra, **os.environ,
               "MAILSTEAD_BUILD": str(ROOT / arguments.build)}
        code = subprocess.run(["/usr/bin/python3", str(ROOT / name)],
                              env=env, cwd=ROOT).returncode
        print(f"{'ok' if code == 0 else 'FAILED'} {name}", flush=True)
        failed += code != 0
    print(f"{len(LONG) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
