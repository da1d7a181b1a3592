"""POP3 when the disk fails: what cannot be read, written or deleted is told
as temporary, nothing undeleted is lost, and it ends when the fault ends."""

import errno
import os
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from lib.faults import Faults, are_possible  # noqa: E402
from lib.server import Server, wait_until  # noqa: E402
from test_pop3 import Client  # noqa: E402

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS)


@unittest.skipUnless(are_possible(), "not beside a sanitizer")
class DiskFaults(unittest.TestCase):
    accounts = 0

    @classmethod
    def setUpClass(cls):
        cls.s = Server(settings={"auth.plaintext_networks": "127.0.0.0/8"})
        cls.addClassCleanup(cls.s.close)
        cls.f = cls.enterClassContext(Faults())
        cls.s.start()
        cls.f.started()

    def setUp(self):
        DiskFaults.accounts += 1
        self.user = f"f{DiskFaults.accounts}"
        self.address = f"{self.user}@example.org"
        self.s.user(self.address)
        self.box = self.s.mailbox(self.address)
        self.addCleanup(self.f.clear)

    def make_box(self, count=5):
        for sub in ("new", "cur", "tmp"):
            (self.box / sub).mkdir(parents=True)
        for i in range(count):
            (self.box / "new" / f"170000000{i}.f.host,S=4,W=5").write_bytes(
                b"abc\n")

    def client(self):
        c = Client(self.s, self.address)
        self.addCleanup(c.close)
        return c

    def names(self):
        return sorted(n[:10] for n in os.listdir(self.box / "new"))

    def assert_fails(self, call, error, path):
        rule = self.f.add(call, error, path)
        with self.assertRaisesRegex(AssertionError, r"-ERR \[SYS/TEMP\]"):
            self.client()
        self.assertGreater(self.f.hits(rule), 0, (call, error))
        self.f.clear()

    def test_sign_in(self):
        """A mailbox that cannot be made, locked or listed."""
        for error in FULL:
            self.assert_fails("mkdir", error, self.user)
            self.assertFalse((self.box / "cur").exists())
        self.client().ask("QUIT")
        for error in FULL + (errno.EMFILE, errno.ENFILE):
            self.assert_fails("open", error, f"{self.user}/pop3.lock")
        (self.box / "pop3.lock").unlink()
        for error in FULL:
            self.assert_fails("create", error, f"{self.user}/pop3.lock")
        for error in (errno.EIO, errno.ENOMEM):
            self.assert_fails("getdents", error, f"{self.user}/cur")
        self.assertEqual(self.client().ask("STAT"), "+OK 0 0")

    def test_unreadable_message(self):
        self.make_box(3)
        c = self.client()
        for error in (errno.EIO, errno.EMFILE, errno.EACCES):
            self.f.add("open", error, "1700000001")
            octets, reply = c.retr(2)
            self.assertIsNone(octets)
            self.assertTrue(reply.startswith("-ERR [SYS/TEMP]"), reply)
            self.assertTrue(c.ask("TOP 2 0").startswith("-ERR [SYS/TEMP]"))
            self.assertEqual(c.retr(1)[1], b"abc\r\n")
            self.f.clear()
            self.assertEqual(c.retr(2)[1], b"abc\r\n")
        # half a message is never shown as a whole one
        self.f.add("read", errno.EIO, "1700000001")
        c.send(b"RETR 2\r\n")
        self.assertTrue(c.line().startswith("+OK"))
        with self.assertRaisesRegex(AssertionError, "cut off"):
            c.raw_until_dot()
        self.f.clear()
        self.assertEqual(len(self.names()), 3)

    def test_J14_stale_handles(self):
        """NFS says ESTALE of what another machine changed: looked for again."""
        self.make_box(3)
        c = self.client()
        rule = self.f.add("open", errno.ESTALE, "1700000001", times=1)
        self.assertEqual(c.retr(2)[1], b"abc\r\n")
        self.assertEqual(self.f.hits(rule), 1)
        c.ask("DELE 2")
        rule = self.f.add("unlink", errno.ESTALE, "1700000001", times=2)
        self.assertTrue(c.ask("QUIT").startswith("+OK"))
        self.assertGreater(self.f.hits(rule), 0)
        self.assertEqual(self.names(), ["1700000000", "1700000002"])

    def test_J09_update(self):
        """Each error of deleting is told, and what stays can be deleted."""
        self.make_box(6)
        for error in FULL:
            c = self.client()
            for i in range(1, 7):
                c.ask(f"DELE {i}")
            self.f.add("unlink", error, "1700000003")
            self.f.add("unlink", error, "1700000005")
            self.assertTrue(c.ask("QUIT").startswith("-ERR [SYS/TEMP] 2 "))
            self.f.clear()
            self.assertEqual(self.names(), ["1700000003", "1700000005"])
            for i in (0, 1, 2, 4):
                (self.box / "new" / f"170000000{i}.f.host,S=4,W=5"
                 ).write_bytes(b"abc\n")
        c = self.client()
        for i in range(1, 7):
            c.ask(f"DELE {i}")
        # quota keeping is no reason not to delete
        (self.box / "maildirsize").write_text("0S\n24 6\n")
        self.f.add("write", errno.ENOSPC, "maildirsize")
        self.assertTrue(c.ask("QUIT").startswith("+OK"))
        self.assertEqual(self.names(), [])

    def test_sizes_and_cache_are_no_must(self):
        """Foreign names are measured though nothing can be kept of it."""
        self.make_box(0)
        for i in range(1200):
            (self.box / "cur" / f"{1600000000 + i}.foreign").write_bytes(b"a\n")
        for error in FULL:
            rule = self.f.add("create", error, f"{self.user}/tmp/")
            self.f.add("mkdir", error, "cache/pop")
            c = self.client()
            self.assertEqual(c.ask("STAT"), "+OK 1200 3600")
            c.ask("QUIT")
            self.assertGreater(self.f.hits(rule), 0)
            self.f.clear()
        self.assertEqual(os.listdir(self.box / "tmp"), [])

    def last_end(self):
        """Why the last session of this account ended."""
        lines = [x for x in self.s.log("popd").splitlines()
                 if "event=logout" in x and self.address in x]
        return lines[-1].rsplit("reason=", 1)[1] if lines else None

    def end_after(self, seconds):
        """Time passes until popd has seen a wait of that long."""
        def ended():
            self.f.pass_time(seconds, "popd")
            return self.last_end()
        self.assertEqual(wait_until(ended, 10), "timeout")

    def test_J05_silent_client(self):
        """One that vanished without a word holds the mailbox ten minutes."""
        self.make_box(1)
        c = self.client()
        c.ask("DELE 1")
        self.f.pass_time(590, "popd")
        with self.assertRaisesRegex(AssertionError, "IN-USE"):
            self.client()
        self.end_after(20)
        self.assertTrue(c.at_end())
        self.f.clear()
        c = self.client()
        self.assertEqual(c.ask("STAT"), "+OK 1 5")  # not deleted
        # a command in time, and the ten minutes begin again
        for _ in range(3):
            self.f.pass_time(590, "popd")
            self.assertTrue(c.ask("NOOP").startswith("+OK"))

    def test_G04_client_stops_reading(self):
        """RETR to one that never reads ends, and holds one buffer till then."""
        self.make_box(0)
        with open(self.box / "new" / "1700000000.big,S=52428800,W=52428802",
                  "wb") as f:
            f.truncate(52428800)
        c = self.client()
        c.send(b"RETR 1\r\n")
        self.assertTrue(c.line().startswith("+OK"))
        self.assertLess(self.s.peak_kb("popd"), 40000)
        self.assertIsNone(self.last_end())
        self.end_after(301)
        self.f.clear()
        self.client().ask("QUIT")

    def test_descriptors_run_out(self):
        """accept() that fails does not end or spin the server (G05)."""
        rule = self.f.add("accept", errno.EMFILE, times=3)
        c = self.client()
        self.assertGreater(self.f.hits(rule), 0)
        c.close()


if __name__ == "__main__":
    unittest.main()
