"""Real POP3 clients fetch everything, byte for byte, and leave or delete it."""

import os
import poplib
import pty
import select
import shutil
import signal
import subprocess
import sys
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from lib.server import PASSWORD, SLOW, Server  # noqa: E402
from test_first_path import trusting  # noqa: E402

ANN = "ann@example.org"
BODIES = [b"plain\n", b".\n..\n.dot at the start\n", b"\xe4\xff 8-bit\n",
          b"no end of line", b"", b"x" * 1500 + b"\n"]


def message(n):
    return (b"From: a@remote.test\nTo: ann@example.org\nSubject: n%d\n"
            b"Message-ID: <%d@remote.test>\nDate: Fri, 20 Nov 2026 10:00:00 "
            b"+0000\n\n" % (n, n) + BODIES[n])


def watch(pid, fd):
    """Let a program on a terminal run; its exit status."""
    shown, end = b"", time.monotonic() + 30 * SLOW
    try:
        while select.select([fd], [], [], max(0, end - time.monotonic()))[0]:
            shown += os.read(fd, 65536)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise AssertionError(f"stuck after {shown[-2000:]!r}")
    except OSError:  # it has closed its terminal
        os.close(fd)
        return os.waitpid(pid, 0)[1]


class Clients(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.s = Server()
        cls.addClassCleanup(cls.s.close)
        cls.s.user(ANN)
        cls.s.start()

    def setUp(self):
        self.top = self.s.top / self._testMethodName
        self.top.mkdir()
        box = self.s.mailbox(ANN)
        shutil.rmtree(box, ignore_errors=True)
        for sub in ("new", "cur", "tmp"):
            (box / sub).mkdir(parents=True)
        for n in range(len(BODIES)):
            (box / "new" / f"17000000{n:02}.M{n}.h").write_bytes(message(n))

    def run_client(self, *words, codes=(0,), env=None):
        if shutil.which(words[0]) is None:
            self.skipTest(f"{words[0]} is not installed")
        p = subprocess.run(
            [str(w) for w in words], capture_output=True, timeout=120,
            stdin=subprocess.DEVNULL, check=False,
            env={**os.environ, "HOME": str(self.top), **(env or {})})
        self.assertIn(p.returncode, codes, p.stdout + p.stderr)
        return p.stdout

    def secret(self, name, text):
        path = self.top / name
        path.touch(mode=0o600)
        path.write_text(text)
        return path

    def assert_bodies(self, directory):
        """A client's Maildir has our texts, whatever it put on top."""
        texts = [p.read_bytes().replace(b"\r\n", b"\n")
                 for sub in ("new", "cur")
                 for p in (directory / sub).iterdir()]
        self.assertEqual(len(texts), len(BODIES))
        for n in range(len(BODIES)):
            found = [t for t in texts if b"\nSubject: n%d\n" % n in t]
            self.assertEqual(len(found), 1)
            self.assertEqual(found[0].partition(b"\n\n")[2].rstrip(b"\n"),
                             BODIES[n].rstrip(b"\n"))

    def maildir(self):
        box = self.top / "got"
        for sub in ("new", "cur", "tmp"):
            (box / sub).mkdir(parents=True)
        return box

    def assert_left(self, count):
        self.assertEqual(len(self.s.messages(ANN)), count)

    def agent(self, box):
        """A program that delivers its standard input."""
        path = self.top / "deliver"
        path.write_text(f"#!/bin/sh\ncat >$(mktemp {box}/new/XXXXXX)\n")
        path.chmod(0o700)
        return path

    def test_fetchmail(self):
        box = self.maildir()
        keep = self.agent(box)
        for tls, port in (("ssl", "pop3s"), ("sslproto tls1.2+", "pop3")):
            rc = self.secret(f"rc.{port}", f"""
poll {self.s.host} service {self.s.port[port]} proto pop3 uidl
  user "{ANN}" password "{PASSWORD}" {tls} no sslcertck keep
  mda "{keep}"
""")
            ids = self.top / "ids"
            self.run_client("fetchmail", "-f", rc, "-i", ids, "--pidfile",
                            self.top / "pid", codes=(0, 1))
            # a second run, by the other port, finds nothing new
            self.assert_bodies(box)
        self.assert_left(len(BODIES))
        rc = self.secret("rc.delete", rc.read_text().replace(
            "keep\n", "fetchall\n"))
        self.run_client("fetchmail", "-f", rc, "-i", self.top / "ids2",
                        "--pidfile", self.top / "pid")
        self.assert_left(0)

    def test_getmail(self):
        box = self.maildir()
        rc = self.secret("rc", f"""
[retriever]
type = SimplePOP3SSLRetriever
server = {self.s.host}
port = {self.s.port["pop3s"]}
username = {ANN}
password = {PASSWORD}
[destination]
type = MDA_external
path = {self.agent(box)}
allow_root_commands = true
[options]
delete = false
read_all = false
""")
        for _ in range(2):
            self.run_client("getmail", "-g", self.top, "-r", rc)
            self.assert_bodies(box)
        self.run_client("getmail", "-g", self.top, "-r", rc, "-d")
        self.assert_left(0)

    def test_mpop(self):
        for auth in ("user", "plain", "scram-sha-256"):
            box = self.top / auth
            for sub in ("new", "cur", "tmp"):
                (box / sub).mkdir(parents=True)
            self.run_client(
                "mpop", f"--host={self.s.host}",
                f"--port={self.s.port['pop3']}", "--tls=on",
                "--tls-starttls=on", "--tls-certcheck=off", "--keep=on",
                "--pipelining=on", f"--auth={auth}", f"--user={ANN}",
                f"--passwordeval=echo {PASSWORD}",
                f"--uidls-file={box}/uidls", f"--delivery=maildir,{box}")
            self.assert_bodies(box)
        self.assert_left(len(BODIES))

    def test_curl(self):
        url = f"pop3s://{self.s.host}:{self.s.port['pop3s']}/"
        options = ("-sS", "-k", "--user", f"{ANN}:{PASSWORD}")
        sizes = self.run_client("curl", *options, url).decode().split("\r\n")
        for n, body in enumerate(BODIES):
            text = self.run_client("curl", *options, f"{url}{n + 1}")
            self.assertEqual(len(text), int(sizes[n].split()[1]))
            self.assertTrue(text.replace(b"\r\n", b"\n").startswith(
                message(n)), body)
        ids = self.run_client("curl", *options, "-X", "UIDL", url)
        self.assertEqual(ids.count(b"\r\n"), len(BODIES))
        self.run_client("curl", *options, "-X", "DELE 1", "-I", url)
        self.assert_left(len(BODIES) - 1)

    def test_mutt(self):
        if shutil.which("mutt") is None:
            self.skipTest("mutt is not installed")
        rc = self.secret("muttrc", f"""
set pop_pass="{PASSWORD}"
set ssl_verify_host=no ssl_verify_dates=no
set certificate_file={self.s.state}/tls/default.crt
set mbox_type=Maildir move=no confirmappend=no confirmcreate=no wait_key=no
set folder={self.top} pop_delete=no delete=yes copy=no auto_tag=yes
""")
        box = self.top / "got"
        pid, fd = pty.fork()
        if pid == 0:
            os.environ.update(TERM="vt100", HOME=str(self.top))
            os.execvp("mutt", [
                "mutt", "-n", "-F", str(rc), "-f",
                f"pops://{ANN}@{self.s.host}:{self.s.port['pop3s']}", "-e",
                "push '<tag-pattern>~A<enter><save-message>"
                f"{box}<enter><quit>'"])
        self.assertEqual(watch(pid, fd), 0)
        self.assert_bodies(box)
        self.assert_left(0)

    def test_poplib(self):
        p = poplib.POP3(self.s.host, self.s.port["pop3"], timeout=30)
        self.addCleanup(p.close)
        self.assertIn("STLS", p.capa())
        p.stls(context=trusting())
        self.assertNotIn("STLS", p.capa())
        p.utf8()
        p.user(ANN)
        p.pass_(PASSWORD)
        for n, line in enumerate(p.list()[1]):
            _, lines, octets = p.retr(n + 1)
            self.assertEqual(line, b"%d %d" % (n + 1, sum(
                len(x) + 2 for x in lines)))
            self.assertEqual(b"\n".join(lines).rstrip(b"\n"),
                             message(n).rstrip(b"\n"))
            self.assertGreaterEqual(octets, sum(len(x) + 2 for x in lines))
        p.quit()
        self.assert_left(len(BODIES))


if __name__ == "__main__":
    unittest.main()
