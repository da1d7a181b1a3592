"""Wrong use answers well: one clear line, the right exit code, nothing
changed."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from lib.server import BIN, PASSWORD, ROOT, Server, free_offset  # noqa: E402

REFUSED, USAGE, LATER = 1, 2, 3


class WrongUse(unittest.TestCase):
    def setUp(self):
        self.top = Path(tempfile.mkdtemp(prefix="mailstead-test-"))
        self.addCleanup(shutil.rmtree, self.top, True)

    def run_cli(self, *args, input="", state=None):
        return subprocess.run(
            [str(BIN / "mailstead"), "--state", str(state or self.top / "s"),
             *args], input=input, text=True, capture_output=True, timeout=120)

    def init(self, *extra, password=PASSWORD, state=None, **change):
        options = {"--hostname": "mail.example.org", "--domain": "example.org",
                   "--admin": "admin@example.org", **change}
        words = [w for pair in options.items() for w in pair]
        return self.run_cli("init", *words, *extra, input=password + "\n",
                            state=state)

    def refused(self, p, code, text):
        self.assertEqual(p.returncode, code, p.stderr)
        lines = p.stderr.strip().splitlines()
        self.assertEqual(len(lines), 1, p.stderr)
        self.assertIn(text.lower(), lines[0].lower())

    def test_no_state_directory(self):
        for command in (["status"], ["user", "list"], ["run"],
                        ["get", "relay.mode"]):
            p = self.run_cli(*command)
            self.assertEqual(p.returncode, REFUSED, p.stderr)
            self.assertIn(str(self.top / "s"), p.stderr)
            self.assertFalse((self.top / "s").exists())

    def test_help_of_each_command(self):
        """Without a state directory, and the manual page has them all."""
        manual = (ROOT / "mailstead" / "mailstead.1").read_text()
        manual = manual.replace("\\-", "-").replace("\\&", "")
        names = re.findall(r"(?m)^  ([a-z-]+) ", self.run_cli("help").stdout)
        self.assertGreater(len(names), 25)
        for name in names:
            for words in ([name, "--help"], [name, "x", "--help"],
                          ["help", name]):
                p = self.run_cli(*words)
                self.assertEqual(p.returncode, 0, (words, p.stderr))
                self.assertIn(f"] {name} ", p.stdout)
            self.assertRegex(manual, rf"(?m)^\.B.*\b{name}\b", name)
        self.refused(self.run_cli("help", "nonsense"), USAGE, "no command")
        self.refused(self.run_cli("nonsense", "--help"), USAGE, "no command")

    def test_verbs_that_are_none(self):
        self.assertEqual(self.init().returncode, 0)
        for name in ("domain", "user", "alias", "list", "totp", "dkim", "ban",
                     "settings", "queue", "tls", "tool", "mailbox",
                     "template"):
            for words in ([name, "bogus"], [name]):
                p = self.run_cli(*words)
                self.assertEqual(p.returncode, USAGE, (words, p.stderr))
                self.assertIn(name, p.stderr)
        for words in (["domain", "show"], ["user", "set", "a@b.example"],
                      ["alias", "add", "a@example.org"], ["set", "x"],
                      ["get"], ["trace"], ["backup"], ["wait"],
                      ["user", "list", "--bogus"], ["status", "--bogus"],
                      ["queue", "list", "--bogus"], ["check", "bogus"], ["user", "add", "--name"]):
            self.refused(self.run_cli(*words), USAGE, "mailstead: ")

    def test_damaged_directory(self):
        self.assertEqual(self.init().returncode, 0)
        db = self.top / "s" / "directory" / "directory.db"
        for side in ("-wal", "-shm"):
            db.with_name(db.name + side).unlink(missing_ok=True)
        db.write_bytes(b"not a database" * 100)
        p = self.run_cli("get", "relay.mode")
        self.refused(p, REFUSED, "directory.db")
        p = self.run_cli("run")
        self.assertEqual(p.returncode, REFUSED)
        self.assertIn("directory.db", p.stderr)

    def test_init_refuses(self):
        (self.top / "full").mkdir()
        (self.top / "full" / "file").write_text("x")
        self.refused(self.init(state=self.top / "full"), REFUSED, "not empty")
        for change, text in (({"--hostname": "bad host"}, "bad host"),
                             ({"--domain": "-x-.."}, "-x-.."),
                             ({"--domain": "a" * 300}, "domain"),
                             ({"--admin": "admin@other.example"}, "admin"),
                             ({"--admin": "no-address"}, "admin")):
            self.refused(self.init(**change), REFUSED, text)
            self.assertEqual(list(self.top.glob("s/*")), [])
        self.refused(self.init("--listen", "nowhere"), REFUSED, "nowhere")
        self.assertEqual(self.run_cli("init").returncode, USAGE)
        self.assertEqual(self.init("--port-offset", "x").returncode, REFUSED)
        for password in ("short", "password1234", "admin@example.org"):
            self.assertEqual(self.init(password=password).returncode, REFUSED)
            self.assertEqual(list(self.top.glob("s/*")), [],
                             "nothing stays behind")

    def test_settings_and_names(self):
        self.assertEqual(self.init().returncode, 0)
        self.refused(self.run_cli("set", "no.such", "1"), REFUSED, "no.such")
        self.refused(self.run_cli("get", "no.such"), REFUSED, "no.such")
        for name, value in (("session.max_recipients", "0"),
                            ("session.max_recipients", "many"),
                            ("queue.retry", "5m x"),
                            ("queue.retry", "0s"),
                            ("relay.mode", "everybody"),
                            ("relay.trusted", "10.0.0.0/99"),
                            ("message.max_bytes", "-1"),
                            ("dns.servers", "host name"),
                            ("server.listen", "10.0.0.0/8"),
                            ("smtp.names", "mail.example.org"),
                            ("smtp.greetings", "192.0.2.1="),
                            ("remote.sources", "example.org=x/y"),
                            ("smarthost.host", "relay.example:0")):
            before = self.run_cli("get", name).stdout
            p = self.run_cli("set", name, value)
            self.refused(p, REFUSED, name)
            self.assertEqual(self.run_cli("get", name).stdout, before)
        self.refused(self.run_cli("domain", "add", "bad domain"), REFUSED,
                     "domain")
        self.refused(self.run_cli("user", "add", "x@nowhere.example",
                                  input=PASSWORD + "\n"), REFUSED,
                     "nowhere.example")
        self.refused(self.run_cli("user", "add", "bad address@example.org",
                                  input=PASSWORD + "\n"), REFUSED, "address")
        self.refused(self.run_cli("user", "add", "admin@example.org",
                                  input=PASSWORD + "\n"), REFUSED, "admin")
        self.refused(self.run_cli("user", "show", "no@example.org"), REFUSED,
                     "no@example.org")
        self.refused(self.run_cli("user", "add", "a@example.org",
                                  input="short\n"), REFUSED, "12")
        self.refused(self.run_cli("alias", "delete", "postmaster@example.org"),
                     REFUSED, "postmaster")
        self.assertEqual(self.run_cli("frobnicate").returncode, USAGE)
        self.assertEqual(self.run_cli("user", "add").returncode, USAGE)
        self.assertEqual(self.run_cli("status", "--what").returncode, USAGE)

    def json(self, *args, input=""):
        p = self.run_cli(*args, "--json", input=input)
        self.assertEqual(p.returncode, 0, p.stderr)
        return json.loads(p.stdout)

    def test_json_is_one_value(self):
        """Also of what has nothing to say."""
        made = self.json("init", "--hostname", "mail.example.org", "--domain",
                         "example.org", "--admin", "admin@example.org",
                         input=PASSWORD + "\n")
        self.assertEqual(made["admin"], "admin@example.org")
        for args in (["user", "add", "ann@example.org"],
                     ["user", "passwd", "ann@example.org"],
                     ["user", "set", "ann@example.org", "name=Ann"],
                     ["user", "disable", "ann@example.org"],
                     ["domain", "add", "second.example"],
                     ["alias", "add", "a@example.org", "ann@example.org"],
                     ["set", "smtp.greeting", "Hello"],
                     ["queue", "suspend"], ["queue", "resume"],
                     ["tls", "self-signed", "other"],
                     ["wait", "--for", "empty"],
                     ["user", "delete", "ann@example.org"]):
            self.assertIsInstance(
                self.json(*args, input=PASSWORD + "\n"), dict, args)
        exported = self.json("settings", "export")
        self.assertEqual(exported["smtp.greeting"], "Hello")
        file = self.top / "settings"
        self.assertEqual(
            self.run_cli("settings", "export", str(file)).stdout, "")
        self.assertIn("smtp.greeting = Hello\n", file.read_text())
        self.assertEqual(
            self.run_cli("settings", "list", "x").returncode, USAGE)

    def test_what_is_wrong_is_named(self):
        self.assertEqual(self.init().returncode, 0)
        self.assertEqual(self.run_cli("-h").returncode, 0)
        for args, text in ((["wait", "--for"], "--for needs a value"),
                           (["user", "add", "x@example.org", "--name"],
                            "--name needs a value")):
            self.refused(self.run_cli(*args, input=PASSWORD + "\n"), USAGE,
                         text)
        self.refused(subprocess.run([str(BIN / "mailstead"), "--state"],
                                    capture_output=True, text=True,
                                    timeout=120), USAGE, "needs a value")
        for args, text in ((["x@example.org", "--role", "boss"],
                            "domain_admin[:DOMAIN]"),
                           (["m\u00fcller@example.org"], "ASCII")):
            self.refused(self.run_cli("user", "add", *args,
                                      input=PASSWORD + "\n"), REFUSED, text)
        self.assertEqual(self.run_cli(
            "user", "add", "x@example.org", "--role", "user",
            input=PASSWORD + "\n").returncode, 0)
        names = self.json("tls", "list")[0]["names"]
        self.assertEqual(names, ["mail.example.org"])

    def test_unreadable_key(self):
        self.assertEqual(
            self.init("--port-offset", str(free_offset())).returncode, 0)
        key = self.top / "s" / "tls" / "default.key"
        key.write_text("no key")
        p = self.run_cli("run")
        self.assertEqual(p.returncode, REFUSED)
        self.assertIn("default.key", p.stderr)

    def test_tls_install_refuses(self):
        self.assertEqual(self.init().returncode, 0)
        tls = self.top / "s" / "tls"
        before = (tls / "default.crt").read_bytes()
        other = self.top / "other"
        self.assertEqual(self.init(state=other).returncode, 0)
        p = self.run_cli("tls", "install", "default",
                         str(tls / "default.crt"),
                         str(other / "tls" / "default.key"))
        self.refused(p, REFUSED, "key")
        self.assertEqual((tls / "default.crt").read_bytes(), before)
        p = self.run_cli("tls", "install", "default", "/nowhere", "/nowhere")
        self.refused(p, REFUSED, "/nowhere")

    def test_taken_port(self):
        offset = free_offset()
        self.assertEqual(self.init("--port-offset", str(offset)).returncode, 0)
        with socket.socket() as s:
            s.bind(("127.0.0.1", 25 + offset))
            s.listen()
            p = self.run_cli("run")
        self.assertEqual(p.returncode, REFUSED)
        self.assertIn(f"127.0.0.1:{25 + offset}", p.stderr)
        self.assertIn(f"pid {os.getpid()}", p.stderr)

    @unittest.skipUnless(os.geteuid() == 0, "needs root")
    def test_disk_full_at_start(self):
        disk = self.top / "disk"
        disk.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs",
                        str(disk)], check=True)
        self.addCleanup(subprocess.run, ["umount", str(disk)])
        self.assertEqual(self.init("--port-offset", str(free_offset()),
                                   state=disk / "s").returncode, 0)
        with open(disk / "fill", "wb", buffering=0) as f:
            with self.assertRaises(OSError):
                while f.write(bytes(4096)) == 4096:
                    pass
                f.write(b"x")
        p = self.run_cli("run", state=disk / "s")
        self.assertEqual(p.returncode, REFUSED)
        self.assertIn("No space left on device", p.stderr)
        p = self.init(state=disk / "s2")
        self.assertEqual(p.returncode, LATER)
        self.assertIn("No space left on device", p.stderr)
        self.assertEqual(list(disk.glob("s2/*")), [])
        # with room again it starts as if nothing had been
        (disk / "fill").unlink()
        self.assertEqual(
            self.run_cli("get", "relay.mode", state=disk / "s").stdout,
            "none\n")

    def test_second_run_refused(self):
        with Server() as s:
            p = s.run_cli("run")
            self.assertEqual(p.returncode, REFUSED)
            self.assertEqual(s.run_cli("status").returncode, 0)


if __name__ == "__main__":
    unittest.main()
