"""Webmail as its web server sees it: sign in, list, read, send, sign out."""

import re
import smtplib
import sys
import unittest
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from lib.fastcgi import Browser, Letter, request  # noqa: E402
from lib.server import PASSWORD, ServerTest, wait_until  # noqa: E402


class Webmail(ServerTest):
    users = ("ann", "bob", "carl")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.socket = cls.s.state / "run/web/webmail.sock"

    def sign_in(self, user):
        b = Browser(self.socket)
        form = b.get("/webmail/login")
        self.assertEqual(form.status, 200, form.body)
        page = b.post("/webmail/login",
                      {"user": user, "pass": PASSWORD, "back": "/m/inbox"},
                      form)
        self.assertEqual(page.status, 303, page.body)
        self.assertEqual(page.header("Location"), "/webmail/m/inbox")
        return b

    def deliver(self, message, to):
        message["From"] = "Stranger <stranger@elsewhere.example>"
        message["To"] = to
        count = len(self.s.messages(to))
        with smtplib.SMTP(self.s.host, self.s.port["smtp"], timeout=30) as c:
            c.send_message(message)
        self.s.wait_messages(to, count + 1)

    def test_the_way_of_a_message(self):
        ann = self.sign_in("ann@example.org").send_at_once()
        text = "Hällo Bob,\r\n\r\nhttps://example.org/?a=1&b=2 <b>\r\n" + \
            "x" * 2000 + "\r\nFrom here\r\n.\r\n"
        sent = Letter(ann).post(
            "send", to="Bob <bob@example.org>", cc="carl@example.org",
            subject="Grüße <i>", text=text)
        self.assertEqual(sent.status, 303, sent.body)
        self.assertIn("Sent.", ann.get("/webmail/m/inbox?flash=sent").text)
        raw = self.s.wait_messages("bob@example.org", 1)[0]
        wait_until(lambda: any(b"xxxx" in x for x in
                               self.s.messages("carl@example.org")),
                   10, "the copy for carl")
        m = message_from_bytes(raw, policy=policy.default)
        self.assertEqual(m["Subject"], "Grüße <i>")
        self.assertEqual(m["From"].addresses[0].addr_spec, "ann@example.org")
        self.assertTrue(m["Date"] and m["Message-ID"])
        self.assertEqual(m.get_content(), text.replace("\r\n", "\n")
                         .replace("\nFrom", "\n From"))
        self.assertTrue(all(len(x) <= 998 for x in raw.split(b"\n")))

        bob = self.sign_in("bob@example.org")
        page = bob.get("/webmail/m/inbox")
        self.assertIn("Grüße &lt;i&gt;", page.text)
        self.assertIn('class="new"', page.text)
        link = re.search(r'class="go" href="([^"]+)"', page.text).group(1)
        page = bob.get(link)
        self.assertEqual(page.status, 200)
        self.assertIn("Hällo Bob,", page.text)
        self.assertIn('href="https://example.org/?a=1&amp;b=2"', page.text)
        self.assertIn("&lt;b&gt;", page.text)
        self.assertNotIn('class="new"', bob.get("/webmail/m/inbox").text)
        reply = re.search(r'(?:form)?action="([^"]+/reply)"', page.text)[1]
        answer = bob.follow(bob.post(reply, {}, page))
        self.assertIn('value="ann@example.org"', answer.text)
        self.assertIn("&gt; Hällo Bob,", answer.text)
        self.assertEqual(answer.hidden("in_reply_to"),
                         m["Message-ID"].strip("<>"))
        copy = ann.get("/webmail/m/sent")
        self.assertIn("Grüße &lt;i&gt;", copy.text)
        # nobody reads with another's id
        carl = self.sign_in("carl@example.org")
        self.assertEqual(carl.get(link).status, 404)

    def test_attachments_and_html(self):
        m = EmailMessage()
        m["Subject"] = "with a file"
        m.set_content("plain")
        m.add_alternative("<p>shown</p><script>bad()</script>"
                          "<img src=https://t.example/x>", subtype="html")
        m.add_attachment(b"<script>bad()</script>", maintype="text",
                         subtype="html", filename="x.html")
        self.deliver(m, "carl@example.org")
        carl = self.sign_in("carl@example.org")
        page = carl.get("/webmail/m/inbox")
        link = re.search(r'href="([^"]+)">(?:<bdi[^>]*>Unread: </bdi>)?'
                         r'<b>with a file', page.text).group(1)
        page = carl.get(link)
        body = carl.get(re.search(r'<iframe class="frame[^"]*" src="([^"]+)"',
                                  page.text).group(1))
        self.assertIn("shown", body.text)
        self.assertNotIn("script", body.text)
        # what is remote is only noted, never asked for
        self.assertNotRegex(body.text, r"\s(src|srcset|background)=")
        self.assertIn("sandbox", body.header("Content-Security-Policy"))
        part = carl.get(re.search(r'href="([^"]+/part/[^"]+)"',
                                  page.text).group(1))
        self.assertEqual(part.body, b"<script>bad()</script>")
        self.assertEqual(part.header("Content-Type"),
                         "application/octet-stream")
        self.assertIn("attachment", part.header("Content-Disposition"))

    def test_signing_in(self):
        b = Browser(self.socket)
        page = b.get("/webmail/m/inbox")
        self.assertEqual(page.status, 401)
        self.assertEqual(page.hidden("back"), "/m/inbox")
        for name in ("Content-Security-Policy", "Referrer-Policy",
                     "X-Content-Type-Options"):
            self.assertIsNotNone(page.header(name))
        self.assertEqual(page.header("Cache-Control"), "no-store")
        bad = b.post("/webmail/login", {"user": "ann@example.org",
                                        "pass": "wrong <b>"}, page)
        self.assertEqual(bad.status, 422)
        self.assertIn("do not match", bad.text)
        ann = self.sign_in("ann@example.org")
        token = dict(ann.cookies)
        page = ann.get("/webmail/m/inbox")
        self.assertEqual(ann.post("/webmail/logout", {}, page).status, 303)
        ann.cookies = token
        self.assertEqual(ann.get("/webmail/m/inbox").status, 401)

    def test_M01_no_token_no_change(self):
        ann = self.sign_in("ann@example.org")
        letter = Letter(ann)
        fields = {"to": "ann@example.org", "subject": "forged", "text": "x",
                  "do": "send"}
        uri, page = letter.uri, letter.page
        self.assertEqual(ann.post(uri, fields).status, 403)
        for more in ({"HTTP_SEC_FETCH_SITE": "cross-site"},
                     {"HTTP_ORIGIN": "https://evil.example"}):
            self.assertEqual(ann.post(uri, fields, page, **more).status, 403)
        for path in ("/webmail/settings/writing", "/webmail/settings/account",
                     uri + "/files", uri + "/check",
                     "/webmail/undo-send/01M8JPSBN593GYJMXBGFY7ZJP0"):
            self.assertEqual(ann.post(path, {"undo": "0"}).status, 403, path)
        good = ann.post(uri, dict(fields, subject="own"), page,
                        HTTP_SEC_FETCH_SITE="same-origin", HTTP_ORIGIN="null")
        self.assertEqual(good.status, 303)

    def test_cookies_need_a_safe_way(self):
        b = Browser(self.socket, REMOTE_ADDR="192.0.2.1",
                    HTTP_HOST="mail.example.org")
        page = b.get("/webmail/login")
        self.assertEqual(b.cookies, {})
        self.assertIn("needs HTTPS", page.text)
        b = Browser(self.socket, HTTPS="on", REMOTE_ADDR="192.0.2.1")
        b.get("/webmail/login")
        self.assertEqual(list(b.cookies), ["__Secure-wm-before"])

    def test_files_and_wrong_paths(self):
        b = Browser(self.socket)
        page = b.get("/webmail/login")
        url = re.search(r'href="([^"]+app\.css)"', page.text).group(1)
        css = b.get(url)
        self.assertEqual(css.header("Content-Type"), "text/css; charset=utf-8")
        self.assertIn("immutable", css.header("Cache-Control"))
        self.assertGreater(len(css.body), 10000)
        for path in ("/webmail/nothing", "/elsewhere", "/webmail/m/%00",
                     "/webmail/static/x/../../etc/passwd"):
            self.assertIn(b.get(path).status, (400, 404), path)
        self.assertEqual(b.ask("PUT", "/webmail/login").status, 405)
        self.assertEqual(b.ask("HEAD", "/webmail/login").body, b"")

    def test_malformed_fastcgi(self):
        """It closes the connection, and the worker lives."""
        before = self.s.workers("webmail-cgi")
        import socket
        for data in (b"\0" * 64, b"\xff" * 64, b"GET / HTTP/1.0\r\n\r\n",
                     b"\1\1\0\1\0\10\0\0\0\1\0\0\0\0\0\0\1\4\0\1\0\4\0\0\xff"):
            with socket.socket(socket.AF_UNIX) as s:
                s.settimeout(20)
                s.connect(str(self.socket))
                s.sendall(data)
                s.shutdown(socket.SHUT_WR)
                while s.recv(4096):
                    pass
        self.assertEqual(Browser(self.socket).get("/webmail/login").status, 200)
        wait_until(lambda: self.s.workers("webmail-cgi") == before, 2,
                   "the same workers")
        self.assertTrue(request(self.socket, {"REQUEST_METHOD": "GET",
                                              "REQUEST_URI": "/webmail/login"}))


if __name__ == "__main__":
    unittest.main()
