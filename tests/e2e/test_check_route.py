"""`mailstead check route` says what the SMTP server would say."""

import time
import unittest

from smtp_case import SmtpCase


class CheckRoute(SmtpCase):
    def check(self, sender, to, ip="127.0.0.1", *more):
        return self.server.json("check", "route", sender, to, "--ip", ip,
                                *more)

    def test_same_as_the_server(self):
        for sender, to in (("a@remote.test", "bob@example.org"),
                           ("a@remote.test", "nobody@example.org"),
                           ("a@remote.test", "z@elsewhere.test"),
                           ("a@remote.test", "postmaster"),
                           ("a@remote.test", "bob"),
                           ("<>", "bob@example.org"),
                           ("bob@example.org", "z@elsewhere.test"),
                           ("a@remote.test", "z%elsewhere.test@example.org")):
            with self.subTest(sender=sender, to=to):
                c = self.greeted()
                self.assertEqual(
                    c.ask(f"MAIL FROM:<{sender.strip('<>')}>"), 250)
                c.send(f"RCPT TO:<{to}>\r\n".encode())
                self.assertEqual(self.check(sender, to)["reply"],
                                 c.reply()[1])

    def test_users(self):
        v = self.check("alice@example.org", "z@elsewhere.test", "192.0.2.1",
                       "--user", "alice@example.org")
        self.assertEqual((v["verdict"], v["next"], v["rule"]),
                         ("accept", "remote", "signed-in"))
        v = self.check("bob@example.org", "z@elsewhere.test", "192.0.2.1",
                       "--user", "alice@example.org")
        self.assertEqual((v["verdict"], v["rule"]),
                         ("reject", "send-as.own"))

    def test_settings_count(self):
        self.server.set("relay.trusted", "192.0.2.0/24")
        self.addCleanup(self.server.set, "relay.trusted", "")
        time.sleep(0.1)
        v = self.check("a@remote.test", "z@elsewhere.test", "192.0.2.9")
        self.assertEqual(v["rule"], "relay.trusted")
        v = self.check("a@remote.test", "z@elsewhere.test", "192.0.3.9")
        self.assertEqual((v["verdict"], v["next"]), ("reject", "remote"))

    def test_wrong_use(self):
        for args, code in ((("check", "nothing"), 2),
                           (("check", "route", "a@b"), 2),
                           (("check", "route", "a@b", "c@d", "--ip", "x"), 1),
                           (("check", "route", "a@b", "c@d", "--ip", "::1",
                             "--user", "nobody@example.org"), 1)):
            done = self.server.run_cli(*args)
            self.assertEqual(done.returncode, code, args)
            self.assertTrue(done.stderr)


if __name__ == "__main__":
    unittest.main()
