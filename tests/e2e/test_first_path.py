"""The main job: mail sent by real clients arrives and is fetched."""

import os
import poplib
import pwd
import smtplib
import ssl
import subprocess
import sys
import unittest
from email.message import EmailMessage
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from lib.server import PASSWORD, ServerTest  # noqa: E402


def trusting():
    """A TLS context that accepts the self-signed certificate of the test."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def message(sender, to, subject="hello", text="Hello there.\n"):
    m = EmailMessage()
    m["From"], m["To"], m["Subject"] = sender, to, subject
    m.set_content(text)
    return m


class FirstPath(ServerTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.s.cli("domain", "add", "example.net")
        cls.s.cli("domain", "add", "example.com", "--alias-of", "example.org")
        for address in ("ann@example.org", "bob@example.org",
                        "bob@example.net"):
            cls.s.user(address)

    def setUp(self):
        for address in ("ann@example.org", "bob@example.org",
                        "bob@example.net"):
            p = self.pop(address)
            for i in range(len(p.list()[1])):
                p.dele(i + 1)
            p.quit()

    def pop(self, user, password=PASSWORD):
        p = poplib.POP3_SSL(self.s.host, self.s.port["pop3s"],
                            context=trusting(), timeout=30)
        p.user(user)
        p.pass_(password)
        return p

    def submit(self, sender="ann@example.org"):
        c = smtplib.SMTP(self.s.host, self.s.port["submission"], timeout=30)
        c.starttls(context=trusting())
        c.login(sender, PASSWORD)
        return c

    def test_stranger_plain_to_local(self):
        with smtplib.SMTP(self.s.host, self.s.port["smtp"], timeout=30) as c:
            c.ehlo("client.example")
            c.mail("stranger@elsewhere.example")
            self.assertEqual(c.rcpt("bob@example.org")[0], 250)
            code, text = c.data(b"Subject: one\r\n\r\n.dot\r\nbody\r\n")
        self.assertEqual(code, 250)
        self.assertRegex(text.decode(), r"^2\.0\.0 Accepted as [0-9A-Z]{26}$")
        self.s.wait_messages("bob@example.org", 1)
        p = self.pop("bob@example.org")
        lines = p.retr(1)[1]
        self.assertIn(b"Subject: one", lines)
        self.assertIn(b".dot", lines)
        self.assertEqual(lines[0], b"Return-Path: <stranger@elsewhere.example>")
        ident = text.decode().split()[-1].encode()
        self.assertTrue(p.uidl(1).split()[-1].startswith(ident))
        p.quit()

    def test_starttls_and_implicit_tls(self):
        with self.submit() as c:
            c.send_message(message("ann@example.org", "bob@example.org"))
        with smtplib.SMTP_SSL(self.s.host, self.s.port["submissions"],
                              context=trusting(), timeout=30) as c:
            c.login("ann@example.org", PASSWORD)
            c.send_message(message("ann@example.org", "bob@example.org"))
        self.s.wait_messages("bob@example.org", 2)
        p = poplib.POP3(self.s.host, self.s.port["pop3"], timeout=30)
        p.stls(context=trusting())
        p.user("bob@example.org")
        p.pass_(PASSWORD)
        self.assertEqual(p.stat()[0], 2)
        p.quit()

    def test_passwords_and_unknown_users(self):
        for user, password in (("ann@example.org", "wrong password"),
                               ("nobody@example.org", PASSWORD),
                               ("", PASSWORD)):
            with self.assertRaises(poplib.error_proto):
                self.pop(user, password)
            c = smtplib.SMTP(self.s.host, self.s.port["submission"])
            c.starttls(context=trusting())
            with self.assertRaises(smtplib.SMTPAuthenticationError):
                c.login(user or "x", password)
            c.close()
        # somebody who mistyped is not locked out for long
        self.pop("ann@example.org").quit()

    def test_no_login_in_clear(self):
        p = poplib.POP3(self.s.host, self.s.port["pop3"], timeout=30)
        with self.assertRaises(poplib.error_proto):
            p.user("ann@example.org")
            p.pass_(PASSWORD)
        p.close()
        c = smtplib.SMTP(self.s.host, self.s.port["submission"], timeout=30)
        c.ehlo()
        self.assertNotIn("auth", c.esmtp_features)
        self.assertIn(c.docmd("AUTH", "PLAIN AGEAYg==")[0], (530, 538))
        c.close()

    def test_login_forms(self):
        with self.submit() as c:
            c.send_message(message("ann@example.org", "bob@example.net"))
        self.s.wait_messages("bob@example.net", 1)
        for form in ("bob@example.net", "BOB@Example.NET", "bob%example.net",
                     "bob#example.net", "bob$example.net",
                     "bob%mail.example.net"):
            p = self.pop(form)
            self.assertEqual(p.stat()[0], 1, form)
            p.quit()
        for form in ("bob", "bob@mail.example.org", "bob@example.com"):
            p = self.pop(form)
            self.assertEqual(p.stat()[0], 0, form)
            p.quit()

    def test_same_user_in_two_domains_and_alias_domain(self):
        with self.submit() as c:
            c.send_message(message("ann@example.org", "bob@example.com",
                                   subject="by alias"))
            c.send_message(message("ann@example.org", "bob@example.net",
                                   subject="net"))
        self.assertIn(b"by alias",
                      self.s.wait_messages("bob@example.org", 1)[0])
        self.assertIn(b"net", self.s.wait_messages("bob@example.net", 1)[0])

    def test_several_recipients_one_file(self):
        to = ["ann@example.org", "bob@example.org", "bob@example.net"]
        with self.submit() as c:
            c.sendmail("ann@example.org", to, "Subject: all\n\nAll.\n")
        inodes = set()
        for address in to:
            self.s.wait_messages(address, 1)
            new = list((self.s.mailbox(address) / "new").iterdir())
            self.assertEqual(len(new), 1)
            inodes.add(new[0].stat().st_ino)
        self.assertEqual(len(inodes), 1, "hard links of one file")

    def test_relay_only_for_signed_in(self):
        with smtplib.SMTP(self.s.host, self.s.port["smtp"], timeout=30) as c:
            c.ehlo("client.example")
            c.mail("stranger@elsewhere.example")
            self.assertIn(c.rcpt("x@remote.example")[0], (550, 554))
            self.assertEqual(c.rcpt("nobody@example.org")[0], 550)
            self.assertEqual(c.rcpt("postmaster")[0], 250)
        with self.submit() as c:
            c.mail("ann@example.org")
            self.assertEqual(c.rcpt("x@remote.example")[0], 250)
            c.rset()

    def test_top_uidl_dele_rset(self):
        with self.submit() as c:
            for i in range(3):
                c.send_message(message("ann@example.org", "bob@example.org",
                                       subject=f"n{i}"))
        self.s.wait_messages("bob@example.org", 3)
        p = self.pop("bob@example.org")
        self.assertEqual(len(set(p.uidl()[1])), 3)
        top = p.top(1, 0)[1]
        self.assertNotIn(b"Hello there.", top)
        number, size = map(int, p.list(2).split()[1:])
        self.assertEqual((number, size),
                         (2, sum(len(x) + 2 for x in p.retr(2)[1])))
        p.dele(1)
        p.rset()
        p.dele(2)
        p.quit()
        p = self.pop("bob@example.org")
        self.assertEqual(p.stat()[0], 2)
        p.quit()

    def test_swaks_and_curl(self):
        run = subprocess.run(
            ["swaks", "--server", f"{self.s.host}:{self.s.port['submission']}",
             "--from", "ann@example.org", "--to", "bob@example.org", "--tls",
             "--auth", "PLAIN", "--auth-user", "ann@example.org",
             "--auth-password", PASSWORD, "--helo", "client.example"],
            capture_output=True, text=True, timeout=60)
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        sent = subprocess.run(
            ["curl", "-sS", "-k", "--ssl-reqd",
             f"smtp://{self.s.host}:{self.s.port['submission']}",
             "--user", f"ann@example.org:{PASSWORD}",
             "--mail-from", "ann@example.org",
             "--mail-rcpt", "bob@example.org", "-T", "-"],
            input="Subject: curl\r\n\r\nby curl\r\n", text=True,
            capture_output=True, timeout=60)
        self.assertEqual(sent.returncode, 0, sent.stderr)
        self.s.wait_messages("bob@example.org", 2)
        got = subprocess.run(
            ["curl", "-sS", "-k",
             f"pop3s://{self.s.host}:{self.s.port['pop3s']}/2",
             "--user", f"bob@example.org:{PASSWORD}"],
            text=True, capture_output=True, timeout=60)
        self.assertEqual(got.returncode, 0, got.stderr)
        self.assertIn("by curl", got.stdout)

    def test_sendmail_submission(self):
        self.s.cli("submit", "-i", "-f", "ann@example.org", "-t",
                   input="From: ann@example.org\nTo: bob@example.org\n"
                         "Subject: local\n\nby sendmail\n")
        self.assertIn(b"by sendmail",
                      self.s.wait_messages("bob@example.org", 1)[0])
        # without -f reports go where somebody reads them
        user = pwd.getpwuid(os.getuid()).pw_name
        self.s.cli("alias", "add", f"{user}@example.org", "ann@example.org")
        self.s.cli("submit", "bob@example.org", input="Subject: cron\n\nx\n")
        self.assertIn(f"Return-Path: <{user}@example.org>".encode(),
                      b"".join(self.s.wait_messages("bob@example.org", 2)))


if __name__ == "__main__":
    unittest.main()
