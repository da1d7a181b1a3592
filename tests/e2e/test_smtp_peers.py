"""What passes through us: smuggling variants on their way to a scripted MX,
and Debian's Postfix before us and behind us."""

import os
import re
import smtplib
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "lib"))
from fakedns import FakeDNS  # noqa: E402
from fakemx import FakeMX  # noqa: E402
from lib.dialogue import Connection  # noqa: E402
from lib.postfix import Postfix  # noqa: E402
from lib.server import SLOW, Server, wait_until  # noqa: E402
from test_smtp_framing import TAIL, VARIANTS  # noqa: E402

FAR = "x@far.example"
ZONE = {"far.example": {"MX": ["10 mx.far.example"]},
        "mx.far.example": {"A": ["127.0.0.1"]},
        "near.example": {"A": ["127.0.0.1"]}}


class RelayCase(unittest.TestCase):
    """We relay for loopback, to a scripted MX for far.example."""

    def start(self, port=None, **settings):
        self.mx = FakeMX()
        self.mx.__enter__()
        self.addCleanup(self.mx.__exit__, None, None, None)
        self.dns = FakeDNS(dict(ZONE))
        self.dns.__enter__()
        self.addCleanup(self.dns.__exit__, None, None, None)
        self.server = Server(settings={
            "dns.servers": self.dns.setting,
            "remote.port": port or self.mx.port,
            "remote.allow_loopback": "yes", "remote.ipv6": "no",
            "relay.mode": "addresses", "relay.trusted": "127.0.0.1",
            "queue.retry": "1s", "smtp.reverse_lookup": "no", **settings})
        self.addCleanup(self.server.close)
        self.server.user("bob@example.org")
        self.server.start()

    def wait_passed(self, count):
        wait_until(lambda: len(self.mx.messages) >= count, 60,
                   f"{count} messages")


class Smuggling(RelayCase):
    """A07: of 24 variants of a false end none becomes a second message."""

    def pass_on(self, mode, codes):
        self.start(**{"smtp.bare_newline": mode})
        taken = 0
        for number, variant in enumerate(VARIANTS):
            c = Connection(self.server.host, self.server.port["smtp"])
            self.assertEqual(c.reply()[0], 220)
            self.assertEqual(c.ask("EHLO client.example"), 250)
            self.assertEqual(c.ask("MAIL FROM:<a@near.example>"), 250)
            self.assertEqual(c.ask(f"RCPT TO:<{FAR}>"), 250)
            self.assertEqual(c.ask("DATA"), 354)
            c.send(b"Subject: %d\r\n\r\nx" % number + variant +
                   TAIL.replace(b"bob@example.org", FAR.encode()) +
                   b"\r\n.\r\n")
            code = c.reply()[0]
            self.assertIn(code, codes, variant)
            taken += code == 250
            c.close()
        # one that is beyond doubt, so that all before it are through
        with smtplib.SMTP("127.0.0.1", self.server.port["smtp"]) as s:
            s.sendmail("a@near.example", [FAR], b"Subject: last\r\n\r\nx\r\n")
        self.wait_passed(taken + 1)
        self.server.cli("wait", "--for", "empty", "--timeout", "30")
        self.assertEqual(len(self.mx.seen), taken + 1)
        self.assertNotIn("evil@", repr(self.mx.lines))
        for m in self.mx.seen:
            self.assertIsNone(re.search(rb"(?<!\r)\n|\r(?!\n)", m["data"]))
            self.assertEqual(m["mail"].count("near.example"), 1)
        return taken

    def test_A07_rejected(self):
        self.assertEqual(self.pass_on("reject", (550,)), 0)

    def test_A07_normalised(self):
        self.assertGreater(self.pass_on("normalise", (250, 550)), 15)


def texts():
    """Bodies that servers treat differently; all lines short enough."""
    yield b"Subject: plain\r\n\r\nhello\r\n"
    yield b"Subject: dots\r\n\r\n.\r\n..\r\n.x\r\n\r\n"
    yield b"Subject: empty\r\n\r\n"
    yield "Subject: eight\r\n\r\ngr\u00fc\u00dfe\r\n".encode()
    yield b"Subject: long\r\n\r\n" + b"z" * 990 + b"\r\n"
    yield b"Subject: big\r\n\r\n" + b"line of text\r\n" * 30000


class WithPostfix(RelayCase):
    def send(self, port, to):
        with smtplib.SMTP("127.0.0.1", port, timeout=60 * SLOW) as s:
            for text in texts():
                s.sendmail("a@near.example", [to], text, ["BODY=8BITMIME"])

    def assert_bodies(self, messages):
        want = sorted(t.split(b"\r\n\r\n", 1)[1] for t in texts())
        self.assertEqual(sorted(m.split(b"\r\n\r\n", 1)[1] for m in messages),
                         want)

    def passed(self):
        return [re.sub(rb"(?m)^\.", b"", m["data"][:-3])
                for m in self.mx.messages]

    def test_postfix_sends_to_us(self):
        """Its mail for our users, and for others through us."""
        self.start()
        with Postfix(relay=("127.0.0.1", self.server.port["smtp"])) as p:
            self.send(p.port, "bob@example.org")
            self.send(p.port, FAR)
            wait_until(lambda: len(self.server.messages("bob@example.org"))
                       >= 6, 60, "deliveries")
            self.wait_passed(6)
            self.assertNotRegex(p.log(), r"status=(deferred|bounced)")
        self.assert_bodies(m.replace(b"\n", b"\r\n") for m in
                           self.server.messages("bob@example.org"))
        self.assert_bodies(self.passed())

    def test_postfix_takes_from_us(self):
        mx = FakeMX()
        self.addCleanup(mx.close)
        with Postfix(relay=("127.0.0.1", mx.port)) as p:
            self.start(port=p.port)
            self.send(self.server.port["smtp"], FAR)
            wait_until(lambda: len(mx.messages) >= 6, 60, "messages")
            self.mx.messages[:] = mx.messages
            self.assert_bodies(self.passed())
            self.assertNotRegex(p.log(), r"reject:|improper")


if __name__ == "__main__":
    unittest.main()
