"""What becomes of a message's bytes between DATA and the mailbox, and what
happens when the disk cannot take them."""

import os
import re
import subprocess
import tempfile
import time
import unittest

from lib.server import Server, wait_until
from smtp_case import SmtpCase


class Bytes(SmtpCase):
    """With the runner, to read mailboxes."""

    settings = {"service.queue-runner.enabled": "yes"}

    def deliver(self, data, sender="a@remote.test", c=None):
        """Send to bob, return what is in his mailbox."""
        before = set(self.server.messages("bob@example.org"))
        c = c or self.greeted()
        self.begin(c, sender=sender)
        c.send(data + b".\r\n")
        code, text = c.reply()
        self.assertEqual(code, 250, text)
        self.id = text.split()[-1]
        self.server.wait_messages("bob@example.org", len(before) + 1)
        new = set(self.server.messages("bob@example.org")) - before
        return new.pop()

    def test_trace_fields(self):
        got = self.deliver(b"Subject: x\r\n\r\nhello\r\n..\r\n")
        head, body = got.split(b"\n\n", 1)
        self.assertEqual(body, b"hello\n.\n")
        self.assertNotIn(b"\r", got)
        lines = head.decode().split("\n")
        self.assertEqual(lines[:2], ["Return-Path: <a@remote.test>",
                                     "Delivered-To: bob@example.org"])
        self.assertRegex(head.decode(), (
            r"Received: from client.example \(\[127\.0\.0\.1\]\)\n"
            r"\tby mail\.example\.org with ESMTP id " + self.id +
            r"\n\tfor <bob@example\.org>; "))
        self.assertEqual(lines[-1], "Subject: x")

    def test_own_names_by_address(self):
        self.change("smtp.names", "127.0.0.1=mail.second.test", "")
        self.change("smtp.greetings", "127.0.0.1=Hello_there", "")
        c = self.connect()
        self.assertEqual(c.reply(), (220, "220 mail.second.test Hello there"))
        c.send(b"EHLO client.example\r\n")
        self.assertEqual(c.line(), "250-mail.second.test")
        self.assertEqual(c.reply()[0], 250)
        got = self.deliver(
            b"Authentication-Results: mail.example.org; spf=pass\r\n"
            b"Authentication-Results: mail.second.test; spf=pass\r\n"
            b"Authentication-Results: mx.else.test; spf=pass\r\n"
            b"\r\nx\r\n", c=c)
        self.assertIn(b"by mail.second.test with ", got)
        self.assertEqual(re.findall(rb"Results: (\S+);", got),
                         [b"mx.else.test"])

    def test_B15_one_alias_in_every_unicode_form(self):
        self.server.cli("alias", "add", "jo\u0308rg@example.org",
                        "bob@example.org")
        got = self.server.run_cli("alias", "add", "bo\u200bb@example.org",
                                  "bob@example.org")
        self.assertEqual(got.returncode, 1, got)
        before = len(self.server.messages("bob@example.org"))
        c = self.greeted()
        self.assertEqual(c.ask("MAIL FROM:<a@remote.test> SMTPUTF8"), 250)
        for name in "j\u00f6rg", "jo\u0308rg", "J\u00d6RG":
            self.assertEqual(c.ask(f"RCPT TO:<{name}@example.org>"), 250)
        self.assertEqual(c.ask("RCPT TO:<jorg@example.org>"), 550)
        self.assertEqual(c.ask("DATA"), 354)
        self.assertEqual(c.ask("Subject: once\r\n\r\nx\r\n."), 250)
        self.server.wait_messages("bob@example.org", before + 1)
        self.server.cli("wait", "--for", "empty")
        self.assertEqual(len(self.server.messages("bob@example.org")),
                         before + 1)

    def test_C08_details_are_no_paths(self):
        places = self.places()
        for n, detail in enumerate(("", "../../x", "/etc", "..", "t" * 50)):
            c = self.greeted()
            self.begin(c, f'"bob+{detail}"@example.org')
            self.assertEqual(c.ask(f"Subject: C08 {n}\r\n\r\nx\r\n."), 250)
            wait_until(lambda: any(
                f"Subject: C08 {n}\n".encode() in m for m in
                self.server.messages("bob@example.org")), 10, detail)
        c = self.greeted()
        self.assertEqual(c.ask("MAIL FROM:<a@remote.test>"), 250)
        self.assertEqual(c.ask(f"RCPT TO:<bob+{'t' * 200}@example.org>"), 501)
        self.assertEqual(self.places(), places)

    def places(self):
        """Every folder below mail/, and what lies beside it."""
        self.deliver(b"Subject: x\r\n\r\nx\r\n")
        return ({p for p in self.server.state.glob("mail/**") if p.is_dir()},
                set(self.server.state.iterdir()))

    def test_C09_no_account_looks_like_another(self):
        for name in "BOB", "b\u043eb", "bo\u0301b", "b\uff4fb", "bob\u200b":
            got = self.server.run_cli("user", "add", f"{name}@example.org",
                                      input="three blind mice\n")
            self.assertEqual(got.returncode, 1, name)

    def test_nothing_is_added_for_strangers(self):
        got = self.deliver(b"X-Only: this\r\n\r\nx\r\n")
        self.assertNotRegex(got, rb"(?m)^(Date|From|Message-ID):")

    def test_submission_adds_what_is_missing(self):
        got = self.deliver(b"Bcc: z@secret.test\r\nSubject: x\r\n\r\nx\r\n",
                           "alice@example.org", self.signed_in())
        self.assertRegex(got, rb"(?m)^Date: \w{3}, ")
        self.assertRegex(got, rb"(?m)^Message-ID: <" + self.id.encode())
        self.assertRegex(got, rb"(?m)^From: <alice@example.org>$")
        self.assertRegex(got, rb"with ESMTPSA id ")
        self.assertRegex(got, rb"\(TLSv1\.3 ")
        self.assertNotIn(b"secret", got)

    def test_forged_results_are_removed(self):
        got = self.deliver(
            b"Authentication-Results: mail.example.org; spf=pass\r\n"
            b"authentication-results : (x) MAIL.example.org\r\n ;dkim=pass\r\n"
            b"Authentication-Results: mx.else.test; spf=pass\r\n"
            b"Return-Path: <forged@x>\r\nSubject: x\r\n\r\nx\r\n")
        self.assertEqual(
            re.findall(rb"(?im)^authentication-results.*$", got),
            [b"Authentication-Results: mx.else.test; spf=pass"])
        self.assertNotIn(b"forged", got)

    def test_K14_one_author_from_outside(self):
        """Who it is from is one field; of several authors one sends."""
        one, two = b"From: a@remote.test\r\n", b"From: Bank <b@bank.test>\r\n"
        both = b"From: a@remote.test,\r\n Bank <b@bank.test>\r\n"
        group = b"From: us: a@remote.test, b@bank.test;\r\n"
        c = self.greeted()
        for head in (one + two, one + b"X: y\r\nfrom : b@bank.test\r\n",
                     one + one, both, group):
            self.begin(c)
            c.send(head + b"Subject: x\r\n\r\nx\r\n.\r\n")
            code, text = c.reply()
            self.assertEqual((code, text[4:9]), (550, "5.6.0"), head)
        self.server.wait_log("mtad", "event=reject .*rule=message.from")
        for head in (one, both + b"Sender: a@remote.test\r\n",
                     b"Sender: a@remote.test\r\n" + group,
                     b"From: \"Bank, b@bank.test\" (x, y) <a@remote.test>\r\n"):
            self.deliver(head + b"\r\nx\r\n")
        # whoever signed in may write as each of them, or nothing is sent
        self.deliver(b"From: alice@example.org\r\nFrom: alice@example.org"
                     b"\r\n\r\nx\r\n", "alice@example.org",
                     self.signed_in())

    def test_A09_A10_no_separator(self):
        got = self.deliver(b"hello without header\r\nKey: value\r\n")
        self.assertTrue(got.endswith(
            b"+0000\n\nhello without header\nKey: value\n"), got)
        got = self.deliver(b"")
        self.assertTrue(got.endswith(b"+0000\n"), got)

    def test_A14_eight_bit_is_kept(self):
        body = bytes(range(128, 256)) + b"\r\n"
        got = self.deliver(b"Subject: \xe4\r\n\r\n" + body)
        self.assertTrue(got.endswith(
            b"Subject: \xe4\n\n" + bytes(range(128, 256)) + b"\n"))

    def test_several_recipients_are_not_named(self):
        c = self.greeted()
        self.assertEqual(c.ask("MAIL FROM:<a@remote.test>"), 250)
        for name in ("alice", "bob"):
            self.assertEqual(c.ask(f"RCPT TO:<{name}@example.org>"), 250)
        self.assertEqual(c.ask("DATA"), 354)
        self.assertEqual(c.ask("Subject: both\r\n\r\nx\r\n."), 250)
        self.server.wait_messages("alice@example.org", 1)
        got = self.server.messages("alice@example.org")[0]
        self.assertNotIn(b"for <", got)
        self.assertNotIn(b"Delivered-To", got)


class QueueLimit(SmtpCase):
    """queue.max_messages with a queue that does not move."""

    settings = {"service.queue-runner.enabled": "yes",
                "queue.suspended": "all", "queue.max_messages": 3}

    def test_G06_G07_full_queue(self):
        held = self.greeted()
        for _ in range(3):
            self.assert_sequel()
        c = wait_until(self.refused, 15, "421")
        self.assertEqual(c, "421 4.3.1 Service Unavailable")
        # its worker may look at the queue up to a second after the other
        wait_until(lambda: self.mail_refused(held), 15, "421 at MAIL")
        self.server.set("queue.suspended", "no")
        wait_until(lambda: not self.refused(), 15, "an empty queue")

    def mail_refused(self, client):
        if client.ask("MAIL FROM:<a@remote.test>") == 421:
            return True
        self.assertEqual(client.ask("RSET"), 250)
        return False

    def refused(self):
        code, text = self.connect().reply()
        return text if code == 421 else None


@unittest.skipUnless(os.geteuid() == 0, "needs root")
class FullDisk(unittest.TestCase):
    """A file system of its own, filled and emptied again."""

    def setUp(self):
        self.top = tempfile.mkdtemp(prefix="mailstead-test-")
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400m",
                               "tmpfs", self.top], capture_output=True)
        if done.returncode != 0:
            self.skipTest("cannot mount")
        self.addCleanup(subprocess.run, ["umount", "-l", self.top])

    def test_H_full_disk(self):
        server = Server(directory=self.top, settings={
            "service.queue-runner.enabled": "no", "message.max_bytes": "8M"})
        server.user("bob@example.org")
        self.addCleanup(server.close)
        server.start()
        talk = SmtpCase()
        talk.server = server
        self.addCleanup(talk.doCleanups)
        talk.assert_sequel()
        filler = os.path.join(self.top, "filler")
        with open(filler, "wb") as f:
            try:
                while True:
                    f.write(b"\0" * 1048576)
                    f.flush()
            except OSError:
                pass
        time.sleep(1)
        c = talk.greeted()
        codes = [c.ask("MAIL FROM:<a@remote.test>"),
                 c.ask("RCPT TO:<bob@example.org>"), c.ask("DATA")]
        self.assertEqual(codes, [250, 250, 452])
        self.assertEqual(c.ask("RCPT TO:<bob@example.org>"), 503)
        before = talk.accepted()
        os.unlink(filler)
        time.sleep(1)
        talk.assert_sequel(c)
        self.assertEqual(talk.accepted(), before + 1)


if __name__ == "__main__":
    unittest.main()
