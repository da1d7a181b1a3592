"""Webmail when the disk is full or fails: what was typed is in the answer, what
was stored before stays, nothing half is sent, and it ends with the fault."""

import errno
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from lib.faults import Faults, are_possible  # noqa: E402
from lib.fastcgi import Browser, Letter  # noqa: E402
from lib.server import PASSWORD, Server  # noqa: E402

TYPED = "typed on a full disk"


@unittest.skipUnless(are_possible(), "not beside a sanitizer")
class DiskFull(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.s = Server()
        cls.addClassCleanup(cls.s.close)
        cls.f = cls.enterClassContext(Faults())
        cls.s.start()
        cls.addClassCleanup(cls.s.stop)
        cls.f.started()
        cls.s.user("ann@example.org")
        cls.b = Browser(cls.s.state / "run/web/webmail.sock").sign_in(
            "ann@example.org", PASSWORD).send_at_once()

    def setUp(self):
        self.addCleanup(self.f.clear)
        self.letter = Letter(self.b)
        self.letter.post("save", to="ann@example.org", subject="s",
                         text="first")

    def stored(self):
        return self.b.get(self.letter.uri).text

    def fails(self, call, error, path, do, files=()):
        rule = self.f.add(call, error, path)
        page = self.letter.post(do, files, text=TYPED)
        what = (do, call, path, errno.errorcode[error])
        self.assertGreater(self.f.hits(rule), 0, what)
        self.assertIn(page.status, (500, 503, 507), what)
        self.assertIn(TYPED + "</textarea>", page.text, what)
        self.f.clear()
        self.assertIn("first</textarea>", self.stored(), what)

    def test_saving_a_draft(self):
        for error in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
            self.fails("write", error, ".Drafts/", "save")
        self.fails("sync", errno.EIO, ".Drafts/", "save")
        self.assertEqual(self.letter.post("save", text=TYPED).status, 303)
        self.assertIn(TYPED + "</textarea>", self.stored())

    def test_attaching_a_file(self):
        file = [("file", "notes.txt", "text/plain", b"x" * 100000)]
        self.fails("write", errno.ENOSPC, ".Drafts/", "attach", file)
        self.assertEqual(self.letter.post("attach", file, text=TYPED).status,
                         303)
        self.assertIn("notes.txt", self.stored())

    def test_sending(self):
        rule = self.f.add("write", errno.ENOSPC, "spool/")
        page = self.letter.post("send", text=TYPED)
        self.assertGreater(self.f.hits(rule), 0)
        self.assertIn(TYPED + "</textarea>", page.text)
        self.assertIn("Nothing was sent", page.text)
        self.f.clear()
        self.assertEqual(self.letter.post("send", text=TYPED).status, 303)
        self.assertEqual(len(self.s.wait_messages("ann@example.org", 1)), 1)


if __name__ == "__main__":
    unittest.main()
