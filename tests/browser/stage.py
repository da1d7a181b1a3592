"""A server with mail in it behind nginx, and a script of Node's that uses it.

    class Flows(Stage): ...
        self.play("flows.mjs", only=...)     # each "not ok" line is a failure
"""

import json
import os
import smtplib
import subprocess
import sys
import unittest
from email.message import EmailMessage
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/e2e"))
from lib.server import PASSWORD, Server, wait_until  # noqa: E402, F401
from lib.webserver import WebServer  # noqa: E402

HTML = """<html><body><h1>Autumn sale</h1><p style="color:#204060">Two for
one until <b>Sunday</b>.</p><img src="https://tracker.example/p.gif"
width=300 height=100 alt="banner"><a href="https://shop.example/">Shop</a>
<script>document.title = "ran"</script></body></html>"""


# A busy machine needs several times what an idle one does.
LIMIT_S = 560


def run_node(program, job):
    """A script of this folder with Playwright; what it did and said."""
    root = subprocess.run([ROOT / "tests/browser/install.sh"], check=True,
                          capture_output=True, text=True).stdout.strip()
    try:
        return subprocess.run(
            ["node", ROOT / "tests/browser" / program, json.dumps(job)],
            env=dict(os.environ, NPM_ROOT=root), capture_output=True,
            text=True, timeout=LIMIT_S)
    except subprocess.TimeoutExpired as e:
        raise AssertionError(f"{program} takes more than {LIMIT_S} s; so far: "
                             f"{(e.stdout or b'')[-2000:]}") from None


class Stage(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.s = Server()
        cls.s.start()
        cls.s.set("dns.servers", "127.0.0.1:9")  # nobody: asks no one outside
        for user in ("ann", "bob"):
            cls.s.user(f"{user}@example.org", PASSWORD, "--name",
                       user.title() + " Harper")
        cls.fill()
        cls.web = WebServer(cls.s).__enter__()

    @classmethod
    def tearDownClass(cls):
        cls.web.stop()
        cls.s.stop()
        cls.s.close()

    @classmethod
    def deliver(cls, subject, text, html=None, file=None):
        m = EmailMessage()
        m["From"] = "Ingrid Solheim <ingrid@elsewhere.example>"
        m["To"] = "Ann Harper <ann@example.org>"
        m["Subject"] = subject
        m["Message-ID"] = f"<{len(subject)}.{abs(hash(subject))}@else.example>"
        m.set_content(text)
        if html:
            m.add_alternative(html, subtype="html")
        if file:
            m.add_attachment(file, maintype="text", subtype="plain",
                             filename="notes.txt")
        with smtplib.SMTP(cls.s.host, cls.s.port["smtp"], timeout=60) as c:
            c.send_message(m, "ingrid@elsewhere.example", ["ann@example.org"])

    @classmethod
    def fill(cls):
        for n in range(12):
            cls.deliver(f"Letter number {n}", f"The text of letter {n}.\n")
        cls.deliver("A sale", "Two for one.", html=HTML)
        cls.deliver("With a file", "See the notes.", file=b"the notes\n")
        cls.deliver("A very long subject " + "without end " * 20,
                    "x" * 300 + "\nhttps://example.org/" + "y" * 200 + "\n")
        cls.s.wait_messages("ann@example.org", 15, 30)

    def play(self, program, **job):
        done = run_node(program, dict(job, url=self.web.url, password=PASSWORD))
        bad = [x for x in done.stdout.splitlines() if not x.startswith("ok ")]
        self.assertEqual(bad, [], done.stderr[-4000:])
        self.assertEqual(done.returncode, 0, done.stderr[-4000:])
        self.assertIn("\nok the end", "\n" + done.stdout)
