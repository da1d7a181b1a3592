"""mailstead mailbox: looking into mailboxes, checking and repairing them."""

import json
import os
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from lib.server import PASSWORD, Server  # noqa: E402

ANN = "ann@example.org"


class MailboxCommand(unittest.TestCase):
    def setUp(self):
        self.s = Server()
        self.addCleanup(self.s.close)
        self.s.user(ANN)
        self.box = self.s.mailbox(ANN)
        for sub in ("new", "cur", "tmp", ".Sent/new", ".Sent/cur", ".Sent/tmp"):
            (self.box / sub).mkdir(parents=True)
        (self.box / "new/1700000001.M1.h,S=4,W=6").write_bytes(b"a\nb\n")
        (self.box / "cur/1700000002.M2.h:2,FS").write_bytes(b"c\n")
        (self.box / ".Sent/cur/1700000003.M3.h:2,S").write_bytes(b"\xff\n")

    def findings(self, *args):
        p = self.s.run_cli("--json", "mailbox", *args)
        found = json.loads(p.stdout)
        self.assertEqual(p.returncode, 1 if found else 0, p.stderr)
        return [f"{f['mailbox']}: {f['text']}" for f in found]

    def test_list_and_show_are_audited(self):
        found = self.s.json("mailbox", "list", "ANN@example.org")
        self.assertEqual([(m["id"], m["folder"], m["size"], m["flags"],
                           m["new"]) for m in found],
                         [("1700000001.M1.h", "INBOX", 4, "", True),
                          ("1700000002.M2.h", "INBOX", 2, "FS", False),
                          ("1700000003.M3.h", "Sent", 2, "S", False)])
        self.assertTrue(found[0]["arrived_at"].startswith("2023-11-14T22:13:21"))
        self.assertEqual(self.s.cli("mailbox", "show", ANN, "1700000001.M1.h"),
                         "a\nb\n")
        p = self.s.run_cli("mailbox", "show", ANN, "nothing")
        self.assertEqual(p.returncode, 1)
        self.assertEqual(
            self.s.run_cli("mailbox", "list", "no@example.org").returncode, 1)
        lines = [json.loads(line) for f in (self.s.state / "log/audit").iterdir()
                 for line in f.read_text().splitlines()]
        views = [(x["target"], x["after"]["what"]) for x in lines
                 if x["verb"] == "mailbox view"]
        self.assertEqual(views, [(ANN, "list"), (ANN, "1700000001.M1.h"),
                                 (ANN, "nothing")])
        # what accountd tells the owner
        seen = self.s.json("mailbox", "views", ANN)
        self.assertEqual([x["what"] for x in seen],
                         ["nothing", "1700000001.M1.h", "list"])
        self.assertTrue(seen[0]["actor"] and seen[0]["time"])
        for _ in range(110):
            self.s.cli("mailbox", "list", ANN)
        self.assertEqual([x["what"] for x in
                          self.s.json("mailbox", "views", ANN)],
                         ["list"] * 100)

    def test_N08_a_name_used_again(self):
        """The next account of a name never gets the mail of the one before."""
        users = self.s.state / "users/example.org"
        users.mkdir(parents=True, exist_ok=True)
        (users / "ann.db").write_bytes(b"contacts")
        self.s.cli("user", "delete", ANN)
        self.assertFalse(self.box.exists())
        self.assertFalse((users / "ann.db").exists())
        aside = list((self.box.parent / ".left").iterdir())
        self.assertEqual(len(aside), 1)
        self.assertTrue((aside[0] / "new/1700000001.M1.h,S=4,W=6").is_file())
        self.assertEqual(self.findings("check"), [])

        # put aside by hand when it was deleted elsewhere, or kept on purpose
        self.s.user(ANN)
        p = self.s.run_cli("mailbox", "aside", ANN)
        self.assertEqual(p.returncode, 1)
        self.assertIn("is an account", p.stderr)
        self.box.mkdir()
        (self.box.parent / ".left").rename(self.box.parent / "elsewhere")
        (self.box.parent / ".left").write_text("in the way")
        p = self.s.run_cli("user", "delete", ANN)
        self.assertNotEqual(p.returncode, 0)
        self.assertTrue(self.box.exists())
        p = self.s.run_cli("user", "add", ANN, input=PASSWORD + "\n")
        self.assertEqual(p.returncode, 1)
        self.assertIn("mailstead mailbox aside", p.stderr)
        # a refused one changes nothing
        p = self.s.run_cli("user", "add", ANN, "--keep-mailbox",
                           "--quota-bytes", "many", input=PASSWORD + "\n")
        self.assertIn("cannot be many", p.stderr)
        p = self.s.run_cli("user", "add", ANN, input=PASSWORD + "\n")
        self.assertIn("--keep-mailbox", p.stderr)
        p = self.s.run_cli("user", "add", ANN, "--keep-mailbox",
                           "--aside-mailbox", input=PASSWORD + "\n")
        self.assertEqual(p.returncode, 2)
        p = self.s.run_cli("user", "add", ANN, "--aside-mailbox",
                           input=PASSWORD + "\n")
        self.assertNotEqual(p.returncode, 0)
        (self.box.parent / ".left").unlink()
        (self.box.parent / "elsewhere").rename(self.box.parent / ".left")
        self.s.user(ANN, PASSWORD, "--keep-mailbox")
        self.assertTrue(self.box.exists())
        (self.box.parent / ".left").rename(self.box.parent / "elsewhere")
        (self.box.parent / ".left").write_text("in the way")
        self.assertNotEqual(self.s.run_cli("user", "delete", ANN).returncode, 0)
        (self.box.parent / ".left").unlink()
        (self.box.parent / "elsewhere").rename(self.box.parent / ".left")
        self.s.user(ANN, PASSWORD, "--aside-mailbox")
        self.assertFalse(self.box.exists())

        # put aside twice; the later is the one that comes back
        left = self.s.json("mailbox", "left")
        self.assertEqual([x["address"] for x in left], [ANN, ANN])
        self.assertIn("T", left[0]["aside_at"])
        self.s.cli("user", "delete", ANN)
        p = self.s.run_cli("mailbox", "back", ANN)
        self.assertEqual((p.returncode, self.box.exists()), (1, False))
        self.s.user(ANN)
        self.assertEqual(
            self.s.run_cli("mailbox", "back", "admin@example.org").returncode,
            1)
        newest = max((self.box.parent / ".left").iterdir(),
                     key=lambda p: p.name)
        (newest / "cur").mkdir(exist_ok=True)
        (newest / "cur/1700000009.M9.h,S=4,W=5:2,S").write_text("abc\n")
        for sub in ("new", "tmp"):
            (newest / sub).mkdir(exist_ok=True)
        (users / ".left" / f"ann.db~{newest.name.split('~')[1]}").write_text("x")
        self.s.cli("mailbox", "back", ANN)
        self.assertTrue(
            (self.box / "cur/1700000009.M9.h,S=4,W=5:2,S").exists())
        self.assertEqual((users / "ann.db").read_text(), "x")
        self.assertEqual(
            self.s.json("user", "show", ANN)["used_messages"], 1)
        p = self.s.run_cli("mailbox", "back", ANN)  # another one is there now
        self.assertEqual(p.returncode, 1)
        self.assertIn("a mailbox already", p.stderr)
        self.s.cli("user", "delete", ANN)
        stamp = newest.name.split("~")[1]
        (self.box.parent / ".left" / f"ann.dbx~{stamp}").mkdir()
        (self.box.parent / ".left" / f"ann.db~{stamp}").mkdir()
        for other in ("other@example.org", "an@example.org",
                      "ann@other.example"):
            self.assertEqual(self.s.json("mailbox", "purge", "--days", "0",
                                         "--address", other), [])
        gone = self.s.json("mailbox", "purge", "--days", "0", "--address", ANN)
        self.assertEqual(len(gone), 4, gone)
        self.assertEqual(len(list((self.box.parent / ".left").iterdir())), 2)

        self.assertEqual(self.s.json("mailbox", "purge"), [])
        gone = [x["path"] for x in self.s.json("mailbox", "purge", "--days",
                                               "0")]
        self.assertEqual(len(gone), 2, gone)
        self.assertEqual(list((self.box.parent / ".left").iterdir()), [])
        self.assertEqual(list((users / ".left").iterdir()), [])

    def test_recount(self):
        self.assertEqual(
            self.s.json("mailbox", "recount", ANN),
            [{"address": ANN, "used_bytes": 8, "used_messages": 3}])
        user = self.s.json("user", "show", ANN)
        self.assertEqual((user["used_bytes"], user["used_messages"]), (8, 3))
        self.assertEqual((self.box / "maildirsize").read_text(), "0S\n8 3\n")
        self.assertEqual(len(self.s.json("mailbox", "recount")), 2)

    def test_check_and_repair(self):
        self.assertEqual(self.findings("check", ANN), [])
        (self.box / "maildirsize").write_text("0S\n8 3\n")
        self.assertEqual(self.findings("check", ANN), [])
        (self.box / "new/1700000004.M4.h,S=9,U=1,W=9:2,S").write_bytes(b"\n")
        (self.box / "cur/pipe").symlink_to("/etc/passwd")
        (self.box / "cur/1700000002.M2.h:2,").write_bytes(b"c\n")
        old = self.box / "tmp/old"
        old.write_bytes(b"")
        os.utime(old, (0, 0))
        want = [f"{ANN}: cur/pipe is not a file",
                f"{ANN}: 1 files share a name with another",
                f"{ANN}: new/1700000004.M4.h,S=9,U=1,W=9:2,S has 1 bytes",
                f"{ANN}: maildirsize is wrong"]
        self.assertCountEqual(self.findings("check", ANN), want)
        want[2] += ": renamed"
        self.assertCountEqual(self.findings("repair", ANN), want)
        self.assertEqual(
            (self.box / "new/1700000004.M4.h,U=1,S=1,W=2:2,S").read_bytes(),
            b"\n")
        self.assertEqual(self.findings("check", ANN), want[:2])
        self.assertTrue(old.exists(), "renewed less than 36 hours ago")

    def test_strays(self):
        (self.s.state / "mail/example.org/ghost/cur").mkdir(parents=True)
        (self.s.state / "mail/gone.example/x").mkdir(parents=True)
        self.assertCountEqual(
            self.findings("check"),
            ["example.org/ghost: belongs to no account",
             "gone.example/x: belongs to no account"])


if __name__ == "__main__":
    unittest.main()
