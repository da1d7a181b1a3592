"""What administration does to domains, users, aliases and lists."""

import base64
import hashlib
import hmac
import html
import json
import re
import smtplib
import struct
import sys
import time
import unittest
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

sys.path.insert(0, str(Path(__file__).resolve().parent))
from lib.fastcgi import Browser, Letter  # noqa: E402
from lib.server import PASSWORD, Server, ServerTest, wait_until  # noqa: E402

ADMIN = "admin@example.org"
U = "/admin/u/ann@example.org"
OTHER_PASSWORD = "lantern-of-the-harbour"


def totp(secret, step=0):
    key = base64.b32decode(secret + "=" * (-len(secret) % 8))
    mac = hmac.new(key, struct.pack(">Q", int(time.time()) // 30 + step),
                   hashlib.sha1).digest()
    at = mac[-1] & 15
    return "%06d" % ((struct.unpack(">I", mac[at:at + 4])[0] & 0x7fffffff)
                     % 1000000)


class People(ServerTest):
    settings = {"auth.delay_after": "1000"}
    users = ("ann", "bob", "dora", "tom")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.s.cli("user", "set", "dora@example.org", "roles=domain_admin")
        cls.socket = cls.s.state / "run/web/admin.sock"
        cls.admin = cls.sign_in(ADMIN)

    @classmethod
    def try_sign_in(cls, user, password=PASSWORD):
        b = Browser(cls.socket)
        form = b.get("/admin/login")
        return b, b.post("/admin/login", {"user": user, "pass": password,
                                          "back": "/"}, form)

    @classmethod
    def sign_in(cls, user, password=PASSWORD):
        b, page = cls.try_sign_in(user, password)
        assert page.status == 303, page.text
        return b

    def do(self, path, fields, b=None, form=None, status=303):
        b = b or self.admin
        page = b.post(path, fields, b.get(form or path))
        self.assertEqual(page.status, status, page.text[:3000])
        return page

    def shown(self, *what):
        return self.s.json(*what)

    # -- domains --------------------------------------------------------------
    def test_a_domain(self):
        self.do("/admin/domains/new", {"name": "bad name"}, status=422)
        page = self.do("/admin/domains/new", {"name": "Books.Example"})
        self.assertIn("/admin/d/", page.header("Location"))
        self.do("/admin/domains/new",
                {"name": "livres.example", "alias_of": "books.example"})
        where = "/admin/d/books.example"
        self.do(where, {"max_accounts": "2", "max_bytes": "3G",
                        "catchall": "", "new_user.quota_bytes": "1G",
                        "has": ["new_user.pop3", "access.web"]})
        d = self.shown("domain", "show", "books.example")
        self.assertEqual((d["max_accounts"], d["max_bytes"]), (2, 3 << 30))
        self.assertEqual(d["new_user"]["quota_bytes"], 1 << 30)
        self.assertFalse(d["new_user"]["pop3"])
        self.assertEqual(d["access"], {"pop3": True, "smtp": True, "web": False})
        self.assertTrue(d["new_user"]["web"])  # was not in the form
        page = self.do(where, {"max_accounts": "-1", "max_bytes": "1e9x",
                               "catchall": "typed here"}, status=422)
        self.assertIn("A whole number, please", page.text)
        self.assertIn("A size such as", page.text)
        self.assertIn('value="typed here"', page.text)
        self.assertEqual(
            self.shown("domain", "show", "books.example")["max_accounts"], 2)
        # defaults and limits of its users
        new = where + "/users/new"
        form = self.admin.get(new)
        self.assertIn('value="1G"', form.text)
        fields = {"name": "Eve", "password": PASSWORD, "password2": PASSWORD}
        self.do(new, dict(fields, local="eve"))
        eve = self.shown("user", "show", "eve@books.example")
        self.assertEqual(eve["quota_bytes"], 1 << 30)
        self.assertFalse(eve["access"]["pop3"])
        page = self.do("/admin/u/eve@books.example",
                       {"quota_bytes": "4G"}, status=422)
        self.assertIn("may store", page.text)
        page = self.do("/admin/u/eve@books.example",
                       {"quota_bytes": "0"}, status=422)
        self.do(new, dict(fields, local="eva"))
        page = self.do(new, dict(fields, local="evi"), status=422)
        self.assertIn("as many users", page.text)
        self.assertIn('value="evi"', page.text)
        # off, on, and gone with its name typed in
        self.do(where, {"do": "disable"})
        self.assertTrue(self.shown("domain", "show", "books.example")
                        ["disabled"])
        self.do(where, {"do": "enable"})
        page = self.do(where + "/delete", {"name": "books"}, status=422)
        for user in ("eve", "eva"):
            self.do(f"/admin/u/{user}@books.example/delete",
                    {"name": f"{user}@books.example"})
        self.do(where + "/delete", {"name": "books.example"})
        self.assertNotIn("books.example", self.admin.get("/admin/domains").text)

    def test_the_look_of_a_domain(self):
        where = "/admin/d/example.org/look"
        dora = self.sign_in("dora@example.org")
        self.do(where, {"signature": "Example Ltd", "css": "a { color: red }"},
                dora)
        folder = self.s.state / "domains/example.org"
        self.assertEqual((folder / "brand.css").read_text(),
                         "a { color: red }")
        self.assertIn("Example Ltd", dora.get(where).text)
        # what webmail would not show is refused, and kept as typed
        page = self.do(where, {"signature": "x" * 16385, "css": "b {}"}, dora,
                       status=422)
        self.assertIn("x" * 16385, page.text)
        self.assertIn("Nothing was saved", page.text)
        self.assertEqual((folder / "brand.css").read_text(),
                         "a { color: red }")
        # an empty one does not hide the server's
        self.do(where, {"signature": "", "css": "b {}"}, dora)
        self.assertEqual([f.name for f in folder.iterdir()], ["brand.css"])
        (folder / "templates").mkdir()
        (folder / "templates/list.html").write_text("<p onclick=x>{{/no}}")
        self.assertIn("list.html", dora.get(where).text)
        for path in ("..", "..%2f..", "%2e%2e", "nowhere.example"):
            self.assertIn(self.admin.get(f"/admin/d/{path}/look").status,
                          (400, 404))  # N11

    # -- users ----------------------------------------------------------------
    def test_a_user(self):
        new = "/admin/d/example.org/users/new"
        page = self.do(new, {"local": "ka te", "name": "Kate Ö",
                             "password": "short", "password2": "other"},
                       status=422)
        for text in ("no spaces", "not the same", "Kate Ö", 'value="ka te"'):
            self.assertIn(text, page.text)
        self.assertNotIn("short", page.text)
        page = self.do(new, {"local": "kate", "password": "short",
                             "password2": "short"}, status=422)
        self.do(new, {"local": "kate", "name": "Kate Ö", "password": PASSWORD,
                      "password2": PASSWORD, "quota_bytes": "50M",
                      "has": "access.pop3"})
        where = "/admin/u/kate@example.org"
        user = self.shown("user", "show", "kate@example.org")
        self.assertEqual(user["quota_bytes"], 50 << 20)
        self.assertFalse(user["access"]["pop3"])
        self.assertTrue(user["access"]["smtp"])
        self.do(where, {"forward": "a@b.example\r\nc@d.example",
                        "has": "forward"})
        self.do(where, {"do": "alias", "alias": "katie"})
        page = self.do(where, {"do": "alias", "alias": "ann"}, status=422)
        self.assertIn("exists already", page.text)
        user = self.shown("user", "show", "kate@example.org")
        self.assertEqual(user["forward"], ["a@b.example", "c@d.example"])
        self.assertEqual(user["aliases"], ["katie@example.org"])
        self.assertEqual(user["name"], "Kate Ö")
        self.do(where, {"unalias": "katie@example.org"})
        self.do(where, {"do": "suspend", "until": "2099-01-31"})
        user = self.shown("user", "show", "kate@example.org")
        self.assertEqual(user["disabled_until"][:10], "2099-01-31")
        self.assertEqual(user["aliases"], [])
        self.do(where, {"do": "suspend", "until": "2001-01-31"}, status=422)
        self.do(where, {"do": "enable"})
        self.do(where, {"do": "password", "password": OTHER_PASSWORD})
        page = self.do(where + "/delete", {"name": "kate"}, status=422)
        self.assertIn("Nothing was deleted", page.text)
        self.do(where + "/delete", {"name": "Kate@example.org"})
        self.assertEqual(self.admin.get(where).status, 404)

    def test_language_zone_and_biggest_message(self):
        """How webmail and the administration begin, and what may be sent."""
        new = "/admin/d/example.org/users/new"
        fields = {"local": "zoe", "password": PASSWORD, "password2": PASSWORD,
                  "lang": "ar", "zone": "Asia/Nowhere",
                  "max_message_bytes": "20x"}
        page = self.do(new, fields, status=422)
        for text in ("no such time zone", "size", 'value="Asia/Nowhere"'):
            self.assertIn(text, page.text)
        self.do(new, dict(fields, zone="Asia/Kolkata",
                          max_message_bytes="20K"))
        zoe = "zoe@example.org"
        user = self.shown("user", "show", zoe)
        self.assertEqual((user["lang"], user["zone"],
                          user["max_message_bytes"]),
                         ("ar", "Asia/Kolkata", 20480))
        page = self.admin.get("/admin/u/" + zoe)
        for text in ('value="ar"', 'value="Asia/Kolkata"', 'value="20K"'):
            self.assertIn(text, page.text)
        refused = self.s.run_cli("user", "set", zoe, "zone=../../etc/passwd")
        self.assertNotEqual(refused.returncode, 0)

        mail = Browser(self.s.state / "run/web/webmail.sock").sign_in(
            zoe, PASSWORD)
        look = "/webmail/settings/look"
        page = mail.get(look, HTTP_ACCEPT_LANGUAGE="en")
        self.assertIn('<html lang="ar" dir="rtl"', page.text)
        self.assertIn('value="Asia/Kolkata"', page.text)
        self.assertEqual(mail.post(look, {"lang": "en", "zone": ""},
                                   page).status, 303)
        page = mail.get(look, HTTP_ACCEPT_LANGUAGE="ar")
        self.assertIn('<html lang="en"', page.text)
        self.assertNotIn("Asia/Kolkata", page.text)

        page = Letter(mail).post("send", to=zoe, subject="big",
                                 text="x" * 30000)
        self.assertEqual(page.status, 413)
        self.assertIn("too large", page.text)
        with smtplib.SMTP(self.s.host, self.s.port["submission"],
                          timeout=30) as c:
            c.starttls()
            c.login(zoe, PASSWORD)
            c.ehlo()
            self.assertEqual(c.esmtp_features["size"], "20480")
            self.assertEqual(c.docmd(f"MAIL FROM:<{zoe}> SIZE=20481")[0], 552)
            self.assertEqual(c.docmd(f"MAIL FROM:<{zoe}> SIZE=20480")[0], 250)
            c.docmd(f"RCPT TO:<{zoe}>")
            with self.assertRaises(smtplib.SMTPDataError) as caught:
                raise smtplib.SMTPDataError(*c.data(
                    f"From: {zoe}\r\n\r\n" + ("y" * 70 + "\r\n") * 300))
            self.assertEqual(caught.exception.smtp_code, 552)
        # the pages of who administers are in his own time
        self.s.cli("user", "set", zoe, "roles=domain_admin")
        page = self.sign_in(zoe).get("/admin/d/example.org/audit")
        now = datetime.now(ZoneInfo("Asia/Kolkata"))
        self.assertRegex(page.text, "|".join(
            (now - timedelta(minutes=n)).strftime(" %H:%M:") for n in range(3)))

    def test_recent_sign_ins(self):
        self.s.user("sig@example.org")
        for password in ("wrong wrong", "wrong again", PASSWORD):
            self.mail_program("sig@example.org", password)
        page = self.admin.get("/admin/u/sig@example.org").text
        table = page[page.index('id="signins"'):]
        table = re.sub(r"<[^>]*>|\s+", " ", table[:table.index("</table>")])
        self.assertRegex(table, r"POP3 +127.0.0.1 +Signed in .*"
                                r"POP3 +127.0.0.1 +Wrong password +2 times")
        other = self.admin.get("/admin/u/ann@example.org").text
        self.assertNotIn("Wrong password", other)

    def test_two_at_once(self):
        first = self.admin.get(U)
        second = self.admin.get(U)
        rev = {"rev": first.hidden("rev")}
        done = self.admin.post(U, dict(rev, name="First"), first)
        self.assertEqual(done.status, 303)
        told = self.admin.post(U, dict(rev, name="Second"), second)
        self.assertEqual(told.status, 409)
        self.assertIn("Somebody else has changed", told.text)
        self.assertIn('value="Second"', told.text)
        self.assertEqual(self.shown("user", "show", "ann@example.org")["name"],
                         "First")
        again = self.admin.post(U, {"rev": told.hidden("rev"),
                                    "name": "Second"}, told)
        self.assertEqual(again.status, 303)

    def test_several_at_once(self):
        for n in range(3):
            self.s.user(f"bulk{n}@example.org")
        page = self.admin.get("/admin/users?q=bulk*")
        self.assertEqual(len(re.findall(r'name="address" value="bulk', page.text)), 3)
        chosen = [("address", f"bulk{n}@example.org") for n in range(2)]
        from urllib.parse import urlencode

        def act(*fields):
            body = urlencode(chosen + [("csrf", page.hidden("csrf")),
                                       ("back", "/users")] + list(fields))
            return self.admin.ask(
                "POST", "/admin/users", body.encode(),
                CONTENT_TYPE="application/x-www-form-urlencoded")
        self.assertEqual(act(("do", "pop3-off")).status, 303)
        self.assertEqual(act(("do", "quota"), ("quota", "7M")).status, 303)
        self.assertEqual(act(("do", "disable")).status, 303)
        for n in range(3):
            user = self.shown("user", "show", f"bulk{n}@example.org")
            self.assertEqual(user["disabled"], n < 2)
            self.assertEqual(user["quota_bytes"], (7 << 20) * (n < 2))
        chosen.append(("address", "nobody@example.org"))
        page = act(("do", "enable"))
        self.assertEqual(page.status, 422)
        self.assertIn("nobody@example.org", page.text)
        self.assertFalse(
            self.shown("user", "show", "bulk0@example.org")["disabled"])
        self.assertEqual(act(("do", "nonsense")).status, 400)
        # gone only with their number typed in
        chosen.pop()
        page = act(("do", "delete"))
        self.assertIn("Delete 2 users?", page.text)
        self.assertIn('value="bulk1@example.org"', page.text)
        page = act(("do", "delete"), ("number", "3"))
        self.assertEqual(page.status, 422)
        self.assertIn("Nothing was deleted", page.text)
        self.shown("user", "show", "bulk1@example.org")
        self.assertEqual(
            act(("do", "delete"), ("number", "2")).status, 303)
        page = self.admin.get("/admin/users?q=bulk*")
        self.assertNotIn("bulk1@", page.text)
        self.assertIn("bulk2@", page.text)

    def test_searching(self):
        for query, there in (("an*", True), ("*nn", True), ("an?", True),
                             ("?nn@example.org", True), ("ANN@EX*", True),
                             ("nn@", True), ("zz*", False), ("%", False),
                             ("_nn", False), ("' OR 1=1--", False),
                             ("\\", False)):
            page = self.admin.get("/admin/users?q=" + query.replace(
                "%", "%25").replace(" ", "+").replace("\\", "%5C"))
            with self.subTest(query=query):
                self.assertEqual(page.status, 200)
                self.assertEqual('value="ann@example.org"' in page.text,
                                 there)

    # -- aliases and lists --------------------------------------------------------
    def test_aliases(self):
        where = "/admin/d/example.org/aliases"
        self.do(where, {"address": "sales", "targets":
                        "ann@example.org\r\nfar@away.example"})
        self.assertIn("far@away.example", self.admin.get(where).text)
        page = self.do(where, {"address": "sales", "targets":
                               "bob@example.org"}, status=422)
        self.assertIn("exists already", page.text)
        self.do(where, {"address": "postmaster", "targets":
                        "bob@example.org"}, status=422)
        sales = "/admin/a/sales@example.org"
        self.assertIn(sales.replace("@", "%40"), self.admin.get(where).text)
        page = self.do(sales, {"targets": "bob@example.org\r\nno address",
                               "has": "targets"},
                       status=422)
        self.assertIn("bob@example.org\nno", page.text.replace("\r", ""))
        self.do(sales, {"targets": "bob@example.org\r\ntom@example.org"})
        self.assertEqual(
            self.shown("alias", "show", "sales@example.org"),
            {"address": "sales@example.org",
             "targets": ["bob@example.org", "tom@example.org"]})
        # it is still there, with two targets, when one user lets it go
        self.do("/admin/u/tom@example.org", {"unalias": "sales@example.org"})
        self.assertIn("far@away.example",
                      self.admin.get("/admin/audit?what=alias+add").text)
        self.do("/admin/a/postmaster@example.org", {"targets": ""},
                status=422)
        # somebody was faster
        first, second = self.admin.get(sales), self.admin.get(sales)
        rev = {"rev": first.hidden("rev")}
        done = self.admin.post(sales, dict(rev, targets="ann@example.org"),
                               first)
        self.assertEqual(done.status, 303)
        told = self.admin.post(sales, dict(rev, targets="dora@example.org",
                                    has="targets"),
                               second)
        self.assertEqual(told.status, 409)
        self.assertIn("Somebody else has changed", told.text)
        self.assertIn("dora@example.org</textarea>", told.text)
        told = self.admin.post(sales, dict(rev, do="delete"), second)
        self.assertEqual(told.status, 409)
        self.assertEqual(self.shown("alias", "list", "--match", "sales@*"),
                         [{"address": "sales@example.org",
                           "targets": ["ann@example.org"]}])
        page = self.do(where, {"address": "x", "targets": "no address"},
                       status=422)
        self.assertIn("no address", page.text)
        self.do(where, {"drop": "sales@example.org"})
        page = self.do(where, {"drop": "postmaster@example.org"}, status=422)
        self.assertIn("redirected, not deleted", page.text)
        self.assertIn("postmaster@example.org",
                      self.admin.get("/admin/aliases").text)

    def test_lists(self):
        self.do("/admin/d/example.org/lists", {"address": "crew",
                                               "name": "The crew"})
        where = "/admin/l/crew@example.org"
        self.do(where, {"do": "add", "add": "ann@example.org, x@y.example"})
        page = self.admin.get(where)
        self.assertIn("x@y.example", page.text)
        self.do(where, {"has": "auth_required", "name": "Crew"})
        self.assertFalse(self.shown("list", "show", "crew@example.org")
                         ["auth_required"])
        self.do(where, {"drop": "x@y.example"})
        self.assertEqual(self.shown("list", "members", "crew@example.org"),
                         ["ann@example.org"])
        page = self.do(where, {"do": "add", "add": "nonsense"}, status=422)
        self.assertIn("nonsense", page.text)
        self.do(where, {"do": "delete"})
        self.assertEqual(self.admin.get(where).status, 404)

    # -- roles and limits ------------------------------------------------------------
    def test_what_a_domain_admin_cannot(self):
        dora = self.sign_in("dora@example.org")
        where = "/admin/d/example.org"
        page = dora.get(where)
        self.assertIn("disabled", re.search(
            r'<input[^>]*name="max_accounts"[^>]*>', page.text).group(0))
        dora.post(where, {"max_accounts": "1000", "forward": "x@y.example",
                          "catchall": ""}, page)
        d = self.shown("domain", "show", "example.org")
        self.assertEqual((d["max_accounts"], d["forward"]), (0, ""))
        page = dora.get(U)
        got = dora.post(U, {"roles": "server_admin", "has": "roles"}, page)
        self.assertEqual(got.status, 422)
        self.assertEqual(self.shown("user", "show", "ann@example.org")
                         ["roles"], [])
        # N07: not his own either, nor who stands above
        got = dora.post("/admin/u/dora@example.org",
                        {"roles": "server_admin", "has": "roles"}, page)
        self.assertEqual(got.status, 422)
        self.assertEqual(dora.post(f"/admin/u/{ADMIN}", {
            "do": "password", "password": OTHER_PASSWORD}, page).status, 404)
        self.sign_in(ADMIN)
        self.assertEqual(dora.post("/admin/", {"stop": "mtad"}, page).status,
                         404)

    def test_the_name_of_the_domain_as_login(self):
        _, page = self.try_sign_in("example.org")
        self.assertEqual(page.status, 422)
        self.do("/admin/d/example.org", {"admin": "ann"}, status=422)
        self.do("/admin/d/example.org", {"admin": "dora@example.org"})
        b = self.sign_in("example.org")
        self.assertIn("dora@example.org", b.get("/admin/me").text)
        self.do("/admin/d/example.org", {"admin": ""})
        _, page = self.try_sign_in("example.org")
        self.assertEqual(page.status, 422)

    def test_a_stale_password_is_asked_again(self):
        self.s.user("gone@example.org")
        b = self.sign_in(ADMIN)
        self.age_sessions()
        where = "/admin/u/gone@example.org/delete"
        fields = {"name": "gone@example.org", "carried": "<on>"}
        page = self.do(where, fields, b, status=403)
        self.assertIn('name="carried" value="&lt;on&gt;"', page.text)
        fields["confirm"] = "wrong"
        bad = b.post(where, fields, page)
        self.assertEqual(bad.status, 403)
        self.assertIn("not your password", bad.text)
        self.assertNotIn("wrong", re.sub(r"(?s).*<main", "", bad.text))
        self.shown("user", "show", "gone@example.org")
        done = b.post(where, dict(fields, confirm=PASSWORD), bad)
        self.assertEqual(done.status, 303)
        # a harmless change never asks
        self.age_sessions()
        self.do(U, {"name": "Ann"}, b)

    def age_sessions(self):
        """The last one who signed in has done so long ago."""
        import sqlite3
        db = sqlite3.connect(self.s.state / "directory/secrets.db")
        with db:
            db.execute("UPDATE session SET fresh_ms = fresh_ms - 400000"
                       " WHERE id = (SELECT max(id) FROM session)")
        db.close()

    # -- the own account -----------------------------------------------------------
    def test_me(self):
        self.s.user("mia@example.org")
        self.s.cli("user", "set", "mia@example.org", "roles=domain_admin")
        b = self.sign_in("mia@example.org")
        other = self.sign_in("mia@example.org")
        page = b.get("/admin/me")
        ids = re.findall(r'name="end" value="(\d+)"', page.text)
        self.assertEqual(len(ids), 1)
        self.do("/admin/me", {"end": ids[0]}, b)
        self.assertEqual(other.get("/admin/me").status, 401)
        # N07: not without the old password
        new = {"do": "password", "password": OTHER_PASSWORD,
               "password2": OTHER_PASSWORD}
        self.do("/admin/me", dict(new, old="wrong"), b, status=422)
        other = self.sign_in("mia@example.org")
        self.do("/admin/me", dict(new, old=PASSWORD), b)
        # all others have ended, not the one that asked
        self.assertEqual(other.get("/admin/me").status, 401)
        self.assertEqual(b.get("/admin/me").status, 200)
        self.sign_in("mia@example.org", OTHER_PASSWORD)

    def test_the_second_step(self):
        self.s.cli("user", "set", "tom@example.org", "roles=domain_admin")
        b = self.sign_in("tom@example.org")
        page = self.do("/admin/me", {"do": "begin"}, b, status=200)
        secret = re.search(r"<code>([A-Z2-7]+)</code>", page.text).group(1)
        self.assertIn("otpauth://totp/", html.unescape(page.text))
        self.do("/admin/me", {"do": "confirm", "code": "000000"}, b,
                status=422)
        page = self.do("/admin/me", {"do": "confirm", "code": totp(secret)},
                       b, status=200)
        codes = re.search(r"(?s)<pre[^>]*>(.*?)</pre>",
                          page.text).group(1).split()
        self.assertEqual(len(codes), 10)
        _, page = self.try_sign_in("tom@example.org", "wrong")
        self.assertIn("do not match", page.text)
        c, page = self.try_sign_in("tom@example.org")
        self.assertIn("Second step", page.text)
        self.assertNotIn(PASSWORD, page.text)
        self.assertEqual(c.get("/admin/me").status, 401)
        bad = c.post("/admin/login/2", {"code": "123456", "back": "/"}, page)
        self.assertEqual(bad.status, 422)
        done = c.post("/admin/login/2", {"code": codes[0], "back": "/"}, bad)
        self.assertEqual(done.status, 303, done.text)
        self.assertEqual(c.get("/admin/me").status, 200)
        # a code is good once
        d, page = self.try_sign_in("tom@example.org")
        bad = d.post("/admin/login/2", {"code": codes[0], "back": "/"}, page)
        self.assertEqual(bad.status, 422)
        # an administrator takes it away
        self.do("/admin/u/tom@example.org", {"do": "second-step"})
        self.sign_in("tom@example.org")

    def test_the_second_step_can_be_required(self):
        self.s.user("ned@example.org")
        self.s.cli("user", "set", "ned@example.org", "roles=domain_admin")
        ned = self.sign_in("ned@example.org")
        self.s.set("admin.second_step", "yes")
        self.addCleanup(self.s.set, "admin.second_step", "no")
        wait_until(lambda: ned.get("/admin/domains").status == 404, 10,
                   "the setting")
        page = ned.get("/admin/")
        self.assertEqual(page.header("Location"), "/admin/me")
        page = self.do("/admin/me", {"do": "begin"}, ned, status=200)
        secret = re.search(r"<code>([A-Z2-7]+)</code>", page.text).group(1)
        self.do("/admin/me", {"do": "confirm", "code": totp(secret)}, ned,
                status=200)
        self.assertEqual(ned.get("/admin/domains").status, 200)

    # -- audit --------------------------------------------------------------------
    def test_the_audit_log(self):
        self.do(U, {"name": "Audited Name"})
        page = self.admin.get("/admin/audit?what=user+set")
        self.assertIn("Audited Name", page.text)
        self.assertIn("127.0.0.1", page.text)
        self.assertIn(ADMIN, page.text)
        self.assertIn("<b>User changed</b>", page.text)
        self.assertIn("Name: <s>", page.text)
        raw = page.text.split("As recorded")[1].split("</details>")[0]
        self.assertIn("&quot;verb&quot;:&quot;user set&quot;", raw)
        self.s.cli("set", "log.keep_days", "31")
        page = wait_until(lambda: (lambda p: "log.keep_days" in p.text and p)(
            self.admin.get("/admin/audit?what=setting")))
        self.assertIn("<b>Setting changed</b>", page.text)
        dora = self.sign_in("dora@example.org")
        self.assertIn("Audited Name",
                      dora.get("/admin/d/example.org/audit").text)
        self.s.cli("domain", "add", "secret.example")
        self.assertNotIn("secret.example",
                         dora.get("/admin/d/example.org/audit").text)
        self.assertNotIn("secret.example", dora.get("/admin/audit").text)
        self.assertTrue(self.s.json("audit", "--who", "admin@"))
        # what happened is chosen by words, and every one there is is offered
        page = self.admin.get("/admin/audit?act=domain+add&what=secret")
        self.assertIn('<option value="domain add" selected>Domain added<',
                      page.text)
        self.assertEqual(set(re.findall("<b>([^<]*)</b>", page.text.split(
            "<tbody>")[1])), {"Domain added"})
        known = json.loads((
            Path(__file__).resolve().parents[2] /
            "admin-cgi/pages/lang/ops/en.json").read_text())
        self.assertEqual(
            sorted(re.findall('<option value="([^"]+)"', page.text)),
            sorted(k[5:] for k in known if k.startswith("verb.")))

    # -- tables -------------------------------------------------------------------
    def test_a_table_of_users(self):
        table = ("address;name;password;quota_bytes;pop3;aliases\r\n"
                 f"t1@example.org;\"Quoted; \"\"Name\"\"\";{PASSWORD};5M;no;"
                 "t1a@example.org\r\n"
                 "t2@example.org;;;;;\r\n"
                 "t2@example.org;;;;;\r\n"
                 "t3@example.org;;short;;;\r\n"
                 "t4@elsewhere.example;;;;;\r\n"
                 "ann@example.org;;;;;\r\n"
                 "t5@example.org;;;many;;\r\n"
                 "t6@example.org;;;;;;;;\r\n")
        where = "/admin/users/import"
        self.do(where, {"table": ""}, status=422)
        page = self.do(where, {"table": table, "do": "try"}, status=200)
        self.assertIn("2 good, 6 refused", page.text)
        for text in ("twice", "exists already", "no such domain",
                     "quota_bytes cannot be many", "more fields"):
            self.assertIn(text, page.text)
        self.assertEqual(
            self.s.run_cli("user", "show", "t1@example.org").returncode, 1)
        page = self.do(where, {"table": table, "do": "import"}, status=200)
        self.assertIn("2 good, 6 refused", page.text)
        user = self.shown("user", "show", "t1@example.org")
        self.assertEqual(user["name"], 'Quoted; "Name"')
        self.assertEqual(user["aliases"], ["t1a@example.org"])
        self.assertEqual(user["quota_bytes"], 5 << 20)
        out = self.admin.get("/admin/users.csv")
        self.assertIn("t1@example.org", out.text)
        self.assertIn("attachment", out.header("Content-Disposition"))
        page = self.do(where, {"table": "name,adress\r\nx,y\r\n"}, status=200)
        self.assertIn("unknown column", page.text)

    def test_N08_a_mailbox_that_was_left(self):
        self.s.user("lea@example.org")
        box = self.s.mailbox("lea@example.org")
        box.mkdir(parents=True, exist_ok=True)
        b = self.sign_in(ADMIN)
        self.do("/admin/u/lea@example.org/delete",
                {"name": "lea@example.org"}, b)
        where = "/admin/d/example.org/users/new"
        fields = {"local": "lea", "name": "", "password": PASSWORD,
                  "password2": PASSWORD}
        page = self.do(where, fields, b, status=422)
        self.assertIn("mailstead mailbox aside lea@example.org", page.text)
        self.assertIn('name="keep_mailbox"', page.text)
        self.do(where, dict(fields, keep_mailbox="1"), b)
        self.shown("user", "show", "lea@example.org")

    def test_a_new_user_of_lists_groups_and_roles(self):
        """All at once or not at all, within what who asks may change."""
        new = "kim@example.org"
        self.s.cli("list", "add", "team9@example.org", "ann@example.org")
        self.s.cli("alias", "add", "desk@example.org", "ann@example.org")
        self.s.cli("domain", "add", "alien.example")
        self.s.cli("list", "add", "club@alien.example", "ann@example.org")
        where = "/admin/d/example.org/users/new"
        fields = {"local": "kim", "name": "Kim", "password": PASSWORD,
                  "password2": PASSWORD, "lists": "team9@example.org",
                  "groups": "desk@example.org"}
        dora = self.sign_in("dora@example.org")
        for wrong in ({"lists": "club@alien.example"},
                      {"groups": "info@alien.example"},
                      {"lists": "nowhere@example.org"},
                      {"groups": "team9@example.org"},
                      {"has": "roles", "roles": "server_admin"}):
            page = self.do(where, dict(fields, **wrong), dora, status=422)
            self.assertEqual(
                self.s.run_cli("user", "show", new).returncode, 1)
            self.assertEqual(
                re.search('value="team9@example.org"([^>]*)>',
                          page.text).group(1).strip(),
                "" if "lists" in wrong else "checked")
        self.assertNotIn("alien.example", dora.get(where).text)
        self.do(where, fields, dora)
        self.assertIn(new, self.shown("list", "members", "team9@example.org"))
        self.assertEqual(self.shown("user", "show", new)["aliases"],
                         ["desk@example.org"])
        # roles need the password once more
        fields.update(local="pat", has="roles",
                      roles="list_admin:team9@example.org\n")
        self.age_sessions()
        page = self.do(where, fields, dora, status=403)
        self.assertEqual(dora.post(where, dict(fields, confirm=PASSWORD),
                                   page).status, 303)
        self.assertEqual(self.shown("user", "show", "pat@example.org")
                         ["roles"], ["list_admin:team9@example.org"])
        self.s.user("sam@example.org", PASSWORD, "--list", "team9@example.org",
                    "--group", "desk@example.org")
        self.assertIn("sam@example.org",
                      self.shown("list", "members", "team9@example.org"))
        self.assertIn("sam@example.org", self.shown(
            "alias", "show", "desk@example.org")["targets"])

    def test_N08_mailboxes_of_deleted_users(self):
        """Put aside, given back and erased; never looked into."""
        lou, where = "lou@example.org", "/admin/mailboxes"
        box = self.s.mailbox(lou)
        letter = "cur/1700000001.M1.h,S=6,W=7:2,S"
        kept = self.s.state / "users/example.org/lou.db"
        self.s.user(lou)
        for sub in ("cur", "new", "tmp"):
            (box / sub).mkdir(parents=True)
        (box / letter).write_text("secret")
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text("contacts")
        dora, b = self.sign_in("dora@example.org"), self.sign_in(ADMIN)
        self.assertNotIn(lou, b.get(where).text)
        self.do("/admin/u/lou@example.org/delete", {"name": lou}, b)
        self.assertIn(f'name="aside" value="{lou}"', b.get(where).text)
        self.do(where, {"aside": lou}, dora, form="/admin/me", status=404)
        page = self.do(where, {"back": lou}, b, status=422)
        self.assertIn("no such user", page.text)
        self.do(where, {"aside": lou}, b)
        self.assertFalse(box.exists() or kept.exists())
        page = b.get(where)
        self.assertNotIn(f'name="aside" value="{lou}"', page.text)
        self.assertIn(f'name="purge" value="{lou}"', page.text)
        self.assertEqual([x["address"] for x in self.shown("mailbox", "left")],
                         [lou])

        # the name is free now, and an account of it is nothing to put aside
        self.do("/admin/d/example.org/users/new",
                {"local": "lou", "name": "", "password": PASSWORD,
                 "password2": PASSWORD}, b)
        page = self.do(where, {"aside": lou}, b, status=422)
        self.assertIn("is an account", page.text)
        self.age_sessions()
        page = self.do(where, {"back": lou}, b, status=403)
        self.assertFalse(box.exists())
        self.assertEqual(b.post(where, {"back": lou, "confirm": PASSWORD},
                                page).status, 303)
        self.assertEqual((box / letter).read_text(), "secret")
        self.assertEqual(kept.read_text(), "contacts")
        self.assertEqual(self.shown("user", "show", lou)["used_messages"], 1)

        # erasing asks for the password, however fresh the session is
        self.do("/admin/u/lou@example.org/delete", {"name": lou}, b)
        self.do(where, {"aside": lou}, b)
        page = self.do(where, {"days": "many"}, b, status=422)
        self.do(where, {"days": "1", "confirm": PASSWORD}, b)
        self.assertEqual(len(self.shown("mailbox", "left")), 1)
        page = self.do(where, {"purge": lou}, b, status=403)
        self.assertEqual(len(self.shown("mailbox", "left")), 1)
        self.assertEqual(b.post(where, {"purge": lou, "confirm": PASSWORD},
                                page).status, 303)
        self.assertEqual(self.shown("mailbox", "left"), [])
        self.assertEqual(
            list(kept.parent.glob(".left/*")) + list(
                box.parent.glob(".left/*")), [])
        audit = [x["verb"] for x in self.shown("audit")
                 if x.get("target") == lou and x["actor"] == ADMIN]
        self.assertEqual(
            [v for v in audit if v.startswith("mailbox")],
            ["mailbox purge", "mailbox aside", "mailbox back",
             "mailbox aside"])

    def test_a_mailbox_put_aside_with_its_user(self):
        box = self.s.mailbox("max@example.org")
        where = "/admin/u/max@example.org/delete"
        self.s.user("max@example.org")
        (box / "cur").mkdir(parents=True)
        self.assertRegex(self.admin.get(where).text,
                         r'name="aside" value="1" checked')
        page = self.do(where, {"name": "other"}, status=422)
        self.assertRegex(page.text, r'name="aside" value="1"[^>]*>')
        self.assertNotIn('value="1" checked', page.text)
        self.assertTrue(box.exists())
        self.do(where, {"name": "max@example.org", "aside": "1"})
        self.assertFalse(box.exists())
        self.assertIn('name="purge" value="max@example.org"',
                      self.admin.get("/admin/mailboxes").text)

        # the account goes whatever the runner says of the mailbox
        self.s.user("max@example.org")
        (box / "cur").mkdir(parents=True)
        (box.parent / ".left").rename(box.parent / ".was")
        (box.parent / ".left").write_text("in the way")
        page = self.do(where, {"name": "max@example.org", "aside": "1"})
        page = self.admin.follow(page)
        self.assertIn("could not be put aside", page.text)
        self.assertIn('name="aside" value="max@example.org"', page.text)
        (box.parent / ".left").unlink()
        (box.parent / ".was").rename(box.parent / ".left")
        dora = self.sign_in("dora@example.org")
        self.s.user("nat@example.org")
        where = "/admin/u/nat@example.org/delete"
        self.assertNotIn('name="aside"', dora.get(where).text)

    def choose(self, user, password):
        """Sign in to webmail with it: the page that asks for another."""
        b = Browser(self.s.state / "run/web/webmail.sock")
        page = b.post("/webmail/login", {"user": user, "pass": password,
                                         "back": "/m/inbox"},
                      b.get("/webmail/login"))
        return b, page

    def mail_program(self, user, password):
        return self.s.pop3_login(user, "127.0.0.1", password).startswith("+OK")

    def test_a_password_that_is_made_up_and_changed(self):
        user = "pia@example.org"
        page = self.do("/admin/d/example.org/users/new",
                       {"local": "pia", "name": "Pia", "generate": "1",
                        "must_change": "1"}, status=200)
        made = re.search(r"<code>([0-9a-z-]{19,})</code>", page.text).group(1)
        self.assertIn("no-store", page.header("Cache-Control"))
        self.assertNotIn(made, self.admin.get("/admin/u/" + user).text)
        self.assertTrue(self.shown("user", "show", user)
                        ["must_change_password"])
        # nothing but the choice is open, and no mail program gets in
        b, page = self.choose(user, made)
        self.assertEqual(page.status, 200, page.text)
        self.assertIn("Choose your password", page.text)
        self.assertEqual(b.get("/webmail/m/inbox").status, 401)
        self.assertEqual(b.get("/webmail/settings/account").status, 401)
        self.assertFalse(self.mail_program(user, made))
        self.s.wait_log("accountd", "reason=password-must-change")
        for one, two, why in ((PASSWORD, "other", "not the same"),
                              ("short", "short", "fewer than"),
                              (made, made, "is the old one")):
            page = b.post("/webmail/login/3",
                          {"password": one, "again": two, "back": "/m/inbox"},
                          page)
            self.assertEqual(page.status, 422)
            self.assertIn(why, page.text)
            self.assertNotIn(made, page.text)
        done = b.post("/webmail/login/3",
                      {"password": OTHER_PASSWORD, "again": OTHER_PASSWORD,
                       "back": "/m/inbox"}, page)
        self.assertEqual(done.status, 303, done.text)
        self.assertEqual(b.get("/webmail/m/inbox").status, 200)
        self.assertTrue(self.mail_program(user, OTHER_PASSWORD))
        self.assertFalse(self.mail_program(user, made))
        self.assertFalse(self.shown("user", "show", user)
                         ["must_change_password"])
        self.assertIn("session password",
                      self.admin.get("/admin/audit?who=pia").text)
        # the token of that step was good once, and for nothing else
        again = b.post("/webmail/login/3", {"password": PASSWORD}, page)
        self.assertEqual(again.status, 403)
        # set, not made up, from the user's page
        where = "/admin/u/" + user
        self.do(where, {"do": "password", "password": ""}, status=422)
        self.do(where, {"do": "password", "password": PASSWORD,
                        "must_change": "1"})
        self.assertIn("is to choose a password", self.admin.get(where).text)
        _, page = self.choose(user, PASSWORD)
        self.assertIn("Choose your password", page.text)
        # the same by command, for the administration's sign-in as well
        self.s.user("ina@example.org")
        self.s.cli("user", "set", "ina@example.org", "roles=domain_admin")
        made = self.s.cli("user", "passwd", "ina@example.org", "--generate",
                          "--must-change").strip()
        b, page = self.try_sign_in("ina@example.org", made)
        self.assertIn("Choose your password", page.text)
        self.assertEqual(b.get("/admin/me").status, 401)
        done = b.post("/admin/login/3", {"password": PASSWORD, "back": "/"},
                      page)
        self.assertEqual(done.status, 303, done.text)
        self.assertEqual(b.get("/admin/me").status, 200)
        page = self.s.json("user", "passwd", "ina@example.org", "--generate")
        self.assertRegex(page["password"], "^[0-9a-z]{4}(-[0-9a-z]{4}){3}$")

    def test_passwords_for_mail_programs(self):
        user = "nora@example.org"
        self.s.user(user)
        self.s.cli("user", "set", user, "roles=domain_admin")
        b = self.sign_in(user)
        key = self.shown("totp", "begin", user)["secret"]
        self.s.cli("totp", "confirm", user, totp(key))
        self.assertFalse(self.mail_program(user, PASSWORD))
        self.do("/admin/me", {"do": "app", "app": ""}, b, status=422)
        page = self.do("/admin/me", {"do": "app", "app": "<Mutt> é"}, b,
                       status=200)
        made = re.search(r"<code>([^<]+)</code>", page.text).group(1)
        self.assertIn("&lt;Mutt&gt; é", page.text)
        self.assertTrue(self.mail_program(user, made))
        self.assertNotIn(made, b.get("/admin/me").text)
        # not with a session somebody has left open
        self.age_sessions()
        self.do("/admin/me", {"do": "app", "app": "x"}, b, status=403)
        one, = self.shown("app-password", "list", user)
        self.do("/admin/me", {"drop": str(one["id"])}, b)
        self.assertFalse(self.mail_program(user, made))
        made = self.s.cli("app-password", "add", user, "--name", "phone")
        self.assertTrue(self.mail_program(user, made.strip()))
        one, = self.shown("app-password", "list", user)
        for wrong, code in (("x", 2), ("99999", 1)):
            self.assertEqual(self.s.run_cli(
                "app-password", "delete", user, "--id", wrong).returncode,
                code)
        self.s.cli("app-password", "delete", user, "--id", str(one["id"]))
        self.assertFalse(self.mail_program(user, made.strip()))

    def test_a_code_and_then_a_password(self):
        user = "carl@example.org"
        self.s.user(user)
        key = self.shown("totp", "begin", user)["secret"]
        self.s.cli("totp", "confirm", user, totp(key, -1))
        self.s.cli("user", "passwd", user, "--must-change",
                   input=PASSWORD + "\n")
        b, page = self.choose(user, PASSWORD)
        self.assertIn("Second step", page.text)
        # the second's token is not the third's
        early = b.post("/webmail/login/3", {"password": OTHER_PASSWORD}, page)
        self.assertNotEqual(early.status, 303)
        b, page = self.choose(user, PASSWORD)
        page = b.post("/webmail/login/2", {"code": totp(key),
                                           "back": "/m/inbox"}, page)
        self.assertIn("Choose your password", page.text)
        self.assertEqual(b.get("/webmail/m/inbox").status, 401)
        done = b.post("/webmail/login/3", {"password": OTHER_PASSWORD,
                                           "back": "/m/inbox"}, page)
        self.assertEqual(done.status, 303, done.text)
        self.assertEqual(b.get("/webmail/m/inbox").status, 200)

    def test_two_steps_by_command(self):
        self.s.user("theo@example.org")
        key = self.shown("totp", "begin", "theo@example.org")["secret"]
        self.s.cli("totp", "confirm", "theo@example.org", totp(key))
        self.s.cli("totp", "remove", "theo@example.org")

    def test_a_table_with_passwords_to_be_replaced(self):
        table = ("address,password,must_change\r\n"
                 f"c1@example.org,{PASSWORD},yes\r\n"
                 f"c2@example.org,{PASSWORD},no\r\n"
                 "c3@example.org,,yes\r\n"
                 f"c4@example.org,{PASSWORD},maybe\r\n")
        where = "/admin/users/import"
        for act in ("try", "import"):
            page = self.do(where, {"table": table, "do": act}, status=200)
            self.assertIn("must_change needs a password", page.text)
            self.assertIn("must_change cannot be maybe", page.text)
        for user, must in (("c1", True), ("c2", False)):
            self.assertEqual(self.shown("user", "show", user + "@example.org")
                             ["must_change_password"], must)
        _, page = self.choose("c1@example.org", PASSWORD)
        self.assertIn('name="again"', page.text)
        self.assertEqual(
            self.s.run_cli("user", "show", "c3@example.org").returncode, 1)

    def test_a_hostile_table(self):
        """Each line by itself: what cannot be read is refused, the rest is
        in, whatever program and country the table comes from."""
        import subprocess
        from lib.server import BIN

        def read(data):
            p = subprocess.run(
                [str(BIN / "mailstead"), "--state", str(self.s.state),
                 "user", "import", "-"], input=data, capture_output=True,
                timeout=60)
            return p.returncode, (p.stdout + p.stderr).decode()

        head = b"address,name\r\n"
        at = b"@example.org"
        for data, code, why in (
                (b"\xef\xbb\xbf" + head + b"h1" + at + b",Bom", 0, "1 added"),
                (head + b"h2" + at + b",J\xf6rg\r\nh3" + at + b",x", 1,
                 "not UTF-8"),
                (head + b"h4" + at + b",a\0b\r\nh5" + at + b",x", 1,
                 "1 added, 1 refused"),
                (head + b"h6" + at + b",\"open\r\nh7" + at + b",x\r\n", 1,
                 "a quote does not end"),
                (head + b"h8" + at + b"," + b"x" * 100000 + b"\r\nh9" + at, 1,
                 "the line is too long"),
                ("address,name\r\nx@y.example,x".encode("utf-16"), 1,
                 "names the columns"),
                (b"a" * (1 << 20), 1, "names the columns"),
                (b"address,name,NAME\nha" + at + b",x,y", 1,
                 'two columns are named "NAME"'),
                (head + "jörg@example.org,x".encode(), 1, "beyond ASCII"),
                (head + b"hb" + at + b",=cmd|' /C calc'!A0\nhc" + at +
                 b",'@x\nhd" + at + b",O'Hara\n", 0, "3 added")):
            with self.subTest(data=data[:60]):
                got, text = read(data)
                self.assertEqual((got, why in text), (code, True), text)
        for user, there in (("h3", 0), ("h5", 0), ("h7", 1), ("h9", 0),
                            ("ha", 1)):
            self.assertEqual(self.s.run_cli(
                "user", "show", user + "@example.org").returncode, there)
        # what a spreadsheet would run comes out harmless, and in again whole
        out = self.s.cli("user", "export", "example.org")
        self.assertIn("hb@example.org,'=cmd|", out)
        self.assertIn("hd@example.org,O'Hara,", out)
        for user in ("hb", "hc", "hd"):
            self.s.cli("user", "delete", user + "@example.org")
        rows = [r for r in out.splitlines()
                if r.startswith(("address", "hb@", "hc@", "hd@"))]
        self.s.cli("user", "import", "-", input="\n".join(rows))
        self.assertEqual(
            [self.shown("user", "show", f"{u}@example.org")["name"]
             for u in ("hb", "hc", "hd")],
            ["=cmd|' /C calc'!A0", "@x", "O'Hara"])

    def test_a_table_with_roles(self):
        where = "/admin/users/import"
        table = ("address,roles,disabled\r\n"
                 "r1@example.org,domain_admin,2100-01-02T03:04:05Z\r\n"
                 "r2@example.org,,yes\r\nr3@example.org,,no\r\n"
                 "r4@example.org,king,\r\nr5@example.org,,perhaps\r\n")
        b = self.sign_in(ADMIN)
        page = self.do(where, {"table": table, "do": "try"}, b, status=200)
        self.assertIn("3 good, 2 refused", page.text)
        self.assertIn("disabled cannot be perhaps", page.text)
        # a session that is not fresh gives no roles: the password first
        self.age_sessions()
        fields = {"table": table, "do": "import"}
        page = self.do(where, fields, b, status=403)
        self.assertIn('name="confirm"', page.text)
        self.assertEqual(
            self.s.run_cli("user", "show", "r2@example.org").returncode, 1)
        page = self.do(where, {**fields, "confirm": PASSWORD}, b, status=200)
        self.assertIn("3 good, 2 refused", page.text)
        r1, r2, r3 = (self.shown("user", "show", f"r{n}@example.org")
                      for n in (1, 2, 3))
        self.assertEqual(r1["roles"], ["domain_admin"])
        self.assertTrue(r1["disabled_until"].startswith("2100-01-02T03:04:05"))
        self.assertEqual((r2["disabled"], r3["disabled"]), (True, False))
        # and out as it went in
        out = self.s.cli("user", "export", "example.org")
        for line in (",domain_admin," + r1["disabled_until"], ",,yes", ",,no"):
            self.assertRegex(out, f"r[123]@example.org,.*{line}\r?\n")

    def test_ten_thousand_users(self):
        self.s.cli("domain", "add", "many.example")
        table = "address,name\n" + "".join(
            f"user{n:05}@many.example,User Number {n}\n"
            for n in range(10000))
        page = self.do("/admin/users/import", {"table": table, "do": "try"},
                       status=200)
        self.assertIn("10000 good, 0 refused", page.text)
        page = self.do("/admin/users/import", {"table": table,
                                               "do": "import"}, status=200)
        self.assertIn("10000 good, 0 refused", page.text)
        out = self.admin.get("/admin/d/many.example/users.csv").text
        self.assertEqual(out.count("@many.example"), 10000)
        # paging comes to the end and shows each once
        seen, link = [], "/admin/d/many.example/users?q=user000*"
        while link:
            page = self.admin.get(link)
            seen += re.findall(r'name="address" value="([^"]+)"', page.text)
            found = re.search(r'href="([^"]+)" rel="next"', page.text)
            link = html.unescape(found.group(1)) if found else None
        self.assertEqual(seen, [f"user{n:05}@many.example"
                                for n in range(100)])
        # the same by the command line, from what was exported
        done = self.s.run_cli("user", "import", "-", "--dry-run", input=out)
        self.assertEqual(done.returncode, 1)
        self.assertIn("10000 refused", done.stdout)
        self.assertEqual(
            self.s.cli("user", "export", "many.example").replace("\r", ""),
            out.replace("\r", ""))

    # -- hostile input ----------------------------------------------------------------
    def test_N01_text_that_is_code_elsewhere(self):
        import urllib.parse
        for text in ("' OR 1=1--", "\\", "%", "_", ";", "“”", "a\0b", "{{x}}",
                     "<script>", "../../etc/passwd", "x" * 5000):
            q = urllib.parse.quote(text)
            for path in ("/users?q=", "/users?after=", "/domains?q=",
                         "/aliases?q=", "/lists?after=", "/audit?who=",
                         "/audit?day=", "/audit?before=", "/d/", "/u/", "/l/",
                         "/?flash=", "/login?back="):
                with self.subTest(text=text[:20], path=path):
                    page = self.admin.get("/admin" + path + q)
                    self.assertLess(page.status, 500, page.text[:500])
                    self.assertNotIn("<script>", page.text)

    def test_N02_numbers_that_are_none(self):
        for value in ("-1", str(2 ** 63), "1e9", "0x10", " ", "nan"):
            for field in ("quota_messages", "quota_bytes"):
                with self.subTest(value=value, field=field):
                    self.do(U, {field: value}, status=422)
            for path in ("/audit?before=", "/users?limit="):
                self.assertEqual(
                    self.admin.get("/admin" + path + value.replace(" ", "+"))
                    .status, 200)

    def test_N06_setting_up_is_over(self):
        again = self.s.run_cli("init", "--hostname", "h.example", "--domain",
                               "h.example", "--admin", "a@h.example",
                               input=PASSWORD + "\n")
        self.assertNotEqual(again.returncode, 0)
        for path in ("/init", "/setup", "/install", "/reset"):
            self.assertEqual(self.admin.get("/admin" + path).status, 404)

    def test_N09_no_way_in_is_built_in(self):
        for user, password in (("admin", "admin"), ("root", ""), ("", ""),
                               (ADMIN, ""), ("postmaster", "postmaster")):
            _, page = self.try_sign_in(user, password)
            self.assertIn(page.status, (422, 429))

    # -- the server ---------------------------------------------------------------
    def test_names_that_look_like_others(self):
        """What turns the direction of text, or its line, is in no name."""
        for bad in ("ann\u202egpj.exe", "a\u2066b", "a\u2028b", "a\x85b"):
            page = self.do(U, {"name": bad}, status=422)
            self.assertIn("has a control character", page.text)
            for command in (["user", "set", "ann@example.org", f"name={bad}"],
                            ["list", "add", "l@example.org", "--name", bad],
                            ["alias", "add", f"{bad}@example.org",
                             "ann@example.org"],
                            ["set", "smtp.greeting", bad]):
                p = self.s.run_cli(*command)
                self.assertEqual(p.returncode, 1, command)
        self.assertEqual(self.s.run_cli("list", "show",
                                        "l@example.org").returncode, 1)

    def upload_table(self, text, do="import"):
        where = "/admin/users/import"
        return self.admin.upload(where, {"do": do}, [
            ("file", "x.csv", "text/csv", text.encode())],
            self.admin.get(where))

    def test_large_tables(self):
        """What may be tried may be imported; one line too long is told."""
        rows = "".join(f"big{n}@example.org,{'n' * 900}\n"
                       for n in range(2500))
        page = self.upload_table("address,name\n" + rows, do="try")
        self.assertIn('id="sum">0 good, 2500 refused', page.text)
        tried = re.search(r'name="table"[^>]*>\n(.*?)</textarea>', page.text,
                          re.S)[1]
        page = self.admin.upload("/admin/users/import", {"do": "try", "table": tried}, [], page)
        self.assertIn('id="sum">0 good, 2500 refused', page.text)
        page = self.upload_table("address,name\na1@example.org,A\n"
                          f"a2@example.org,{'x' * 70000}\n"
                          "a3@example.org,C\n")
        self.assertIn('id="sum">2 good, 1 refused', page.text)
        self.assertIn("the line is too long", page.text)
        page = self.upload_table("x" * 5000000)
        self.assertEqual(page.status, 422)
        self.assertIn("at most 4 MB", page.text)

    def test_services_and_flow(self):
        import smtplib
        page = self.admin.get("/admin/")
        for text in ("SMTP server", "Mail flow", "Needs attention",
                     'class="spark"', 'href="/admin/d/example.org/dns"'):
            self.assertIn(text, page.text)
        with smtplib.SMTP(self.s.host, self.s.port["smtp"]) as c:
            try:
                c.sendmail("a@b.example", ["nobody@example.org"], "x")
            except smtplib.SMTPRecipientsRefused:
                pass
        wait_until(lambda: "no such mailbox" in self.admin.get("/admin/").text,
                   15, "the refusal in the overview")
        self.do("/admin/", {"stop": "popd"})
        wait_until(lambda: "Switched off" in self.admin.get("/admin/").text,
                   10, "popd to be off")
        self.do("/admin/", {"start": "popd"})
        self.do("/admin/", {"stop": "accountd"}, status=422)
        self.assertTrue(self.s.json("get", "service.popd.enabled"))


class Silent(unittest.TestCase):
    """accountd that does not answer: pages say so, and in time."""

    def test_pages_say_so(self):
        with Server() as s:
            b = Browser(s.state / "run/web/admin.sock")
            b.sign_in(ADMIN, PASSWORD, "/admin", "/")
            with s.frozen("accountd"):
                start = time.monotonic()
                page = b.get("/admin/users")
                self.assertEqual(page.status, 503)
                self.assertLess(time.monotonic() - start, 8)
            wait_until(lambda: b.get("/admin/users").status == 200, 10,
                       "accountd to answer again")


if __name__ == "__main__":
    unittest.main()
