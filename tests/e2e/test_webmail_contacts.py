"""The address book: people, groups, files in and out, completion."""

import csv
import io
import re
import sqlite3
import sys
import time
import unittest
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote

sys.path.insert(0, str(Path(__file__).resolve().parent))
from lib.fastcgi import Browser  # noqa: E402
from lib.server import PASSWORD, ServerTest  # noqa: E402

CANARY = '"><img src=x onerror=alert(1)>'


def options(page):
    return [unescape(v) for v in re.findall(r'value="([^"]*)"', page.text)]


class Fields(HTMLParser):
    """What a browser would post of the form to `action`."""

    def __init__(self, page, action):
        super().__init__()
        self.action, self.inside, self.fields = action, False, []
        self.area = self.select = None
        self.feed(page.text)

    def handle_starttag(self, tag, attrs):
        a = dict(attrs)
        if tag == "form":
            self.inside = a.get("action") == self.action
        if not self.inside:
            return
        if tag == "input" and (a.get("type") != "checkbox" or "checked" in a):
            self.fields.append((a["name"], a.get("value", "")))
        if tag == "textarea":
            self.area = a["name"]
            self.fields.append((self.area, ""))
        if tag == "select":
            self.fields.append((a["name"], ""))
        if tag == "option" and "selected" in a:
            self.fields[-1] = (self.fields[-1][0], a["value"])

    def handle_data(self, data):
        if self.area and self.inside:
            name, value = self.fields[-1]
            self.fields[-1] = (name, value + data)

    def handle_endtag(self, tag):
        if tag == "textarea":
            self.area = None


class Contacts(ServerTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.n = 0

    def setUp(self):
        """A new user for each test."""
        type(self).n += 1
        self.user = f"user{self.n}@example.org"
        self.s.user(self.user)
        self.b = self.sign_in(self.user)

    def sign_in(self, user):
        b = Browser(self.s.state / "run/web/webmail.sock")
        return b.sign_in(user, PASSWORD)

    def post(self, url, fields, page=None):
        """`fields` may repeat names."""
        from urllib.parse import urlencode
        page = page or self.b.get("/webmail/contacts")
        fields = [(k, v) for k, v in fields if k != "csrf"]
        fields.append(("csrf", page.hidden("csrf")))
        return self.b.ask(
            "POST", url, urlencode(fields).encode(),
            CONTENT_TYPE="application/x-www-form-urlencoded")

    def add(self, name, *addresses, groups=(), **more):
        answer = self.post("/webmail/contacts/new", [("name", name)] + [
            pair for a in addresses for pair in (("address", a),
                                                 ("kind", "work"))] + [
            ("groups", "1")] + [("group", g) for g in groups] +
            list(more.items()))
        self.assertEqual(answer.status, 303, answer.text)
        return self.id_of(name)

    def id_of(self, name):
        page = self.b.get("/webmail/contacts?q=" + quote(name))
        found = re.search(r'/contacts/(\d+)"><b>%s<' %
                          re.escape(name.replace("&", "&amp;")), page.text)
        return int(found.group(1)) if found else None

    def upload(self, text):
        page = self.b.get("/webmail/contacts/import")
        data = text if isinstance(text, bytes) else text.encode()
        body = b"".join(
            b"--xyz\r\nContent-Disposition: form-data; " + head +
            b"\r\n\r\n" + value + b"\r\n" for head, value in (
                (b'name="csrf"', page.hidden("csrf").encode()),
                (b'name="file"; filename="a"', data))) + b"--xyz--\r\n"
        return self.b.ask("POST", "/webmail/contacts/import", body,
                          CONTENT_TYPE="multipart/form-data; boundary=xyz")

    def report(self, page):
        self.assertEqual(page.status, 200, page.text)
        return tuple(int(n) for n in re.search(
            r"(\d+) added, (\d+) completed, (\d+) left out",
            page.text).groups())

    def test_a_contact(self):
        number = self.add("Ann Öberg", "ann@a.example", "ann@b.example",
                          company="Söner & Co", phones="+46 1\n+46 2",
                          note="line\nline", groups=["Friends", "Choir"])
        url = f"/webmail/contacts/{number}"
        page = self.b.get(url)
        fields = Fields(page, url).fields
        for pair in (("name", "Ann Öberg"), ("company", "Söner & Co"),
                     ("address", "ann@b.example"), ("kind", "work"),
                     ("note", "line\nline"), ("group", "Friends")):
            self.assertIn(pair, fields)
        # sent as it is, nothing changes
        self.assertEqual(self.post(url, fields, page).status, 303)
        self.assertEqual(Fields(self.b.get(url), url).fields[1:],
                         fields[1:])
        # what a form does not show stays
        self.post(url, [("name", "Ann Berg")])
        fields = Fields(self.b.get(url), url).fields
        self.assertIn(("name", "Ann Berg"), fields)
        self.assertIn(("address", "ann@a.example"), fields)
        self.assertIn(("group", "Choir"), fields)
        for bad in ([("address", "no address")], [("address", "a@b c")]):
            answer = self.post(url, bad + [("kind", "")])
            self.assertEqual(answer.status, 422)
            self.assertIn('role="alert"', answer.text)
        self.assertEqual(self.post("/webmail/contacts/new",
                                   [("name", " ")]).status, 422)
        self.assertEqual(self.post(url, [("do", "delete")]).status, 303)
        self.assertEqual(self.b.get(url).status, 404)
        self.assertNotIn("Ann Berg", self.b.get("/webmail/contacts").text)

    def test_groups(self):
        self.add("One", "one@a.example", groups=["Team"])
        self.add("Two", "two@a.example", groups=["team"])
        self.add("Three", "three@a.example")
        page = self.b.get("/webmail/contacts")
        group = re.search(r'\?g=(\d+)"[^>]*>.*?Team', page.text).group(1)
        page = self.b.get(f"/webmail/contacts?g={group}")
        self.assertIn(">One<", page.text)
        self.assertIn(">Two<", page.text)
        self.assertNotIn(">Three<", page.text)
        url = "/webmail/contacts/groups"
        self.assertIn("group_there", self.post(
            url, [("do", "add"), ("name", "TEAM")]).header("Location"))
        self.post(url, [("do", "rename"), ("id", group), ("name", "Crew")])
        self.assertEqual(options(self.b.get("/webmail/complete?q=cre")),
                         ["one@a.example, two@a.example"])
        self.post(url, [("do", "delete"), ("id", group)])
        page = self.b.get("/webmail/contacts")
        self.assertNotIn("Crew", page.text)
        self.assertIn(">One<", page.text)

    def test_pages_of_a_long_list(self):
        self.upload("Name,E-mail\n" + "".join(
            f"Person {i:03},p{i}@a.example\n" for i in range(230)))
        seen, url = [], "/webmail/contacts"
        while url:
            page = self.b.get(url)
            seen += re.findall(r"<b>(Person \d+)</b>", page.text)
            found = re.search(r'rel="next" href="([^"]+)"', page.text)
            url = unescape(found.group(1)) if found else None
        self.assertEqual(seen, [f"Person {i:03}" for i in range(230)])

    def test_vcard_in_and_out(self):
        cards = "BEGIN:VCARD\r\nVERSION:3.0\r\nN:Solheim;Ingrid;;;\r\n" \
            "FN:Ingrid Solheim\r\nORG:City Library;Events\r\n" \
            "item1.EMAIL;TYPE=INTERNET,WORK:ingrid@lib.example\r\n" \
            "EMAIL;type=HOME:ingrid@home.ex\r\n ample\r\n" \
            "TEL;TYPE=cell:+47 1\r\nNOTE:a\\, b\\nc\\;d\r\n" \
            "CATEGORIES:Books,Friends\\, old\r\nBDAY:1970-01-01\r\n" \
            "X-SOCIAL;TYPE=\"a:b\":https://x.example/?a\\,b\r\n" \
            "END:VCARD\r\n" \
            "BEGIN:VCARD\nVERSION:4.0\nUID:urn:uuid:1\n" \
            "N:Müller;Jörg\nEMAIL:j@m.example\nEND:VCARD\n" \
            "BEGIN:VCARD\nVERSION:4.0\nKIND:group\nFN:Group\nEND:VCARD\n" \
            "BEGIN:VCARD\nVERSION:2.1\nFN:Old\nEND:VCARD\n" \
            "BEGIN:VCARD\nVERSION:4.0\nFN:\nEND:VCARD\n"
        page = self.upload(cards)
        self.assertEqual(self.report(page), (2, 0, 3))
        self.assertIn("Line 21:", page.text)
        number = self.id_of("Ingrid Solheim")
        url = f"/webmail/contacts/{number}"
        fields = Fields(self.b.get(url), url).fields
        for pair in (("company", "City Library, Events"), ("kind", "home"),
                     ("address", "ingrid@home.example"),
                     ("phones", "+47 1\n"), ("note", "a, b\nc;d"),
                     ("group", "Friends, old")):
            self.assertIn(pair, fields)
        self.assertIsNotNone(self.id_of("Jörg Müller"))
        out = self.b.get("/webmail/contacts/export.vcf")
        self.assertIn("attachment", out.header("Content-Disposition"))
        self.assertIn("octet-stream", out.header("Content-Type"))
        lines = out.text.replace("\r\n ", "").split("\r\n")
        for line in ("FN:Ingrid Solheim", "NOTE:a\\, b\\nc\\;d",
                     "BDAY:1970-01-01", "UID:urn:uuid:1", "TEL:+47 1",
                     "EMAIL;TYPE=home:ingrid@home.example",
                     "CATEGORIES:Friends\\, old",
                     'X-SOCIAL;TYPE="a:b":https://x.example/?a\\,b'):
            self.assertIn(line, lines)
        self.assertTrue(all(len(x) <= 75 for x in out.body.split(b"\r\n")))
        # nobody is there twice, and a second trip changes nothing
        self.assertEqual(self.report(self.upload(out.body)), (0, 2, 0))
        again = self.b.get("/webmail/contacts/export.vcf")
        self.assertEqual(again.body, out.body)
        other = self.sign_in(self.user)
        self.assertEqual(other.get("/webmail/contacts/export.vcf").body,
                         out.body)

    def test_csv_in_and_out(self):
        google = "First Name,Last Name,Organization Name,Labels," \
            "E-mail 1 - Label,E-mail 1 - Value,Phone 1 - Value,Notes\n" \
            '"Pia","O""Neill",ACME,Team ::: * myContacts,* Work,' \
            'pia@a.example,+1,"two\nlines"\n' \
            "=cmd|x,,,,,evil@a.example,,\n,,,,,,,\n"
        self.assertEqual(self.report(self.upload("\ufeff" + google)),
                         (2, 0, 0))
        outlook = "Name;E-mail Address;E-mail 2 Address;Business Phone\r\n" \
            'Pia O"Neill;pia@a.example;pia@b.example;+2\r\n' \
            "Kim;kim@a.example;;\r\n"
        self.assertEqual(self.report(self.upload(outlook)), (1, 1, 0))
        out = self.b.get("/webmail/contacts/export.csv")
        rows = {r["Name"]: r for r in
                csv.DictReader(io.StringIO(out.text, newline=""))}
        pia = rows['Pia O"Neill']
        self.assertEqual(pia["E-mail 2"], "pia@b.example")
        self.assertEqual((pia["Company"], pia["Phone"], pia["Notes"],
                          pia["Groups"]), ("ACME", "+1", "two\nlines",
                                           "Team"))
        # nothing is lost without a word
        self.assertEqual(self.report(self.upload(
            'Name,Mail\n"Lee,lee@a.example\n')), (0, 0, 1))
        # L15: nothing a spreadsheet would run
        self.assertIn("'=cmd|x", rows)
        self.assertEqual(self.report(self.upload(out.body)), (0, 3, 0))
        self.assertEqual(
            self.b.get("/webmail/contacts/export.csv").body, out.body)

    def test_bad_files(self):
        for data in (b"", b"\xff\xfe\x00", b"Name\n\xe4\n",
                     b"x" * (4 * 1024 * 1024 + 1)):
            self.assertIn(self.upload(data).status, (413, 422))
        self.assertEqual(self.report(self.upload("x,y\n1,2\n")), (0, 0, 1))
        self.assertEqual(
            self.report(self.upload("BEGIN:VCARD\nVERSION:4.0")), (0, 0, 1))

    def test_completion(self):
        self.add('Ann "A" Berg', "ann@a.example", "ann@work.example")
        self.add("Bea", "bea@a.example")
        self.add("Carl Annson", "carl@a.example")
        now = int(time.time() * 1000)
        path = self.s.state / "users/example.org" / (
            self.user.split("@")[0] + ".db")
        with sqlite3.connect(path) as db:
            db.executemany(
                "INSERT INTO collected VALUES (?, ?, ?, ?)",
                [("annika@far.example", "", 50, now - 400 * 86400000),
                 ("anne@near.example", "Anne", 5, now - 1000),
                 ("bea@a.example", "B", 9, now), ("x%y@a.example", "", 1, 1)])
        self.assertEqual(options(self.b.get("/webmail/complete?q=an")), [
            '"Anne" <anne@near.example>', "annika@far.example",
            '"Ann A Berg" <ann@a.example>', '"Ann A Berg" <ann@work.example>',
            '"Carl Annson" <carl@a.example>'])
        self.assertEqual(options(self.b.get("/webmail/complete?q=BEA")),
                         ['"Bea" <bea@a.example>'])
        self.assertEqual(options(self.b.get("/webmail/complete?q=%25")),
                         ["x%y@a.example"])
        self.assertEqual(options(self.b.get("/webmail/complete?q=")), [])
        for i in range(20):
            self.add(f"Zoe {i}", f"zoe{i}@a.example")
        self.assertEqual(
            len(options(self.b.get("/webmail/complete?q=zoe"))), 10)

    def test_L13_L15_canaries(self):
        self.upload(f"BEGIN:VCARD\nVERSION:4.0\nFN:{CANARY}\nORG:{CANARY}\n"
                    f"EMAIL:a{CANARY}@b.example\nNOTE:{CANARY}\n"
                    f"TEL:{CANARY}\nCATEGORIES:{CANARY}\nEND:VCARD\n")
        page = self.b.get("/webmail/contacts")
        link = re.search(r'class="go" href="([^"]+)"', page.text).group(1)
        for url in ("/webmail/contacts", link, "/webmail/complete?q=a",
                    "/webmail/contacts?q=" + quote(CANARY),
                    "/webmail/contacts/new?name=%s&address=%s" % (
                        quote(CANARY), quote(CANARY))):
            page = self.b.get(url)
            self.assertEqual(page.status, 200, url)
            self.assertNotIn("<img", page.text, url)
            self.assertIn("&lt;img", page.text, url)

    def test_M01_M07_others(self):
        number = self.add("Mine", "mine@a.example")
        type(self).n += 1
        self.s.user(f"user{self.n}@example.org")
        other = self.sign_in(f"user{self.n}@example.org")
        url = f"/webmail/contacts/{number}"
        self.assertEqual(other.get(url).status, 404)
        page = other.get("/webmail/contacts")
        self.assertEqual(other.post(url, {"name": "x"}, page).status, 404)
        self.assertEqual(options(other.get("/webmail/complete?q=min")), [])
        for path in (url, "/webmail/contacts/new",
                     "/webmail/contacts/groups", "/webmail/contacts/import"):
            self.assertEqual(
                self.b.post(path, {"name": "x", "do": "delete"}).status, 403)
        self.assertEqual(self.b.get(url).status, 200)


if __name__ == "__main__":
    unittest.main()
