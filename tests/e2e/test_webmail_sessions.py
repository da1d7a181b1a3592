"""Signing in to webmail and what a session is; rows of threats M by name."""

import re
import sqlite3
import sys
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from lib.fastcgi import Browser  , Letter# noqa: E402
from lib.server import (  # noqa: E402
    PASSWORD, ServerTest, wait_steady, wait_until)

WRONG = "not the password at all"


class Sessions(ServerTest):
    users = ("ann", "bob")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.s.cli("domain", "add", "second.example")
        cls.s.user("ann@second.example", PASSWORD)
        cls.socket = cls.s.state / "run/web/webmail.sock"
        cls.admin_socket = cls.s.state / "run/web/admin.sock"

    def sign_in(self, user="ann@example.org", password=PASSWORD, more=None,
                **headers):
        b = Browser(self.socket, **headers)
        page = b.post("/webmail/login",
                      {"user": user, "pass": password, **(more or {})},
                      b.get("/webmail/login"))
        self.assertEqual(page.status, 303, page.body)
        return b

    def is_in(self, browser):
        status = browser.get("/webmail/m/inbox").status
        self.assertIn(status, (200, 401))
        return status == 200

    def change(self, query, *values):
        """As if time had passed: straight in the store of sessions."""
        db = sqlite3.connect(self.s.state / "directory/secrets.db", timeout=30)
        with db:
            db.execute(query, values)
        db.close()

    # -- ways in ---------------------------------------------------------------
    def test_every_form_of_login_name(self):
        for name in ("ann@example.org", "ANN@Example.ORG", "ann#example.org",
                     "ann$example.org", "ann%example.org", "ann",
                     "ann@mail.example.org"):
            page = self.sign_in(name).get("/webmail/m/inbox")
            self.assertIn("ann@example.org", page.text, name)

    def test_a_bare_name_is_of_the_hosts_domain(self):
        for host in ("second.example", "mail.second.example:2080",
                     "WEBMAIL.second.example"):
            b = self.sign_in("ann", HTTP_HOST=host)
            self.assertIn("ann@second.example",
                          b.get("/webmail/m/inbox").text)
        b = self.sign_in("ann", HTTP_HOST="elsewhere.example")
        self.assertIn("ann@example.org", b.get("/webmail/m/inbox").text)

    def test_old_addresses_lead_here(self):
        b = Browser(self.socket)
        for path in ("/IClient", "/IClient/", "/iclient/Login.aspx"):
            page = b.get(path)
            self.assertEqual((page.status, page.header("Location")),
                             (303, "/webmail/"), path)
        self.assertEqual(b.get("/addnewuser").header("Location"),
                         "/webmail/signup")
        self.assertEqual(b.get("/IClients").status, 404)

    def test_M15_throttled_in_kind_words(self):
        """Also D10-D12: unknown user and wrong password sound the same."""
        self.s.user("slow@example.org")
        b = Browser(self.socket, REMOTE_ADDR="127.9.9.9")
        said = set()
        for user in ("slow@example.org", "nobody@example.org") * 4:
            form = b.get("/webmail/login")
            page = b.post("/webmail/login", {"user": user, "pass": WRONG}, form)
            said.add((page.status, re.search(
                r'role="alert">.*?grow">([^<]+)', page.text).group(1)))
        self.assertEqual(sorted(x for x, _ in said), [422, 429])
        self.assertIn((429, "Too many attempts just now. Please wait a moment "
                       "and try again."), said)
        self.assertIsNotNone(page.header("Retry-After"))
        # others are not held up
        self.assertTrue(self.is_in(self.sign_in("slow@example.org",
                                                REMOTE_ADDR="127.8.8.8")))

    # -- what a session is --------------------------------------------------------
    def test_M02_no_fixation(self):
        b = Browser(self.socket)
        b.cookies = {"wm": "A" * 43}
        self.assertFalse(self.is_in(b))
        page = b.post("/webmail/login",
                      {"user": "ann@example.org", "pass": PASSWORD},
                      b.get("/webmail/login"))
        self.assertEqual(page.status, 303)
        first = b.cookies["wm"]
        self.assertNotEqual(first, "A" * 43)
        self.assertNotEqual(self.sign_in().cookies["wm"], first)
        self.assertEqual(
            Browser(self.socket).get(f"/webmail/m/inbox?wm={first}").status,
            401)
        old = dict(b.cookies)
        b.post("/webmail/logout", {}, b.get("/webmail/m/inbox"))
        b.cookies = old
        self.assertFalse(self.is_in(b))

    def test_M02_a_new_password_ends_sessions(self):
        self.s.user("carl@example.org")
        b = self.sign_in("carl@example.org")
        self.s.cli("user", "passwd", "carl@example.org",
                   input="another long password\n")
        self.assertFalse(self.is_in(b))

    def test_M03_cookie_flags(self):
        b = Browser(self.socket, HTTPS="on", REMOTE_ADDR="192.0.2.7",
                    HTTP_HOST="mail.example.org")
        form = b.get("/webmail/login")
        page = b.post("/webmail/login",
                      {"user": "ann", "pass": PASSWORD}, form)
        cookies = [v for k, v in form.headers + page.headers
                   if k == "Set-Cookie" and "Max-Age=0" not in v]
        self.assertEqual(len(cookies), 3)
        for cookie in cookies:
            self.assertTrue(cookie.startswith("__Secure-wm"), cookie)
            for flag in ("Path=/webmail", "HttpOnly", "SameSite=Lax", "Secure"):
                self.assertIn(f"; {flag}", cookie)
        # no session over plain HTTP from elsewhere
        b = Browser(self.socket, REMOTE_ADDR="192.0.2.7",
                    HTTP_HOST="mail.example.org")
        page = b.ask("POST", "/webmail/login", b"user=ann&pass=x",
                     CONTENT_TYPE="application/x-www-form-urlencoded")
        self.assertEqual(page.status, 403)
        self.assertEqual(b.cookies, {})

    def test_M04_ids_are_long_and_never_logged(self):
        b = self.sign_in()
        token = b.cookies["wm"]
        self.assertGreaterEqual(len(token), 43)
        page = b.get("/webmail/nothing")
        self.assertEqual(page.header("Referrer-Policy"), "no-referrer")
        self.assertNotIn(token, page.text)
        for program in ("webmail-cgi", "accountd", "audit"):
            self.assertNotIn(token, self.s.log(program))
        secrets = b"".join(p.read_bytes() for p in
                           (self.s.state / "directory").glob("secrets.db*"))
        self.assertNotIn(token.encode(), secrets)

    def test_M16_nothing_is_kept_after_the_end(self):
        b = self.sign_in()
        page = b.get("/webmail/m/inbox")
        self.assertEqual(page.header("Cache-Control"), "no-store")
        page = b.post("/webmail/logout", {}, page)
        self.assertEqual(page.header("Clear-Site-Data"), '"cache"')
        self.assertNotIn("wm", b.cookies)

    def test_idle_and_absolute_end(self):
        b = self.sign_in()
        self.change("UPDATE session SET seen_ms = seen_ms - 7100000")
        self.assertTrue(self.is_in(b))
        self.change("UPDATE session SET seen_ms = seen_ms - 7300000")
        self.assertFalse(self.is_in(b))
        b = self.sign_in()
        self.change("UPDATE session SET expires_ms = expires_ms - 43300000")
        self.assertFalse(self.is_in(b))

    def test_kept_sessions_change_their_token(self):
        b = self.sign_in(more={"keep": "1"})
        first = b.cookies["wm"]
        self.change("UPDATE session SET seen_ms = seen_ms - 1000000000")
        self.assertTrue(self.is_in(b))
        self.assertEqual(b.cookies["wm"], first)
        page = b.get("/webmail/m/inbox")
        self.change("UPDATE session SET rotated_ms = rotated_ms - 90000000")
        old = Browser(self.socket)
        old.cookies = dict(b.cookies)
        self.assertTrue(self.is_in(b))
        second = b.cookies["wm"]
        self.assertNotEqual(second, first)
        # the answer with the new one may have been lost: the old one still
        # works, until the new one was used and a minute has gone
        self.assertTrue(self.is_in(old))
        self.assertEqual(old.cookies["wm"], first)
        # a form of before the change still counts
        self.assertEqual(b.post("/webmail/settings/sessions", {"id": "1"},
                                page).status, 404)
        self.change("UPDATE session SET old_until_ms = old_until_ms - 61000"
                    " WHERE old_until_ms < ?", int(time.time() * 1000) + 61000)
        self.assertFalse(self.is_in(old))
        self.assertTrue(self.is_in(b))

    def test_a_lost_new_token_is_given_again(self):
        b = self.sign_in(more={"keep": "1"})
        old = dict(b.cookies)
        self.change("UPDATE session SET rotated_ms = rotated_ms - 90000000")
        self.assertTrue(self.is_in(b))
        b.cookies = dict(old)
        self.change("UPDATE session SET rotated_ms = rotated_ms - 90000")
        self.assertTrue(self.is_in(b))
        self.assertNotEqual(b.cookies["wm"], old["wm"])
        self.assertTrue(self.is_in(b))

    def test_list_and_end_of_sessions(self):
        self.s.user("dora@example.org")
        here = self.sign_in("dora@example.org",
                            HTTP_USER_AGENT="Mozilla/5.0 Firefox/140.0")
        there = self.sign_in("dora@example.org", REMOTE_ADDR="127.0.0.9",
                             HTTP_USER_AGENT="Mozilla/5.0 Chrome/1 Safari/1")
        stranger = self.sign_in("bob@example.org")
        page = here.get("/webmail/settings/sessions")
        self.assertIn("Firefox", page.text)
        self.assertIn("127.0.0.9", page.text)
        self.assertEqual(page.text.count("This one"), 1)
        other = re.search(r'value="(\d+)" aria-label="Sign out Chrome',
                          page.text).group(1)
        # M07: another user's session is not there
        self.assertEqual(stranger.post(
            "/webmail/settings/sessions", {"id": other},
            stranger.get("/webmail/settings/sessions")).status, 404)
        self.assertTrue(self.is_in(there))
        self.assertEqual(here.post("/webmail/settings/sessions", {"id": other},
                                   page).status, 303)
        self.assertFalse(self.is_in(there))
        self.assertTrue(self.is_in(here))
        there = self.sign_in("dora@example.org")
        page = here.post("/webmail/settings/sessions", {"all": "1"}, page)
        self.assertEqual(page.header("Location"), "/webmail/login")
        self.assertFalse(self.is_in(there))
        self.assertFalse(self.is_in(here))
        self.assertTrue(self.is_in(stranger))

    def test_the_owner_sees_who_looked(self):
        """`mailstead mailbox list|show` of his mailbox, of nobody else's."""
        self.s.user("egon@example.org")
        egon, bob = self.sign_in("egon@example.org"), self.sign_in(
            "bob@example.org")
        title = "Who looked into your mailbox"
        self.assertNotIn(title, egon.get("/webmail/settings/sessions").text)
        self.s.cli("mailbox", "list", "egon@example.org")
        self.s.run_cli("mailbox", "show", "egon@example.org", "<b>&.x")
        text = egon.get("/webmail/settings/sessions").text
        actor = self.s.json("mailbox", "views", "egon@example.org")[0]["actor"]
        self.assertIn(title, text)
        self.assertEqual(text.count(f"<b>{actor}</b>"), 2)
        self.assertIn("Read the message &lt;b&gt;&amp;.x", text)
        self.assertIn("Listed the messages", text)
        self.assertNotIn(title, bob.get("/webmail/settings/sessions").text)

    def test_webmail_sessions_are_nothing_to_administration(self):
        b = self.sign_in("admin@example.org")
        token = b.cookies["wm"]
        admin = Browser(self.admin_socket)
        for name in ("adm", "wm"):
            admin.cookies = {name: token}
            self.assertEqual(admin.get("/admin/").status, 401)
        admin.cookies = {}
        page = admin.post("/admin/login", {"user": "admin@example.org",
                                           "pass": PASSWORD, "keep": "1"},
                          admin.get("/admin/login"))
        self.assertEqual(page.status, 303)
        b.cookies = {"wm": admin.cookies["adm"]}
        self.assertFalse(self.is_in(b))

    # -- carry on ---------------------------------------------------------------
    def expire(self, b):
        self.change("UPDATE session SET seen_ms = 0")
        self.assertFalse(self.is_in(b))

    def test_what_was_typed_outlives_the_session(self):
        b = self.sign_in().send_at_once()
        letter = Letter(b)
        page, uri = letter.page, letter.uri
        self.expire(b)
        typed = {"to": "bob@example.org", "subject": "<late> \"q\"",
                 "text": "one\r\ntwo & <three>", "do": "send"}
        page = b.post(uri, typed, page)
        self.assertEqual(page.status, 401)
        self.assertIn("what you wrote is kept", page.text)
        self.assertIn('value="ann@example.org"', page.text)
        self.assertNotIn('name="c:csrf"', page.text)

        def fields(page, prefix):
            return {f"{prefix}{k}": page.hidden(prefix + k).replace("\r", "")
                    .replace("\n", "\r\n") for k in typed}
        kept = fields(page, "c:")
        self.assertEqual(kept, {f"c:{k}": v for k, v in typed.items()})
        kept["carry_to"] = page.hidden("carry_to")
        # a wrong password loses nothing
        page = b.post("/webmail/login", {"user": "ann@example.org",
                                         "pass": WRONG, **kept}, page)
        self.assertEqual(page.status, 422)
        self.assertEqual(fields(page, "c:"),
                         {k: v for k, v in kept.items() if k != "carry_to"})
        page = b.post("/webmail/login", {"user": "ann@example.org",
                                         "pass": PASSWORD, **kept}, page)
        self.assertEqual(page.status, 200)
        self.assertIn("Carry on", page.text)
        self.assertIn(f'action="{uri}"', page.text)
        page = b.post(uri, fields(page, ""), page)
        self.assertEqual(page.status, 303, page.body)
        self.s.wait_messages("bob@example.org", 1)

    def test_only_the_same_user_carries_on(self):
        b = self.sign_in()
        letter = Letter(b)
        page, uri = letter.page, letter.uri
        self.expire(b)
        page = b.post(uri, {"to": "x@y.example", "text": "mine",
                            "subject": ""}, page)
        page = b.post("/webmail/login",
                      {"user": "bob@example.org", "pass": PASSWORD,
                       "carry_to": uri[len("/webmail"):], "c:text": "mine"}, page)
        self.assertEqual(page.status, 303)

    def test_nothing_foreign_or_secret_is_carried(self):
        b = self.sign_in()
        uri = Letter(b).uri
        self.expire(b)
        page = b.post(uri, {"text": "evil"},
                      HTTP_SEC_FETCH_SITE="cross-site")
        self.assertEqual(page.status, 401)
        self.assertNotIn("evil", page.text)
        page = b.post(uri, {"text": "t", "old_password": "p4ss"})
        self.assertNotIn("p4ss", page.text)
        b.cookies = {}  # as after SameSite
        page = b.post(uri, {"text": "evil"})
        self.assertNotIn("evil", page.text)

    def test_a_link_is_followed_after_signing_in(self):
        b = Browser(self.socket)
        page = b.get("/webmail/compose?to=x%40y.example&subject=a%20b")
        self.assertEqual(page.status, 401)
        page = b.post("/webmail/login", {
            "user": "ann", "pass": PASSWORD, "back": page.hidden("back")}, page)
        self.assertEqual(page.header("Location"),
                         "/webmail/compose?to=x%40y.example&subject=a%20b")

    def test_M06_no_open_redirect(self):
        b = Browser(self.socket)
        for back in ("//evil.example", "/\\evil.example", "https:evil.example",
                     "https://evil.example/", "/%0d%0aX: y", "\r\nX: y",
                     "/\t/evil.example", "javascript:alert(1)", " //evil"):
            for field in ("back", "carry_to"):
                page = b.post("/webmail/login",
                              {"user": "ann@example.org", "pass": PASSWORD,
                               field: back, "c:x": "y"},
                              b.get("/webmail/login"))
                where = page.header("Location") or \
                    re.search(r'action="([^"]*)"', page.text).group(1)
                self.assertRegex(where, r"^/webmail/(%0d%0aX: y)?$", back)
                b = Browser(self.socket)

    # -- the look before signing in ----------------------------------------------
    def test_a_domains_own_look(self):
        own = self.s.state / "domains/second.example"
        (own / "images").mkdir(parents=True)
        (own / "templates").mkdir()
        (own / "brand.css").write_text(":root { --accent: #123456 }")
        (own / "images/logo.png").write_bytes(b"\x89PNG....")
        (own / "images/secret.txt").write_text("no")
        (own / "images/way.svg").symlink_to("/etc/passwd")
        (own / "templates/login.html").write_text(
            "{{>_head}}<form method=\"post\">{{csrf}}<h1>Second's own</h1>"
            "</form>")
        b = Browser(self.socket, HTTP_HOST="mail.second.example")
        # files are looked at again once a second
        page = wait_until(lambda: (lambda p: p if "Second's own" in p.text
                                   else None)(b.get("/webmail/login")),
                          10, "the domain's own page")
        css = re.search(r'href="([^"]+/brand\.css\?[^"]+)"', page.text).group(1)
        b = Browser(self.socket)
        self.assertNotIn("brand.css", b.get("/webmail/login").text)
        page = b.get(css)
        self.assertIn("#123456", page.text)
        self.assertEqual(page.header("Content-Type"), "text/css; charset=utf-8")
        page = b.get("/webmail/brand/second.example/images/logo.png")
        self.assertEqual(page.header("Content-Type"), "image/png")
        self.assertIn("sandbox", page.header("Content-Security-Policy"))
        for path in ("second.example/images/secret.txt",
                     "second.example/images/way.svg",
                     "second.example/images/..%2fbrand.css",
                     "..%2f..%2fdirectory/images/directory.db",
                     ".second.example/brand.css", "%2e%2e/brand.css",
                     "second.example/images/.hidden.png", "-/brand.css"):
            self.assertIn(b.get("/webmail/brand/" + path).status, (400, 404),
                          path)
        # signed in, it is the account's
        page = self.sign_in("ann@second.example").get("/webmail/m/inbox")
        self.assertIn("/brand/second.example/brand.css", page.text)
        self.assertIn("/images/logo.png", page.text)

    def test_templates_are_checked(self):
        folder = self.s.state / "web/templates"
        folder.mkdir(parents=True, exist_ok=True)
        good, bad = folder / "fine.html", folder / "wrong.html"
        good.write_text("<p>{{title}}</p>")
        bad.write_text("<p>\n<p onclick=\"x\">{{title}}</p>")
        self.assertIn("web/templates/fine.html\n",
                      self.s.cli("template", "list"))
        p = self.s.run_cli("template", "check")
        self.assertEqual(p.returncode, 1)
        self.assertRegex(p.stdout, r"wrong\.html.*:2: .*on\.\.\.=")
        self.assertNotIn("fine.html", p.stdout)
        bad.unlink()
        self.s.cli("template", "check")

    # -- signing up -------------------------------------------------------------
    def sign_up(self, b, name, host="mail.third.example", **more):
        b.more["HTTP_HOST"] = host
        form = b.get("/webmail/signup")
        return b.post("/webmail/signup", {
            "user": name, "name": "N. N.", "pass": PASSWORD,
            "pass2": PASSWORD, **more}, form)

    def test_signing_up(self):
        s = self.s
        s.cli("domain", "add", "third.example")

        def fresh(n=[0]):
            n[0] += 1
            return Browser(self.socket, REMOTE_ADDR=f"127.7.7.{n[0]}",
                           HTTP_HOST="mail.third.example")
        b = fresh()
        self.assertEqual(b.get("/webmail/signup").status, 404)
        self.assertNotIn("/signup", b.get("/webmail/login").text)
        s.set("signup.enabled", "yes")
        self.assertEqual(b.get("/webmail/signup").status, 404)
        s.cli("set", "--domain", "third.example", "signup.mode", "open")
        self.assertEqual(s.cli("get", "--domain", "third.example",
                               "signup.mode"), "open\n")
        # the server's switch reaches workers within a second
        wait_steady(lambda: b.get("/webmail/signup").status == 200,
                    "both workers")
        self.assertIn("/signup", b.get("/webmail/login").text)
        page = self.sign_up(b, "eve")
        self.assertEqual(page.header("Location"), "/webmail/m/inbox",
                         page.body)
        self.assertIn("eve@third.example", b.get("/webmail/m/inbox").text)
        user = s.json("user", "show", "eve@third.example")
        self.assertEqual(user["quota_bytes"], 1 << 30)
        self.assertEqual(user["roles"], [])

        for name, more in (("eve", {}), ("Eve", {}), ("postmaster", {}),
                           ("abuse", {}), ("WebMaster", {}), ("a b", {}),
                           ("x+y", {}), ("fay", {"pass2": "other"}),
                           ("fay", {"pass": "short", "pass2": "short"}),
                           ("fay@example.org", {})):
            page = self.sign_up(fresh(), name, **more)
            self.assertEqual(page.status, 422, (name, more))
            self.assertIn('role="alert"', page.text)
        s.cli("set", "--domain", "third.example", "signup.mode", "code")
        self.assertEqual(self.sign_up(fresh(), "gus").status, 422)
        self.assertEqual(self.sign_up(fresh(), "gus", code="").status, 422)
        s.cli("set", "--domain", "third.example", "signup.code", "herring")
        self.assertEqual(self.sign_up(fresh(), "gus", code="Herring").status,
                         422)
        self.assertEqual(self.sign_up(fresh(), "gus", code="herring").status,
                         303)
        s.cli("set", "--domain", "third.example", "signup.mode", "approval")
        b = fresh()
        page = self.sign_up(b, "hal")
        self.assertIn("waits for approval", page.text)
        page = b.post("/webmail/login", {"user": "hal", "pass": PASSWORD},
                      b.get("/webmail/login"))
        self.assertEqual(page.status, 422)
        s.cli("user", "enable", "hal@third.example")
        self.sign_in("hal@third.example")
        s.cli("domain", "set", "third.example", "max_accounts=3")
        page = self.sign_up(fresh(), "ida")
        self.assertEqual(page.status, 422)
        self.assertIn("as many users as it may have", page.text)
        self.assertIn('"signup"', s.log("audit"))
        # an address that goes on and on has to wait
        b = fresh()
        said = [self.sign_up(b, "x+y").status for _ in range(8)]
        self.assertEqual((said[0], said[-1]), (422, 429))
        self.assertEqual(
            [u["address"] for u in s.json("user", "list", "third.example")
             if u["address"].startswith("x")], [])


if __name__ == "__main__":
    unittest.main()
