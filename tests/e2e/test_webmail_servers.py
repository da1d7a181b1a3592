"""Webmail behind each of the four web server set-ups of packaging/: sign in,
list, read, upload, download, HEAD, what no browser sends, a reload under
traffic.  Threats M05 and M09."""

# timeout: 400

import hashlib
import http.client
import os
import re
import signal
import socket
import sys
import threading
import time
import unittest
from email.message import EmailMessage
from pathlib import Path
from urllib.parse import urlencode

sys.path.insert(0, str(Path(__file__).resolve().parent))
from lib.server import PASSWORD, Server, wait_until  # noqa: E402
from lib.webserver import KINDS, WebServer  # noqa: E402

FORM = "application/x-www-form-urlencoded"
HEADERS = ("Content-Security-Policy", "X-Frame-Options", "Cache-Control",
           "X-Content-Type-Options", "Referrer-Policy")


class Client:
    """A browser's cookies over plain HTTP."""

    def __init__(self, port):
        self.port = port
        self.cookies = {}

    def ask(self, method, path, body=None, timeout=60, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port,
                                                timeout=timeout)
        headers = {k.replace("_", "-"): v for k, v in headers.items()}
        headers["Cookie"] = "; ".join(f"{k}={v}"
                                      for k, v in self.cookies.items())
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        answer.data = answer.read()
        answer.text = answer.data.decode("utf-8", "replace")
        for cookie in answer.headers.get_all("Set-Cookie") or []:
            name, _, value = cookie.partition("=")
            self.cookies[name] = value.split(";")[0]
        connection.close()
        return answer

    def get(self, path):
        return self.ask("GET", path)

    def post(self, path, fields, page):
        fields = dict(fields, csrf=token(page))
        return self.ask("POST", path, urlencode(fields), Content_Type=FORM)


def token(page):
    return re.search(r'name="csrf" value="([^"]+)"', page.text).group(1)


def multipart(fields, files):
    mark = "----mark5a8c"
    out = b""
    for name, value in fields.items():
        out += (f'--{mark}\r\nContent-Disposition: form-data; name="{name}"'
                f"\r\n\r\n{value}\r\n").encode()
    for name, data in files.items():
        out += (f'--{mark}\r\nContent-Disposition: form-data; name="file"; '
                f'filename="{name}"\r\nContent-Type: text/plain\r\n\r\n'
                ).encode() + data + b"\r\n"
    return out + f"--{mark}--\r\n".encode(), \
        f"multipart/form-data; boundary={mark}"


class Behind:
    """The tests, once for each kind of web server."""

    kind = None

    @classmethod
    def setUpClass(cls):
        cls.s = Server()
        cls.s.start()
        cls.s.user("ann@example.org")
        cls.big = os.urandom(12 * 1024 * 1024)
        message = EmailMessage()
        message["From"] = "Stranger <s@elsewhere.example>"
        message["To"] = "ann@example.org"
        message["Subject"] = "a large one"
        message.set_content("See the file.")
        message.add_attachment(cls.big, maintype="application",
                               subtype="octet-stream", filename="big.bin")
        import smtplib
        with smtplib.SMTP(cls.s.host, cls.s.port["smtp"], timeout=60) as c:
            c.send_message(message)
        cls.s.wait_messages("ann@example.org", 1)
        cls.web = WebServer(cls.s, cls.kind).__enter__()

    @classmethod
    def tearDownClass(cls):
        cls.web.stop()
        cls.s.stop()
        cls.s.close()

    def sign_in(self):
        c = Client(self.web.port)
        page = c.post("/webmail/login",
                      {"user": "ann@example.org", "pass": PASSWORD,
                       "back": "/m/inbox"}, c.get("/webmail/login"))
        self.assertEqual(page.status, 303, page.text + self.web.errors())
        self.assertTrue(page.headers["Location"]
                        .endswith("/webmail/m/inbox"))
        return c

    def test_the_way_of_a_reader(self):
        c = self.sign_in()
        page = c.get("/webmail/m/inbox")
        self.assertEqual(page.status, 200)
        for name in HEADERS:
            self.assertIsNotNone(page.headers[name], name)
        link = re.search(r'class="go" href="([^"]+)"', page.text).group(1)
        page = c.get(link.replace("&amp;", "&"))
        self.assertIn("See the file.", page.text)
        part = re.search(r'href="([^"]+/part/[^"]+)"', page.text).group(1)
        answer = c.get(part.replace("&amp;", "&"))
        self.assertEqual(hashlib.sha256(answer.data).digest(),
                         hashlib.sha256(self.big).digest())
        self.assertIn("attachment", answer.headers["Content-Disposition"])
        css = re.search(r'href="([^"]+app\.css)"', page.text).group(1)
        self.assertIn("immutable", c.get(css).headers["Cache-Control"])

    def test_head(self):
        c = self.sign_in()
        for path in ("/webmail/m/inbox", "/webmail/login"):
            page = c.ask("HEAD", path)
            self.assertIn(page.status, (200, 303), path)
            self.assertEqual(page.data, b"")
        self.assertEqual(c.ask("HEAD", "/webmail/nothing").status, 404)

    def test_other_addresses(self):
        c = Client(self.web.port)
        for path in ("/IClient/", "/IClient", "/iclient/x.aspx"):
            if self.kind == "lighttpd" and "iclient" in path:
                continue  # its prefixes are compared with case
            page = c.get(path)
            self.assertEqual(page.status, 303, path)
            self.assertTrue(page.headers["Location"].endswith("/webmail/"))
        self.assertEqual(c.get("/addnewuser").status, 303)
        for path in ("/mail/config-v1.1.xml?emailaddress=x@example.org",
                     "/.well-known/autoconfig/mail/config-v1.1.xml"
                     "?emailaddress=x@example.org"):
            self.assertIn("<hostname>", c.get(path).text, path)
        asked = "<EMailAddress>x@example.org</EMailAddress>"
        for path in ("/autodiscover/autodiscover.xml",
                     "/Autodiscover/Autodiscover.xml"):
            if self.kind == "lighttpd" and "Auto" in path:
                continue
            self.assertIn("<Type>POP3</Type>", c.ask(
                "POST", path, asked, Content_Type="text/xml").text)
        self.assertEqual(c.get("/admin/login").status, 200)
        self.assertEqual(c.get("/webmail").status, 401)

    def test_upload(self):
        """A large form and a file; what is beyond the limit is refused."""
        c = self.sign_in()
        uri = c.get("/webmail/compose").headers["Location"]
        page = c.get(uri)
        uri = uri.split("?")[0]
        body, kind = multipart(
            {"csrf": token(page), "to": "ann@example.org", "subject": "up",
             "text": "x" * 1500000, "do": "attach"},
            {"big.bin": b"y" * (5 << 20)})
        page = c.ask("POST", uri, body, Content_Type=kind)
        self.assertEqual(page.status, 303, page.text[:2000])
        self.assertIn("big.bin", c.get(uri).text)
        body, kind = multipart({"csrf": token(c.get("/webmail/m/inbox")),
                                "text": "x" * (70 << 20)}, {})
        try:
            status = c.ask("POST", uri, body, Content_Type=kind).status
        except (BrokenPipeError, ConnectionResetError):
            status = 413  # it did not even read it
        # mod_fcgid says "bad request" of what Apache stops reading
        self.assertEqual(status, 400 if self.kind == "apache-fcgid" else 413)
        self.assertEqual(c.get("/webmail/m/inbox").status, 200)

    def test_M10_slow_and_parallel_uploads(self):
        """More of them than webmail answers at a time keep nobody waiting."""
        c = self.sign_in()
        uri = c.get("/webmail/compose").headers["Location"]
        body, kind = multipart({"csrf": token(c.get(uri)), "do": "attach"},
                               {"a file.bin": b"y" * 200000})
        uri = uri.split("?")[0]
        head = (f"POST {uri} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
                "Cookie: " + "; ".join(
                    f"{k}={v}" for k, v in c.cookies.items()) +
                "\r\nConnection: close\r\n\r\n").encode()
        slow = [socket.create_connection(("127.0.0.1", self.web.port),
                                         timeout=60) for _ in range(80)]
        try:
            for s in slow:
                s.sendall(head + body[:100000])
            before = time.monotonic()
            self.assertEqual(c.get("/webmail/m/inbox").status, 200)
            # a blocked one would wait for the timeout of a slow one
            self.assertLess(time.monotonic() - before, 20)
            for s in slow[40:]:
                s.close()  # in the middle
            for s in slow[:40]:
                s.sendall(body[100000:])
            answers = [s.recv(100).split(b" ")[1] for s in slow[:40]]
        finally:
            for s in slow:
                s.close()
        # one draft: an attempt may meet another that is being written
        self.assertLessEqual(set(answers), {b"303", b"409", b"413", b"400"})
        self.assertIn(b"303", answers)
        self.assertIn("a file.bin", c.get(uri).text)

    def raw(self, data, timeout=20):
        """What comes back for these bytes: the status, or None."""
        with socket.create_connection(("127.0.0.1", self.web.port),
                                      timeout=timeout) as s:
            try:
                s.sendall(data)
                s.shutdown(socket.SHUT_WR)
                answer = b""
                while True:
                    piece = s.recv(65536)
                    if not piece:
                        break
                    answer += piece
            except (ConnectionResetError, BrokenPipeError):
                return None
        found = re.match(rb"HTTP/1\.[01] (\d+)", answer)
        return int(found.group(1)) if found else None

    def test_M09_what_no_browser_sends(self):
        host = b"Host: 127.0.0.1\r\n"
        end = b"Connection: close\r\n\r\n"
        get = b"GET /webmail/login HTTP/1.1\r\n" + host
        post = b"POST /webmail/login HTTP/1.1\r\n" + host + \
            b"Content-Type: " + FORM.encode() + b"\r\n"
        vectors = {
            "64 KB header": get + b"X: " + b"y" * 65536 + b"\r\n" + end,
            "10,000 headers": get + b"".join(
                b"X-%d: y\r\n" % i for i in range(10000)) + end,
            "negative length": post + b"Content-Length: -1\r\n" + end,
            "two lengths": post + b"Content-Length: 3\r\nContent-Length: 5"
            b"\r\n" + end + b"a=b&c",
            "length and chunks": post + b"Content-Length: 3\r\n"
            b"Transfer-Encoding: chunked\r\n" + end + b"0\r\n\r\n",
            "bad chunk": post + b"Transfer-Encoding: chunked\r\n" + end +
            b"zz\r\nx\r\n0\r\n\r\n",
            "encoded way up": b"GET /webmail/..%2f..%2fetc/passwd HTTP/1.1"
            b"\r\n" + host + end,
            "way up": b"GET /webmail/../../etc/passwd HTTP/1.1\r\n" + host +
            end,
            "NUL": b"GET /webmail/%00 HTTP/1.1\r\n" + host + end,
            "twice encoded": b"GET /webmail/%252e%252e/x HTTP/1.1\r\n" + host +
            end,
            "bad escape": b"GET /webmail/%zz HTTP/1.1\r\n" + host + end,
            "PUT": b"PUT /webmail/login HTTP/1.1\r\n" + host + end,
            "DELETE": b"DELETE /webmail/m/inbox HTTP/1.1\r\n" + host + end,
            "no length": post + end,
            "odd host": b"GET /webmail/nothing HTTP/1.1\r\n"
            b"Host: evil\"><x>\r\n" + end,
            "long path": b"GET /webmail/" + b"a" * 70000 + b" HTTP/1.1\r\n" +
            host + end,
        }
        for name, data in vectors.items():
            status = self.raw(data)
            self.assertTrue(status is None or 400 <= status < 500 or
                            status == 501, f"{name}: {status}")
        trace = self.raw(b"TRACE /webmail/login HTTP/1.1\r\n" + host + end)
        # Apache answers TRACE itself unless told not to
        self.assertTrue(trace in (None, 405, 400, 501) or
                        self.kind.startswith("apache") and trace == 200, trace)
        self.assertEqual(Client(self.web.port).get("/webmail/login").status,
                         200)

    def test_reload_under_traffic(self):
        """Not one request fails while webmail-cgi's workers are replaced."""
        c = self.sign_in()
        stop = threading.Event()
        bad, count = [], [0]

        def ask():
            mine = Client(self.web.port)
            mine.cookies = dict(c.cookies)
            while not stop.is_set():
                try:
                    status = mine.get("/webmail/m/inbox").status
                except OSError as e:
                    status = repr(e)
                count[0] += 1
                if status != 200:
                    bad.append(status)
        threads = [threading.Thread(target=ask) for _ in range(3)]
        for t in threads:
            t.start()
        try:
            for number in (3, 2):
                before = set(self.s.workers("webmail-cgi"))
                self.s.set("webmail.workers", number)
                os.kill(self.s.supervisor("webmail-cgi"), signal.SIGHUP)
                wait_until(lambda: (lambda now: len(now) == number and
                                    not now & before)(
                    set(self.s.workers("webmail-cgi"))), 30, "new workers")
            seen = count[0]
            wait_until(lambda: count[0] > seen + 10, 30, "traffic")
        finally:
            stop.set()
            for t in threads:
                t.join()
        self.assertEqual(bad, [])


def load_tests(loader, _tests, _pattern):
    suite = unittest.TestSuite()
    for kind in KINDS:
        name = "".join(w.title() for w in re.split("[-_]", kind))
        case = type(name, (Behind, unittest.TestCase), {"kind": kind})
        suite.addTests(loader.loadTestsFromTestCase(case))
    return suite


if __name__ == "__main__":
    unittest.main()
