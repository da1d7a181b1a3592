"""The corpus of tests/xss in a real browser: behind the sanitiser alone, and
behind the Content-Security-Policy of message bodies alone.  In each nothing may
run and nothing be asked for.  Threats L01 to L07, L09 and L10."""

# timeout: 600

import collections
import http.server
import json
import re
import smtplib
import socket
import struct
import subprocess
import sys
import threading
import unittest
from email.message import EmailMessage
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/xss"), str(ROOT / "tests/e2e")]
from lib.fastcgi import Browser  # noqa: E402
from lib.server import BUILD, PASSWORD, Server  # noqa: E402
from stage import run_node  # noqa: E402
from vectors import vectors  # noqa: E402

BATCH = 70
SILENT = "only a connection"


def sanitise(texts):
    """All of them through the sanitiser, in one process."""
    data = b"".join(struct.pack("<I", len(t)) + t for t in
                    (x.encode("utf-8", "surrogatepass") for x in texts))
    out = subprocess.run([BUILD / "tests/tools/sanitise"], input=data,
                         capture_output=True, check=True).stdout
    found = []
    while out:
        size, = struct.unpack("<I", out[:4])
        found.append(out[4:4 + size].decode())
        out = out[4 + size:]
    return found


def tags(html):
    return set(re.findall(r"<[a-z][^>]*>", html)) - \
        {"<tbody>", "<tr>", "<colgroup>", "<p>"}


def body_policy():
    """The headers that a message's HTML has."""
    with Server() as s:
        m = EmailMessage()
        m["From"] = "a@elsewhere.example"
        m["Subject"] = "x"
        m.set_content("<p>x", subtype="html")
        with smtplib.SMTP(s.host, s.port["smtp"], timeout=60) as c:
            c.send_message(m, "a@elsewhere.example", [s.admin])
        s.wait_messages(s.admin, 1)
        b = Browser(s.state / "run/web/webmail.sock")
        b.post("/webmail/login", {"user": s.admin, "pass": PASSWORD},
               b.get("/webmail/login"))
        page = b.get("/webmail/m/inbox")
        page = b.get(re.search(r'class="go" href="([^"]+)"',
                               page.text).group(1))
        page = b.get(re.search(r'<iframe class="frame[^"]*" src="([^"]+)"',
                               page.text).group(1).replace("&amp;", "&"))
        return {k: v for k, v in page.headers
                if k in ("Content-Security-Policy", "Referrer-Policy",
                         "X-Content-Type-Options", "X-DNS-Prefetch-Control")}


class Sink:
    """Counts who connects: also what is only connected to in advance."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.origin = "http://127.0.0.1:%d" % self.socket.getsockname()[1]
        self.asked = []
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                c, _ = self.socket.accept()
            except OSError:
                return
            c.settimeout(1)
            try:
                line = c.recv(2000).split(b"\r\n")[0]
            except OSError:
                line = SILENT.encode()
            self.asked.append(line.decode("latin-1"))
            c.close()


class Pages(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, headers, texts):
        super().__init__(("127.0.0.1", 0), Handler)
        self.headers, self.texts = headers, texts
        self.origin = "http://127.0.0.1:%d" % self.server_address[1]
        self.asked = collections.Counter()
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        found = re.fullmatch(r"/(page/)?(raw|clean|csp)/(\d+)", self.path)
        if not found:
            if self.path != "/favicon.ico":
                self.server.asked[self.path] += 1
            self.send_error(404)
            return
        mode, number = found.group(2), int(found.group(3))
        if found.group(1):
            last = min(len(self.server.texts[mode]), (number + 1) * BATCH)
            text = "<!doctype html><link rel=icon href=data:,>" + "".join(
                f"<iframe src=/{mode}/{i}></iframe>"
                for i in range(number * BATCH, last))
        else:
            text = "<!doctype html><meta charset=utf-8><body>" + \
                self.server.texts[mode][number]
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        if mode == "csp" and not found.group(1):
            for key, value in self.server.headers.items():
                self.send_header(key, value)
        self.end_headers()
        self.wfile.write(text.encode("utf-8", "surrogatepass"))

    def log_message(self, *args):
        pass


class Xss(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.sink = Sink()
        cls.names, raw = zip(*vectors(cls.sink.origin))
        cls.clean = sanitise(raw)
        cls.pages = Pages(body_policy(),
                          {"raw": raw, "csp": raw, "clean": cls.clean})

    @classmethod
    def tearDownClass(cls):
        cls.pages.shutdown()

    def open(self, mode, count=None, wanted=0):
        self.pages.asked.clear()
        self.sink.asked = []
        job = {"origin": self.pages.origin, "modes": [mode], "wanted": wanted,
               "batches": -(-(count or len(self.names)) // BATCH)}
        done = run_node("xss.mjs", job)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)[mode]

    def names_of(self, urls):
        return [self.names[int(u.rsplit("/", 1)[1])]
                if re.search(r"/\d+$", u) else u for u in urls]

    def test_there_are_enough(self):
        self.assertGreaterEqual(len(self.names), 400)

    def test_the_corpus_bites(self):
        """Behind nothing at all most of it does what it wants."""
        found = self.open("raw", 200, wanted=51)
        self.assertGreater(len(found["hits"]), 50)
        self.assertGreater(len(self.sink.asked), 20)

    def test_the_policy_alone(self):
        found = self.open("csp")
        self.assertEqual(self.names_of(found["hits"]), [])
        # rel=preconnect opens a connection on which nothing is said: no policy
        # governs that, only the sanitiser.  And pictures of our own site are
        # let through: those of the message.
        self.assertEqual([x for x in self.sink.asked if x != SILENT], [])

    def test_the_sanitiser_alone(self):
        found = self.open("clean")
        self.assertEqual(self.names_of(found["hits"]), [])
        # cid: pictures are the message's own
        self.assertEqual([x for x in self.pages.asked
                          if not re.fullmatch(r"/cid/[^/.]+", x)], [])
        self.assertEqual(self.sink.asked, [])
        bad = {self.names[int(n)]: p for n, p in found["links"].items()
               if set(p) - {"http:", "https:", "mailto:", "tel:"}}
        self.assertEqual(bad, {})
        # in what the browser made of it there is no tag that was not there,
        # but for those it adds to tables
        numbers = sorted(found["html"], key=int)
        self.assertEqual(len(numbers), len(self.names))
        again = sanitise([found["html"][n] for n in numbers])
        for n, text in zip(numbers, again):
            new = tags(text) - tags(self.clean[int(n)])
            self.assertEqual(new, set(), self.names[int(n)])

    def test_it_is_a_fixed_point(self):
        for name, once, twice in zip(self.names, self.clean,
                                     sanitise(self.clean)):
            self.assertEqual(once, twice, name)


if __name__ == "__main__":
    unittest.main()
