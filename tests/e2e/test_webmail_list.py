"""Lists of the webmail: what is in a folder, verbs and undo, search, jobs."""

import re
import sqlite3
import sys
import time
import unittest
from contextlib import closing
from email.message import EmailMessage
from html import unescape
from pathlib import Path
from urllib.parse import quote

sys.path.insert(0, str(Path(__file__).resolve().parent))
from lib.fastcgi import Browser  # noqa: E402
from lib.server import PASSWORD, ServerTest, wait_until  # noqa: E402


def rows(page):
    """[(id, subject, is unread)] of a list."""
    out = []
    for row in re.findall(r"<li[ >].*?</li>", page.text, re.S):
        out.append((re.search(r'name="id" value="([^"]+)"', row).group(1),
                    unescape(re.search(r"<b>(.*?)</b>", row).group(1)),
                    'class="new"' in row))
    return out


def subjects(page):
    return [row[1] for row in rows(page)]


AGO = 5000  # seconds: what put() makes is that old


class Lists(ServerTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.users = 0

    def setUp(self):
        type(self).users += 1
        self.user = f"user{self.users}"
        self.s.user(f"{self.user}@example.org")
        self.box = self.s.state / "mail/example.org" / self.user
        self.b = Browser(self.s.state / "run/web/webmail.sock")
        form = self.b.get("/webmail/login")
        page = self.b.post("/webmail/login", {
            "user": self.user, "pass": PASSWORD}, form)
        self.assertEqual(page.status, 303, page.body)
        self.b.get("/webmail/m/inbox")
        self.count = 0

    def put(self, subject, text="Words.", folder="", ago=0, flags=None,
            sender="Bob Ray <bob@elsewhere.example>", **fields):
        m = EmailMessage()
        m["From"] = sender
        m["To"] = f"{self.user}@example.org"
        m["Subject"] = subject
        for name, value in fields.items():
            m[name.replace("_", "-")] = value
        m.set_content(text + "\n")
        if fields.get("X_File"):
            m.add_attachment(b"x", maintype="application", subtype="x-y",
                             filename=fields["X_File"])
        self.count += 1
        box = self.box / folder
        for sub in ("tmp", "new", "cur"):
            (box / sub).mkdir(parents=True, exist_ok=True)
        name = f"{int(time.time() - AGO - ago) + self.count}.{self.count}.h"
        (box / "tmp" / name).write_bytes(m.as_bytes())
        to = f"cur/{name}:2,{flags}" if flags is not None else f"new/{name}"
        (box / "tmp" / name).rename(box / to)
        return name

    def list(self, where="m/inbox"):
        page = self.b.get(f"/webmail/{where}")
        self.assertEqual(page.status, 200, page.body)
        return page

    def act(self, page, follow=True, **fields):
        form = {"folder": page.hidden("folder") or "",
                "filter": page.hidden("filter") or "",
                "back": page.hidden("back")}
        if page.hidden("q") is not None:
            form["q"] = page.hidden("q")
        form.update(fields)
        answer = self.b.post("/webmail/act", form, page)
        if not follow:
            return answer
        self.assertEqual(answer.status, 303, answer.body)
        return self.b.get(answer.header("Location"))

    def test_groups_filters_and_counters(self):
        self.put("old one", ago=40 * 86400, flags="S")
        self.put("yesterday's", ago=86400 - AGO)
        self.put("with a file", ago=-AGO, X_File="plan.pdf", flags="S")
        self.put("starred", ago=-AGO, flags="FS")
        page = self.list()
        self.assertEqual(subjects(page), [
            "starred", "with a file", "yesterday's", "old one"])
        titles = re.findall(r"<h2>([^<]+)</h2>\n<ul role", page.text)
        self.assertEqual(len(titles), 3, titles)
        self.assertEqual(titles[:2], ["Today", "Yesterday"])
        self.assertIn("1–4 of 4", page.text)
        self.assertIn("<b>1</b>", page.text)
        self.assertIn("Inbox (1)", page.text)
        for name, found in (("unread", ["yesterday's"]),
                            ("starred", ["starred"]),
                            ("files", ["with a file"])):
            self.assertEqual(
                subjects(self.list(f"m/inbox?filter={name}")), found)

    def test_pages_go_both_ways(self):
        for i in range(120):
            self.put(f"number {i}")
        page, seen = self.list(), []
        while True:
            seen += subjects(page)
            link = re.search(r'href="([^"]+)" rel="next"', page.text)
            if not link:
                break
            page = self.b.get(unescape(link.group(1)))
        self.assertEqual(seen, [f"number {i}" for i in range(119, -1, -1)])
        self.assertIn("101–120 of 120", page.text)
        for first in ("51–100", "1–50"):
            link = re.search(r'href="([^"]+)" rel="prev"', page.text)
            page = self.b.get(unescape(link.group(1)))
            self.assertIn(first, page.text)
        self.assertNotIn('rel="prev"', page.text)

    def test_talks_show_who_and_how_many(self):
        self.put("Plans", Message_ID="<q1@x>", flags="S",
                 sender="Ingrid Sol <ingrid@elsewhere.example>")
        self.put("Re: Plans", folder=".Sent", flags="S",
                 Message_ID="<q2@x>", References="<q1@x>",
                 sender=f"{self.user}@example.org")
        self.put("Re: Plans", Message_ID="<q3@x>", References="<q1@x> <q2@x>",
                 sender="Tomas Ri <tomas@elsewhere.example>")
        self.put("Else")
        page = self.list()
        self.assertEqual(subjects(page), ["Else", "Re: Plans"])
        self.assertIn("Ingrid, me, Tomas <i>3</i>", page.text)
        talk = rows(page)[1][0]
        page = self.act(page, do="archive", id=talk)
        self.assertEqual(subjects(page), ["Else"])
        self.assertIn("Archived.", page.text)
        self.assertEqual(len(list((self.box / ".Archive/cur").iterdir())), 2)
        self.assertEqual(len(list((self.box / ".Sent/cur").iterdir())), 1)

    def test_verbs_and_undo(self):
        for i in range(4):
            self.put(f"n{i}")
        page = self.list()
        ids = [row[0] for row in rows(page)]
        page = self.act(page, star=ids[0])
        self.assertIn('name="unstar"', page.text)
        page = self.act(page, do="read", id=ids[1])
        self.assertEqual([r[2] for r in rows(page)],
                         [True, False, True, True])
        page = self.act(page, unread=ids[1])
        self.assertTrue(rows(page)[1][2])
        page = self.act(page, do="junk", id=[ids[1], ids[2]])
        self.assertEqual(subjects(page), ["n3", "n0"])
        self.assertIn("Moved 2 to Junk.", page.text)
        undo = re.search(r'action="/webmail(/undo/[^"]+)"', page.text)
        undone = self.b.post("/webmail" + undo.group(1),
                             {"back": "/m/inbox"}, page)
        page = self.b.get(undone.header("Location"))
        self.assertIn("Undone.", page.text)
        self.assertEqual(subjects(page), ["n3", "n2", "n1", "n0"])
        again = self.b.post("/webmail" + undo.group(1),
                            {"back": "/m/inbox"}, page)
        self.assertIn("Too late", self.b.get(again.header("Location")).text)
        page = self.act(page, do="move:new", id=ids[3],
                        new_name="Work/Café")
        page = self.list("m/~Work.Caf%26AOk-")
        self.assertEqual(subjects(page), ["n0"])
        self.assertIn('title="Work/Café"', page.text)
        page = self.act(page, do="move:inbox", id=ids[3])
        self.assertEqual(len(rows(self.list())), 4)

    def test_what_is_deleted_for_good_is_asked_about(self):
        for i in range(3):
            self.put(f"n{i}", folder=".Trash", flags="S")
        page = self.list("m/trash")
        question = self.act(page, follow=False, do="delete", all="1")
        self.assertEqual(question.status, 200)
        self.assertIn("Delete 3 messages for good?", question.text)
        self.assertEqual(len(rows(self.list("m/trash"))), 3)
        page = self.act(page, do="delete", all="1", confirm="1")
        self.assertEqual(rows(page), [])
        self.assertIn("The trash is empty", page.text)
        self.assertEqual(list((self.box / ".Trash/cur").iterdir()), [])

    def test_a_long_change_is_a_job(self):
        for i in range(450):
            self.put(f"n{i}")
        # "all" is what the list knows; the first one may not have all yet
        page = wait_until(
            lambda: next((p for p in [self.list()]
                          if "being sorted in" not in p.text), None),
            30, "all in the index")
        answer = self.act(page, follow=False, do="read", all="1", id="x")
        self.assertIn("/jobs/", answer.header("Location"))

        def over():
            page = self.b.get(answer.header("Location"))
            return page if page.status == 303 else None

        done = wait_until(over, 30, "the job")
        page = self.b.get(done.header("Location"))
        self.assertIn("Marked 450 read.", page.text)
        self.assertEqual(subjects(self.list("m/inbox?filter=unread")), [])
        undo = re.search(r'action="/webmail(/undo/[^"]+)"', page.text)
        self.b.post("/webmail" + undo.group(1), {"back": "/m/inbox"}, page)
        self.assertIn("of 450", self.list("m/inbox?filter=unread").text)

    def test_search(self):
        self.put("Invoice for June", "Please pay promptly.", X_File="bill.pdf")
        self.put("Lunch", "Shall we meet at noon? Größe egal.",
                 sender="Zoë Nair <zoe@elsewhere.example>")
        self.put("Invoice in the trash", folder=".Trash", flags="S")
        self.put("Sent invoice", folder=".Sent", flags="S",
                 sender=f"{self.user}@example.org")
        self.list()
        for query, found in (
                ("invoice", {"Invoice for June", "Sent invoice"}),
                ("invoice in:anywhere", {"Invoice for June", "Sent invoice",
                                         "Invoice in the trash"}),
                ("in:trash", {"Invoice in the trash"}),
                ("from:zoe", {"Lunch"}),
                ('"meet at noon"', {"Lunch"}),
                ("grosse OR größe", {"Lunch"}),
                ("noon meet -promptly", {"Lunch"}),
                ("filename:bill has:attachment", {"Invoice for June"}),
                ("promptly -invoice", set()),
                ("invoice -from:bob", {"Sent invoice"}),
                ("(lunch OR june) is:unread", {"Invoice for June", "Lunch"}),
                ("is:unread (from:zoe OR has:files)",
                 {"Invoice for June", "Lunch"}),
                ("subject:invoice larger:1k", set()),
                ("newer_than:1d lunch", {"Lunch"}),
                ("older_than:1d lunch", set())):
            page = self.b.get("/webmail/search?q=" + quote(query))
            self.assertEqual(page.status, 200, page.body)
            self.assertEqual(set(subjects(page)), found, query)
        page = self.list("search?q=nosuchword+from%3Abob")
        self.assertIn("Search Junk and Trash too", page.text)
        self.assertEqual(len(re.findall(r'<a class="chip', page.text)), 2)
        self.assertIn('href="/webmail/search?q=nosuchword"', page.text)
        page = self.list("search?q=colour%3Ared")
        self.assertIn("looks like an operator", page.text)
        page = self.b.get("/webmail/search?f_from=zoe&f_words=lunch&f_to=")
        self.assertEqual(page.header("Location"),
                         "/webmail/search?q=lunch%20from%3A%22zoe%22")
        # the form goes on from what was looked for
        page = self.list("search?q=lunch+-zoe")
        self.assertIn('name="f_words" value="lunch -zoe"', page.text)
        page = self.list("search?q=lunch")
        page = self.act(page, do="trash", id=rows(page)[0][0])
        self.assertEqual(subjects(page), [])

    def test_hostile_queries(self):
        self.put("x", "some text")
        for query in ('"', "((((", "))))", "a OR", "OR", "-", "--a", "from:",
                      "NEAR(a b)", "a AND b NOT c", "{sender}: x", "x*",
                      "^x", "'; DROP TABLE messages", "\x01", "larger:99999g",
                      "after:2026-13-45", "on:0", "(" * 300, "a " * 600,
                      "-(-(-(x)))", 'a"b"c', "id:<x@y>", "label:", "in:"):
            page = self.b.get("/webmail/search?q=" + quote(query))
            self.assertEqual(page.status, 200, (query, page.body))

    def test_what_the_script_asks(self):
        self.put("one")
        page = self.list()
        modseq = re.search(r'data-modseq="(\d+)"', page.text).group(1)
        self.assertEqual(
            self.b.get(f"/webmail/poll?since={modseq}").status, 204)
        self.put("two")
        news = self.b.get(f"/webmail/poll?since={modseq}")
        self.assertIn('"unread":2', news.text)
        part = self.b.get("/webmail/m/inbox",
                          HTTP_X_PART="rows")
        self.assertEqual(subjects(part), ["two", "one"])
        self.assertNotIn("<html", part.text)
        page = self.list()
        again = self.b.get("/webmail/m/inbox", **{
            "HTTP_IF_NONE_MATCH": page.header("ETag")})
        self.assertEqual((again.status, again.body), (304, b""))
        self.put("three")
        again = self.b.get("/webmail/m/inbox", **{
            "HTTP_IF_NONE_MATCH": page.header("ETag")})
        self.assertEqual(again.status, 200)

    def test_others_change_the_mailbox(self):
        name = self.put("one")
        self.put("two")
        page = self.list()
        one = rows(page)[1][0]
        (self.box / "new" / name).rename(self.box / "cur" / f"{name}:2,S")
        self.assertEqual([r[2] for r in rows(self.list())], [True, False])
        (self.box / "cur" / f"{name}:2,S").unlink()
        page = self.act(page, do="archive", id=one)
        self.assertIn("Nothing was changed", page.text)
        self.assertEqual(subjects(page), ["two"])

    def test_the_index_may_go(self):
        self.put("one")
        before = rows(self.list())
        cache = self.s.state / "cache/index/example.org"
        for file in cache.glob(f"{self.user}.db*"):
            file.unlink()
        self.assertEqual(rows(self.list()), before)
        file = cache / f"{self.user}.db"
        file.write_bytes(b"rubbish" * 1000)
        self.assertEqual(rows(self.list()), before)

    def test_a_damaged_index_shows_no_error(self):
        """Whichever page is hit: the first answer is right already."""
        name = self.put("one")
        path = self.s.state / f"cache/index/example.org/{self.user}.db"
        one = rows(self.list())[0][0]
        for uri in ("m/inbox", "search?q=one", f"v/{one}", f"c/{one}"):
            self.list()
            # past the header and the schema, in every page there is
            with closing(sqlite3.connect(path)) as db:
                db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            with path.open("r+b") as f:
                size = f.seek(0, 2)
                f.seek(4096)
                f.write(b"\xa5" * (size - 4096))
            page = self.b.get(f"/webmail/{uri}")
            self.assertEqual(page.status, 200, (uri, page.body))
            self.assertIn("one", page.text)
        self.assertTrue(any(x.name.startswith(name) for x in
                            self.box.glob("*/*")))

    def test_without_a_cache_the_newest_mail_is_shown(self):
        """As with a full disk: nothing can be kept, everything is shown."""
        cache = self.s.state / "cache/index/example.org"
        away = cache.with_name("away")
        cache.rename(away)
        cache.write_text("no folder")
        try:
            self.put("one")
            page = self.list()
            self.assertEqual(subjects(page), ["one"])
            self.put("two")
            page = self.list()
            self.assertEqual(subjects(page), ["two", "one"])
            self.act(page, do="star", id=rows(page)[0][0])
            shown = self.b.get(f"/webmail/v/{rows(page)[1][0]}")
            self.assertEqual(shown.status, 200)
            found = self.b.get("/webmail/search?q=two")
            self.assertEqual(subjects(found), ["two"])
        finally:
            cache.unlink()
            away.rename(cache)
        self.assertEqual(subjects(self.list()), ["two", "one"])

    def test_K13_dates_and_message_ids(self):
        """The order is that of arrival, whatever a message says itself."""
        dates = ("Fri, 31 Dec 9999 23:59:59 +0000", "Thu, 1 Jan 1970 00:00:00 "
                 "-0000", "Mon, 32 Foo 99999999999 99:99:99 +9999", "x",
                 "Fri, 1 Jan 0001 00:00:00 -2400", "9" * 5000)
        ids = ("<same@x>", "<same@x>", "", "<script>alert(1)</script>",
               "<" + "m" * 10000 + "@x>", "<\"><img src=x>@x>")
        for i, (date, name) in enumerate(zip(dates, ids)):
            self.put(f"number {i}", Date=date, Message_ID=name)
        page = self.list()
        self.assertEqual(set(subjects(page)) | {"number 0"},
                         {f"number {i}" for i in range(6)})
        self.assertEqual(subjects(page), sorted(subjects(page), reverse=True))
        for row in rows(page):
            talk = self.b.get(f"/webmail/v/{row[0]}")
            self.assertEqual(talk.status, 200)
            for bad in ("<script>alert", "<img src=x"):
                self.assertNotIn(bad, talk.text)

    def test_K15_references_in_circles(self):
        many = " ".join(f"<r{i}@x>" for i in range(20000))
        self.put("itself", Message_ID="<a@x>", References="<a@x>")
        self.put("first", Message_ID="<b@x>", References="<c@x>")
        self.put("second", Message_ID="<c@x>", References="<b@x>")
        self.put("many", Message_ID="<d@x>", References=many)
        page = self.list()
        self.assertEqual(subjects(page), ["many", "second", "itself"])
        for row in rows(page):
            self.assertEqual(self.b.get(f"/webmail/c/{row[0]}").status, 200)

    def test_L13_what_is_typed_is_shown_as_text(self):
        evil = '"><img src=x onerror=alert(1)>'
        page = self.b.get("/webmail/folders")
        self.b.post("/webmail/folders", {"do": "create", "name": evil}, page)
        self.put(evil, sender=f'"\\"><img src=x onerror=alert(1)>" <{"e"}@x.y>')
        for where in ("m/inbox", "folders", "search?q=" + quote(evil),
                      "search?q=from:" + quote(evil), "m/" + quote(evil, ""),
                      "m/inbox?filter=" + quote(evil), quote(evil),
                      "m/inbox?after=" + quote(evil), "c/" + quote(evil),
                      "login?back=" + quote(evil)):
            page = self.b.get("/webmail/" + where)
            self.assertLess(page.status, 500, where)
            self.assertNotIn("<img", page.text, where)

    def test_help(self):
        page = self.list("help/search")
        self.assertIn("<code>older_than:1y</code>", page.text)
        self.assertNotIn("help.", page.text)

    def test_deleting_makes_room(self):
        user = f"{self.user}@example.org"
        for i in range(5):
            self.put(f"n{i}", folder=".Trash", flags="S")
        self.s.cli("user", "set", user, "quota_messages=5")
        page = self.list("m/trash")
        self.act(page, delete=rows(page)[0][0], confirm="1")
        shown = self.s.json("user", "show", user)
        self.assertEqual(shown["used_messages"], 4)

    def test_wrong_requests(self):
        page = self.list()
        self.assertEqual(self.b.get("/webmail/m/nosuch").status, 404)
        self.assertEqual(self.b.get("/webmail/m/~..").status, 404)
        self.assertEqual(self.b.get("/webmail/m/~No").status, 404)
        self.assertEqual(self.b.get("/webmail/v/nosuch").status, 404)
        self.assertEqual(self.b.get("/webmail/jobs/x").status, 404)
        for do in ("", "move:", "move:~", "move:../x", "label:9", "fly"):
            shown = self.act(page, do=do, id="0000000000001")
            self.assertIn("Nothing was changed", shown.text)
        away = self.act(page, follow=False, do="read", id="x",
                        back="https://evil.example/")
        self.assertTrue(away.header("Location").startswith("/webmail/"))
        bare = self.b.post("/webmail/act", {"do": "archive"}, None)
        self.assertEqual(bare.status, 403)


if __name__ == "__main__":
    unittest.main()
