"""`mailstead support-bundle`, and that planted secrets are nowhere."""

import os
import poplib
import smtplib
import ssl
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from lib.fastcgi import Browser  # noqa: E402
from lib.server import Server  # noqa: E402

CANARY = "kanarienvogel-7731-zwitschert"
WRONG = "falscher-kanarienvogel-9942"


class Bundle(unittest.TestCase):
    def test_O02_canaries_are_nowhere(self):
        """Passwords, right and wrong, a session's token and a message's text
        through every way in; then every log, the bundle, temporary files."""
        with Server() as s:
            s.user("bob@example.org", CANARY, "--role", "server_admin")
            context = ssl._create_unverified_context()
            secrets = [CANARY, WRONG]
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
            for top in ("log", "cache", "run"):
                for folder, _, names in os.walk(s.state / top):
                    places += [Path(folder) / n for n in names]
            for place in places:
                if not place.is_file():
                    continue
                data = place.read_bytes()
                for secret in secrets:
                    self.assertNotIn(secret.encode(), data, place)
            for pid in s.pids():
                for name in ("cmdline", "environ"):
                    data = Path(f"/proc/{pid}/{name}").read_bytes()
                    self.assertNotIn(CANARY.encode(), data)
            # it never writes over a file
            self.assertEqual(s.run_cli("support-bundle",
                                       str(bundle)).returncode, 1)


if __name__ == "__main__":
    unittest.main()
