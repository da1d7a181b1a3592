"""Threat rows B06 to B19: counts, sizes, pipelining, state."""

import time
import unittest

from smtp_case import SEEN, SmtpCase


class Counts(SmtpCase):
    settings = {"session.max_recipients": 10, "session.max_junk": 20,
                "session.max_errors": 15}

    def test_B06_junk(self):
        for line in ("NOOP", "RSET", "EHLO x", "VRFY x", "HELP"):
            c = self.greeted()
            codes = []
            for _ in range(30):
                codes.append(c.ask(line))
                if codes[-1] == 421:
                    break
            self.assertEqual(codes[-1] == 421, True, line)
            self.assertTrue(c.at_end())
        self.assert_sequel()

    def test_B06_B11_errors(self):
        for line in "FOO", "BDAT 1":
            c = self.greeted()
            codes = [c.ask(line) for _ in range(16)]
            self.assertEqual(set(codes), {500})
            self.assertEqual(c.reply()[0], 421)
            self.assertTrue(c.at_end())

    def test_B07_recipients(self):
        for i in range(12):
            self.server.cli("alias", "add", f"alias{i}@example.org",
                            "bob@example.org")
        time.sleep(SEEN)
        c = self.greeted()
        self.assertEqual(c.ask("MAIL FROM:<a@remote.test>"), 250)
        codes = [c.ask(f"RCPT TO:<alias{i}@example.org>") for i in range(12)]
        self.assertEqual(codes, [250] * 10 + [452] * 2)
        self.assertEqual(c.ask("DATA"), 354)
        self.assertEqual(c.ask("Subject: x\r\n\r\nx\r\n."), 250)

    def test_B07_duplicates_are_one(self):
        c = self.greeted()
        self.assertEqual(c.ask("MAIL FROM:<a@remote.test>"), 250)
        for _ in range(50):
            self.assertEqual(c.ask("RCPT TO:<bob@example.org>"), 250)
        self.assertEqual(c.ask("DATA"), 354)
        self.assertEqual(c.ask("."), 250)
        self.server.wait_log("mtad", r"event=accept .* recipients=1 ")


class State(SmtpCase):
    settings = {"message.max_bytes": 10000}

    def test_B08_one_bad_recipient(self):
        c = self.greeted()
        c.send(b"MAIL FROM:<a@remote.test>\r\nRCPT TO:<nobody@example.org>\r\n"
               b"RCPT TO:<bob@example.org>\r\nDATA\r\n")
        self.assertEqual([c.reply()[0] for _ in range(4)],
                         [250, 550, 250, 354])
        self.assertEqual(c.ask("x\r\n."), 250)

    def test_B08_all_bad_recipients(self):
        c = self.greeted()
        c.send(b"MAIL FROM:<a@remote.test>\r\nRCPT TO:<nobody@example.org>\r\n"
               b"DATA\r\n")
        self.assertEqual([c.reply()[0] for _ in range(3)], [250, 550, 503])
        self.assertEqual(c.ask("RSET"), 250)
        self.assert_sequel(c)

    def test_E09_unknown_recipient_is_told_in_the_session(self):
        """Nothing is accepted that would have to go back to a stranger."""
        before = self.accepted()
        for sender in ("forged@victim.test", ""):
            c = self.greeted()
            self.assertEqual(c.ask(f"MAIL FROM:<{sender}>"), 250)
            for local in ("nobody", "nobody+tag", "bobby", "mailer-daemon"):
                c.send(f"RCPT TO:<{local}@example.org>\r\n".encode())
                self.assertRegex(c.reply()[1],
                                 r"^550 5\.1\.1 ")
            self.assertEqual(c.ask("DATA"), 503)
        self.assertEqual(self.accepted(), before)

    def test_B09_byte_by_byte(self):
        c = self.connect()
        self.assertEqual(c.reply()[0], 220)
        for byte in (b"EHLO x\r\nMAIL FROM:<a@remote.test>\r\n"
                     b"RCPT TO:<bob@example.org>\r\nNOOP\r\n"):
            c.send(bytes([byte]))
        self.assertEqual([c.reply()[0] for _ in range(4)], [250] * 4)

    def test_B02_after_a_refused_message(self):
        c = self.greeted()
        self.begin(c)
        c.send(b"x" * 60 + b"\r\n")
        c.send((b"y" * 70 + b"\r\n") * 200 + b".\r\n")
        self.assertEqual(c.reply(), (552, "552 5.3.4 Too much mail data"))
        self.assertEqual(c.ask("RCPT TO:<bob@example.org>"), 503)
        self.assertEqual(c.ask("DATA"), 503)
        self.assert_sequel(c)

    def test_B13_size_is_exact(self):
        for size, code in ((10000, 250), (10001, 552)):
            c = self.greeted()
            self.begin(c)
            lines = b"y" * 98 + b"\r\n"
            body = lines * (size // 100 - 1)
            body += b"z" * (size - len(body) - 2) + b"\r\n"
            self.assertEqual(len(body), size)
            c.send(body + b".\r\n")
            self.assertEqual(c.reply()[0], code, size)
        c = self.greeted()
        self.assertEqual(c.ask("MAIL FROM:<a@remote.test> SIZE=10000"), 250)
        c = self.greeted()
        self.assertEqual(c.ask("MAIL FROM:<a@remote.test> SIZE=10001"), 552)

    def test_B13_changed_without_restart(self):
        c = self.greeted()
        self.change("message.max_bytes", 2000, 10000)
        self.assertEqual(c.ask("MAIL FROM:<a@remote.test> SIZE=2001"), 552)

    def test_E01_hops(self):
        for hops, code in ((50, 250), (51, 554)):
            c = self.greeted()
            self.begin(c)
            c.send(b"Received: x\r\n" * hops + b"\r\nx\r\n.\r\n")
            self.assertEqual(c.reply()[0], code)

    def test_E03_own_delivered_to(self):
        c = self.greeted()
        self.begin(c)
        c.send(b"Delivered-To: BOB@example.org\r\n\r\nx\r\n.\r\n")
        self.assertEqual(c.reply()[0], 554)

    def test_header_block_is_bounded(self):
        self.change("message.max_bytes", "20M", 10000)
        c = self.greeted()
        self.begin(c)
        c.send(b"X: " + b"y" * 1000 + b"\r\n")
        c.send((b"X: " + b"y" * 1000 + b"\r\n") * 1100 + b"\r\n.\r\n")
        self.assertEqual(c.reply()[0], 552)
        c = self.greeted()
        self.begin(c)
        c.send(b"X: y\r\n" * 2001 + b"\r\n.\r\n")
        self.assertEqual(c.reply()[0], 552)
        self.assert_sequel(c)


if __name__ == "__main__":
    unittest.main()
