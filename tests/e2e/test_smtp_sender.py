"""The sender's domain in DNS, and the client's name."""

import time
import unittest

from lib.fakedns import FakeDNS
from smtp_case import SmtpCase

ZONE = {
    "mx.test": {"MX": ["10 mail.mx.test"]},
    "a.test": {"A": ["192.0.2.1"]},
    "aaaa.test": {"AAAA": ["2001:db8::1"]},
    "null.test": {"MX": ["0 ."]},
    "empty.test": {"TXT": ['"x"']},
    "broken.test": {"fault": "servfail"},
    "1.0.0.127.in-addr.arpa": {"PTR": ["client.test"]},
    "client.test": {"A": ["127.0.0.1"]},
}


class Sender(SmtpCase):
    @classmethod
    def prepare(cls):
        cls.dns = cls.enterClassContext(FakeDNS(dict(ZONE)))
        cls.server.set("dns.servers", cls.dns.setting)
        cls.server.set("sender.verify_domain", "yes")

    def mail(self, sender):
        return self.greeted().ask(f"MAIL FROM:<{sender}>")

    def test_domains(self):
        for domain, code in (("mx.test", 250), ("a.test", 250),
                             ("aaaa.test", 250), ("null.test", 550),
                             ("empty.test", 550), ("nothing.test", 550),
                             ("example.org", 250), ("broken.test", 451)):
            self.assertEqual(self.mail("x@" + domain), code, domain)
        self.assertEqual(self.mail(""), 250)

    def test_dns_error_settings(self):
        self.change("sender.dns_error", "reject", "defer")
        self.assertEqual(self.mail("x@broken.test"), 550)
        self.change("sender.dns_error", "accept", "defer")
        self.assertEqual(self.mail("x@broken.test"), 250)

    def test_blank_sender(self):
        self.change("sender.blank", "no", "yes")
        self.assertEqual(self.mail(""), 550)

    def test_reverse_look_up(self):
        """Asked for a message, never for the greeting."""
        self.change("smtp.reverse_lookup", "yes", "no")
        before = len(self.dns.queries)
        c = self.greeted()
        time.sleep(0.2)
        self.assertEqual(len(self.dns.queries), before)
        self.assertEqual(c.ask("MAIL FROM:<x@mx.test>"), 250)
        self.assertIn(("1.0.0.127.in-addr.arpa", "PTR"),
                      [q[:2] for q in self.dns.queries[before:]])


if __name__ == "__main__":
    unittest.main()
