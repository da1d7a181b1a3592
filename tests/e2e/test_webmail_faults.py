"""Webmail when the disk is full or fails: what was typed is in the answer, what
was stored before stays, nothing half is sent, and it ends with the fault."""

import errno
import re
import smtplib
import sys
import threading
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from lib.faults import Faults, are_possible  # noqa: E402
from lib.fastcgi import Browser, Letter  # noqa: E402
from lib.server import PASSWORD, Server, wait_until  # noqa: E402

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

    def test_M14_a_first_save_beside_a_slow_one(self):
        """One of two wins whatever the moment, and the other is told."""
        letter, slow = Letter(self.b), []

        def save(text):
            return self.b.upload(letter.uri, dict(
                letter.fields(), text=text, do="save"), [], letter.page)
        rule = self.f.add("rename", -1000, ".Drafts/cur/", times=1)
        first = threading.Thread(target=lambda: slow.append(save("slow")))
        first.start()
        wait_until(lambda: self.f.hits(rule) > 0, 20, "the first to be late")
        other = save("other")
        first.join()
        self.assertEqual((slow[0].status, other.status), (303, 409))
        self.assertIn("slow</textarea>", self.b.get(letter.uri).text)
        self.assertIn("other</textarea>", other.text)

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


@unittest.skipUnless(are_possible(), "not beside a sanitizer")
class Killed(unittest.TestCase):
    """I08: whoever works for webmail dies before one of its calls; what was
    asked for is done or not, done once when asked for again, and nothing is
    lost or half there."""

    @classmethod
    def setUpClass(cls):
        cls.s = Server()
        cls.addClassCleanup(cls.s.close)
        cls.f = cls.enterClassContext(Faults(cls.s.state))
        cls.s.start()
        cls.addClassCleanup(cls.s.stop)
        cls.f.started()
        for user in ("ann", "bob"):
            cls.s.user(f"{user}@example.org")
        cls.b = Browser(cls.s.state / "run/web/webmail.sock").sign_in(
            "ann@example.org", PASSWORD).send_at_once()

    def page(self, uri):
        """As soon as somebody shows it again."""
        def shown():
            try:
                page = self.b.get(uri)
            except (OSError, ValueError):
                return None
            return page if page.status in (200, 404) else None
        return wait_until(shown, 20, uri)

    def found(self, user, subject, folder="**"):
        line = f"Subject: {subject}\n".encode()
        return [text for path in self.s.mailbox(user).glob(f"{folder}/*")
                if path.parent.name in ("new", "cur")
                and line in (text := path.read_bytes())]

    def letter(self, uri):
        """What its page has now, or None when it is not there any more."""
        letter = Letter.__new__(Letter)
        letter.b, letter.page = self.b, self.page(uri)
        return letter if letter.page.status == 200 else None

    def draft(self, name):
        letter = Letter(self.b)
        letter.post("save", to="bob@example.org", subject=name, text="first")
        letter.name, letter.where = name, letter.uri
        return letter

    def kept(self, draft):
        """The draft is whole, and what is done to it next is done."""
        self.assertGreater(len(self.found("ann@example.org", draft.name)), 0)
        letter = self.letter(draft.where)
        self.assertIsNotNone(letter)
        self.assertIn(letter.fields()["text"], ("first", "second"))
        self.assertEqual(letter.post("save", text="third").status, 303)
        text, = self.found("ann@example.org", draft.name)
        self.assertIn(b"third", text)
        return text

    def test_I08_saving(self):
        self.f.each_call(self, lambda k: self.draft(f"save-{k}"),
                       lambda d: d.post("save", text="second"), self.kept)

    def test_I08_uploading(self):
        file = [("file", "notes.txt", "text/plain", b"note " * 20000)]

        def check(draft):
            if b"notes.txt" not in self.kept(draft):
                self.letter(draft.where).post("attach", file)
            text, = self.found("ann@example.org", draft.name)
            self.assertEqual(text.count(b'filename="notes.txt"') or
                             text.count(b"filename=notes.txt"), 1)
        self.f.each_call(self, lambda k: self.draft(f"file-{k}"),
                       lambda d: d.post("attach", file, text="second"), check)

    def test_I08_sending(self):
        def check(draft):
            letter = self.letter(draft.where)
            if letter is not None:
                self.assertEqual(letter.post("send").status, 303)
            wait_until(lambda: self.found("bob@example.org", draft.name), 20,
                       draft.name)
            self.s.cli("wait", "--for", "empty", "--timeout", "30")
            # who got no answer and sends again may do it twice (RFC 1047)
            most = 2 if letter is not None else 1
            self.assertLessEqual(
                len(self.found("bob@example.org", draft.name)), most)
            self.assertEqual(
                self.found("ann@example.org", draft.name, ".Drafts/*"), [])
            self.assertIn(
                len(self.found("ann@example.org", draft.name, ".Sent/*")),
                range(1, most + 1))
        self.f.each_call(self, lambda k: self.draft(f"send-{k}"),
                       lambda d: d.post("send"), check)

    def test_I08_moving(self):
        def begin(name):
            with smtplib.SMTP(self.s.host, self.s.port["smtp"],
                              timeout=60) as c:
                c.sendmail("a@far.example", ["ann@example.org"],
                           f"Subject: move-{name}\r\n\r\nx\r\n")
            wait_until(lambda: self.found("ann@example.org", f"move-{name}"),
                       20, name)
            return f"move-{name}"

        def move(subject):
            page = self.page("/webmail/m/inbox")
            row = next((r for r in re.findall(r"<li[ >].*?</li>", page.text,
                                              re.S) if subject + "<" in r), None)
            if row is None:
                return
            self.b.post("/webmail/act", {
                "folder": page.hidden("folder") or "",
                "filter": page.hidden("filter") or "",
                "back": page.hidden("back"), "do": "move:new",
                "new_name": "Kept",
                "id": re.search(r'name="id" value="([^"]+)"', row)[1]}, page)

        def check(subject):
            self.assertEqual(len(self.found("ann@example.org", subject)), 1)
            move(subject)
            self.assertEqual(len(self.found("ann@example.org", subject)), 1)
            self.assertEqual(
                len(self.found("ann@example.org", subject, ".Kept/*")), 1)
        self.f.each_call(self, begin, move, check)


if __name__ == "__main__":
    unittest.main()
