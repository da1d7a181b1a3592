"""The disk fails at each step of taking a message: 4xx, nothing half-accepted,
and well again by itself when the fault is over."""

import errno
import re
import time
import unittest

from lib.faults import Faults, are_possible
from lib.server import wait_until
from smtp_case import SEEN, SmtpCase

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


if __name__ == "__main__":
    unittest.main()
