"""Threats M01, M05, M07 and M10 to M13 over everything webmail has: the matrix
is made of the router's own table."""

import html
import os
import re
import resource
import socket
import struct
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from lib.fastcgi import Browser, Letter, pair, record, stream  # noqa: E402
from lib.server import PASSWORD, ServerTest, wait_until  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
TABLE = re.findall(
    r'\{ WEB_(GET|POST),\s+"([^"]+)",\s+(WEB_\w+)',
    (ROOT / "webmail-cgi/app.c").read_text())
FORM = "application/x-www-form-urlencoded"
SECRET = "canary-of-ann"


class Routes(ServerTest):
    users = ("ann", "bob")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.socket = cls.s.state / "run/web/webmail.sock"
        cls.ann = cls.browser("ann").send_at_once()
        Letter(cls.ann).post("send", to="ann@example.org", subject=SECRET,
                             text=SECRET)
        cls.s.wait_messages("ann@example.org", 1)
        cls.draft = Letter(cls.ann)
        cls.draft.post("save", subject=SECRET, text=SECRET)
        page = cls.ann.get("/webmail/contacts/new")
        cls.ann.post("/webmail/contacts/new", {
            "name": SECRET, "address": "x@example.org"}, page)
        page = cls.ann.get("/webmail/m/inbox")
        cls.ids = {
            "v": re.search(r'name="id" value="([^"]+)"', page.text).group(1),
            "d": cls.draft.uri.rsplit("/", 1)[1],
            "contacts": (re.search(r'/contacts/([0-9][^"/?]*)"', cls.ann.get(
                "/webmail/contacts").text) or [None, "1"])[1],
        }
        cls.ids["c"] = cls.ids["v"]

    @classmethod
    def browser(cls, user):
        return Browser(cls.socket).sign_in(f"{user}@example.org", PASSWORD)

    def path(self, route):
        """With ann's ids where the table has a hole."""
        kind = route.split("/")[1]
        out = route.replace("{}", self.ids.get(kind, "1"), 1)
        return "/webmail" + out.replace("{}", "1")

    def token(self, b):
        return b.get("/webmail/m/inbox").hidden("csrf")

    def test_the_table_is_read(self):
        self.assertGreater(len(TABLE), 50)

    def test_M01_every_post_needs_its_own_token(self):
        here = self.token(self.ann)
        cases = {
            "no token": ({}, {}),
            "a wrong one": ({"csrf": "A" * 86}, {}),
            "another session's": ({"csrf": self.token(self.browser("ann"))},
                                  {}),
            "another user's": ({"csrf": self.token(self.browser("bob"))}, {}),
            "from elsewhere": ({"csrf": here},
                               {"HTTP_ORIGIN": "https://evil.example"}),
            "cross-site": ({"csrf": here},
                           {"HTTP_SEC_FETCH_SITE": "cross-site"}),
            "same site, other host": ({"csrf": here},
                                      {"HTTP_SEC_FETCH_SITE": "same-site"}),
        }
        for method, route, _ in TABLE:
            if method != "POST":
                continue
            for name, (fields, more) in cases.items():
                page = self.ann.post(self.path(route), dict(
                    fields, do="trash", id=self.ids["v"]), **more)
                self.assertEqual(page.status, 403, f"{route}: {name}")
            for kind in ("application/json", "text/plain"):
                page = self.ann.ask("POST", self.path(route), b'{"do":"trash"}',
                                    CONTENT_TYPE=kind)
                self.assertIn(page.status, (400, 403, 415), f"{route}: {kind}")
        self.assertIn(SECRET, self.ann.get("/webmail/m/inbox").text)
        self.assertIn(SECRET, self.ann.get("/webmail/m/drafts").text)

    def test_M05_headers_of_every_answer(self):
        pages = []
        for b in (Browser(self.socket), self.ann):
            for method, route, _ in TABLE:
                if route not in ("/undo/{}", "/undo-send/{}"):
                    pages.append((b, method, self.path(route)))
            pages.append((b, "GET", "/webmail/nothing/at/all"))
            pages.append((b, "PUT", "/webmail/m/inbox"))
            pages.append((b, "GET", "/webmail/static/x/app.css"))
            pages.append((b, "POST", "/webmail/act?" + "x" * 70000))
        for b, method, path in pages:
            page = b.ask(method, path)
            what = f"{method} {path[:60]} {page.status}"
            policy = page.header("Content-Security-Policy") or ""
            self.assertIn("default-src 'none'", policy, what)
            scripts = re.findall(r"(?:script|default)-src[^;]*", policy)
            self.assertNotIn("unsafe", " ".join(scripts), what)
            self.assertRegex(policy, "frame-ancestors|sandbox", what)
            self.assertEqual(page.header("X-Content-Type-Options"), "nosniff",
                             what)
            self.assertEqual(page.header("Referrer-Policy"), "no-referrer",
                             what)
            if "/static/" not in path and "/brand/" not in path:
                self.assertIn("no-store", page.header("Cache-Control") or "",
                              what)

    def test_M07_nothing_of_ann_for_bob(self):
        bob = self.browser("bob")
        token = self.token(bob)
        for method, route, access in TABLE:
            kind = route.split("/")[1]
            if "{}" not in route or kind not in self.ids:
                continue
            if method == "GET":
                page = bob.get(self.path(route))
            else:
                page = bob.post(self.path(route), {"csrf": token, "do": "save"})
            self.assertNotIn(SECRET, page.text, route)
            # what is typed is never lost: it becomes bob's own draft; /check
            # looks at nothing else
            typed = method == "POST" and kind == "d"
            self.assertIn(page.status, (200,) if route.endswith("/check") else
                          (303, 404, 409) if typed else (404,),
                          f"{method} {route}")
        # nothing happened to ann's
        self.assertIn(SECRET + "</textarea>", self.ann.get(self.draft.uri).text)
        self.assertIn(SECRET, self.ann.get("/webmail/m/inbox").text)

    def test_M10_uploads_are_bounded(self):
        uri = self.draft.uri + "/files"
        part = (b'--e\r\nContent-Disposition: form-data; name="x"\r\n\r\n'
                b'x\r\n')
        csrf = part.replace(b'"x"\r\n\r\nx',
                            b'"csrf"\r\n\r\n' + self.token(self.ann).encode())
        file = csrf + (b'--e\r\nContent-Disposition: form-data; name="file"; '
                       b'filename="../../x"\r\n\r\n' + b"x" * 1000)
        multipart = "multipart/form-data"
        cases = {
            "no boundary": (multipart, file + b"\r\n--e--\r\n"),
            "another boundary": (multipart + "; boundary=f", file),
            "a long boundary": (multipart + "; boundary=" + "e" * 5000, file),
            "100,000 parts": (multipart + "; boundary=e",
                              csrf + part * 100000 + b"--e--\r\n"),
            "cut off": (multipart + "; boundary=e", file),
        }
        for name, (kind, body) in cases.items():
            page = self.ann.ask("POST", uri, body, CONTENT_TYPE=kind)
            self.assertIn(page.status, (400, 403, 413), name)
        # a body that is announced and never comes is given up
        page = self.ann.ask("POST", uri, b"--e\r\n", CONTENT_LENGTH="100000",
                            CONTENT_TYPE=multipart + "; boundary=e")
        self.assertIn(page.status, (400, 403, 413))
        page = self.ann.get(self.draft.uri).text
        self.assertNotIn('data-file="', page)
        self.assertIn(SECRET + "</textarea>", page)

    def connect(self, data=b""):
        s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        s.settimeout(30)
        s.connect(str(self.socket))
        if data:
            s.sendall(data)
        return s

    def workers(self, **settings):
        """The one worker, or those there are, once these settings hold."""
        before = set(self.s.workers("webmail-cgi"))
        for name, value in settings.items():
            self.s.set(f"webmail.{name}", value)
        wait_until(lambda: (lambda now: now and not now & before)(
            set(self.s.workers("webmail-cgi"))), 30, "new workers")
        return self.s.workers("webmail-cgi")

    def test_M10_M13_a_thousand_slow_uploads(self):
        """Each holds a connection and a file: far more than 1,024 in all."""
        files, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        worker = self.workers(workers=1, connections=1000)[-1]
        params = {"REQUEST_METHOD": "POST", "REMOTE_ADDR": "127.0.0.1",
                  "REQUEST_URI": self.draft.uri + "/files",
                  "CONTENT_TYPE": "multipart/form-data; boundary=e",
                  "CONTENT_LENGTH": "30000000",
                  "HTTP_COOKIE": "; ".join(f"{k}={v}" for k, v in
                                           self.ann.cookies.items())}
        begun = record(1, struct.pack(">HB5x", 1, 0)) + stream(
            4, b"".join(pair(k, v) for k, v in params.items())) + record(
            5, b'--e\r\nContent-Disposition: form-data; name="file"; '
            b'filename="x"\r\n\r\n' + b"x" * 20000)
        folder = Path(f"/proc/{worker}/fd")

        def uploads():
            found = 0
            for p in folder.iterdir():
                try:
                    found += "cache/web/#" in os.readlink(p)
                except FileNotFoundError:
                    pass
            return found

        held = []
        try:
            for count in (600, 950):  # the later ones have high numbers
                held += [self.connect(begun)
                         for _ in range(count - len(held))]
                wait_until(lambda: uploads() == count, 60, "uploads")
            self.assertEqual(self.ann.get("/webmail/m/inbox").status, 200)
            self.draft.post("attach", [("file", "small", "a/b", b"y" * 9)])
            self.assertIn("Remove small", self.draft.page.text)
            self.draft.post("drop:0")
        finally:
            for s in held:
                s.close()
            resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
        wait_until(lambda: uploads() == 0, 60, "their end")
        self.assertEqual(list((self.s.state / "cache/web").iterdir()), [])
        self.workers(workers=2, connections=32)
        self.assertNotIn('data-file="', self.ann.get(self.draft.uri).text)

    def test_M12_many_connections(self):
        """Of thousands that say nothing no one outlives its patience, and
        afterwards all is as it was."""
        files, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        workers = self.s.workers("webmail-cgi")
        held = []
        try:
            for _ in range(4000):
                held.append(self.connect())
            for pid in workers:
                self.assertLess(len(os.listdir(f"/proc/{pid}/fd")), 200)
        finally:
            for s in held:
                s.close()
            resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
        wait_until(lambda: self.ann.get("/webmail/m/inbox").status == 200, 30,
                   "a page")
        self.assertEqual(self.s.workers("webmail-cgi"), workers)

    def test_M11_nothing_typed_is_a_template(self):
        b = self.browser("bob").send_at_once()
        for text in ("{{7*7}} {{>_head}} {{csrf}}", "<?php echo 7*7 ?>",
                     "%s%n%x", "${7*7}", "<!--#exec cmd=\"id\"-->"):
            shown = html.escape(text, quote=False)
            Letter(b).post("save", to="ann@example.org", subject=text,
                           text=text)
            page = b.get("/webmail/m/drafts")
            self.assertIn(shown, page.text.replace("&quot;", '"'), text)
            page = b.post("/webmail/contacts/new", {"name": text},
                          b.get("/webmail/contacts/new"))
            self.assertIn(shown, b.get("/webmail/contacts").text.replace(
                "&quot;", '"'), text)
            b.post("/webmail/settings/labels", {"name": text, "hue": "1"},
                   b.get("/webmail/settings/labels"))
            self.assertIn(shown, b.get("/webmail/settings/labels").text
                          .replace("&quot;", '"'), text)
            Browser(self.socket).post(
                "/webmail/login", {"user": text, "pass": "x"})

    def test_M12_hostile_fastcgi(self):
        begin = record(1, struct.pack(">HB5x", 1, 0))
        params = pair("REQUEST_METHOD", "GET")
        huge = struct.pack(">II", 0xffffffff, 0xffffffff)
        cases = {
            "huge lengths": begin + record(4, huge) + record(4),
            "truncated": begin + record(4, params)[:10],
            "unknown type": record(77, b"x" * 100),
            "another id": begin + record(4, params).replace(
                b"\x01\x04\x00\x01", b"\x01\x04\x00\x09"),
            "no begin": stream(4, params) + stream(5, b""),
            "abort": begin + record(2),
            "much": begin + stream(4, params * 60000),
            "body without end": begin + stream(4, params) + record(
                5, b"x" * 60000),
            "another version": b"\x09" + begin[1:],
        }
        for name, data in cases.items():
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
                s.settimeout(20)
                s.connect(str(self.socket))
                try:
                    s.sendall(data)
                    s.shutdown(socket.SHUT_WR)
                    while s.recv(65536):
                        pass
                except (BrokenPipeError, ConnectionResetError):
                    pass
            self.assertEqual(Browser(self.socket).get("/webmail/login").status,
                             200, name)
        mode = self.socket.stat().st_mode & 0o777
        self.assertEqual(mode & 0o007, 0, oct(mode))


if __name__ == "__main__":
    unittest.main()
