"""`mailstead support-bundle`, and that planted secrets are nowhere."""

import base64
import os
import poplib
import smtplib
import sqlite3
import ssl
import subprocess
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from lib.fastcgi import Browser  # noqa: E402
from lib.server import BIN, Server  # noqa: E402
from test_admin_people import totp  # noqa: E402

CANARY = "kanarienvogel-7731-zwitschert"
WRONG = "falscher-kanarienvogel-9942"
CREDENTIAL = "kanarienvogel-beim-anbieter-5512"
CODE = "kanarienvogel-einladung-3307"


class Bundle(unittest.TestCase):
    def plant(self, s):
        """Secrets of every other kind, by the command line."""
        s.cli("credential", "set", "isp", "--user", "ann",
              input=CREDENTIAL + "\n")
        s.cli("set", "signup.code", CODE)
        s.user("ann@example.org")
        app = s.json("app-password", "add", "ann@example.org", "--name",
                     "phone")["password"]
        key = s.json("totp", "begin", "ann@example.org")["secret"]
        codes = s.json("totp", "confirm", "ann@example.org", totp(key))
        s.cli("dkim", "add", "example.org", "planted")
        db = sqlite3.connect(s.state / "directory/secrets.db")
        keys = [k for k, in db.execute("SELECT private_key FROM dkim_key")]
        hashes = [h for row in db.execute("SELECT * FROM password")
                  for h in row if isinstance(h, str) and h.startswith("$")]
        db.close()
        self.assertTrue(keys and hashes)
        return [CREDENTIAL, CODE, app, key, *codes["recovery_codes"], *hashes,
                *(base64.b64encode(k).decode()[4:40] for k in keys)]

    def look_at_pages(self, b, secrets):
        """No page of the administration repeats one; the code is shown to who
        may set it."""
        out = subprocess.run(
            [str(BIN.parent / "tests/tools/admin_routes")],
            capture_output=True, text=True, check=True).stdout
        for line in out.splitlines():
            method, path, _ = line.split(" ")
            where = path.replace("{}", {"d": "example.org"}.get(
                path.split("/")[1], "bob@example.org"), 1)
            if method != "GET" or "{}" in where:
                continue
            page = b.get("/admin" + where)
            for secret in set(secrets) - {CODE}:
                self.assertNotIn(secret, page.text, where)
        self.assertNotIn(CODE, b.get("/admin/audit").text)

    def test_O02_canaries_are_nowhere(self):
        """Passwords, right and wrong, a session's token and a message's text
        through every way in; then every log, the bundle, temporary files."""
        with Server() as s:
            s.user("bob@example.org", CANARY, "--role", "server_admin")
            context = ssl._create_unverified_context()
            secrets = [CANARY, WRONG, *self.plant(s)]
            for password in (CANARY, WRONG):
                with smtplib.SMTP(s.host, s.port["submission"]) as c:
                    c.starttls(context=context)
                    try:
                        c.login("bob@example.org", password)
                        c.sendmail("bob@example.org", ["bob@example.org"],
                                   f"Subject: {CANARY}\r\n\r\n{CANARY}\r\n")
                    except smtplib.SMTPAuthenticationError:
                        pass
                p = poplib.POP3_SSL(s.host, s.port["pop3s"], context=context)
                try:
                    p.user("bob@example.org")
                    p.pass_(password)
                except poplib.error_proto:
                    pass
                p.close()
                for prefix in ("admin", "webmail"):
                    socket = ("admin" if prefix == "admin" else
                              "webmail") + ".sock"
                    b = Browser(s.state / "run/web" / socket)
                    form = b.get(f"/{prefix}/login")
                    page = b.post(f"/{prefix}/login", {
                        "user": "bob@example.org", "pass": password,
                        "back": "/"}, form)
                    self.assertNotIn(password, page.text)
                    secrets += [v for v in b.cookies.values()
                                if len(v) > 20]
                    if password == CANARY and prefix == "admin":
                        self.look_at_pages(b, secrets)
            s.wait_messages("bob@example.org", 1)
            s.run_cli("tool", "console", s.host, str(s.port["pop3s"]), "--tls",
                      "--pop3", "USER bob@example.org", "PASS " + CANARY,
                      "QUIT")
            bundle = s.top / "bundle.txt"
            s.cli("support-bundle", str(bundle))
            self.assertEqual(bundle.stat().st_mode & 0o777, 0o600)
            text = bundle.read_text()
            for part in ("== versions", "== services", "== queue", "== checks",
                         "== settings", "== log of mtad", "event=accept",
                         "server.port_offset = "):
                self.assertIn(part, text)
            self.assertIn("b***@example.org", text)
            self.assertNotIn("bob@example.org", text)
            places = [bundle, s.output]
            for top in [s.state / t for t in ("log", "cache", "run")] + [
                    s.top / "tmp"]:
                for folder, _, names in os.walk(top):
                    places += [Path(folder) / n for n in names]
            # the directory is read by all daemons; its one code is a setting
            db = s.state / "directory/directory.db"
            for place in (db, db.with_name("directory.db-wal")):
                data = place.read_bytes()
                for secret in set(secrets) - {CODE}:
                    self.assertNotIn(secret.encode(), data, place)
            for place in places:
                if not place.is_file():
                    continue
                data = place.read_bytes()
                for secret in secrets:
                    self.assertNotIn(secret.encode(), data, place)
            for pid in s.pids():
                for name in ("cmdline", "environ"):
                    data = Path(f"/proc/{pid}/{name}").read_bytes()
                    for secret in secrets:
                        self.assertNotIn(secret.encode(), data)
                # what is in memory stays there
                limits = Path(f"/proc/{pid}/limits").read_text()
                self.assertRegex(limits, r"Max core file size +0 ")
            # it never writes over a file
            self.assertEqual(s.run_cli("support-bundle",
                                       str(bundle)).returncode, 1)


if __name__ == "__main__":
    unittest.main()
