"""What the tests of the SMTP server share: one server a class, quick talk."""

import base64
import time
import unittest

from lib.dialogue import Connection
from lib.server import PASSWORD, Server

SEEN = 1.1  # seconds after which every worker has seen a changed setting
PLAIN = base64.b64encode(
    b"\0alice@example.org\0" + PASSWORD.encode()).decode()


class SmtpCase(unittest.TestCase):
    """example.org with alice and bob; nothing is delivered, only accepted."""

    settings = {}

    @classmethod
    def setUpClass(cls):
        cls.server = Server(settings={"service.queue-runner.enabled": "no",
                                      **cls.settings})
        cls.addClassCleanup(cls.server.close)
        cls.server.user("alice@example.org")
        cls.server.user("bob@example.org")
        cls.prepare()
        cls.server.start()

    @classmethod
    def prepare(cls):
        """More accounts and domains, before the start."""

    def connect(self, port="smtp", timeout=20):
        c = Connection(self.server.host, self.server.port[port], timeout)
        self.addCleanup(c.close)
        return c

    def greeted(self, port="smtp"):
        c = self.connect(port)
        self.assertEqual(c.reply()[0], 220)
        self.assertEqual(c.ask("EHLO client.example"), 250)
        return c

    def signed_in(self):
        c = self.greeted("submission")
        self.assertEqual(c.ask("STARTTLS"), 220)
        c.start_tls()
        self.assertEqual(c.ask("EHLO client.example"), 250)
        self.assertEqual(c.ask("AUTH PLAIN " + PLAIN), 235)
        return c

    def begin(self, c, recipient="bob@example.org", sender="a@remote.test"):
        """MAIL and RCPT and DATA, up to the go-ahead."""
        self.assertEqual(c.ask(f"MAIL FROM:<{sender}>"), 250)
        self.assertEqual(c.ask(f"RCPT TO:<{recipient}>"), 250)
        self.assertEqual(c.ask("DATA"), 354)

    def change(self, name, value, back):
        """A setting for this test only."""
        def put(text):
            self.server.set(name, text)
            time.sleep(SEEN)
        put(value)
        self.addCleanup(put, back)

    def accepted(self):
        """How many messages the server has accepted so far."""
        return self.server.log("mtad").count(" event=accept ")

    def assert_sequel(self, c=None):
        """A fresh valid transaction works."""
        c = c or self.greeted()
        self.begin(c)
        self.assertEqual(c.ask("Subject: x\r\n\r\nx\r\n."), 250)
