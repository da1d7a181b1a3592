"""A full mailbox is emptied by POP3; maildirsize follows; a quick stop."""

import poplib
import smtplib
import sys
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from lib.server import PASSWORD, SLOW, Server, wait_steady, wait_until  # noqa: E402
from test_first_path import trusting  # noqa: E402

ANN = "ann@example.org"


class Quota(unittest.TestCase):
    def setUp(self):
        self.s = Server(settings={"quota.full": "reject",
                                  "quota.warn_percent": "0"})
        self.addCleanup(self.s.close)
        self.s.user(ANN)
        self.s.start()

    def pop(self):
        p = poplib.POP3_SSL(self.s.host, self.s.port["pop3s"],
                            context=trusting(), timeout=60)
        self.addCleanup(p.close)
        p.user(ANN)
        p.pass_(PASSWORD)
        return p

    def send(self):
        with smtplib.SMTP(self.s.host, self.s.port["smtp"], timeout=60) as c:
            c.sendmail("a@remote.test", [ANN], b"Subject: x\r\n\r\nx\r\n")

    def usage(self):
        lines = (self.s.mailbox(ANN) / "maildirsize").read_text().split("\n")
        pairs = [tuple(map(int, line.split())) for line in lines[1:-1]]
        return tuple(map(sum, zip(*pairs)))

    def is_full(self):
        return self.s.json("user", "show", ANN)["quota_full"]

    def test_full_and_emptied(self):
        self.pop().quit()
        self.s.cli("mailbox", "recount", ANN)
        self.s.cli("user", "set", ANN, "quota_messages=2")
        for n in range(2):
            self.send()
            self.s.wait_messages(ANN, n + 1)
        wait_until(lambda: self.usage()[1] == 2, what="maildirsize")
        size = sum(map(len, self.s.messages(ANN)))
        self.assertEqual(self.usage(), (size, 2))
        self.send()
        wait_until(self.is_full, what="the mark that it is full")
        p = self.pop()
        p.dele(1)
        p.dele(2)
        p.quit()
        wait_until(lambda: not self.is_full(), what="room again")
        self.assertEqual(self.usage(), (0, 0))
        self.send()
        self.s.wait_messages(ANN, 1)

    def test_room_by_expiry(self):
        """What signing in deletes for its age makes room as DELE does."""
        self.s.cli("user", "set", ANN, "quota_messages=1")
        self.s.set("popd.expire_days", "7")
        self.send()
        self.s.wait_messages(ANN, 1)
        self.send()
        wait_until(self.is_full, what="the mark that it is full")
        new = self.s.mailbox(ANN) / "new"
        for path in new.iterdir():
            path.rename(new / "1600000000.old.host")
        wait_steady(lambda: "EXPIRE" in self.expiry())
        self.assertEqual(self.pop().stat()[0], 0)
        wait_until(lambda: not self.is_full(), what="room again")

    def expiry(self):
        p = poplib.POP3_SSL(self.s.host, self.s.port["pop3s"],
                            context=trusting(), timeout=60)
        self.addCleanup(p.close)
        return {"EXPIRE" for name, value in p.capa().items()
                if name == "EXPIRE" and value == ["7"]}

    def test_idle_sessions_do_not_hold_up_a_stop(self):
        self.pop().quit()
        p = self.pop()
        start = time.monotonic()
        self.assertEqual(self.s.stop(), 0)
        self.assertLess(time.monotonic() - start, 4 * SLOW)
        with self.assertRaisesRegex(poplib.error_proto, "stopping"):
            p.noop()


if __name__ == "__main__":
    unittest.main()
