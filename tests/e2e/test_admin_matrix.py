"""Every route of the administration, as everybody, with every kind of token.

The list of routes comes from the router's own table (tests/tools/admin_routes),
so a new page is in it by itself.  Rows N04 and N05 of the threats."""

import json
import re
import sqlite3
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from lib import counterparts  # noqa: E402
from lib.fastcgi import Browser  # noqa: E402
from lib.server import BIN, PASSWORD, ServerTest, wait_until  # noqa: E402

ROLES = {"server": "admin@example.org", "domain": "dora@example.org",
         "list": "lisa@example.org"}
OWN = {"d": "example.org", "u": "ann@example.org", "l": "news@example.org",
       "a": "sales@example.org"}
OTHER = {"d": "other.example", "u": "olga@other.example",
         "l": "club@other.example", "a": "shop@other.example"}
STRANGERS = {"nobody", "webmail's", "forged", "ended", "expired",
             "of who lost the role", "of who is disabled"}
DONE = {200, 303, 400, 403, 409, 422}

# What an operator on the command line has under another name, or needs not:
# who acts there is known without a session.
OTHERWISE = {"session list": "user sessions", "session end": "user sign-out",
             "session confirm": None, "audit about": "audit list",
             "runner route": "check route"}
# Pages that ask nobody: what the command line says instead ("--json" too).
COUNTERPARTS = {
    "/login": None, "/login/2": None, "/login/3": None, "/logout": None,
    "/users": ["user", "set", "ann@example.org", "name=Ann"],
    "/tools/{}": ["tool", "lookup", "1.2.3.4", "--server", "127.0.0.1:9"],
    "/log": ["log", "queue-runner", "--match", "event="],
    "/trace": ["trace", "ann@example.org"],
    "/backup": ["backup", "{copies}"],
}
# Commands beside those of accountd's verbs that have to answer as JSON.
MORE = [["queue", "groups"], ["queue", "list", "--state", "deferred"],
        ["user", "sessions", "admin@example.org"],
        ["user", "sign-out", "paul@example.org"], ["status"],
        ["domain", "look", "other.example", "brand.css"],
        ["check", "route", "a@example.org", "b@far.example", "--ip",
         "192.0.2.1"]]


def routes():
    out = subprocess.run([str(BIN.parent / "tests/tools/admin_routes")],
                         capture_output=True, text=True, check=True).stdout
    for line in out.splitlines():
        method, path, who = line.split(" ")
        yield method, path, set(who.strip(",").split(","))


def fill(path, objects):
    """The path with its {} filled in; the first part says with what."""
    kind = path.split("/")[1]
    out = path.replace("{}", objects.get(kind, "x"), 1)
    return out.replace("{}", "x")


class Matrix(ServerTest):
    settings = {"queue.suspended": "remote"}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        s = cls.s
        s.cli("domain", "add", "other.example")
        for user in ("ann@example.org", "dora@example.org", "lisa@example.org",
                     "olga@other.example", "left@example.org"):
            s.user(user)
        for role in ROLES:
            s.user(f"victim-{role}@example.org")
            s.cli("domain", "add", f"victim-{role}.example")
        s.cli("alias", "add", "sales@example.org", "ann@example.org")
        s.cli("alias", "add", "shop@other.example", "olga@other.example")
        s.cli("list", "add", "news@example.org", "ann@example.org")
        s.cli("list", "add", "club@other.example", "olga@other.example")
        s.cli("user", "set", "dora@example.org", "roles=domain_admin")
        s.cli("user", "set", "lisa@example.org",
              "roles=list_admin:news@example.org")
        # a message that was delivered, one that waits, and a tool's job
        OWN["trace"] = s.json("tool", "send", "ann@example.org")["id"]
        s.cli("submit", "-f", "ann@example.org", "x@far.example",
              input="Subject: x\n\nx\n")
        OWN["queue"] = wait_until(lambda: s.json(
            "queue", "list", "--destination", "far.example"))[0]["id"]
        OWN["tools"] = "1"
        s.wait_log("queue-runner", OWN["trace"] + " event=deliver")
        wait_until(lambda: s.run_cli(
            "queue", "show", OWN["queue"]).returncode == 0)
        cls.socket = s.state / "run/web/admin.sock"
        cls.routes = list(routes())
        cls.tried = set()
        cls.browsers = {role: cls.sign_in(user)
                        for role, user in ROLES.items()}

    @classmethod
    def sign_in(cls, user):
        b = Browser(cls.socket).sign_in(user, PASSWORD, "/admin", "/me")
        b.page = b.get("/admin/me")
        assert b.page.status == 200, b.page.body
        return b

    def ask(self, b, method, path, token=True, note=None):
        """One request; `note`: (route, who asks) for the count at the end."""
        if note is not None:
            self.tried.add(note)
        if method == "GET":
            return b.get("/admin" + path)
        return b.post("/admin" + path, {}, b.page if token else None)

    def signed_routes(self):
        return [r for r in self.routes if r[2] != {"open"}]

    def test_there_are_routes(self):
        self.assertGreater(len(self.routes), 30)

    def test_N04_each_role(self):
        for method, path, who in self.signed_routes():
            for role, b in self.browsers.items():
                objects = OWN
                if path == "/logout":
                    b = self.sign_in(ROLES[role])
                if path.endswith("/delete"):
                    objects = {"d": f"victim-{role}.example",
                               "u": f"victim-{role}@example.org"}
                where = fill(path, objects)
                with self.subTest(method=method, path=where, role=role):
                    page = self.ask(b, method, where, note=(
                        method, path, role))
                    if who & {role, "signed"}:
                        self.assertIn(page.status, DONE, page.text[:2000])
                    else:
                        self.assertEqual(page.status, 404)

    def test_N04_what_belongs_to_others(self):
        for method, path, who in self.signed_routes():
            if "{}" not in path or path.split("/")[1] not in OTHER:
                continue
            for role in ("domain", "list"):
                where = fill(path, OTHER)
                with self.subTest(method=method, path=where, role=role):
                    page = self.ask(self.browsers[role], method, where)
                    # a form that names nothing may be refused before
                    self.assertIn(page.status, {404} | (
                        {422} if method == "POST" else set()), page.text)
                    self.assertNotIn("olga", page.text.replace(where, ""))

    def test_no_token_no_change(self):
        for method, path, who in self.signed_routes():
            if method != "POST":
                continue
            with self.subTest(path=path):
                page = self.ask(self.browsers["server"], method,
                                fill(path, OWN), token=False, note=(
                                    method, path, "no form token"))
                self.assertEqual(page.status, 403)

    def strangers(self):
        w = Browser(self.s.state / "run/web/webmail.sock")
        form = w.get("/webmail/login")
        w.post("/webmail/login", {"user": ROLES["server"], "pass": PASSWORD,
                                  "back": "/"}, form)
        yield "nobody", {}
        yield "webmail's", {"adm": w.cookies["wm"]}
        yield "forged", {"adm": "A" * 43}
        ended = self.sign_in(ROLES["server"])
        cookies = dict(ended.cookies)
        ended.post("/admin/logout", {}, ended.page)
        yield "ended", cookies
        self.s.cli("user", "set", "left@example.org", "roles=domain_admin")
        left = self.sign_in("left@example.org")
        self.s.cli("user", "set", "left@example.org", "roles=")
        yield "of who lost the role", dict(left.cookies)
        old = self.sign_in(ROLES["server"])
        db = sqlite3.connect(self.s.state / "directory/secrets.db")
        with db:
            changed = db.execute(
                "UPDATE session SET expires_ms = 1 WHERE id ="
                " (SELECT max(id) FROM session)").rowcount
        db.close()
        assert changed == 1
        yield "expired", dict(old.cookies)
        self.s.cli("user", "set", "left@example.org", "roles=domain_admin")
        left = self.sign_in("left@example.org")
        self.s.cli("user", "disable", "left@example.org")
        yield "of who is disabled", dict(left.cookies)

    def test_N05_tokens_that_are_none(self):
        for name, cookies in self.strangers():
            for method, path, _ in self.signed_routes():
                with self.subTest(token=name, method=method, path=path):
                    b = Browser(self.socket)
                    b.cookies = dict(cookies)
                    b.page = self.browsers["server"].page
                    page = self.ask(b, method, fill(path, OWN), note=(
                        method, path, name))
                    self.assertEqual(page.status, 401)

    def test_N05_other_programs(self):
        """A token of the administration opens nothing elsewhere."""
        w = Browser(self.s.state / "run/web/webmail.sock")
        w.cookies = {"wm": self.browsers["server"].cookies["adm"]}
        self.assertEqual(w.get("/webmail/m/inbox").status, 401)

    def test_N04_open_routes(self):
        """What asks for no session is the way in, and nothing else."""
        opened = [r for r in self.routes if r[2] == {"open"}]
        self.assertEqual({r[1] for r in opened},
                         {"/login", "/login/2", "/login/3"})
        for method, path, _ in opened:
            b = Browser(self.socket)
            page = self.ask(b, "GET", path, note=(method, path, "nobody"))
            self.assertIn(page.status, {200, 303})
            if method == "POST":
                b.page = page
                self.assertIn(self.ask(b, "POST", path).status,
                              DONE | {401})

    def test_the_command_line_can_do_all_of_it(self):
        """Each verb a page asks, `mailstead` can ask; what a page shows
        without asking has a command of its own."""
        pages = counterparts.of_pages()
        command_line = counterparts.of_the_command_line() | {"check route"}
        self.assertEqual(set(pages), {(m, p) for m, p, _ in self.routes})
        for (method, path), verbs in pages.items():
            needed = {OTHERWISE.get(v, v) for v in verbs} - {None}
            with self.subTest(method=method, path=path):
                self.assertEqual(needed - command_line, set())
                # a form is what its POST is
                if not needed and not pages.get(("POST", path)):
                    self.assertIn(path, COUNTERPARTS)
        self.s.user("paul@example.org", PASSWORD, "--role", "domain_admin")
        paul = self.sign_in("paul@example.org")
        with tempfile.TemporaryDirectory() as copies:
            for command in [*COUNTERPARTS.values(), *MORE]:
                if command is None:
                    continue
                words = [w.format(copies=copies) for w in command]
                with self.subTest(command=words):
                    p = self.s.run_cli("--json", *words)
                    self.assertNotEqual(p.returncode, 2, p.stderr)
                    if p.returncode == 0:
                        self.assertTrue(json.loads(p.stdout) is not None)
        self.assertEqual(paul.get("/admin/me").status, 401)

    def test_zz_all_of_it_was_tried(self):
        """Runs last; what the tests above asked, against the table."""
        wanted = set()
        for method, path, who in self.routes:
            askers = {"nobody"} if who == {"open"} else STRANGERS | set(ROLES)
            if method == "POST" and who != {"open"}:
                askers = askers | {"no form token"}
            wanted |= {(method, path, asker) for asker in askers}
        print(f"{len(self.routes)} routes, {len(wanted & self.tried)} of "
              f"{len(wanted)} pairs of route and asker tried")
        self.assertEqual(wanted - self.tried, set())

    def test_the_frame_has_no_dead_links(self):
        """Whatever the navigation offers to a role, the role may open."""
        for role, b in self.browsers.items():
            page = b.get("/admin/me")
            side = page.text.split('<nav id="side"')[1].split("</nav>")[0]
            for link in re.findall(r'<a [^>]*href="(/admin/[^"]*)"', side):
                with self.subTest(role=role, link=link):
                    self.assertIn(b.get(link).status, (200, 303))


if __name__ == "__main__":
    unittest.main()
