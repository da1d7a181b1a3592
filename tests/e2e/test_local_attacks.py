"""What somebody on the machine may try, and what strangers want to have logged:
hostile values in the directory, files open to others, a hostile environment,
storms of signals."""

import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from lib.server import BIN, PASSWORD, Server, wait_until  # noqa: E402
from smtp_case import SmtpCase  # noqa: E402

LINE = re.compile(rb"20\d\d-\d\d-\d\dT[\x20-\x7e\x80-\xff]*")


class Attacks(SmtpCase):
    settings = {"service.queue-runner.enabled": "yes"}

    def directory(self, text):
        with sqlite3.connect(self.server.state / "directory" /
                             "directory.db") as db:
            self.assertGreater(db.execute(text).rowcount, 0, text)
        db.close()

    def outside(self):
        """The names above mailboxes, where none may come into being."""
        mail = self.server.state / "mail"
        return [sorted(os.listdir(p)) for p in
                (self.server.top, self.server.state, mail)]

    def test_N03_hostile_values_in_the_directory(self):
        """No path is made of them, whatever the directory says."""
        self.server.user("mallory@example.org")
        self.server.cli("alias", "add", "trap@example.org", "bob@example.org")
        self.directory("UPDATE account SET local = '..'"
                       " WHERE local = 'mallory'")
        self.directory("UPDATE alias_target SET target = '../../x@example.org'"
                       " WHERE target = 'bob@example.org'")
        self.assert_sequel()
        self.server.wait_messages("bob@example.org", 1)
        before = self.outside()
        self.server.pop3_login("..@example.org", "127.0.0.1", PASSWORD)
        c = self.greeted()
        c.ask("MAIL FROM:<a@remote.test>")
        for rcpt in ('".."@example.org', "..@example.org", "trap@example.org"):
            self.assertIn(c.ask(f"RCPT TO:<{rcpt}>"),
                          (250, 450, 451, 501, 550, 553))
        if c.ask("DATA") == 354:
            self.assertIn(c.ask("Subject: x\r\n\r\nx\r\n."), (250, 451))
        self.server.cli("wait", "--for", "empty", "--timeout", "20")
        self.assertEqual(self.outside(), before)
        self.assertNotIn("new", os.listdir(
            self.server.state / "mail" / "example.org"))
        self.assert_sequel()

    def test_O01_what_is_logged_stays_one_line(self):
        c = self.greeted()
        for line in (b"EHLO \x1b[31mred\x07", b"HELO " + b"%s%n" * 100,
                     b"MAIL FROM:<\"a%s\x1b\"@x.test>",
                     b"MAIL FROM:<a@x.test> \x80\xff\x00",
                     b"VRFY x\x0bevent=accept"):
            c.send(line + b"\r\n")
            c.reply()
        self.server.pop3_login("a\x1b\nevent=login%s@example.org", "127.0.0.1",
                               PASSWORD)
        c = self.greeted()
        self.begin(c)
        self.assertEqual(c.ask(
            "Message-ID: <" + "\x1b[2J%n" * 100 + "@x>\r\nSubject: " +
            "\x07 event=accept" * 50 + "\r\n\r\nx\r\n."), 250)
        self.assert_sequel()
        for folder in ("mtad", "accountd", "popd", "queue-runner"):
            for path in (self.server.state / "log" / folder).iterdir():
                for line in path.read_bytes().split(b"\n")[:-1]:
                    self.assertIsNotNone(LINE.fullmatch(line), line)
                    self.assertLess(len(line), 8192)

    def test_O03_log_renamed_under_load(self):
        folder = self.server.state / "log" / "mtad"
        (path,) = folder.iterdir()
        path.rename(folder.parent / "taken-away")
        self.addCleanup(os.unlink, folder.parent / "taken-away")

        def is_written():
            self.assert_sequel()
            return any("event=accept" in p.read_text()
                       for p in folder.iterdir())
        wait_until(is_written, 10, "a new log file")

    def test_O08_storm_of_signals(self):
        """What has no meaning to a daemon does nothing, in every state."""
        pids = self.server.pids()
        over = threading.Event()

        def storm():
            while not over.is_set():
                for pid in pids:
                    for number in (signal.SIGHUP, signal.SIGPIPE,
                                   signal.SIGCHLD, signal.SIGWINCH,
                                   signal.SIGURG, signal.SIGCONT):
                        os.kill(pid, number)
        thread = threading.Thread(target=storm)
        thread.start()
        try:
            for _ in range(20):
                self.assert_sequel()
        finally:
            over.set()
            thread.join()
        self.assertLessEqual(set(pids), set(self.server.pids()))


class Start(unittest.TestCase):
    def setUp(self):
        self.server = Server()
        self.addCleanup(self.server.close)

    def test_N10_open_to_others(self):
        """What everybody may change is not believed."""
        conf = self.server.state / "mailstead.conf"
        if not conf.exists():
            conf.write_text("[mailstead]\n")
        for name, mode in (("mailstead.conf", 0o666), ("", 0o777),
                           ("directory", 0o2777),
                           ("directory/directory.db", 0o666),
                           ("directory/secrets.db", 0o644)):
            path = self.server.state / name
            before = path.stat().st_mode & 0o7777
            path.chmod(mode)
            p = self.server.run_cli("run")
            self.assertEqual(p.returncode, 1, name)
            self.assertIn("open to others", p.stderr, name)
            path.chmod(before)
        self.server.start()

    def test_O07_hostile_environment(self):
        def prepare():
            os.close(0)
            os.close(2)
            signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 32))
            for number in (signal.SIGTERM, signal.SIGCHLD, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            os.umask(0)
        process = subprocess.Popen(
            [str(BIN / "mailstead"), "--state", str(self.server.state), "run"],
            stdout=subprocess.PIPE, preexec_fn=prepare, env={
                "PATH": "/nonexistent:.", "TZ": "../../../etc/passwd",
                "LANG": "%s%n", "TMPDIR": "/nonexistent", "IFS": "/",
                "LC_ALL": "x" * 10000, "OPENSSL_CONF": "/etc/passwd",
                "LD_LIBRARY_PATH": "/nonexistent"})
        self.server.process = process
        self.assertEqual(process.stdout.readline(), b"ready\n")
        self.server.user("bob@example.org")
        self.server.cli("submit", "-f", "bob@example.org", "bob@example.org",
                        input="Subject: x\n\nx\n")
        self.server.wait_messages("bob@example.org", 1)
        for base, _, files in os.walk(self.server.state):
            for path in (Path(base) / name for name in files):
                if path.is_file() and "run" not in path.parts:
                    self.assertEqual(path.stat().st_mode & 0o007, 0, path)
        self.assertEqual(self.server.stop(), 0)


if __name__ == "__main__":
    unittest.main()
