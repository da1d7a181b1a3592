"""kill -9 of any process during traffic: restored by its supervisor, nothing
acknowledged lost, nothing delivered twice."""

import os
import poplib
import random
import re
import signal
import smtplib
import ssl
import sys
import threading
import time
import unittest
from contextlib import closing
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from lib.faults import Faults, are_possible  # noqa: E402
from lib.server import PASSWORD, Server, wait_until  # noqa: E402

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

    def send(self, c, tag):
        """What of it was answered 250."""
        c.sendmail("s@elsewhere.example", [random.choice(USERS)],
                   f"Subject: {tag}\r\n\r\nx\r\n")
        return [tag]

    def run(self, number):
        count = 0
        while not self.stop:
            try:
                with smtplib.SMTP(self.s.host, self.s.port["smtp"],
                                  timeout=20) as c:
                    for _ in range(20):
                        tag = f"tag-{number}-{count}-end"
                        count += 1
                        acked = self.send(c, tag)
                        with self.lock:
                            self.acked += acked
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


@unittest.skipUnless(are_possible(), "not beside a sanitizer")
class Administration(unittest.TestCase):
    """I09: accountd or the command line dies before one of its calls; it is
    done or not, goes on when asked for again, and what was left on the disk
    is never somebody else's."""

    @classmethod
    def setUpClass(cls):
        cls.s = Server()
        cls.addClassCleanup(cls.s.close)
        cls.f = cls.enterClassContext(Faults(cls.s.state))
        cls.s.start()

    def ask(self, *words):
        """Its exit code, when there is an answer; twice is no mistake."""
        def asked():
            p = self.s.run_cli(*words, input=PASSWORD + "\n")
            return p if p.returncode in (0, 1) else None
        return wait_until(asked, 20, " ".join(words))

    def connect(self):
        """It may be mtad that was killed."""
        try:
            return smtplib.SMTP(self.s.host, self.s.port["smtp"], timeout=60)
        except OSError:
            return None

    def is_there(self, kind, name):
        return self.ask(kind, "show", name).returncode == 0

    def act(self, *words):
        self.s.run_cli(*words, input=PASSWORD + "\n")

    def test_I09_adding_users(self):
        def check(user):
            there = self.is_there("user", user)
            self.assertEqual(self.ask("user", "add", user).returncode,
                             int(there))
            with wait_until(self.connect, 20, "mtad again") as c:
                c.sendmail("a@far.example", [user], "Subject: x\r\n\r\nx\r\n")
            self.s.wait_messages(user, 1, 20)
        self.f.each_call(self, lambda k: f"add-{k}@example.org",
                         lambda u: self.act("user", "add", u), check)

    def test_I09_deleting_users(self):
        def begin(name):
            user = f"delete-{name}@example.org"
            self.assertEqual(self.ask("user", "add", user).returncode, 0)
            new = self.s.mailbox(user) / "new"
            new.mkdir(parents=True)
            (new / "1700000000.1.host").write_text("Subject: mine\n\nx\n")
            return user

        def check(user):
            if self.is_there("user", user):
                self.assertEqual(len(self.s.messages(user)), 1)
                with closing(poplib.POP3_SSL(
                        self.s.host, self.s.port["pop3s"], timeout=60,
                        context=ssl._create_unverified_context())) as p:
                    p.user(user)
                    p.pass_(PASSWORD)
                self.assertEqual(self.ask("user", "delete", user).returncode,
                                 0)
            p = self.ask("user", "add", user)
            if p.returncode != 0:
                self.assertIn("mailbox aside", p.stderr)
                self.assertEqual(
                    self.ask("mailbox", "aside", user).returncode, 0)
                self.assertEqual(self.ask("user", "add", user).returncode, 0)
            self.assertEqual(self.s.messages(user), [])
            aside = self.s.mailbox(user).parent / ".left"
            self.assertEqual(len(list(aside.glob(
                user.split("@")[0] + "~*/new/*"))), 1)
        self.f.each_call(self, begin, lambda u: self.act("user", "delete", u),
                         check)

    def complete(self, domain):
        """With its aliases and keys."""
        listed = self.s.json("alias", "list", domain)
        self.assertEqual({a["address"] for a in listed},
                         {f"postmaster@{domain}", f"abuse@{domain}"})
        self.assertEqual({k["state"] for k in
                          self.s.json("dkim", "list", domain)}, {"active"})

    def test_I09_domains(self):
        def check(domain):
            there = self.is_there("domain", domain)
            self.assertEqual(self.ask("domain", "add", domain).returncode,
                             int(there))
            self.complete(domain)

        def again(domain):
            if self.is_there("domain", domain):
                self.complete(domain)
                self.assertEqual(
                    self.ask("domain", "delete", domain).returncode, 0)
            self.assertEqual(self.ask("domain", "add", domain).returncode, 0)
            self.complete(domain)

        def begin(name):
            self.assertEqual(
                self.ask("domain", "add", f"x{name}.example").returncode, 0)
            return f"x{name}.example"
        self.f.each_call(self, lambda k: f"n{k}.example",
                         lambda d: self.act("domain", "add", d), check)
        self.f.each_call(self, begin, lambda d: self.act("domain", "delete", d),
                         again)


if __name__ == "__main__":
    unittest.main()
