"""Imports of users that a full disk or a killed program breaks off."""

import errno
import smtplib
import socket
import sys
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from lib.fastcgi import (BEGIN_ONE, PARAMS, STDIN, Browser,  # noqa: E402
                         pair, stream)
from lib.faults import Faults, are_possible  # noqa: E402
from lib.server import PASSWORD, Server, wait_until  # noqa: E402

WHERE = "/admin/users/import"


def table(mark, count, **more):
    """Users with an alias and a forward each, that stand or fall together."""
    columns = {"address": "{u}@example.org", "aliases": "{u}-a@example.org",
               "forward": "{u}@far.example", **more}
    rows = [",".join(columns)]
    for n in range(count):
        rows.append(",".join(columns.values()).format(u=f"{mark}-{n}"))
    return "\n".join(rows) + "\n"


@unittest.skipUnless(are_possible(), "not beside a sanitizer")
class Import(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.f = cls.enterClassContext(Faults())
        cls.s = cls.enterClassContext(Server())
        cls.f.started()
        cls.b = Browser(cls.s.state / "run/web/admin.sock").sign_in(
            "admin@example.org", PASSWORD, "/admin", "/")

    def setUp(self):
        self.addCleanup(self.f.clear)

    def users(self, mark):
        users = [u for u in self.s.json("user", "list")
                 if u["address"].startswith(mark + "-")]
        for u in users:
            self.assertEqual((len(u["aliases"]), len(u["forward"])), (1, 1))
        return len(users)

    def start(self, text, do="import"):
        return self.b.upload(WHERE, {"do": do}, [
            ("file", "x.csv", "text/csv", text.encode())], self.b.get(WHERE))

    def told(self, page):
        """How many lines the page says are done; that it was broken off."""
        self.assertIn("Broken off", page.text)
        self.assertNotIn(str(self.s.state), page.text)
        return page.text.count('"dot good"')

    def test_a_full_disk(self):
        for n, (call, path, skip) in enumerate((
                ("write", "log/audit/", 0),
                ("write", "directory/directory.db", 8),
                ("sync", "directory/directory.db", 1))):
            with self.subTest(path=path):
                rule = self.f.add(call, errno.ENOSPC, path, skip=skip)
                page = self.start(table(f"full{n}", 500))
                self.assertGreater(self.f.hits(rule), 0)
                self.f.clear()
                told = self.told(page)
                self.assertLess(told, 500)
                self.assertEqual(self.users(f"full{n}"), told)
        page = self.start(table("full0", 500))
        self.assertIn('id="sum">500 good, 0 refused', page.text)

    def test_accountd_is_killed(self):
        rule = self.f.add("sync", 0, "directory/directory.db", times=1, skip=5)
        page = self.start(table("killed", 3000))
        self.assertEqual(self.f.hits(rule), 1)
        wait_until(lambda: self.s.run_cli("user", "list").returncode == 0, 20)
        told, there = self.told(page), self.users("killed")
        self.assertGreater(told, 0)
        self.assertLess(told, 3000)
        # the packet under way may have been done without an answer
        self.assertIn(there - told, range(201))
        page = self.start(table("killed", 3000))
        self.assertIn(f'id="sum">{3000 - there} good, {there} refused',
                      page.text)

    def test_a_slow_sign_in(self):
        """Whose password's hash has to wait is not told of many attempts."""
        rule = self.f.add("write", -2500, "directory/secrets.db", times=1)
        Browser(self.b.path).sign_in("admin@example.org", PASSWORD, "/admin",
                                     "/")
        self.assertEqual(self.f.hits(rule), 1)

    def test_a_slow_web_server(self):
        """A request is waited for, with the library too."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(20)
            s.connect(str(self.b.path))
            time.sleep(0.2)
            s.sendall(BEGIN_ONE + stream(PARAMS, pair("REQUEST_METHOD", "GET")
                                         + pair("REQUEST_URI", "/admin/login")))
            time.sleep(0.2)
            s.sendall(stream(STDIN, b""))
            self.assertIn(b"Status: 200", s.recv(65536))

    def test_a_password_of_one_who_was_not_added(self):
        """It opens nothing of whoever is added next."""
        self.f.add("write", errno.ENOSPC, "directory/directory.db")
        self.told(self.start(table("old", 2, password="harbour lantern {u}")))
        self.f.clear()
        self.assertEqual(self.users("old"), 0)
        self.assertIn("2 added", self.s.cli("user", "import", "-",
                                            input=table("new", 2)))
        for user in ("new-0", "new-1"):
            for old in ("old-0", "old-1"):
                with smtplib.SMTP(self.s.host, self.s.port["submission"]) as c:
                    c.starttls()
                    with self.assertRaises(smtplib.SMTPAuthenticationError):
                        c.login(user + "@example.org",
                                "harbour lantern " + old)


if __name__ == "__main__":
    unittest.main()
