"""kill -9 of any process during traffic: restored by its supervisor, nothing
acknowledged lost, nothing delivered twice."""

import os
import random
import re
import signal
import smtplib
import sys
import threading
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from lib.server import Server, wait_until  # noqa: E402

USERS = [f"u{i}@example.org" for i in range(5)]


class Traffic:
    """Threads that send numbered messages; `acked` has those answered 250."""

    def __init__(self, server, threads=4):
        self.s, self.acked, self.stop = server, [], False
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.run, args=(i,))
                        for i in range(threads)]
        for t in self.threads:
            t.start()

    def run(self, number):
        count = 0
        while not self.stop:
            try:
                with smtplib.SMTP(self.s.host, self.s.port["smtp"],
                                  timeout=20) as c:
                    for _ in range(20):
                        tag = f"tag-{number}-{count}-end"
                        count += 1
                        c.sendmail("s@elsewhere.example",
                                   [random.choice(USERS)],
                                   f"Subject: {tag}\r\n\r\nx\r\n")
                        with self.lock:
                            self.acked.append(tag)
                        if self.stop:
                            break
            except (OSError, smtplib.SMTPException):
                time.sleep(0.05)

    def finish(self):
        self.stop = True
        for t in self.threads:
            t.join()
        return self.acked


class Crash(unittest.TestCase):
    def setUp(self):
        self.s = Server()
        for u in USERS:
            self.s.user(u)
        self.s.start()
        self.addCleanup(self.s.close)

    def delivered(self):
        tags = []
        for u in USERS:
            for m in self.s.messages(u):
                tags += re.findall(rb"^Subject: (\S+)", m, re.M)
        return [t.decode() for t in tags]

    def check_all(self, acked):
        self.assertGreater(len(acked), 10)
        wait_until(lambda: set(acked) <= set(self.delivered()), 30,
                   "every acknowledged message")
        self.s.cli("wait", "--for", "empty", "--timeout", "30")
        tags = self.delivered()
        self.assertEqual(len(tags), len(set(tags)), "delivered twice")

    def crash(self, name, victims, rounds=4):
        traffic = Traffic(self.s)
        try:
            for _ in range(rounds):
                time.sleep(0.6)
                pids = wait_until(lambda: victims(name), 20, f"{name} again")
                os.kill(random.choice(pids), signal.SIGKILL)
            time.sleep(0.6)
            wait_until(lambda: victims(name), 20, f"{name} again")
        finally:
            acked = traffic.finish()
        self.check_all(acked)
        wait_until(lambda: self.s.run_cli("status").returncode == 0, 30,
                   "all services running again")

    def test_mtad_worker(self):
        self.crash("mtad", self.s.workers)

    def test_runner_worker(self):
        self.crash("queue-runner", self.s.workers)

    def test_accountd_worker(self):
        self.crash("accountd", self.s.workers)

    def test_supervisors(self):
        for name in ("mtad", "queue-runner", "accountd"):
            with self.subTest(name):
                self.crash(name, lambda n: self.s.pids(n)[:1], rounds=2)
                self.clear()

    def test_everything_at_once(self):
        for _ in range(3):
            traffic = Traffic(self.s)
            time.sleep(1.0)
            self.s.kill()
            acked = traffic.finish()
            self.s.start()
            self.check_all(acked)
            self.clear()

    def clear(self):
        """Empty the mailboxes: the next round counts from zero."""
        for u in USERS:
            for sub in ("new", "cur"):
                d = self.s.mailbox(u) / sub
                if d.is_dir():
                    for f in d.iterdir():
                        f.unlink()


if __name__ == "__main__":
    unittest.main()
