"""Threat rows C01 to C12: addresses and who may relay."""

import socket
import ssl
import struct
import time
import unittest

from lib.dialogue import Connection
from smtp_case import SEEN, SmtpCase

R = "elsewhere.test"  # not ours
L = "example.org"
# Address forms that must not become a relay: nmap's 16 and relatives.
FORMS = [
    f"<z@{R}>", f"<z%{R}@{L}>", f"<z%{R}>", f'<"z@{R}">', f'<"z%{R}">',
    f"<z@{R}@{L}>", f'<"z@{R}"@{L}>', f"<@{L}:z@{R}>", f"<{R}!z>",
    f"<{R}!z@{L}>", f"<z%{R}@[127.0.0.1]>", f"<z@{R}@[127.0.0.1]>",
    f'<"z@{R}"@[127.0.0.1]>', f"<@[127.0.0.1]:z@{R}>",
    f"<{R}!z@[127.0.0.1]>", f"<@{R}:z@{R}>",
    f"<@{L},@{R}:z@{R}>", f"<@{R},@{L}:z@{R}>", f"<@a,@b:z@{R}>",
    f"<z@{R}.>", f"<z@{R.upper()}>", f"<z@[192.0.2.1]>",
    "<z@[IPv6:2001:db8::1]>", "<z@192.0.2.1>", f"<z@{L}.{R}>",
    f"<z@{R}.{L}>", f"<z@x{L}>", f"<z@{L}x>", f"<z@ {R}>", f"< z@{R}>",
    f"<z@{R}>@{L}", f"<z@{L}>z@{R}", f"z@{R}", f"<z@{R},bob@{L}>",
    f"<bob@{L},z@{R}>", f"<bob@{L}%{R}>", f"<bob%{L}%{R}@{L}>",
    f"<z@{R}\0@{L}>", f"<z@{L}\0.{R}>", f"<\"z@{R}\\\"\"@{L}>",
    f"<z@{R} bob@{L}>", f"<<z@{R}>>", f"<z@{R}#@{L}>", f"<z#{R}@{L}>",
    f"<z${R}@{L}>", f"<z&{R}@{L}>", f"<z=40{R}@{L}>", f"<z+{R}@{L}>",
    f"<z*{R}@{L}>", f"<z:{R}@{L}>", f"<z;{R}@{L}>", f"<z|{R}@{L}>",
    f"<z`{R}`@{L}>", f"<\"|z {R}\"@{L}>", f"<:include:/etc/passwd@{L}>",
    f"</etc/passwd@{L}>", f"<../../bob@{L}>", f"<z@{R}\t>",
    f"<MAILER-DAEMON%{R}@{L}>", f"<root@[IPv6:::1]>",
]


class Relaying(SmtpCase):
    def refused(self, c, form, sender):
        c.ask("RSET")
        self.assertEqual(c.ask(f"MAIL FROM:{sender}"), 250)
        code = c.ask(f"RCPT TO:{form}")
        self.assertIn(code, (501, 530, 550), (form, sender))

    def test_C01_C02_C03_no_relay_in_60_forms(self):
        """By 4 kinds of client: sender remote, null, local, own literal."""
        self.assertEqual(len(FORMS), 60)
        self.server.set("session.max_errors", 100000)
        self.server.set("session.max_junk", 100000)
        time.sleep(SEEN)
        for sender in ("<a@remote.test>", "<>", "<bob@example.org>",
                       "<root@[127.0.0.1]>"):
            c = self.greeted()
            for form in FORMS:
                self.refused(c, form, sender)

    def test_C01_other_loopback_client(self):
        with socket.socket() as s:
            s.bind(("127.0.0.2", 0))
            s.settimeout(20)
            s.connect((self.server.host, self.server.port["smtp"]))
            c = Connection.__new__(Connection)
            c.sock, c.buffer = s, b""
            self.assertEqual(c.reply()[0], 220)
            self.assertEqual(c.ask("EHLO x"), 250)
            self.assertEqual(c.ask("MAIL FROM:<a@remote.test>"), 250)
            self.assertEqual(c.ask(f"RCPT TO:<z@{R}>"), 550)

    def test_C04_C05_C06_C07_grammar(self):
        tree = {p for p in (self.server.state / "mail").rglob("*")}
        for form, want in (
                ("<postmaster>", 250), ("<POSTMASTER>", 250),
                ("<>", 501), ('<"">', 501), ("<@example.org>", 501),
                ("<bob@>", 501), ("<.a@example.org>", 501),
                ("<a..b@example.org>", 501), ('<"bob"@example.org>', 250),
                ('<"b\\ob"@example.org>', 250), ("<bob@example.org.>", 250),
                ("<bob@EXAMPLE.org>", 250), ("<bob@example..org>", 501),
                ("<" + "a" * 65 + "@example.org>", 501),
                ("<" + "a" * 64 + "@example.org>", 550),
                ("<bob@" + "a" * 64 + ".org>", 501),
                ('<"a b"@example.org>', 550), ('<"../x"@example.org>', 550),
                ('<"a;id"@example.org>', 550), ("<a/b@example.org>", 550),
                ("<new@example.org>", 550), ("<%2e%2e@example.org>", 550),
                ("<-bob@example.org>", 550), ("<bob+tag@example.org>", 250),
                ("<bob+../../x@example.org>", 501),
                ("<bob+a/b@example.org>", 250)):
            c = self.greeted()
            self.assertEqual(c.ask("MAIL FROM:<a@remote.test>"), 250)
            self.assertEqual(c.ask(f"RCPT TO:{form}"), want, form)
        self.assertEqual(
            {p for p in (self.server.state / "mail").rglob("*")}, tree)

    def test_C11_signed_in_sends_as_others(self):
        c = self.signed_in()
        for sender, code in (("bob@example.org", 553), ("x@remote.test", 553),
                             ("alice@example.org", 250)):
            self.assertEqual(c.ask(f"MAIL FROM:<{sender}>"), code, sender)
        self.server.wait_log("mtad", r"event=reject .*rule=send-as.own")
        self.assertEqual(c.ask(f"RCPT TO:<z@{R}>"), 250)
        self.assertEqual(c.ask("DATA"), 354)
        self.assertEqual(c.ask("From: alice@example.org, Bob "
                               "<bob@example.org>\r\n\r\nx\r\n."), 550)
        self.assertEqual(c.ask("MAIL FROM:<>"), 250)

    def test_C12_nobody_believes_headers(self):
        c = self.connect()
        c.send(b"PROXY TCP4 10.0.0.1 10.0.0.2 1 25\r\n")
        codes = [c.reply()[0], c.reply()[0]]
        self.assertTrue(codes[0] == 554 or codes == [220, 500], codes)
        c = self.greeted()
        self.assertEqual(c.ask("XCLIENT ADDR=10.0.0.1"), 500)


class Modes(SmtpCase):
    """Settings that let strangers relay, changed while the server runs."""

    def relay(self, sender="a@remote.test", to=f"z@{R}"):
        c = self.greeted()
        code = c.ask(f"MAIL FROM:<{sender}>")
        return code if code != 250 else c.ask(f"RCPT TO:<{to}>")

    def with_settings(self, **values):
        for name, value in values.items():
            self.server.set(name.replace("__", "."), value)
        time.sleep(SEEN)

    def tearDown(self):
        self.with_settings(
            relay__mode="none", relay__trusted="", relay__addresses="",
            relay__trusted_enabled="yes", access__disallowed="",
            access__no_delivery="", access__no_relay="",
            sender__relay_rule="none")

    def test_trusted(self):
        self.with_settings(relay__trusted="127.0.0.0/8")
        self.assertEqual(self.relay(), 250)
        self.assertEqual(self.relay(to="bob"), 250)
        self.with_settings(relay__trusted_enabled="no")
        self.assertEqual(self.relay(), 550)

    def test_addresses(self):
        self.with_settings(relay__mode="addresses",
                           relay__addresses="127.0.0.1-127.0.0.9")
        self.assertEqual(self.relay(), 250)
        self.with_settings(sender__relay_rule="local-domain")
        self.assertEqual(self.relay(), 550)
        self.assertEqual(self.relay("who@example.org"), 250)
        self.with_settings(sender__relay_rule="account")
        self.assertEqual(self.relay("who@example.org"), 550)
        self.assertEqual(self.relay("bob@example.org"), 250)

    def test_local_hosts_and_users(self):
        self.with_settings(relay__mode="local-hosts")
        self.assertEqual(self.relay(), 550)
        self.assertEqual(self.relay("who@example.org"), 250)
        self.with_settings(relay__mode="local-users")
        self.assertEqual(self.relay("who@example.org"), 550)
        self.assertEqual(self.relay("bob@example.org"), 250)

    def test_anyone_warns(self):
        self.with_settings(relay__mode="anyone")
        self.assertEqual(self.relay(), 250)
        self.server.wait_log("mtad", "open relay")

    def test_disallowed(self):
        self.with_settings(access__no_delivery="127.0.0.1")
        self.assertEqual(self.relay(to="bob@example.org"), 550)
        self.with_settings(access__no_delivery="",
                           access__disallowed="127.0.0.0/255.0.0.0")
        c = self.connect()
        self.assertEqual(c.reply()[0], 554)
        self.assertTrue(c.at_end())
        c = self.greeted("submission")
        self.assertEqual(c.ask("NOOP"), 250)
        self.assertEqual(c.ask("VRFY x"), 530)
        self.assertEqual(c.ask("RSET"), 530)
        c = self.signed_in()
        self.begin(c, sender="alice@example.org")

    def test_disabled_account(self):
        self.server.user("gone@example.org")
        self.server.cli("user", "disable", "gone@example.org")
        time.sleep(SEEN)
        self.assertEqual(self.relay(to="gone@example.org"), 550)
        # nor does a stranger learn it later from whom it stands for
        self.server.cli("alias", "add", "sole@example.org",
                        "gone@example.org")
        self.server.cli("alias", "add", "via@example.org", "sole@example.org")
        self.server.cli("alias", "add", "both@example.org",
                        "gone@example.org", "bob@example.org")
        self.server.cli("domain", "add", "all.test")
        self.server.cli("domain", "set", "all.test",
                        "catchall=gone@example.org")
        time.sleep(SEEN)
        for to, code in (("sole@example.org", 550), ("via@example.org", 550),
                         ("both@example.org", 250), ("any@all.test", 550)):
            self.assertEqual(self.relay(to=to), code, to)
        self.change("account.disabled_mail", "deliver", "reject")
        for to in ("gone@example.org", "any@all.test"):
            self.assertEqual(self.relay(to=to), 250, to)


class Proxies(SmtpCase):
    settings = {"smtp.proxy_from": "127.0.0.3",
                "smtp.xclient_from": "127.0.0.4",
                "relay.trusted": "10.9.8.7"}

    HEADER = b"\r\n\r\n\0\r\nQUIT\n\x21\x11" + struct.pack(
        ">H4s4sHH", 12, bytes([10, 9, 8, 7]), bytes([10, 0, 0, 1]), 1234, 25)

    def dial(self, source, port="smtp"):
        s = socket.socket()
        s.bind((source, 0))
        s.settimeout(20)
        s.connect((self.server.host, self.server.port[port]))
        c = Connection.__new__(Connection)
        c.sock, c.buffer = s, b""
        self.addCleanup(c.close)
        return c

    def test_proxy_v2(self):
        c = self.dial("127.0.0.3")
        c.send(self.HEADER)
        self.assertEqual(c.reply()[0], 220)
        self.assertEqual(c.ask("EHLO x"), 250)
        self.assertEqual(c.ask("MAIL FROM:<a@remote.test>"), 250)
        self.assertEqual(c.ask(f"RCPT TO:<z@{R}>"), 250)
        self.server.wait_log("mtad", "event=connect ip=10.9.8.7 ")
        c = self.dial("127.0.0.3")
        c.send(b"EHLO x\r\nMAIL FROM:<a@remote.test>\r\n")
        self.assertTrue(c.at_end())
        c = self.dial("127.0.0.2")
        c.send(self.HEADER)
        self.assertIn(c.reply()[0], (220, 554))

    def test_proxy_v2_with_a_handshake(self):
        """The client's first bytes may come in one packet with the header."""
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        got, said = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(got, said)
        c = self.dial("127.0.0.3", "submissions")
        before = self.HEADER
        while before is not None:
            try:
                tls.do_handshake()
                after = None
            except ssl.SSLWantReadError:
                after = b""
            c.send(before + said.read())
            before = after
            if before is not None:
                data = c.sock.recv(65536)
                self.assertTrue(data)
                got.write(data)
        self.server.wait_log(
            "mtad", "event=connect ip=10.9.8.7 listener=submissions")

    def test_xclient(self):
        c = self.dial("127.0.0.4")
        self.assertEqual(c.reply()[0], 220)
        self.assertEqual(c.ask("EHLO x"), 250)
        self.assertEqual(c.ask("XCLIENT ADDR=10.9.8.7 NAME=host.test"), 220)
        self.assertEqual(c.ask("MAIL FROM:<a@remote.test>"), 503)
        self.assertEqual(c.ask("EHLO x"), 250)
        self.assertEqual(c.ask("MAIL FROM:<a@remote.test>"), 250)
        self.assertEqual(c.ask(f"RCPT TO:<z@{R}>"), 250)


if __name__ == "__main__":
    unittest.main()
