"""`mailstead backup` while mail flows; `mailstead restore` of every grain."""

import json
import os
import re
import shutil
import smtplib
import sys
import threading
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parent / "lib"))
from lib.fakedns import FakeDNS  # noqa: E402
from lib.fakemx import FakeMX  # noqa: E402
from lib.server import PASSWORD, Server, wait_until  # noqa: E402

ZONE = {"far.example": {"MX": ["10 mx.far.example"]},
        "mx.far.example": {"A": ["127.0.0.1"]}}


def send(s, mark, *to):
    """Hand in a message with a mark; it is accepted when this returns."""
    with smtplib.SMTP(s.host, s.port["submission"], timeout=30) as c:
        c.starttls()
        c.login("admin@example.org", PASSWORD)
        c.sendmail("admin@example.org", to,
                   f"Subject: {mark}\r\n\r\nmark {mark}.\r\n")


def marks(s, address):
    return sorted(re.search(rb"mark (\S+)\.", m).group(1).decode()
                  for m in s.messages(address))


class Backup(unittest.TestCase):
    def setUp(self):
        self.dns = FakeDNS(ZONE)
        self.dns.__enter__()
        self.addCleanup(self.dns.__exit__)
        self.s = Server()
        self.addCleanup(self.s.close)
        for name, value in (("dns.servers", self.dns.setting),
                            ("remote.allow_loopback", "yes"),
                            ("dns.self_check", "no")):
            self.s.set(name, value)
        self.s.user("bob@example.org")
        self.s.user("eve@example.org")
        self.copies = self.s.top / "copies"

    def mx(self, **more):
        mx = FakeMX(**more)
        mx.__enter__()
        self.addCleanup(mx.__exit__)
        self.s.set("remote.port", mx.port)
        return mx

    def backup(self, *more):
        note = self.s.json("backup", str(self.copies), *more)
        return self.copies / note["name"], note

    def second(self):
        """A second, still empty server on other ports."""
        other = Server(init=False)
        self.addCleanup(other.close)
        return other

    def restore_all(self, copy):
        other = self.second()
        held = other.json("restore", str(copy))["held"]
        other.set("server.port_offset", other.offset)
        return other, held

    def test_under_traffic(self):
        """What was accepted before the copy began is in it, once at least,
        in a mailbox or held; and the second server sends nothing."""
        mx = self.mx(replies={"RCPT": "451 4.3.0 later"})
        s = self.s
        s.start()
        accepted, stop = [], threading.Event()

        def traffic(worker):
            n = 0
            while not stop.is_set():
                mark = f"{worker}-{n}"
                send(s, mark, *(["bob@example.org", "eve@example.org"]
                                if n % 3 else ["x@far.example"]))
                accepted.append((mark, n % 3 != 0))
                n += 1

        threads = [threading.Thread(target=traffic, args=(w,))
                   for w in range(2)]
        for t in threads:
            t.start()
        try:
            wait_until(lambda: len(accepted) > 12, 60, "traffic")
            first_before = list(accepted)
            first, _ = self.backup()
            wait_until(lambda: len(accepted) > len(first_before) + 6, 60)
            before = list(accepted)
            copy, note = self.backup()
        finally:
            stop.set()
            for t in threads:
                t.join()
        self.assertGreater(note["linked"], 0)
        attempts = len(mx.messages)
        s.stop()
        for copied, then in ((first, first_before), (copy, before)):
            other, held = self.restore_all(copied)
            other.start()
            queue = other.json("queue", "list")
            self.assertEqual(len(queue), held)
            self.assertEqual({m["state"] for m in queue}, {"held"})
            boxes = {a: marks(other, a) for a in
                     ("bob@example.org", "eve@example.org")}
            waiting = ""
            for m in queue:
                waiting += m["id"] + "".join(
                    r["address"] for r in m["recipients"])
            local = [m for m, is_local in then if is_local]
            for address, found in boxes.items():
                self.assertEqual(len(found), len(set(found)), "twice")
                missing = set(local) - set(found)
                self.assertLessEqual(len(missing),
                                     waiting.count(address), missing)
            remote = [m for m, is_local in then if not is_local]
            self.assertGreaterEqual(waiting.count("x@far.example"),
                                    len(remote))
            # signing in works as before: secrets came along
            send(other, "after", "bob@example.org")
            wait_until(lambda o=other: "after" in marks(o, "bob@example.org"))
            other.cli("wait", "--for", "empty", "--timeout", "20")
            self.assertEqual(len(mx.messages), attempts)
            p = other.run_cli("queue", "check")
            self.assertEqual(p.returncode, 0, p.stdout + p.stderr)
            other.stop()

    def test_released_mail_goes(self):
        mx = self.mx(replies={"RCPT": ["451 4.3.0 later", "250 2.1.5 ok"]})
        s = self.s
        s.start()
        send(s, "late", "x@far.example")
        s.wait_log("queue-runner", "event=attempt|event=defer")
        copy, _ = self.backup()
        s.stop()
        other, held = self.restore_all(copy)
        self.assertEqual(held, 1)
        other.start()
        self.assertEqual(len(mx.messages), 0)
        other.cli("queue", "release", "--all")
        wait_until(lambda: mx.messages, 20, "the released message")

    def test_incremental(self):
        """Unchanged files are links, changed flags as well; the same message
        in two mailboxes is one file; old copies go."""
        s = self.s
        s.start()
        send(s, "both", "bob@example.org", "eve@example.org")
        s.wait_messages("eve@example.org", 1)
        s.wait_messages("bob@example.org", 1)
        one, _ = self.backup()
        bob = s.mailbox("bob@example.org")
        name = os.listdir(bob / "new")[0]
        os.rename(bob / "new" / name, bob / "cur" / (name + ":2,S"))
        two, note = self.backup()

        def inode(copy, *path):
            return os.stat(copy.joinpath("mail/example.org", *path)).st_ino

        first = inode(one, "bob", "new", name)
        self.assertEqual(first, inode(one, "eve", "new",
                                      os.listdir(one / "mail/example.org/eve/new")[0]))
        self.assertEqual(first, inode(two, "bob", "cur", name + ":2,S"))
        self.assertNotEqual(first, os.stat(bob / "cur" / (name + ":2,S")).st_ino)
        self.assertEqual(os.stat(one).st_mode & 0o777, 0o700)
        three, _ = self.backup("--keep", "2")
        self.assertEqual(sorted(p.name for p in self.copies.iterdir()),
                         [two.name, three.name])
        status = json.loads((s.state / "run/backup.json").read_text())
        self.assertEqual(status["name"], three.name)
        self.assertGreater(note["linked"], 0)

    def test_one_that_fails(self):
        """Nothing is left to fill the disk."""
        bad = self.s.state / "users/example.org/bad.db"
        bad.parent.mkdir(parents=True)
        bad.write_bytes(b"no database" * 1000)
        p = self.s.run_cli("backup", str(self.copies))
        self.assertNotEqual(p.returncode, 0)
        self.assertIn("bad.db", p.stderr)
        self.assertEqual(list(self.copies.iterdir()), [])

    def test_one_killed_in_the_middle(self):
        """Early, half-way and late: the next one is whole and restores."""
        import signal
        import subprocess
        from lib.server import BIN
        self.mx(replies={"RCPT": "451 4.3.0 later"})
        self.s.start()
        for mark in ("one", "two"):
            send(self.s, mark, "bob@example.org", "x@far.example")
        self.s.wait_messages("bob@example.org", 2)
        self.s.stop()
        box = self.s.mailbox("bob@example.org") / "cur"
        for n in range(3000):
            (box / f"1700{n:06}.M.h,S=11:2,S").write_text(f"mark {n:05}.\n")
        wanted = marks(self.s, "bob@example.org")
        partial = self.copies / ".partial"
        command = [str(BIN / "mailstead"), "--state", str(self.s.state),
                   "backup", str(self.copies)]

        def copied():
            return sum(len(files) for _, _, files in os.walk(partial))

        cut = 0
        for least in (1, 1000, 2500):
            killed = subprocess.Popen(command)
            while killed.poll() is None and copied() < least:
                pass
            killed.send_signal(signal.SIGKILL)
            cut += killed.wait() == -signal.SIGKILL
            for done in self.copies.glob("2*"):  # before it could be killed
                shutil.rmtree(done)
            copy, _ = self.backup("--keep", "1")
            self.assertEqual([f.name for f in self.copies.iterdir()],
                             [copy.name])
            inside = copy / "mail/example.org/bob/cur"
            self.assertEqual(
                {f.name: f.read_bytes() for f in inside.iterdir()},
                {f.name: f.read_bytes() for f in box.iterdir()})
            shutil.rmtree(copy)  # so that nothing is linked the next time
        self.assertGreater(cut, 0, "each was done before it could be killed")
        copy, _ = self.backup()
        other, held = self.restore_all(copy)
        other.start()
        self.assertEqual(held, 2)
        self.assertEqual(marks(other, "bob@example.org"), wanted)
        self.assertEqual(other.run_cli("queue", "check").returncode, 0)

    def test_parts(self):
        s = self.s
        s.start()
        for n in range(3):
            send(s, f"m{n}", "bob@example.org")
        send(s, "other", "eve@example.org")
        s.wait_messages("bob@example.org", 3)
        s.wait_messages("eve@example.org", 1)
        bob = s.mailbox("bob@example.org")
        kept = bob / ".Kept"
        for sub in ("new", "cur", "tmp"):
            (kept / sub).mkdir(parents=True)
        name = sorted(os.listdir(bob / "new"))[0]
        os.rename(bob / "new" / name, kept / "cur" / (name + ":2,FS"))
        copy, _ = self.backup()

        def restore(*what):
            return s.json("restore", str(self.copies), *what)["accounts"]

        # nothing is missing: nothing comes
        self.assertEqual(restore("--account", "bob@example.org"),
                         [{"address": "bob@example.org", "restored": 0,
                           "present": 3}])
        # one message, by the id that `mailbox list` shows
        lost = sorted(os.listdir(bob / "new"))
        for m in lost:
            (bob / "new" / m).unlink()
        ident = lost[0].split(",")[0]
        self.assertEqual(restore("--account", "bob@example.org", "--message",
                                 ident)[0]["restored"], 1)
        self.assertEqual(os.listdir(bob / "new"), [lost[0]])
        # one folder, with its flags
        shutil.rmtree(kept)
        got = restore("--account", "bob@example.org", "--folder", "Kept")
        self.assertEqual(got[0]["restored"], 1)
        self.assertEqual(os.listdir(kept / "cur"), [name + ":2,FS"])
        self.assertEqual(len(os.listdir(bob / "new")), 1)
        # one account that is gone, then a whole domain
        s.cli("list", "add", "team@example.org", "bob@example.org",
              "x@far.example")
        s.cli("list", "set", "team@example.org", "members_only=yes")
        s.cli("alias", "add", "both@example.org", "bob@example.org",
              "eve@example.org")
        s.cli("alias", "add", "rob@example.org", "bob@example.org")
        s.cli("user", "set", "bob@example.org", "quota_messages=77", "lang=ar",
              "roles=domain_admin list_admin:team@example.org")
        s.cli("user", "disable", "bob@example.org")
        copy, _ = self.backup()
        s.cli("user", "delete", "bob@example.org")
        shutil.rmtree(bob, ignore_errors=True)
        out = s.json("restore", str(copy), "--account", "bob@example.org")
        self.assertEqual(out["need_password"], ["bob@example.org"])
        self.assertEqual(out["accounts"][0]["restored"], 2)
        user = s.json("user", "show", "bob@example.org")
        self.assertEqual((user["quota_messages"], user["lang"]), (77, "ar"))
        self.assertEqual(user["used_messages"], 2)
        self.assertEqual(user["roles"], ["domain_admin",
                                         "list_admin:team@example.org"])
        self.assertTrue(user["disabled"])
        self.assertEqual(user["aliases"], ["both@example.org",
                                           "rob@example.org"])
        self.assertEqual({(x["what"], x["name"]) for x in out["names"]
                          if x["state"] == "restored"},
                         {("alias", "both@example.org"),
                          ("alias", "rob@example.org"),
                          ("member", "team@example.org"),
                          ("role", "domain_admin:example.org"),
                          ("role", "list_admin:team@example.org"),
                          ("disabled", "")})
        self.assertEqual(set(s.json("list", "members", "team@example.org")),
                         {"bob@example.org", "x@far.example"})
        # what is gone of a domain, and not what changed since
        s.cli("list", "delete", "team@example.org")
        s.cli("alias", "delete", "rob@example.org")
        s.cli("alias", "add", "both@example.org", "eve@example.org")
        shutil.rmtree(s.mailbox("eve@example.org"))
        out = restore("--domain", "example.org")
        team = s.json("list", "show", "team@example.org")
        self.assertTrue(team["members_only"])
        self.assertEqual(set(s.json("list", "members", "team@example.org")),
                         {"bob@example.org", "x@far.example"})
        self.assertEqual({a["address"]: a["targets"] for a in s.json(
            "alias", "list") if a["address"][0] in "br"}, {
                "both@example.org": ["eve@example.org"],
                "rob@example.org": ["bob@example.org"]})
        self.assertEqual({a["address"]: a["restored"] for a in out}[
            "eve@example.org"], 1)
        self.assertEqual(marks(s, "eve@example.org"), ["other"])
        # refusals
        for what in (["--account", "nobody@example.org"],
                     ["--domain", "elsewhere.example"],
                     ["--account", "bob@example.org", "--folder", "None"],
                     ["--account", "bob@example.org", "--message", "none"]):
            self.assertEqual(
                s.run_cli("restore", str(copy), *what).returncode, 1, what)
        self.assertEqual(s.run_cli("restore", str(copy)).returncode, 1)

    def test_a_domain_on_a_second_server(self):
        """All of a domain, where it never was: names, mail, settings, keys."""
        s = self.s
        s.cli("domain", "add", "books.example")
        s.cli("domain", "add", "livres.example", "--alias-of", "books.example")
        for user in ("eve", "kit"):
            s.user(f"{user}@books.example")
        s.cli("user", "set", "eve@books.example", "quota_bytes=7M",
              "roles=domain_admin", "may_change_password=no",
              "forward=x@far.example y@far.example")
        s.cli("alias", "add", "shop@books.example", "kit@books.example")
        s.cli("list", "add", "crew@books.example", "eve@books.example")
        s.cli("domain", "set", "books.example", "catchall=kit@books.example",
              "admin=eve@books.example", "max_accounts=9", "access.web=no",
              "new_user.quota_bytes=3M", "forward=")
        s.cli("set", "--domain", "books.example", "user.own_aliases", "7")
        s.cli("dkim", "add", "books.example", "next")
        look = s.state / "domains/books.example"
        look.mkdir(parents=True, exist_ok=True)
        (look / "brand.css").write_text("a { color: red }")
        box = s.mailbox("eve@books.example")
        for sub in ("new", "cur", "tmp"):
            (box / sub).mkdir(parents=True)
        (box / "cur" / "1.a,S=12:2,S").write_text("mark one.\n\n\n")

        def shown(server):
            d = server.json("domain", "show", "books.example")
            keys = {d: sorted((k["selector"], k["state"], k["record"])
                              for k in server.json("dkim", "list", d))
                    for d in ("books.example", "livres.example")}
            names = {what: [x for x in server.json(what, "list", d["name"])]
                     for what in ("alias", "list")}
            user = server.json("user", "show", "eve@books.example")
            user.pop("used_bytes"), user.pop("used_messages")
            return (d, keys, names, user,
                    server.cli("get", "--domain", "books.example",
                               "user.own_aliases"))

        s.cli("domain", "disable", "books.example")
        before = shown(s)
        self.assertEqual(len(before[1]["books.example"]), 4)
        copy, _ = self.backup()
        other = Server()
        self.addCleanup(other.close)
        out = other.json("restore", str(copy), "--domain", "books.example")
        self.assertEqual({x["state"] for x in out["names"]}, {"restored"}, out)
        self.assertEqual(sorted(out["need_password"]),
                         ["eve@books.example", "kit@books.example"])
        self.assertEqual(shown(other), before)
        self.assertEqual((other.state / "domains/books.example/brand.css")
                         .read_text(), "a { color: red }")
        self.assertEqual(
            [p.name for p in (other.mailbox("eve@books.example") / "cur")
             .iterdir()], ["1.a,S=12:2,S"])
        # signed with the old key
        p = other.run_cli("check", "domain", "books.example")
        self.assertIn(before[1]["books.example"][0][0], p.stdout)
        # twice: what is there now stays
        other.cli("domain", "set", "books.example", "max_accounts=5")
        out = other.json("restore", str(copy), "--domain", "books.example")
        self.assertEqual(out["names"], [])
        self.assertEqual(other.json("domain", "show", "books.example")
                         ["max_accounts"], 5)

    def test_move_to_another_disk(self):
        s = self.s
        s.start()
        send(s, "before", "bob@example.org")
        s.wait_messages("bob@example.org", 1)
        place = s.top / "disk" / "mail"
        place.parent.mkdir()
        self.assertEqual(s.run_cli("mailbox", "move", str(place)).returncode, 3)
        s.stop()
        s.cli("mailbox", "move", str(place))
        shutil.rmtree(s.state / "mail")
        s.start()
        send(s, "after", "bob@example.org")
        wait_until(lambda: len(os.listdir(place / "example.org/bob/new")) == 2)
        # and a copy of it restored lies in the new state directory again
        copy, _ = self.backup()
        s.stop()
        other, _ = self.restore_all(copy)
        other.start()
        send(other, "later", "bob@example.org")
        wait_until(lambda: marks(other, "bob@example.org") ==
                   ["after", "before", "later"])
        self.assertEqual(len(os.listdir(place / "example.org/bob/new")), 2)

    def test_O05_links_are_not_followed(self):
        """Whoever may write a mailbox cannot make root copy other files."""
        secret = self.s.top / "secret"
        secret.write_text("only for root")
        box = self.s.mailbox("bob@example.org")
        for sub in ("new", "cur", "tmp"):
            (box / sub).mkdir(parents=True)
        os.symlink(secret, box / "cur" / "1.x:2,S")
        os.symlink(self.s.top, box / ".Folder")
        os.mkfifo(box / "cur" / "2.x:2,S")
        os.link(secret, box / "new" / "3.x")
        os.unlink(box / "new" / "3.x")
        copy, _ = self.backup()
        found = [str(p) for p in copy.rglob("*")]
        self.assertFalse([p for p in found if "1.x" in p or "2.x" in p
                          or ".Folder" in p])
        self.assertNotIn(b"only for root",
                         b"".join(p.read_bytes() for p in copy.rglob("*")
                                  if p.is_file()))


if __name__ == "__main__":
    unittest.main()
