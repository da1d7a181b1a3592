"""Administration as its web server sees it."""

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from lib.fastcgi import Browser  # noqa: E402
from lib.server import PASSWORD, ServerTest  # noqa: E402

ADMIN = "admin@example.org"


class Admin(ServerTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.s.user("ann@example.org")
        cls.socket = cls.s.state / "run/web/admin.sock"

    def try_sign_in(self, user, password=PASSWORD, **more):
        b = Browser(self.socket, **more)
        form = b.get("/admin/login")
        self.assertEqual(form.status, 200, form.body)
        return b, b.post("/admin/login", {"user": user, "pass": password,
                                          "back": "/"}, form)

    def sign_in(self, user=ADMIN):
        b, page = self.try_sign_in(user)
        self.assertEqual(page.status, 303, page.body)
        return b

    def test_signing_in_and_out(self):
        b = Browser(self.socket)
        self.assertEqual(b.get("/admin/").status, 401)
        b = self.sign_in()
        page = b.get("/admin/")
        self.assertEqual(page.status, 200)
        self.assertIn("Overview", page.text)
        kept = dict(b.cookies)
        self.assertEqual(b.post("/admin/logout", {}, page).status, 303)
        b.cookies = kept
        self.assertEqual(b.get("/admin/").status, 401)

    def test_who_administers_nothing_stays_outside(self):
        _, page = self.try_sign_in("ann@example.org")
        self.assertEqual(page.status, 422)
        self.assertIn("do not match", page.text)
        _, page = self.try_sign_in(ADMIN, "wrong")
        self.assertEqual(page.status, 422)

    def test_cookies_are_strict_and_not_webmails(self):
        b, page = self.try_sign_in(ADMIN)
        cookies = [v for k, v in page.headers if k == "Set-Cookie"]
        self.assertTrue(any("SameSite=Strict" in c and "HttpOnly" in c
                            for c in cookies), cookies)
        _, page = self.try_sign_in(ADMIN, HTTPS="on")
        cookies = [v for k, v in page.headers if k == "Set-Cookie"]
        self.assertTrue(any(c.startswith("__Secure-adm=") and
                            "Secure" in c and "Path=/admin" in c
                            for c in cookies), cookies)
        w = Browser(self.s.state / "run/web/webmail.sock")
        form = w.get("/webmail/login")
        w.post("/webmail/login", {"user": ADMIN, "pass": PASSWORD,
                                  "back": "/"}, form)
        self.assertEqual(w.get("/webmail/m/inbox").status, 200)
        token = w.cookies["wm"]
        stranger = Browser(self.socket)
        stranger.cookies = {"adm": token, "wm": token}
        self.assertEqual(stranger.get("/admin/").status, 401)
        w.cookies = {"wm": b.cookies["adm"]}
        self.assertEqual(w.get("/webmail/m/inbox").status, 401)


if __name__ == "__main__":
    unittest.main()
