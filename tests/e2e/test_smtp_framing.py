"""Threat rows A01 to A18: lines, end of data, bytes that do not belong."""

import socket
import time
import unittest

from lib.dialogue import Connection
from smtp_case import SmtpCase

TAIL = (b"MAIL FROM:<evil@remote.test>\r\nRCPT TO:<bob@example.org>\r\n"
        b"DATA\r\nSubject: smuggled\r\n\r\nx\r\n")
# 24 variants of an end of data that is none
VARIANTS = [
    b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r.\r\n", b"\r.\n",
    b"\n.\r", b"\r\n.\r", b"\r\n.\r\r\n", b"\r\r\n.\r\r\n", b"\r\n\0.\r\n",
    b"\r\n.\0\r\n", b"\r\n\0\r\n.\0\r\n", b"\r\r.\r\n", b"\r\n.\n\r",
    b"\n\n.\n\n", b"\r\r.\r\r", b"\n\r.\n\r", b"\r\n.\r\0\n", b"\n\0.\n",
    b"\r\0\n.\r\n", b"\r\n.\n\n", b"\n.\r\r\n", b"\r\n .\n",
]


class EndOfData(SmtpCase):
    def smuggle(self, pieces):
        """Send a message in pieces, then the true end; the reply's code."""
        c = self.greeted()
        self.begin(c)
        for piece in pieces:
            c.send(piece)
        c.send(b"\r\n.\r\n")
        code = c.reply()[0]
        # nothing behind the variant was run as commands
        self.assertEqual(c.ask("RCPT TO:<bob@example.org>"), 503)
        self.assert_sequel(c)
        self.assertEqual(c.ask("QUIT"), 221)
        self.assertTrue(c.at_end())
        return code

    def test_A01_A02_A03_A04_A05_A06_variants(self):
        self.assertEqual(len(VARIANTS), 24)
        sequels = 0
        before = self.accepted()
        for variant in VARIANTS:
            text = b"Subject: first\r\n\r\nx" + variant + TAIL
            with self.subTest(variant=variant, how="whole"):
                self.assertEqual(self.smuggle([text]), 550)
                sequels += 1
            start = text.index(variant)
            for cut in range(start, start + len(variant) + 1):
                with self.subTest(variant=variant, cut=cut):
                    self.assertEqual(
                        self.smuggle([text[:cut], text[cut:]]), 550)
                    sequels += 1
        self.assertEqual(self.accepted() - before, sequels)
        self.assertNotIn("evil@remote.test", self.server.log("mtad"))

    def test_A01_pipelined(self):
        """The whole dialogue in one segment: refused as talking early."""
        before = self.accepted()
        for variant in VARIANTS:
            c = self.greeted()
            c.send(b"MAIL FROM:<a@remote.test>\r\n"
                   b"RCPT TO:<bob@example.org>\r\nDATA\r\n"
                   b"Subject: first\r\n\r\nx" + variant + TAIL + b".\r\n")
            codes = [c.reply()[0] for _ in range(3)]
            self.assertEqual(codes, [250, 250, 554])
            self.assertTrue(c.at_end())
        self.assertEqual(self.accepted(), before)

    def test_A01_byte_by_byte(self):
        c = self.greeted()
        self.begin(c)
        for byte in b"Subject: x\r\n\r\n\n.\r\nx\r\n.\r\n":
            c.send(bytes([byte]))
            time.sleep(0.002)
        self.assertEqual(c.reply()[0], 550)

    def test_A08_dots_at_buffer_borders(self):
        for size in (4096, 8192, 16384, 65536):
            for delta in (-2, -1, 0, 1, 2):
                c = self.greeted()
                self.begin(c)
                head = b"Subject: x\r\n\r\n"
                fill = size + delta - len(head) - 2
                lines = b"y" * 70 + b"\r\n"
                body = lines * (fill // 72)
                body += b"z" * (fill - len(body)) + b"\r\n"
                c.send(head + body + b"..dot\r\n.\r\n")
                self.assertEqual(c.reply()[0], 250)

    def test_A12_long_commands(self):
        for size in (512, 513, 1000, 2047):
            c = self.greeted()
            self.assertEqual(c.ask("NOOP " + "x" * (size - 5)), 250)
        for size in (2100, 65536):
            c = self.greeted()
            self.assertEqual(c.ask("NOOP " + "x" * size), 500)
            self.assertEqual(c.ask("NOOP"), 250)
        c = self.greeted()
        try:
            for _ in range(160):
                c.send(b"x" * 65536)
        except OSError:
            pass
        while c.reply()[0]:
            pass
        self.assertTrue(c.at_end())
        self.assert_sequel()

    def test_A13_long_lines(self):
        for size, code in ((998, 250), (999, 250), (2048, 250), (65536, 250),
                           (65537, 550), (1 << 20, 550)):
            c = self.greeted()
            self.begin(c)
            c.send(b"Subject: x\r\n\r\n" + b"y" * size + b"\r\n.\r\n")
            self.assertEqual(c.reply()[0], code, size)
            self.assert_sequel(c)

    def test_A16_other_protocols(self):
        for text in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
                     b"SSH-2.0-x\r\n", b"\x16\x03\x01\x02\x00\x01\r\n",
                     b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"):
            c = self.connect()
            self.assertEqual(c.reply()[0], 220)
            c.send(text + b"EHLO x\r\nMAIL FROM:<a@remote.test>\r\n")
            self.assertEqual(c.reply()[0], 554)
            self.assertTrue(c.at_end())

    def test_A17_mbox_lines_count(self):
        c = self.greeted()
        self.begin(c)
        c.send(b"From joe Fri\r\n>From x\r\nSubject: x\r\n\r\nx\r\n.\r\n")
        self.assertEqual(c.reply()[0], 250)

    def test_A18_before_the_greeting(self):
        """Data that is there when the connection is accepted is refused."""
        refused = 0
        for _ in range(20):
            with socket.socket() as s:
                s.settimeout(20)
                s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                s.connect((self.server.host, self.server.port["smtp"]))
                s.sendall(b"EHLO x\r\n")
                first = s.makefile("rb").readline()
                self.assertTrue(first.startswith((b"220", b"554")), first)
                refused += first.startswith(b"554")
        self.assert_sequel()

    def test_B18_disconnect_after_each_byte(self):
        text = (b"EHLO x\r\nMAIL FROM:<a@remote.test>\r\n"
                b"RCPT TO:<bob@example.org>\r\nDATA\r\n")
        message = b"Subject: x\r\n\r\nx\r\n.\r\n"
        before = self.accepted()
        for cut in range(len(text)):
            c = self.connect()
            c.reply()
            c.send(text[:cut])
            c.close()
        for cut in range(len(message)):
            c = self.greeted()
            self.begin(c)
            c.send(message[:cut])
            c.close()
        self.assert_sequel()
        self.assertEqual(self.accepted() - before, 1)
        large = self.server.state / "spool" / "large"
        self.assertEqual(list(large.iterdir()), [])


class Normalise(SmtpCase):
    """smtp.bare_newline = normalise: stored, never taken for the end."""

    settings = {"smtp.bare_newline": "normalise"}

    def test_A01_normalised(self):
        for variant in VARIANTS:
            if b"\0" in variant:
                continue
            with self.subTest(variant=variant):
                c = self.greeted()
                self.begin(c)
                c.send(b"Subject: x\r\n\r\nx" + variant + TAIL)
                c.send(b"\r\n.\r\n")
                self.assertEqual(c.reply()[0], 250)
                self.assertEqual(c.ask("RCPT TO:<bob@example.org>"), 503)


if __name__ == "__main__":
    unittest.main()
