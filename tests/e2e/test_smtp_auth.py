"""Threat rows D01 to D14: TLS and signing in, as the SMTP server sees it."""

import base64
import hashlib
import hmac
import subprocess
import ssl
import time
import unittest

from lib.server import PASSWORD, wait_until
from smtp_case import PLAIN, SmtpCase


def b64(data):
    return base64.b64encode(data).decode()


class Tls(SmtpCase):
    def test_D01_injection(self):
        c = self.greeted()
        c.send(b"STARTTLS\r\nMAIL FROM:<a@remote.test>\r\n")
        self.assertEqual(c.reply()[0], 554)
        self.assertTrue(c.at_end())

    def test_D01_injection_later(self):
        """Plain text between 220 and the handshake ends the connection."""
        c = self.greeted()
        self.assertEqual(c.ask("STARTTLS"), 220)
        c.send(b"EHLO x\r\nMAIL FROM:<a@remote.test>\r\n")
        while c.line() is not None:
            pass
        self.assertNotIn(b"250", c.buffer)
        self.assert_sequel()

    def test_D03_twice_and_state(self):
        c = self.greeted()
        self.assertEqual(c.ask("MAIL FROM:<a@remote.test>"), 250)
        self.assertEqual(c.ask("STARTTLS"), 503)
        self.assertEqual(c.ask("RSET"), 250)
        self.assertEqual(c.ask("STARTTLS"), 220)
        c.start_tls()
        self.assertEqual(c.ask("MAIL FROM:<a@remote.test>"), 503)
        self.assertEqual(c.ask("EHLO x"), 250)
        self.assertEqual(c.ask("STARTTLS"), 503)
        self.assert_sequel(c)

    def test_D05_old_versions(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
        c = self.connect("submissions")
        with self.assertRaises((ssl.SSLError, ConnectionError)):
            context.wrap_socket(c.sock)

    def test_B12_D06_nothing_is_read_behind_the_end_of_tls(self):
        before = self.accepted()
        c = self.greeted()
        self.assertEqual(c.ask("STARTTLS"), 220)
        c.start_tls()
        self.assertEqual(c.ask("EHLO x"), 250)
        self.begin(c)
        c.send(b"Subject: x\r\n\r\nx")
        try:
            c.sock = c.sock.unwrap()
            c.send(b"\r\n.\r\nNOOP\r\n")
            self.assertEqual(c.sock.recv(100), b"")
        except (OSError, ssl.SSLError):
            pass  # closed already
        self.assert_sequel()
        self.assertEqual(self.accepted() - before, 1)

    def test_D06_handshakes_leave_nothing(self):
        with subprocess.Popen(
                ["openssl", "s_client", "-tls1_2", "-connect",
                 f"{self.server.host}:{self.server.port['submissions']}"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, text=True) as p:
            for line in p.stdout:
                if line.startswith("220 "):
                    break
            self.assertIn("no renegotiation", p.communicate("R\n", 30)[0])
        self.change("limit.connections_per_address", 3, 0)
        for _ in range(30):
            wait_until(self.handshake, 10, "a slot")

    def handshake(self):
        c = self.connect("submissions")
        try:
            c.start_tls()
        except (OSError, ssl.SSLError):
            return False
        finally:
            c.close()
        return True

    def test_D07_tickets_belong_to_their_port(self):
        """A session of 465 is not resumed on 25."""
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        c = self.connect("submissions")
        c.sock = context.wrap_socket(c.sock)
        self.assertEqual(c.reply()[0], 220)
        session = c.sock.session
        again = self.connect("submissions")
        again.sock = context.wrap_socket(again.sock, session=session)
        self.assertTrue(again.sock.session_reused)
        mx = self.greeted()
        self.assertEqual(mx.ask("STARTTLS"), 220)
        mx.sock = context.wrap_socket(mx.sock, session=session)
        self.assertFalse(mx.sock.session_reused)


class Auth(SmtpCase):
    settings = {"session.max_auth_failures": 3}

    def private(self):
        c = self.greeted("submission")
        self.assertEqual(c.ask("STARTTLS"), 220)
        c.start_tls()
        self.assertEqual(c.ask("EHLO x"), 250)
        return c

    def test_D04_never_over_plain_text(self):
        before = self.server.log("mtad").count(" event=auth ")
        c = self.greeted("submission")
        self.assertEqual(c.ask("AUTH PLAIN " + PLAIN), 538)
        self.assertEqual(c.ask("AUTH LOGIN"), 538)
        after = self.server.log("mtad").count(" event=auth ")
        self.assertEqual(before, after)

    def test_D04_listed_network(self):
        self.change("auth.plaintext_networks", "127.0.0.1", "")
        c = self.greeted("submission")
        self.assertEqual(c.ask("AUTH PLAIN " + PLAIN), 235)

    def test_D08_malformed(self):
        for line in ("!!!", "AA", "A" * 1900, b64(b"a\0b"),
                     b64(b"\0\0"), b64(b"a\0b\0c\0d"), b64(b"\xff\0\xfe\0")):
            c = self.private()
            self.assertIn(c.ask("AUTH PLAIN " + line), (501, 535, 454),
                          line[:20])
            self.assertEqual(c.ask("NOOP"), 250)
        c = self.private()
        self.assertEqual(c.ask("AUTH PLAIN"), 334)
        self.assertEqual(c.ask("A" * 12000), 501)
        self.assertEqual(c.ask("AUTH PLAIN"), 334)
        self.assertEqual(c.ask("A" * 20000), 500)
        self.assertEqual(c.ask("AUTH LOGIN"), 334)
        self.assertEqual(c.ask("*"), 501)
        self.assertEqual(c.ask("AUTH PLAIN"), 334)
        self.assertEqual(c.ask(PLAIN), 235)
        self.assertEqual(c.ask("AUTH PLAIN " + PLAIN), 503)

    def test_D08_in_a_transaction(self):
        c = self.signed_in()
        self.assertEqual(c.ask("MAIL FROM:<alice@example.org>"), 250)
        self.assertEqual(c.ask("AUTH PLAIN " + PLAIN), 503)
        self.assertEqual(c.ask("RCPT TO:<bob@example.org>"), 250)

    def test_D09_D18_names(self):
        """None is looked up anywhere but in the directory."""
        for name in (b"\xff\xfe", b"a\nb", b"'", b"%u", b"../x", b"x" * 1000,
                     b"root", b"root@mail.example.org"):
            c = self.private()
            self.assertIn(c.ask("AUTH PLAIN " + b64(b"\0" + name + b"\0x")),
                          (501, 535, 454), name)

    def scram(self, c, bare, final=None):
        """Sign in; or give `final`, whatever the challenge is.  The last
        reply's code, and what was given."""
        c.send(b"AUTH SCRAM-SHA-256 " + b64(b"n,," + bare).encode() + b"\r\n")
        code, text = c.reply()
        self.assertEqual(code, 334)
        first = base64.b64decode(text[4:])
        if final is None:
            part = dict(p.split(b"=", 1) for p in first.split(b","))
            key = hmac.digest(hashlib.pbkdf2_hmac(
                "sha256", PASSWORD.encode(), base64.b64decode(part[b"s"]),
                int(part[b"i"])), b"Client Key", "sha256")
            final = b"c=biws,r=" + part[b"r"]
            signature = hmac.digest(
                hashlib.sha256(key).digest(),
                b",".join((bare, first, final)), "sha256")
            final += b",p=" + base64.b64encode(
                bytes(a ^ b for a, b in zip(key, signature)))
        code = c.ask(b64(final))
        return c.ask("") if code == 334 else code, final

    def test_D16_scram_is_not_replayed(self):
        bare = b"n=alice@example.org,r=0123456789abcdef"
        code, final = self.scram(self.private(), bare)
        self.assertEqual(code, 235)
        c = self.private()
        self.assertEqual(self.scram(c, bare, final)[0], 535)
        self.assertEqual(self.scram(c, bare)[0], 235)

    def test_D11_failures_end_the_session(self):
        c = self.private()
        wrong = b64(b"\0nobody@example.org\0wrong")
        codes = []
        for _ in range(3):
            codes.append(c.ask("AUTH PLAIN " + wrong))
        self.assertEqual(codes[-1], 421, codes)
        self.assertTrue(c.at_end())

    def test_D13_half_open(self):
        """Exchanges that stand still do not keep others out."""
        held = []
        for _ in range(30):
            c = self.private()
            self.assertEqual(c.ask("AUTH LOGIN"), 334)
            held.append(c)
        start = time.monotonic()
        self.signed_in()
        self.assertLess(time.monotonic() - start, 5)

    def test_secrets_are_not_logged(self):
        self.signed_in()
        for program in ("mtad", "accountd"):
            text = self.server.log(program)
            self.assertNotIn(PASSWORD, text)
            self.assertNotIn(PLAIN, text)

    def test_msmtp_chooses(self):
        """Debian's GNU SASL signs in by what we offer over TLS 1.3."""
        before = self.accepted()
        done = subprocess.run(
            ["msmtp", "--host", self.server.host, "--port",
             str(self.server.port["submission"]), "--tls=on",
             "--tls-starttls=on", "--tls-certcheck=off", "--auth=on",
             "--user=alice@example.org", "--passwordeval=echo " + PASSWORD,
             "--from=alice@example.org", "--domain=client.example",
             "--file=/dev/null", "bob@example.org"],
            input=b"Subject: x\n\nx\n", capture_output=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.accepted(), before + 1)

    def test_mx_has_no_auth(self):
        c = self.greeted()
        self.assertEqual(c.ask("STARTTLS"), 220)
        c.start_tls()
        self.assertEqual(c.ask("EHLO x"), 250)
        self.assertEqual(c.ask("AUTH PLAIN " + PLAIN), 502)
        self.change("smtp.auth_on_25", "yes", "no")
        c = self.greeted()
        self.assertEqual(c.ask("STARTTLS"), 220)
        c.start_tls()
        self.assertEqual(c.ask("EHLO x"), 250)
        self.assertEqual(c.ask("AUTH PLAIN " + PLAIN), 235)


if __name__ == "__main__":
    unittest.main()
