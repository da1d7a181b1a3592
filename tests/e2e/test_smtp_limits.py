"""Threat rows G01 to G17, as far as they are the SMTP server's."""

import contextlib
import json
import os
import re
import resource
import signal
import smtplib
import socket
import subprocess
import time
import unittest
from pathlib import Path

from lib.dialogue import Connection
from lib.faults import are_possible
from lib.server import wait_until
from smtp_case import SmtpCase


class LimitCase(SmtpCase):
    """Limits are tried until they let a connection in again."""

    def reachable(self):
        try:
            c = self.connect()
            code = c.reply()[0]
            c.close()
            return code == 220
        except OSError:
            return False

    @contextlib.contextmanager
    def short_of_memory(self, spare):
        """
        The worker may take so many bytes more: writable ones, for malloc()
        maps more than it uses.
        """
        worker = self.server.workers("mtad")[0]
        size = int(Path(f"/proc/{worker}/statm").read_text().split()[5])
        resource.prlimit(worker, resource.RLIMIT_DATA,
                         (size * 4096 + spare, resource.RLIM_INFINITY))
        yield
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(worker, resource.RLIMIT_DATA, (
                resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        wait_until(self.reachable, 10, "a worker")


class Pool(LimitCase):
    """A pool of 20 connections."""

    settings = {"mtad.workers": 1, "mtad.connections": 20}

    def test_G01_crowding(self):
        """One address fills the pool: it gets 421, others are served."""
        held = []
        codes = []
        for _ in range(40):
            c = self.connect()
            held.append(c)
            codes.append(c.reply()[0])
        self.assertIn(421, codes)
        self.assertGreaterEqual(codes.count(220), 15)
        s = socket.socket()
        s.bind(("127.0.0.9", 0))
        s.settimeout(20)
        start = time.monotonic()
        s.connect((self.server.host, self.server.port["smtp"]))
        other = Connection.__new__(Connection)
        other.sock, other.buffer = s, b""
        self.assertEqual(other.reply()[0], 220)
        self.assertLess(time.monotonic() - start, 1)
        other.close()
        for c in held:
            c.close()
        wait_until(self.reachable, 10, "room in the pool")

    def test_G10_worker_dies(self):
        """Its connections do not count for its successor."""
        self.change("limit.connections_per_address", 5, 0)
        for _ in range(3):
            held = [self.connect() for _ in range(5)]
            self.assertEqual([c.reply()[0] for c in held], [220] * 5)
            self.assertEqual(self.connect().reply()[0], 421)
            worker = self.server.workers("mtad")[0]
            os.kill(worker, signal.SIGKILL)
            wait_until(lambda: self.server.workers("mtad") not in
                       ([], [worker]), 10, "a new worker")
            for c in held:
                c.close()
            time.sleep(1)

    @unittest.skipUnless(are_possible(), "not beside a sanitizer")
    def test_G09_no_more_threads(self):
        """Nobody needs one but who makes us wait: those are left."""
        worker = self.server.workers("mtad")[0]
        os.kill(worker, signal.SIGKILL)  # with the threads it has to spare
        wait_until(lambda: self.server.workers("mtad") not in ([], [worker]),
                   10, "a new worker")
        self.change("auth.plaintext_networks", "127.0.0.0/8", "")
        self.change("smtp.auth_on_25", "yes", "no")
        held, tls = self.greeted(), self.connect("submissions")
        silent = [self.greeted() for _ in range(8)]
        with self.short_of_memory(0):
            # dialogues that do not go on
            codes = [c.ask("AUTH LOGIN") for c in silent]
            self.assertIn(454, codes)
            codes = [self.connect().reply()[0] for _ in range(5)]
            self.assertEqual(codes, [220] * 5)
            half = self.connect()
            self.assertEqual(half.reply()[0], 220)
            half.send(b"NO")
            self.assertEqual(held.ask("NOOP"), 250)
            half.send(b"OP\r\n")
            self.assertEqual(half.reply()[0], 250)
            tls.start_tls()
            self.assertEqual(tls.reply()[0], 220)
            self.server.wait_log("mtad", "new thread: ")
        self.assert_sequel()
        self.assertEqual(self.server.log("mtad").count("new thread: "), 1)

    def threads(self):
        status = Path(f"/proc/{self.server.workers('mtad')[0]}/status")
        return int(status.read_text().split("Threads:")[1].split()[0])

    def test_G03_half_a_handshake_keeps_no_thread(self):
        self.change("session.tls_timeout", "3", "30")
        before = self.threads()
        other, held = self.greeted(), []
        for i in range(12):
            if i % 2:
                c = self.greeted()
                self.assertEqual(c.ask("STARTTLS"), 220)
            else:
                c = self.connect("submissions")
            c.send((b"", b"\x16\x03\x01\x02", b"\x16\x03\x01\x00\x04\x01")
                   [i % 3])
            held.append(c)
        for _ in range(20):
            self.assertEqual(other.ask("NOOP"), 250)
        self.assertLess(self.threads(), before + 6)
        start = time.monotonic()
        for c in held:
            self.assertTrue(c.at_end())
        self.assertLess(time.monotonic() - start, 5)
        self.assertEqual(self.server.log("mtad").count(
            'reason="TLS handshake: timed out"'), 12)

    def test_G03_half_a_record_keeps_no_thread(self):
        before = self.threads()
        other, held = self.greeted(), []
        for i in range(12):
            c = self.greeted()
            self.assertEqual(c.ask("STARTTLS"), 220)
            c.start_tls()
            self.assertEqual(c.ask("EHLO client.example"), 250)
            if i % 2:
                self.begin(c)
            os.write(c.sock.fileno(), b"\x17\x03\x03\x20\x00half")
            held.append(c)
        for _ in range(20):
            self.assertEqual(other.ask("NOOP"), 250)
        self.assertLess(self.threads(), before + 6)
        for c in held:
            os.write(c.sock.fileno(), bytes(0x2000))  # no cipher text
            self.assertTrue(c.at_end())

    def test_idle_sessions_end_with_the_server(self):
        """So do those who say nothing amid a dialogue or a handshake."""
        mtad = self.server.supervisor("mtad")
        worker = self.server.workers("mtad")[0]
        idle, half = self.greeted(), self.greeted()
        half.send(b"NO")
        self.change("auth.plaintext_networks", "127.0.0.0/8", "")
        self.change("smtp.auth_on_25", "yes", "no")
        dialogue = self.greeted()
        self.assertEqual(dialogue.ask("AUTH LOGIN"), 334)
        tls = self.connect("submissions")
        tls.send(b"\x16\x03\x01\x02")
        start_tls = self.greeted()
        self.assertEqual(start_tls.ask("STARTTLS"), 220)
        start = time.monotonic()
        os.kill(worker, signal.SIGTERM)
        for c in (idle, half, dialogue):
            self.assertEqual(c.reply()[0], 421)
        for c in (idle, half, dialogue, tls, start_tls):
            self.assertTrue(c.at_end())
        wait_until(lambda: worker not in self.server.workers("mtad"), 10,
                   "the worker's end")
        self.assertLess(time.monotonic() - start, 5)
        self.assertTrue(os.path.exists(f"/proc/{mtad}"))
        wait_until(self.reachable, 10, "a worker")


class Memory(LimitCase):
    """A server of its own: one whose workers died often starts them late."""

    settings = {"mtad.workers": 1}

    def one_message(self):
        """The last reply's code, or None if the connection broke."""
        try:
            c = self.connect(timeout=10)
            code = c.reply()[0]
            for line in ("EHLO x", "MAIL FROM:<a@remote.test>",
                         "RCPT TO:<bob@example.org>", "DATA",
                         ("X: " + "y" * 60000 + "\r\n") * 10 + "."):
                if code in (220, 250, 354):
                    code = c.ask(line)
            c.close()
            return code
        except OSError:
            return None

    @unittest.skipUnless(are_possible(), "not beside a sanitizer")
    def test_G08_memory_runs_out(self):
        before, codes = self.accepted(), []
        for spare in range(8):
            with self.short_of_memory(spare << 18):
                codes.append(self.one_message())
        self.assertLessEqual(set(codes), {250, 421, 451, 452, None})
        self.assertNotEqual(set(codes), {250})
        self.assert_sequel()
        self.assertEqual(self.accepted() - before, codes.count(250) + 1)


class Limits(LimitCase):
    settings = {"session.command_timeout": 2, "session.data_timeout": 2,
                "session.message_timeout": 4}

    def test_G03_slow_command(self):
        """The deadline is absolute, however the bytes come."""
        c = self.greeted()
        start = time.monotonic()
        try:
            for _ in range(100):
                c.send(b"N")
                time.sleep(0.2)
                c.sock.settimeout(0.01)
                try:
                    if c.sock.recv(100):
                        break
                except TimeoutError:
                    pass
        except OSError:
            pass
        self.assertLess(time.monotonic() - start, 6)

    def test_G02_idle_connections(self):
        """Each costs little; all of them end in time."""
        def memory():
            return sum(int(re.search(r"Pss: +(\d+)", Path(
                f"/proc/{pid}/smaps_rollup").read_text())[1])
                for pid in self.server.workers("mtad"))
        self.change("session.command_timeout", 10, 2)
        held = [self.connect() for _ in range(100)]
        self.assertEqual({c.reply()[0] for c in held}, {220})
        before = memory()
        held += [self.connect() for _ in range(300)]
        self.assertEqual({c.reply()[0] for c in held[100:]}, {220})
        if are_possible():
            self.assertLess((memory() - before) / 300, 25)
        self.assertEqual({c.reply()[0] for c in held}, {421})
        self.assertTrue(all(c.at_end() for c in held))

    def test_G03_silent_in_data(self):
        c = self.greeted()
        self.begin(c)
        c.send(b"Subject: x\r\n")
        start = time.monotonic()
        self.assertEqual(c.reply()[0], 421)
        self.assertTrue(c.at_end())
        self.assertLess(time.monotonic() - start, 5)

    def test_G03_drip_in_data(self):
        c = self.greeted()
        self.begin(c)
        start = time.monotonic()
        c.sock.settimeout(0.5)
        ended = False
        while not ended and time.monotonic() - start < 20:
            try:
                c.send(b"x\r\n")
                ended = bool(c.sock.recv(100)) or True
            except TimeoutError:
                pass
            except OSError:
                ended = True
        self.assertLess(time.monotonic() - start, 10)

    def test_E11_messages_per_address(self):
        """For reports as for all other mail."""
        self.change("limit.messages_per_address", 2, 0)
        c = self.greeted()
        before = self.accepted()
        codes = []
        for _ in range(4):
            codes.append(c.ask("MAIL FROM:<>"))
            if codes[-1] != 250:
                break
            self.assertEqual(c.ask("RCPT TO:<bob@example.org>"), 250)
            self.assertEqual(c.ask("DATA"), 354)
            self.assertEqual(c.ask("."), 250)
        self.assertEqual(codes[-1], 451)
        self.assertLessEqual(self.accepted() - before, 2)

    def test_connections_per_user(self):
        self.change("limit.connections_per_user", 1, 0)
        first = self.signed_in()
        with self.assertRaises(AssertionError):
            self.signed_in()
        self.assertEqual(first.ask("NOOP"), 250)

    def test_G17_abort_loop(self):
        for _ in range(50):
            c = self.greeted()
            self.begin(c)
            c.send(b"x" * 900000)
            c.close()
        large = self.server.state / "spool" / "large"
        wait_until(lambda: not list(large.iterdir()), 10, "empty large/")

    def test_G12_started_again_while_sessions_end(self):
        """`run` is killed amid a message and started again at once."""
        s = self.server
        c = self.greeted()
        self.begin(c)
        s.process.kill()
        s.process.wait()
        s.process.stdout.close()
        wait_until(lambda: {x["state"] for x in json.loads(
            s.run_cli("--json", "status").stdout)[
            "services"]} & {"stopping"}, 10, "services that stop")
        self.assertEqual(s.run_cli("wait", "--for", "ready", "--timeout",
                                   "0").returncode, 3)
        s.start()
        self.assertEqual(c.reply()[0], 421)
        self.assertTrue(self.reachable())


class Bans(SmtpCase):
    """Whoever goes on beyond a limit is banned, until somebody lifts it."""

    settings = {"limit.messages_per_address": 1, "limit.messages_per_user": 1,
                "ban.limit_refusals": 3, "ban.never": ""}

    def go_on(self, c, times=3, sender="a@remote.test"):
        """Refused `times` times, after the one message of the hour."""
        self.begin(c, sender=sender)
        self.assertEqual(c.ask("Subject: x\r\n\r\nx\r\n."), 250)
        for _ in range(times):
            self.assertEqual(c.ask(f"MAIL FROM:<{sender}>"), 451)

    def bans(self):
        return {b["address"]: b for b in self.server.json("ban", "list")}

    def test_address(self):
        c = self.greeted()
        self.go_on(c, 2)
        self.assertNotIn("127.0.0.1", self.bans())
        self.assertEqual(c.ask("MAIL FROM:<a@example.org>"), 451)
        ban = self.bans()["127.0.0.1"]
        self.assertEqual((ban["limit"], ban["failures"], ban["service"]),
                         (True, 3, "smtp"))
        self.assertEqual(self.connect().reply()[0], 421)
        self.server.wait_log("accountd", "event=ban ip=127.0.0.1 "
                             "service=smtp reason=limit failures=3")
        self.server.wait_log("mtad", "event=reject .*banned")
        # submission is for those who sign in
        self.assertEqual(self.connect("submission").reply()[0], 220)
        # a ban is not forgotten with the process, but it can be lifted
        os.kill(self.server.workers("accountd")[0], signal.SIGKILL)
        wait_until(lambda: "127.0.0.1" in self.bans(), 10, "accountd")
        self.server.cli("ban", "lift", "127.0.0.1")
        self.assertEqual(self.greeted().ask("MAIL FROM:<a@example.org>"), 451)

    def test_user(self):
        c = self.signed_in()
        self.go_on(c, sender="alice@example.org")
        self.assertTrue(self.bans()["alice@example.org"]["limit"])
        check = self.server.json("ban", "check", "Alice@example.org")
        self.assertEqual(check["verdict"], "no-sending")
        # even when the limit is raised; he may sign in meanwhile
        self.change("limit.messages_per_user", 100, 1)
        c = self.signed_in()
        self.assertEqual(c.ask("MAIL FROM:<alice@example.org>"), 451)
        self.server.cli("ban", "lift", "alice@example.org")
        self.assertEqual(c.ask("MAIL FROM:<alice@example.org>"), 250)


class Bytes(SmtpCase):
    settings = {"limit.bytes_per_address": "2M"}

    def test_G17_bytes_a_minute(self):
        """Also bytes of messages that are broken off count."""
        before = self.accepted()
        codes = []
        for _ in range(6):
            c = self.greeted()
            codes.append(c.ask("MAIL FROM:<a@remote.test>"))
            if codes[-1] != 250:
                break
            self.assertEqual(c.ask("RCPT TO:<bob@example.org>"), 250)
            self.assertEqual(c.ask("DATA"), 354)
            c.send((b"x" * 70 + b"\r\n") * 12000)
            c.sock.shutdown(socket.SHUT_WR)
            self.assertTrue(c.at_end())
        self.assertEqual(codes[-1], 451, codes)
        self.assertIn(len(codes), (4, 5))
        self.assertEqual(self.accepted(), before)
        # who signs in is somebody
        c = self.signed_in()
        self.assertEqual(c.ask("MAIL FROM:<alice@example.org>"), 250)


class Clients(SmtpCase):
    """Real clients: swaks, curl, smtplib."""

    def test_swaks(self):
        done = subprocess.run(
            ["swaks", "-s", f"{self.server.host}:{self.server.port['smtp']}",
             "-f", "a@remote.test", "-t", "bob@example.org", "--pipeline",
             "--tls"], capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("250 2.0.0 Accepted as", done.stdout)

    def test_smtplib_many(self):
        with smtplib.SMTP(self.server.host, self.server.port["smtp"],
                          timeout=30) as s:
            for i in range(50):
                s.sendmail("a@remote.test", ["bob@example.org"],
                           f"Subject: {i}\r\n\r\n.\r\n..\r\n")

    def test_curl(self):
        done = subprocess.run(
            ["curl", "-sS", "--mail-from", "a@remote.test", "--mail-rcpt",
             "bob@example.org", "-T", "-",
             f"smtp://{self.server.host}:{self.server.port['smtp']}"],
            input="Subject: x\n\nhello\n", capture_output=True, text=True,
            timeout=60)
        # curl sends bare LF unless told otherwise: refused, as it should be
        self.assertIn(done.returncode, (0, 8, 55, 56), done.stderr)
        done = subprocess.run(
            ["curl", "-sS", "--crlf", "--mail-from", "a@remote.test",
             "--mail-rcpt", "bob@example.org", "-T", "-",
             f"smtp://{self.server.host}:{self.server.port['smtp']}"],
            input="Subject: x\n\nhello\n", capture_output=True, text=True,
            timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)


if __name__ == "__main__":
    unittest.main()
