"""The disk fails at each step of taking a message: 4xx, nothing half-accepted,
and well again by itself when the fault is over."""

import errno
import poplib
import re
import shutil
import sqlite3
import ssl
import subprocess
import time
import unittest
from contextlib import closing, contextmanager

from lib.dialogue import Connection
from lib.fastcgi import Browser
from lib.faults import Faults, are_possible
from lib.server import BIN, PASSWORD, wait_until
from smtp_case import PLAIN, SEEN, SmtpCase

ERRORS = (errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EROFS)
SMALL = "y\r\n"
LARGE = ("y" * 70 + "\r\n") * 6000  # above what the journal takes


@unittest.skipUnless(are_possible(), "not beside a sanitizer")
class DiskFaults(SmtpCase):
    @classmethod
    def setUpClass(cls):
        cls.f = cls.enterClassContext(Faults())
        super().setUpClass()
        cls.f.started()
        cls.sent = []

    def setUp(self):
        self.addCleanup(self.f.clear)

    def send(self, text, subject):
        """One message; the reply to its end (or to DATA)."""
        c = self.greeted()
        self.assertEqual(c.ask("MAIL FROM:<a@remote.test>"), 250)
        self.assertEqual(c.ask("RCPT TO:<bob@example.org>"), 250)
        code = c.ask("DATA")
        if code == 354:
            code = c.ask(f"Subject: {subject}\r\n\r\n{text}.")
        c.close()
        return code

    def fault(self, text, call, error, path, times=1 << 30):
        """While it lasts every message is put off; afterwards one is taken."""
        name = f"{call} {path} {error} {len(text)}"
        with self.subTest(fault=name):
            rule = self.f.add(call, error, path, times)
            before = self.accepted()
            codes = []
            while self.f.hits(rule) == 0 and len(codes) < 8:
                codes.append(self.send(text, "refused " + name))
            self.assertGreater(self.f.hits(rule), 0, "the fault did not come")
            self.assertIn(codes[-1], (421, 451, 452), codes)
            # until it came (a spare segment, say) all went well
            self.assertEqual(codes[:-1], [250] * (len(codes) - 1))
            self.assertEqual(self.accepted() - before, len(codes) - 1)
            DiskFaults.sent += ["refused " + name] * (len(codes) - 1)
            self.f.clear()
            wait_until(lambda: self.send(text, "taken " + name) == 250, 10,
                       "recovery")
            DiskFaults.sent.append("taken " + name)

    def test_each_step(self):
        for error in ERRORS:
            self.fault(SMALL, "write", error, "spool/journal/")
            self.fault(SMALL, "sync", error, "spool/journal/")
            self.fault(LARGE, "create", error, "spool/large/")
            self.fault(LARGE, "write", error, "spool/large/")
            self.fault(LARGE, "sync", error, "spool/large")
        for error in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
            self.fault(LARGE, "create", error, "spool/large/")
        # a single failure is not tried again on the same descriptor
        self.fault(SMALL, "sync", errno.EIO, "spool/journal/", times=1)
        self.assertEqual(
            [p for p in (self.server.state / "spool/large").iterdir()
             if p.name.startswith("tmp")], [])
        # what was taken arrives once, what was put off never does
        self.server.set("service.queue-runner.enabled", "yes")
        self.addCleanup(self.server.set, "service.queue-runner.enabled", "no")
        wait_until(lambda: len(self.server.messages("bob@example.org"))
                   >= len(self.sent), 30, "deliveries")
        time.sleep(SEEN)
        got = sorted(m.split(b"Subject: ")[1].split(b"\n")[0].decode()
                     for m in self.server.messages("bob@example.org"))
        self.assertEqual(got, sorted(self.sent))

    def test_H09_disk_that_does_not_tell_its_space(self):
        """Its writes judge it; one without any room takes nothing; both are
        looked at by a command line that may not divide by zero."""
        for call, code in (("space", 250), ("nospace", 452)):
            rule = self.f.add(call, errno.EIO)

            def answers():
                found = self.send(SMALL, call)
                DiskFaults.sent += [call] * (found == 250)
                return self.f.hits(rule) > 0 and found == code
            wait_until(answers, 10, f"{code} when {call}")
            p = subprocess.run(
                [BIN / "mailstead", "--state", self.server.state, "status"],
                capture_output=True, timeout=60, check=False,
                env={**self.f.environment, "PATH": "/usr/bin"})
            self.assertIn(p.returncode, (0, 1), p.stderr)
            self.f.clear()
        time.sleep(SEEN)  # each worker looks a few times a second
        self.assertEqual(self.send(SMALL, "room"), 250)
        DiskFaults.sent.append("room")

    def test_slow_disk_keeps_only_who_writes_to_it(self):
        for call in ("write", "sync"):
            rule = self.f.add(call, -1500, "spool/large")
            others = [self.greeted() for _ in range(4)]
            writers = [self.greeted() for _ in range(8)]
            for c in writers:
                self.begin(c)
                c.send(f"Subject: slow\r\n\r\n{LARGE}".encode())
                if call == "sync":
                    c.send(b".\r\n")
            wait_until(lambda r=rule: self.f.hits(r) >= len(writers), 20,
                       "writes")
            start = time.monotonic()
            self.assertEqual([c.ask("NOOP") for c in others], [250] * 4)
            self.assertLess(time.monotonic() - start, 1)
            self.f.clear()
            for c in writers:
                if call == "write":
                    c.send(b".\r\n")
                self.assertEqual(c.reply()[0], 250)
                DiskFaults.sent.append("slow")

    def test_G14_clock_jumps(self):
        """Waits do not follow the wall clock, and no id comes twice."""
        year = 365 * 86400
        self.addCleanup(self.f.clock, 0)
        before = self.accepted()
        held = self.greeted()
        offsets = (0, 10 * year, -1, 0, -10 * year, -int(time.time()), 0)
        for offset in offsets:
            self.f.clock(offset)
            self.assertEqual(self.send(SMALL, "clock"), 250)
            self.assertEqual(held.ask("NOOP"), 250)
            DiskFaults.sent.append("clock")
        self.f.clock(0)
        self.assertEqual(self.accepted() - before, len(offsets))
        ids = re.findall(r" (\S+) event=accept ", self.server.log("mtad"))
        self.assertEqual(len(ids), len(set(ids)))

    def test_G05_descriptors_run_out(self):
        """accept() that fails neither ends the server nor makes it spin."""
        rule = self.f.add("accept", errno.EMFILE, times=20)
        c = self.greeted()
        self.assertGreater(self.f.hits(rule), 0)
        self.f.clear()
        c.close()
        DiskFaults.sent.append("x")
        self.assert_sequel()


@unittest.skipUnless(are_possible(), "not beside a sanitizer")
class DirectoryFaults(SmtpCase):
    """Who cannot look up says "later": never "no such user", never yes to a
    stranger; and all goes on by itself."""

    @classmethod
    def setUpClass(cls):
        cls.f = cls.enterClassContext(Faults())
        super().setUpClass()
        cls.f.started()
        cls.db = cls.server.state / "directory/directory.db"
        cls.web = Browser(cls.server.state / "run/web/webmail.sock").sign_in(
            "bob@example.org", PASSWORD)

    def setUp(self):
        self.addCleanup(self.f.clear)

    def rcpt(self, address):
        with closing(Connection(self.server.host,
                                self.server.port["smtp"])) as c:
            self.assertEqual(c.reply()[0], 220)
            self.assertEqual(c.ask("EHLO client.example"), 250)
            self.assertEqual(c.ask("MAIL FROM:<a@remote.test>"), 250)
            return c.ask(f"RCPT TO:<{address}>")

    def answers(self):
        """What each way in says: to a user, a nobody, a stranger; logins."""
        with closing(Connection(self.server.host,
                                self.server.port["submission"])) as c:
            c.reply()
            c.ask("EHLO client.example")
            c.ask("STARTTLS")
            c.start_tls()
            c.ask("EHLO client.example")
            login = c.ask("AUTH PLAIN " + PLAIN)
        context = ssl._create_unverified_context()
        p = poplib.POP3_SSL(self.server.host, self.server.port["pop3s"],
                            context=context, timeout=60)
        try:
            p.user("bob@example.org")
            pop = p.pass_(PASSWORD)[:3]
        except poplib.error_proto as e:
            pop = e.args[0][:15]
        finally:
            p.close()
        return (self.rcpt("bob@example.org"), self.rcpt("nobody@example.org"),
                self.rcpt("x@far.example"), login, pop,
                self.web.get("/webmail/m/inbox").status)

    GOOD = (250, 550, 550, 235, b"+OK", 200)
    LATER = (451, 451, 451, 454, b"-ERR [SYS/TEMP]", 503)

    def add(self):
        return self.server.run_cli("user", "add", "new@example.org",
                                   input=PASSWORD + "\n")

    @contextmanager
    def away(self):
        """directory.db is moved away meanwhile."""
        kept = self.server.top / "kept"
        kept.mkdir(exist_ok=True)
        files = sorted(self.db.parent.glob("directory.db*"))
        for path in files:
            path.rename(kept / path.name)
        try:
            yield kept / self.db.name
        finally:
            for path in files:
                path.unlink(missing_ok=True)
                (kept / path.name).rename(path)

    def good_again(self):
        wait_until(lambda: self.answers() == self.GOOD, 20, "recovery")

    def test_H13_directory_gone(self):
        self.assertEqual(self.answers(), self.GOOD)
        with self.away():
            self.assertEqual(self.answers(), self.LATER)
            time.sleep(SEEN)
            self.assertEqual(self.answers(), self.LATER)
            self.assertEqual(self.add().returncode, 3)
        self.good_again()
        # another file in its place, as a restored backup is
        with self.away() as kept:
            with closing(sqlite3.connect(kept)) as source, \
                    closing(sqlite3.connect(self.db)) as copy:
                source.backup(copy)
            shutil.copymode(kept, self.db)
            self.good_again()
            self.assertEqual(self.add().returncode, 0)
            self.assertEqual(self.rcpt("new@example.org"), 250)
        self.good_again()
        wait_until(lambda: self.rcpt("new@example.org") == 550, 20, "the old")

    def test_H12_damaged_directory(self):
        whole = self.db.read_bytes()
        for what, data in (("empty", b""), ("other", b"no database\n" * 4096),
                           ("cut", whole[:len(whole) // 2 // 4096 * 4096]),
                           ("zeros", whole[:4096] + bytes(len(whole) - 4096))):
            with self.subTest(what), self.away():
                self.db.write_bytes(data)
                self.db.chmod(0o640)
                found = self.answers()
                self.assertEqual(found[:5], self.LATER[:5])
                self.assertIn(found[5], (200, 503))
                time.sleep(SEEN)  # nor does it become a new directory
                self.assertEqual(self.answers()[:5], self.LATER[:5])
                self.assertEqual(self.add().returncode, 3)
            self.good_again()

    def test_H12_directory_that_cannot_be_read_or_written(self):
        for call, error in (("open", errno.EMFILE), ("open", errno.EIO)):
            with self.subTest(call=call, error=error):
                rule = self.f.add(call, error, "directory/directory.db")
                with self.away() as kept:  # so that all open it anew
                    for path in kept.parent.iterdir():
                        shutil.copy2(path, self.db.parent)
                    found = self.answers()
                    self.assertGreater(self.f.hits(rule), 0)
                    self.assertEqual(found[:5], self.LATER[:5])
                    self.f.clear()
                self.good_again()
        for call, error in (("write", errno.ENOSPC), ("write", errno.EIO),
                            ("write", errno.EROFS), ("sync", errno.EIO)):
            with self.subTest(call=call, error=error):
                rule = self.f.add(call, error, "directory/directory.db")
                self.assertEqual(self.add().returncode, 3)
                self.assertGreater(self.f.hits(rule), 0)
                self.assertEqual(self.answers()[:3], self.GOOD[:3])
                self.f.clear()
                self.assertEqual(self.rcpt("new@example.org"), 550)
        self.good_again()

    def test_H12_locked_directory(self):
        """Readers go on; who writes waits a while and says "later"."""
        with closing(sqlite3.connect(self.db)) as db:
            db.execute("BEGIN IMMEDIATE")
            self.assertEqual(self.answers(), self.GOOD)
            self.assertEqual(self.add().returncode, 3)
        self.good_again()
        self.assertEqual(self.rcpt("new@example.org"), 550)


if __name__ == "__main__":
    unittest.main()
