"""Reading in webmail: texts, HTML in its frame, pictures, files, source."""

import email
import gzip
import io
import re
import socket
import sys
import time
import unittest
import zipfile
from email import policy
from email.message import EmailMessage
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent),
                str(Path(__file__).resolve().parents[1] / "xss")]
from lib.fastcgi import Browser, Letter  # noqa: E402
from lib.server import PASSWORD, ServerTest, wait_until  # noqa: E402
from vectors import seeds  # noqa: E402

PNG = bytes.fromhex("89504e470d0a1a0a0000000d49484452000000010000000108060000"
                    "001f15c4890000000d4944415478da63fcffff3f0300050001ff5a"
                    "b7d2a50000000049454e44ae426082")
CANARY = '"><img src=x onerror=alert(1)>'


class Tags(HTMLParser):
    """Every tag of a page, and the texts between."""

    def __init__(self, page):
        super().__init__()
        self.tags = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def named(self, name):
        return [a for t, a in self.tags if t == name]


# what may stand in a message's frame
FRAME = set("""a abbr b big blockquote br caption center cite code col colgroup dd del
    details dfn div dl dt em font h1 h2 h3 h4 h5 h6 head hr i img ins kbd li
    mark ol p pre q s samp small span strike strong sub summary sup table
    tbody td tfoot th thead tr tt u ul var""".split())


class Reading(ServerTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.s.user("ann@example.org")
        cls.s.user("bob@example.org")
        cls.ann = cls.sign_in("ann@example.org")
        cls.count, cls.start = 0, int(time.time()) - 10000

    @classmethod
    def sign_in(cls, user):
        b = Browser(cls.s.state / "run/web/webmail.sock")
        return b.sign_in(user, PASSWORD)

    def put(self, raw, folder="", flags=None):
        """A message into a folder, as a delivery would."""
        if isinstance(raw, EmailMessage):
            if "From" not in raw:
                raw["From"] = "Stranger <stranger@else.example>"
            raw["To"] = "ann@example.org"
            raw = raw.as_bytes()
        type(self).count += 1
        name = f"{self.start + self.count}.{self.count}.test"
        box = self.s.state / "mail/example.org/ann" / folder
        for part in ("new", "cur", "tmp"):
            (box / part).mkdir(parents=True, exist_ok=True)
        (box / "tmp" / name).write_bytes(raw)
        (box / "tmp" / name).rename(
            box / ("new" if flags is None else "cur") /
            (name if flags is None else f"{name}:2,{flags}"))

    def newest(self, folder="inbox"):
        page = self.ann.get(f"/webmail/m/{folder}")
        found = re.search(r'class="go" href="([^"]+)"', page.text)
        return re.sub(r"/c/|\?.*", lambda m: "/v/" if m.group() == "/c/"
                      else "", unescape(found.group(1)))

    def deliver(self, raw):
        """The URL of a message that has just come."""
        self.put(raw)
        return self.newest()

    @staticmethod
    def of(link, what, ids=None):
        return f"{link}?{what}=" + (ids or link).rsplit("/", 1)[1]

    def frame(self, page):
        url = Tags(page.text).named("iframe")[0]["src"]
        return url, self.ann.get(url)

    EVENT = """BEGIN:VCALENDAR
METHOD:{method}
BEGIN:VTIMEZONE
TZID:Office Time
BEGIN:STANDARD
DTSTART:16010101T030000
END:STANDARD
END:VTIMEZONE
BEGIN:VEVENT
SUMMARY:Autumn reading\\, night{evil}
{when}
LOCATION:Long room{evil}
ORGANIZER;CN="Ingrid: Solheim{quoted}":mailto:ingrid@library.example
ATTENDEE;PARTSTAT={state};CN=Ann Other{quoted}:MAILTO:ann@example.org
{more}
BEGIN:VALARM
SUMMARY:not this
END:VALARM
END:VEVENT
END:VCALENDAR
"""

    def invite(self, method, when, state="NEEDS-ACTION", more="X-A:b",
               text="Come!", evil=""):
        """The page of a message with an invitation, without tags."""
        event = self.EVENT.format(
            method=method, when=when, state=state, more=more, evil=evil,
            quoted=evil.replace('"', "'"))
        m = EmailMessage()
        m["Subject"] = "event"
        if text:
            m.set_content(text)
            m.add_alternative(event, subtype="calendar",
                              params={"method": method})
        else:
            m.set_content(event, subtype="calendar", cte="8bit")
        page = self.ann.get(self.deliver(m)).text
        self.assertNotIn("not this", page)
        section = page.partition('<section class="invite"')[2].partition(
            "</section>")[0]
        return " ".join(unescape(re.sub("<[^>]*>", "", section)).split())

    def test_invitations_in_words(self):
        year = time.gmtime().tm_year + 1
        self.zone("Europe/Oslo")
        self.addCleanup(self.zone, "")
        oslo = f"DTSTART;TZID=Europe/Oslo:{year}0110T183000\n"
        text = self.invite("REQUEST", oslo + f"DTEND:{year}0110T200000Z",
                           more="ATTENDEE:mailto:bob@example.org\n"
                           "RRULE:FREQ=WEEKLY;COUNT=3")
        self.assertRegex(text, f" 10 Jan {year}, 18:30 – 21:00 · every week ")
        for words in ("Invitation", "Autumn reading, night", "Long room",
                      "Planned by Ingrid: Solheim",
                      "Invited: Ann Other, bob@example.org"):
            self.assertIn(words, text)
        text = self.invite("REQUEST", f"DTSTART:{year}0710T160000Z\n"
                           "DURATION:P1DT1H", more="SEQUENCE:1")
        self.assertRegex(text, f"Changed invitation .* 10 Jul {year}, 18:00 – "
                         f"[A-Z][a-z]+ 11 Jul {year}, 19:00 ")
        text = self.invite("REQUEST", "DTSTART;TZID=Office Time:"
                           f"{year}0110T090000")
        self.assertIn(f" 10 Jan {year}, 09:00 · time zone: Office Time", text)
        text = self.invite("PUBLISH", f"DTSTART;VALUE=DATE:{year}0110\n"
                           f"DTEND;VALUE=DATE:{year}0112", text="")
        self.assertIn(f"10 Jan {year} – 11 Jan {year} · all day", text)
        text = self.invite("CANCEL", oslo)
        self.assertIn("Cancelled", text)
        text = self.invite("REPLY", oslo, state="DECLINED",
                           more="COMMENT:Ill\\nag\n ain")
        self.assertIn("Ann Other declines", text)
        self.assertIn("Ill again", text)
        self.assertNotIn("Invited", text)
        self.assertIn("18:30", self.invite("REQUEST", oslo, text=""))

    def test_the_list_shows_words(self):
        """Not what calendars look like; that is found all the same."""
        self.invite("REQUEST", "DTSTART:20261120T173000Z", text="Come!")
        rows = self.ann.get("/webmail/m/inbox").text
        self.assertIn("Come!", rows)
        self.assertNotIn("VCALENDAR", rows)
        found = self.ann.get("/webmail/search?q=%22Long+room%22").text
        self.assertIn('class="go"', found)

    def test_L15_invitations_are_text(self):
        text = self.invite("REQUEST", "DTSTART:20260110T090000Z", evil=CANARY)
        self.assertEqual(text.count("<img src=x onerror=alert(1)>"), 4)
        for when in ("DTSTART:99999999T999999Z", "DTSTART:", "DTSTART",
                     "DURATION:-P99999999999W", "DTEND:20260110"):
            self.assertIn("Autumn", self.invite("REQUEST", when))
        people = "\n".join(f"ATTENDEE:mailto:a{i}@x.example"
                           for i in range(5000))
        text = self.invite("REQUEST", "DTSTART:20260110T090000Z", more=people)
        self.assertIn("a48@x.example, …", text)

    def zone(self, name):
        page = self.ann.get("/webmail/settings/look")
        fields = {"zone": name}
        page = self.ann.post("/webmail/settings/look", fields, page)
        self.assertEqual(page.status, 303, page.text)

    def test_text(self):
        m = EmailMessage()
        m["Subject"] = "plain"
        quote = "".join(f"> line {i}\n" for i in range(12))
        m.set_content(f"Hello\nthere\n\nhttps://example.org/?a=1&b=2\n{quote}"
                      "> > deep\n\n> short\n-- \nAnn <x>\n")
        page = self.ann.get(self.deliver(m))
        self.assertEqual(page.status, 200)
        text = page.text
        self.assertIn("<p>Hello<br>\nthere</p>", text)
        self.assertIn('href="https://example.org/?a=1&amp;b=2"', text)
        self.assertRegex(text, r'<details class="quoted"><summary>Quoted text, '
                         r'13 lines</summary><blockquote><p>line 0')
        self.assertIn("<blockquote><p>deep", text)
        self.assertIn("</details>\n<blockquote><p>short", text)
        self.assertRegex(text, r'<div class="sig"><p>--\s*<br>\s*Ann &lt;x')
        self.assertEqual(text.count("<blockquote>"),
                         text.count("</blockquote>"))
        # a paragraph of flowed text is as long as it looks
        self.put("Content-Type: text/plain; charset=utf-8; format=flowed\n\n"
                 .encode() + b"> words \n" * 150 + b">\n> end\n")
        self.assertIn("<summary>Quoted text, 9 lines</summary>",
                      self.ann.get(self.newest()).text)

    def test_flowed_and_charset(self):
        raw = "Subject: =?koi8-r?B?8NLJ18XU?=\n" \
            "Content-Type: text/plain; charset=koi8-r; format=flowed\n" \
            "Content-Transfer-Encoding: 8bit\n\nПривет \nмир\n"
        page = self.ann.get(self.deliver(raw.encode("koi8-r")))
        self.assertIn('<h1 dir="auto">Привет</h1>', page.text)
        self.assertIn("<p>Привет мир</p>", page.text)

    def asking(self, subject="Caf\u00e9", path="<bob@example.org>", **more):
        """The URL of a message that asks for a receipt."""
        m = EmailMessage()
        if path is not None:
            m["Return-Path"] = path
        m["Subject"] = subject
        m["Message-ID"] = "<asked@else.example>"
        m["From"] = "Bob <bob@example.org>"
        m["Disposition-Notification-To"] = "Bob <bob@example.org>"
        for name, value in more.items():
            m[name.replace("_", "-")] = value
        m.set_content("please")
        return self.deliver(m)

    def receipts(self):
        """What came to bob, parsed."""
        return [email.message_from_bytes(m, policy=policy.default)
                for m in self.s.messages("bob@example.org")]

    def test_answer_a_receipt(self):
        """RFC 8098: as the reader says, once."""
        ask = "bob@example.org asks for a receipt."
        link = self.asking()
        page = self.ann.get(link)
        self.assertIn(ask, page.text)
        self.assertNotIn("not where the message came from", page.text)
        self.assertNotIn(ask, self.ann.get(link + "/print").text)
        self.assertEqual(self.receipts(), [])
        answer = self.ann.post(link + "/receipt",
                               {"do": "send", "back": "/m/inbox?x=1"}, page)
        self.assertEqual(answer.header("Location"),
                         "/webmail/m/inbox?x=1&flash=receipt-sent")
        self.assertIn("The receipt was sent.", self.ann.follow(answer).text)
        self.assertNotIn(ask, self.ann.get(link).text)
        again = self.ann.post(link + "/receipt", {"do": "send"}, page)
        self.assertIn("flash=receipt-decided", again.header("Location"))
        wait_until(self.receipts, 10, "the receipt")
        m, = self.receipts()
        self.assertEqual(m["Return-Path"], "<>")
        self.assertEqual(m["From"].addresses[0].addr_spec, "ann@example.org")
        self.assertEqual(m["To"], "bob@example.org")
        self.assertEqual(m["Subject"], "Read: Caf\u00e9")
        self.assertEqual(m["In-Reply-To"], "<asked@else.example>")
        self.assertEqual(m["Auto-Submitted"], "auto-replied")
        self.assertEqual(m.get_content_type(), "multipart/report")
        self.assertEqual(m.get_param("report-type"),
                         "disposition-notification")
        words, report = m.iter_parts()
        self.assertIn("Subject: Caf\u00e9", words.get_content())
        self.assertEqual(report.get_content_type(),
                         "message/disposition-notification")
        fields = dict(line.split(": ", 1) for line in
                      report.as_string().split("\n\n")[1].splitlines())
        self.assertEqual(fields, {
            "Final-Recipient": "rfc822; ann@example.org",
            "Original-Message-ID": "<asked@else.example>",
            "Disposition": "manual-action/MDN-sent-manually; displayed"})
        self.assertFalse(m.defects or words.defects or report.defects)
        bob = self.sign_in("bob@example.org")
        page = bob.get("/webmail/m/inbox").text
        page = bob.get(re.search(r'class="go" href="([^"]+)"', page).group(1))
        self.assertIn("Your message to ann@example.org was displayed",
                      page.text)
        self.assertRegex(page.text, r'dir="auto">Receipt</a>')
        self.assertNotIn("asks for a receipt", page.text)
        # other programs see it, and it goes where the message goes
        keywords = self.s.mailbox("ann@example.org") / "dovecot-keywords"
        self.assertIn("$MDNSent", keywords.read_text())
        # no: nothing is sent, and it is not asked again
        link = self.asking("second")
        page = self.ann.get(link)
        answer = self.ann.post(link + "/receipt", {"do": "decline"}, page)
        self.assertIn("flash=receipt-declined", answer.header("Location"))
        self.assertNotIn(ask, self.ann.get(link).text)
        self.assertEqual(len(self.receipts()), 1)

    def test_no_receipt(self):
        """For nobody who must not get one; and a warning for elsewhere."""
        ask = "asks for a receipt"
        for more in ({"path": "<>"}, {"List_Id": "<a.list>"},
                     {"Precedence": "bulk"}, {"List_Unsubscribe": "<a:b>"},
                     {"Disposition_Notification_Options":
                      "x=required,y"}):
            link = self.asking(**more)
            page = self.ann.get(link)
            self.assertNotIn(ask, page.text, more)
            answer = self.ann.post(link + "/receipt", {"do": "send"}, page)
            self.assertIn("receipt-decided", answer.header("Location"), more)
        for path in ("<bounce@elsewhere.example>", None):
            page = self.ann.get(self.asking(path=path))
            self.assertIn("not where the message came from", page.text)
        self.put(b"Disposition-Notification-To: bob@example.org\n"
                 b"Return-Path: <bob@example.org>\nContent-Type: "
                 b"multipart/report; boundary=b\n\n--b\n\nx\n--b--\n")
        self.assertNotIn(ask, self.ann.get(self.newest()).text)
        link = self.asking("junk")
        page = self.ann.get(link)
        self.ann.post("/webmail/act", {"junk": link.rsplit("/", 1)[1]}, page)
        self.assertNotIn(ask, self.ann.get(link).text)
        page = self.ann.get("/webmail/settings/reading")
        self.ann.post("/webmail/settings/reading", {"receipts": "never"},
                      page)
        self.addCleanup(self.ann.post, "/webmail/settings/reading",
                        {"receipts": "ask"}, page)
        self.assertNotIn(ask, self.ann.get(self.asking()).text)

    def html(self, body):
        m = EmailMessage()
        m["Subject"] = "html"
        m.set_content("the plain form")
        m.add_alternative(body, subtype="html")
        return m

    def test_html_in_its_frame(self):
        link = self.deliver(self.html(
            "<p style='color:red'>shown <a href='mailto:a@b.c?subject=x'>m"
            "</a> <a href='https://evil.example/'>bank.example</a>"
            "<script>bad()</script><img src='http://t.example/a.png'>"))
        page = self.ann.get(link)
        self.assertNotIn("<p>the plain form", page.text)
        frame = Tags(page.text).named("iframe")[0]
        self.assertNotIn("allow-scripts", frame["sandbox"])
        self.assertNotIn("ink", frame["class"])
        url, body = self.frame(page)
        csp = body.header("Content-Security-Policy")
        for word in ("sandbox allow-same-origin", "default-src 'none'",
                     "img-src 'self' data:", "form-action 'none'"):
            self.assertIn(word, csp)
        for word in ("allow-scripts", "script-src", "https:"):
            self.assertNotIn(word, csp)
        self.assertIn('href="/webmail/compose?to=a%40b.c&amp;subject=x"',
                      body.text)
        self.assertIn('data-host="evil.example"', body.text)
        self.assertNotIn("script", body.text)
        self.assertIn("background:#fff", body.text)
        # as text
        page = self.ann.get(self.of(link, "plain"))
        self.assertIn("<p>the plain form", page.text)
        self.assertEqual(Tags(page.text).named("iframe"), [])
        # a mail without colours is shown in ours, or on a sheet
        link = self.deliver(self.html("<p>no colours</p>"))
        page = self.ann.get(link)
        self.assertIn("ink", Tags(page.text).named("iframe")[0]["class"])
        self.assertNotIn("background:#fff", self.frame(page)[1].text)
        page = self.ann.get(self.of(link, "sheet"))
        self.assertIn("background:#fff", self.frame(page)[1].text)

    def test_L07_remote_pictures_on_demand(self):
        link = self.deliver(self.html(
            "<img src='http://t.example/a.png'><img width=1 height=1 "
            "src='https://t.example/beacon'>"))
        page = self.ann.get(link)
        self.assertIn("Remote pictures are hidden", page.text)
        _, body = self.frame(page)
        self.assertEqual([i for i in Tags(body.text).named("img")
                          if "src" in i], [])
        page = self.ann.get(self.of(link, "img"))
        self.assertNotIn("Remote pictures are hidden", page.text)
        _, body = self.frame(page)
        self.assertEqual([i.get("src") for i in Tags(body.text).named("img")],
                         ["https://t.example/a.png", None])
        self.assertIn("img-src 'self' data: https:",
                      body.header("Content-Security-Policy"))
        page = self.ann.get(self.deliver(self.html("<p>no pictures")))
        self.assertNotIn("Remote pictures are hidden", page.text)

    def test_pictures_of_a_sender(self):
        def mail(sender):
            m = self.html("<img src='https://t.example/a.png'>")
            m["From"] = sender
            return m

        link = self.deliver(mail("Shop <shop@a.example>"))
        page = self.ann.get(link)
        self.assertIn("Always for Shop", page.text)
        answer = self.ann.post(link + "/pictures", {"show": "always"}, page)
        self.assertEqual(answer.status, 303)
        self.assertEqual(
            self.ann.post(link + "/pictures", {"show": "always"}).status, 403)
        for link, shown in ((link, True),
                            (self.deliver(mail("SHOP@a.example")), True),
                            (self.deliver(mail("x@a.example")), False)):
            page = self.ann.get(link)
            self.assertEqual("pictures are hidden" not in page.text, shown)
            self.assertEqual("https:" in self.frame(page)[1].header(
                "Content-Security-Policy"), shown)
        # in Junk never, whatever the URL says
        self.put(mail("shop@a.example"), ".Junk")
        link = self.newest("junk")
        page = self.ann.get(self.of(link, "img"))
        self.assertIn("stay hidden in Junk", page.text)
        url, body = self.frame(page)
        for body in (body, self.ann.get(url + "&img=1")):
            self.assertNotIn("https:",
                             body.header("Content-Security-Policy"))
            self.assertNotIn("src=", body.text)

    def test_plain_text_of_a_sender(self):
        def mail(sender):
            m = EmailMessage()
            m["From"] = sender
            m.set_content("plain words")
            m.add_alternative("<p>designed words</p>", subtype="html")
            return m

        def is_plain(link):
            return "<p>plain words</p>" in self.ann.get(link).text

        first = self.deliver(mail("Shop <news@plain.example>"))
        page = self.ann.get(first)
        self.assertIn("Always as plain text from Shop", page.text)
        for choice in ("plain", "designed"):
            answer = self.ann.post(
                first + "/pictures", {"show": choice, "back": "/m/sent"},
                page)
            self.assertEqual(answer.header("Location"), "/webmail/m/sent")
            for sender, plain in (("NEWS@plain.example", choice == "plain"),
                                  ("other@plain.example", False)):
                link = self.deliver(mail(sender))
                self.assertEqual(is_plain(link), plain)
                self.assertTrue(is_plain(self.of(link, "plain")))
                self.assertFalse(is_plain(self.of(link, "designed")))
        page = self.ann.get("/webmail/settings/reading")
        self.ann.post("/webmail/settings/reading", {"plain": "yes"}, page)
        self.addCleanup(self.ann.post, "/webmail/settings/reading",
                        {"plain": "no"}, page)
        self.assertTrue(is_plain(link))
        self.assertFalse(is_plain(self.deliver(mail("news@plain.example"))))

    def test_L11_embedded_pictures(self):
        m = self.html("<img src='cid:pic@x'><img src='cid:evil'>"
                      "<img src='cid:../../settings'>")
        related = m.get_payload()[1]
        related.add_related(PNG, "image", "png", cid="<pic@x>")
        related.add_related(b"<svg onload=alert(1)>", "image", "svg+xml",
                            cid="<evil>")
        page = self.ann.get(self.deliver(m))
        _, body = self.frame(page)
        good, evil, tricks = [i.get("src") for i in Tags(body.text).named("img")]
        picture = self.ann.get(good)
        self.assertEqual(picture.body, PNG)
        self.assertEqual(picture.header("Content-Type"), "image/png")
        self.assertIn("sandbox", picture.header("Content-Security-Policy"))
        self.assertEqual(self.ann.get(evil).status, 404)
        self.assertIsNone(tricks)
        # what the text shows is no attachment, what it does not show is
        self.assertIn("1 attachment ", page.text)

    def test_L16_L17_files(self):
        m = EmailMessage()
        m["Subject"] = "files"
        m.set_content("see below")
        m.add_attachment(b"<script>", maintype="text", subtype="html",
                         filename="../x\u202e.html")
        m.add_attachment(b"<svg/>", maintype="image", subtype="svg+xml",
                         filename='a";x=".svg')
        m.add_attachment(PNG, maintype="image", subtype="png",
                         filename="Grüße.png")
        m.add_attachment("Grüße".encode("latin-1"), maintype="text",
                         subtype="plain", filename="a.txt",
                         params={"charset": "iso-8859-1"})
        m.add_attachment(PNG, maintype="image", subtype="png",
                         filename="Grüße.png")
        link = self.deliver(m)
        page = self.ann.get(link)
        self.assertIn("5 attachments", page.text)
        urls = [u for u in dict.fromkeys(re.findall(
            r'href="([^"]+/part/[^"?]+)"', page.text))]
        self.assertEqual(len(urls), 5)
        for url, kind in zip(urls, ("application/octet-stream",
                                    "application/octet-stream", "image/png",
                                    "text/plain; charset=utf-8",
                                    "image/png")):
            for view in ("", "?view=picture"):
                part = self.ann.get(url + view)
                self.assertEqual(part.header("Content-Type"), kind)
                self.assertEqual(part.header("X-Content-Type-Options"),
                                 "nosniff")
                self.assertIn("sandbox",
                              part.header("Content-Security-Policy"))
                how = part.header("Content-Disposition").split(";")[0]
                self.assertEqual(how, "attachment" if view == "" or
                                 "octet" in kind else "inline")
        name = self.ann.get(urls[0]).header("Content-Disposition")
        self.assertIn('filename="x.html"', name)
        name = self.ann.get(urls[2]).header("Content-Disposition")
        self.assertIn("filename*=UTF-8''Gr%C3%BC%C3%9Fe.png", name)
        # a text is seen in its own charset; HTML as text only
        part = self.ann.get(urls[3] + "?view=text")
        self.assertEqual(part.text.strip(), "Grüße")
        part = self.ann.get(urls[0] + "?view=text")
        self.assertEqual(part.header("Content-Type"),
                         "text/plain; charset=utf-8")
        for bad in ("9", "1", "1.1/x", "..%2f..", "1.1.1.1"):
            self.assertEqual(self.ann.get(f"{link}/part/{bad}").status // 100,
                             4)
        # all of them
        page = self.ann.get(link + "/zip")
        self.assertIn('filename="files.zip"',
                      page.header("Content-Disposition"))
        with zipfile.ZipFile(io.BytesIO(page.body)) as z:
            self.assertIsNone(z.testzip())
            self.assertEqual(len(set(z.namelist())), 5)
            self.assertEqual(z.read("Grüße.png"), PNG)
            self.assertEqual(z.read("2 Grüße.png"), PNG)
            self.assertFalse([n for n in z.namelist()
                              if "/" in n or n.startswith(".")])

    def test_large_zip(self):
        m = EmailMessage()
        m["Subject"] = "large"
        data = bytes(range(256)) * 4096
        m.set_content("x")
        for i in range(3):
            m.add_attachment(data, maintype="application", subtype="x-y",
                             filename=f"{i}.bin")
        page = self.ann.get(self.deliver(m) + "/zip")
        with zipfile.ZipFile(io.BytesIO(page.body)) as z:
            self.assertIsNone(z.testzip())
            self.assertEqual(z.read("2.bin"), data)

    def test_source_headers_print(self):
        m = self.html("<p>designed</p><script>x</script>")
        m["X-Odd"] = "=?utf-8?q?<b>gr=C3=BC=C3=9Fe?="
        link = self.deliver(m)
        raw = self.ann.get(link + "/raw")
        self.assertEqual(raw.header("Content-Type"),
                         "text/plain; charset=utf-8")
        self.assertIn(b"<script>x</script>", raw.body)
        self.assertIn("sandbox", raw.header("Content-Security-Policy"))
        eml = self.ann.get(link + "/eml")
        self.assertEqual(eml.header("Content-Type"),
                         "application/octet-stream")
        self.assertIn('filename="html.eml"',
                      eml.header("Content-Disposition"))
        self.assertEqual(eml.body, raw.body)
        page = self.ann.get(link + "/headers")
        self.assertIn("&lt;b&gt;grüße", page.text)
        self.assertRegex(page.text, r"<th[^>]*>MIME-Version</th>")
        page = self.ann.get(link + "/print")
        self.assertEqual(page.status, 200)
        self.assertIn("designed", self.frame(page)[1].text)

    def talk(self, count, first=0, folder="", flags="S", **more):
        for i in range(first, first + count):
            m = EmailMessage()
            m["Subject"] = more.get("subject", "talk")
            m["Message-ID"] = f"<{more['key']}.{i}@a.example>"
            m["From"] = more.get("sender", f"P{i} <p{i}@a.example>")
            if i > 0:
                m["References"] = f"<{more['key']}.{i - 1}@a.example>"
            m.set_content(f"text number {i} of {more['key']}")
            self.put(m, folder, flags)

    @staticmethod
    def messages(page):
        """(open, whole text) of each message of a conversation."""
        return [("open" in m.group(1), m.group(2)) for m in re.finditer(
            r'<details class="msg"([^>]*)>(.*?)\n</details>',
            page.text.replace("</div></details>", "</div>\n</details>"),
            re.S)]

    def test_conversation(self):
        self.talk(2, key="a")
        self.talk(1, 2, ".Sent", key="a", sender="ann@example.org")
        self.talk(1, 3, key="a")
        link = self.newest().replace("/v/", "/c/")
        page = self.ann.get(link)
        shown = self.messages(page)
        self.assertEqual([x for x, _ in shown], [False] * 3 + [True])
        for i, (_, text) in enumerate(shown):
            self.assertIn(f"text number {i} of a", text)
        self.assertIn("<bdi>me</bdi>", shown[2][1])
        self.assertIn('<span class="chip">Sent</span>', shown[2][1])
        # one alone
        page = self.ann.get(link.replace("/c/", "/v/"))
        self.assertEqual(len(self.messages(page)), 1)
        # what was thrown away is no part of it
        self.talk(1, 4, ".Trash", key="a")
        self.assertEqual(len(self.messages(self.ann.get(link))), 4)
        # from the first unread on all are open, and then they are read
        self.talk(2, 5, key="a", flags=None)
        link = self.newest().replace("/v/", "/c/")
        for opened in (2, 1):
            shown = self.messages(self.ann.get(link))
            self.assertEqual([x for x, _ in shown].count(True), opened)

    def test_long_conversation(self):
        self.talk(40, key="long")
        link = self.newest().replace("/v/", "/c/")
        page = self.ann.get(link)
        shown = self.messages(page)
        self.assertEqual(len(shown), 12)
        self.assertIn("text number 0 of", shown[0][1])
        self.assertIn("text number 29 of", shown[1][1])
        self.assertIn(">28 more messages</a>", page.text)
        page = self.ann.get(link + "?all=1")
        self.assertEqual(len(self.messages(page)), 40)
        one = re.search(r'\?open=([0-9a-z]+)&amp;all=1', page.text).group(1)
        shown = self.messages(self.ann.get(f"{link}?open={one}&all=1"))
        self.assertTrue(all("Open this message" not in x
                            for opened, x in shown if opened))

    def test_position_and_neighbours(self):
        self.talk(1, key="n1", subject="n1")
        self.talk(1, key="n2", subject="n2")
        self.talk(1, key="n3", subject="n3")
        page = self.ann.get(self.newest().replace("/v/", "/c/"))
        self.assertRegex(page.text, r">1 of \d+<")
        self.assertNotIn('rel="prev"', page.text)
        for subject in ("n2", "n1"):
            page = self.ann.get(unescape(re.search(
                r'href="([^"]+)"[^>]*rel="next"', page.text).group(1)))
            self.assertIn(f'<h1 dir="auto">{subject}</h1>', page.text)
        page = self.ann.get(unescape(re.search(
            r'href="([^"]+)"[^>]*rel="prev"', page.text).group(1)))
        self.assertIn('<h1 dir="auto">n2</h1>', page.text)

    def test_first_message_of_a_sender(self):
        for expected in (True, False):
            m = EmailMessage()
            m["From"] = "once@first.example"
            m.set_content("x")
            page = self.ann.get(self.deliver(m))
            self.assertEqual("First message from once@first.example" in
                             page.text, expected)

    def test_verbs(self):
        self.talk(2, key="verbs", subject="to archive")
        link = self.newest().replace("/v/", "/c/")
        page = self.ann.get(link)
        fields = dict(re.findall(
            r'name="(id|folder|back)" value="([^"]*)"', page.text))
        answer = self.ann.post("/webmail/act", dict(fields, do="archive"),
                               page)
        self.assertEqual(answer.status, 303, answer.text)
        self.assertNotIn("to archive",
                         self.ann.get("/webmail/m/inbox").text)
        page = self.ann.get(link)
        self.assertEqual(len(self.messages(page)), 2)
        self.assertIn("Back to Archive", page.text)

    def test_folders(self):
        def post(**fields):
            page = self.ann.get("/webmail/folders")
            return self.ann.post("/webmail/folders", fields, page)

        self.assertIn("created", post(
            do="create", name="Wörk").header("Location"))
        page = self.ann.get("/webmail/folders")
        work = unescape(re.search(r'<option value="(~[^"]+)">Wörk<',
                                  page.text).group(1))
        self.assertIn("created", post(
            do="create", name='a.b "<i>', parent=work).header("Location"))
        page = self.ann.get("/webmail/folders")
        self.assertIn("Wörk/a.b &quot;&lt;i&gt;", page.text)
        for name, flash in (("Wörk", "there"), ("", "bad"), ("Sent", "bad"),
                            ("a//b", "bad"), ("x" * 300, "bad")):
            self.assertIn(flash, post(
                do="create", name=name).header("Location"), name)
        self.assertIn("renamed", post(
            do="rename", folder=work, name="Play").header("Location"))
        page = self.ann.get("/webmail/folders")
        self.assertNotIn("Wörk", page.text)
        self.assertIn("Play/a.b", page.text)
        for bad in ("inbox", "sent", "~../x", "~.", "~nope", work):
            self.assertIn("gone", post(
                do="delete", folder=bad).header("Location"), bad)
        self.put(EmailMessage(), ".Play")
        box = self.s.state / "mail/example.org/ann"
        (box / "maildirsize").write_text("0S\n0 0\n")
        asked = post(do="delete", folder="~Play")
        self.assertEqual(asked.status, 200)
        self.assertIn("“Play” and 1 message in it?", asked.text)
        answer = self.ann.post("/webmail/folders", {
            "do": "delete", "folder": "~Play", "confirm": "1"}, asked)
        self.assertIn("deleted", answer.header("Location"))
        self.assertFalse((box / ".Play").exists())
        # the quota knows
        with open(box / "maildirsize", encoding="ascii") as f:
            lines = [line.split() for line in f][1:]
        count = sum(1 for p in box.glob("**/*") if p.is_file() and
                    p.parent.name in ("cur", "new"))
        self.assertEqual(sum(int(n) for _, n in lines), count)
        # emptying asks with the number
        self.put(EmailMessage(), ".Trash")
        page = self.ann.get("/webmail/folders")
        asked = self.ann.post("/webmail/act", {
            "do": "delete", "all": "1", "folder": "trash",
            "back": "/folders"}, page)
        self.assertRegex(asked.text, r"\d+ messages? for good")

    def test_folders_within_folders(self):
        """In the side bar each lies below the one it is within."""
        for name in ("Zed", "Zed old", "zed-x", "Zed/sub", "Zed/sub/a/b",
                     "Y/no such/one"):
            page = self.ann.get("/webmail/folders")
            self.ann.post("/webmail/folders", {"do": "create", "name": name},
                          page)
        page = self.ann.get("/webmail/m/inbox")
        shown = re.findall(r'class="d(\d)"[^>]*title="((?:Y|[Zz]ed)[^"]*)">.*?'
                           r'<span class="cut">([^<]*)<', page.text)
        self.assertEqual(shown, [
            ("0", "Y/no such/one", "Y/no such/one"), ("0", "Zed", "Zed"),
            ("1", "Zed/sub", "sub"), ("2", "Zed/sub/a/b", "a/b"),
            ("0", "Zed old", "Zed old"), ("0", "zed-x", "zed-x")])

    def import_files(self, folder, *files):
        page = self.ann.get("/webmail/folders")
        answer = self.ann.upload(
            "/webmail/folders/import", {"folder": folder},
            [("file", "x.eml", "message/rfc822", f) for f in files], page)
        self.assertEqual(answer.status, 303, answer.text)
        return self.ann.follow(answer).text

    def test_import_messages(self):
        box = self.s.state / "mail/example.org/ann/.Archive"
        old = b"Date: Mon, 3 Feb 2020 10:00:00 +0000\r\nSubject: very old\r\n" \
            b"\r\nlone \r stays\r\n" + b"x" * 32767 + b"\r\nno end"
        text = self.import_files(
            "archive", old, b"From ann Mon Feb  3 10:00:00 2020\nSubject: line\n\n",
            b"", b"GIF89a", b"<html>Subject: no</html>\n\n")
        self.assertIn("2 messages were imported", text)
        self.assertIn("3 files were left out", text)
        page = self.ann.get("/webmail/m/archive").text
        self.assertIn("Feb 2020", page)
        self.assertIn("very old", page)
        files = {f.read_bytes(): f.name for f in box.glob("*/*")}
        kept = old.replace(b"\r\n", b"\n") + b"\n"
        self.assertIn(b"Subject: line\n\n", files)
        self.assertIn(f",S={len(kept)},W={len(old) + 2}:2,S", files[kept])
        self.assertEqual(list((box / "../tmp").glob("*.importing")), [])
        self.s.cli("user", "set", "ann@example.org", "quota_bytes=1000")
        try:
            text = self.import_files("inbox", b"Subject: big\n\n" + b"x" * 999)
            self.assertIn("0 messages were imported", text)
            self.assertIn("no room for it", text)
        finally:
            self.s.cli("user", "set", "ann@example.org", "quota_bytes=0")
        page = self.ann.get("/webmail/folders")
        for folder in ("~nothing", "~../bob"):
            self.assertEqual(self.ann.upload(
                "/webmail/folders/import", {"folder": folder},
                [("file", "x.eml", "", old)], page).status, 404)
        self.assertEqual(self.ann.upload(
            "/webmail/folders/import", {"folder": "inbox"},
            [("file", "x.eml", "", old)]).status, 403)

    def test_a_folder_as_a_zip(self):
        subjects = ["one", "../../etc/passwd", "=?utf-8?q?W=C3=B6rk=00<b>?=",
                    "x" * 300]
        for s in subjects:
            self.put(f"Subject: {s}\n\n{s}\n".encode() + b"z" * 70000, ".Zip")
        self.put(b"no header", ".Zip", "S")
        page = self.ann.get("/webmail/folders")
        link = re.search(r'href="([^"]*/folders/[^"]*Zip/zip)"', page.text)
        answer = self.ann.get(link.group(1))
        self.assertIn("Zip.zip", answer.header("Content-Disposition"))
        with zipfile.ZipFile(io.BytesIO(answer.body)) as z:
            self.assertIsNone(z.testzip())
            names = z.namelist()
            self.assertEqual(names, [
                "00001 one.eml", "00002 passwd.eml", names[2],
                f"00004 {'x' * 60}.eml", "00005 file.eml"])
            self.assertTrue(names[2].startswith("00003 Wörk"))
            self.assertTrue(z.read(names[0]).startswith(b"Subject: one\n\none"))
            self.assertEqual(len(z.read(names[3])), 70000 + 612)
        for bad in ("~nope", "~..", "nothing"):
            self.assertEqual(
                self.ann.get(f"/webmail/folders/{bad}/zip").status, 404)

    def test_delivery_report(self):
        raw = b"Subject: Undelivered\nContent-Type: multipart/report;" \
            b" boundary=b; report-type=delivery-status\n\n--b\n\n" \
            b"technical words\n--b\n" \
            b"Content-Type: message/delivery-status\n\n" \
            b"Reporting-MTA: dns; a.example\n\n" \
            b"Final-Recipient: rfc822; bob@example.net\n" \
            b"Action: failed\nStatus: 5.1.1\n" \
            b"Diagnostic-Code: smtp; 550 No <i>such</i> user\n--b--\n"
        page = self.ann.get(self.deliver(raw))
        self.assertIn("Not delivered to bob@example.net.", page.text)
        self.assertIn("550 No &lt;i&gt;such&lt;/i&gt; user", page.text)

    # --- hostile HTML: in Chromium it is looked at by tests/browser/test_xss.py

    def is_harmless(self, text, name, tags=None):
        """Nothing runs or asks; in a frame there is no tag but of `tags`."""
        for tag, attributes in Tags(text).tags:
            self.assertIn(tag, tags or [tag], name)
            for key, value in attributes.items():
                value = value or ""
                self.assertFalse(key.startswith("on"), (name, key))
                if key in ("href", "action", "formaction"):
                    self.assertRegex(value, r"^(https?:/|mailto:|tel:|/webmail/"
                                     r"|[?#]|$)", name)
                if tags is None:
                    continue
                self.assertNotIn(key, (
                    "srcset", "background", "poster", "ping", "formaction",
                    "action", "xlink:href", "name"), name)
                if key == "src":
                    self.assertRegex(value, r"^(/webmail/|data:image/"
                                     "(png|gif|jpeg|webp))", name)
                if key == "style":
                    self.assertNotRegex(
                        value, r"(?i)url|import|expression|position|fixed|"
                        r"\\\\|--", name)

    def in_frame(self, page, name):
        _, body = self.frame(page)
        self.assertEqual(body.status, 200, name)
        self.is_harmless(body.text.partition("<body>")[2], name, FRAME)
        self.assertIn("sandbox", body.header("Content-Security-Policy"))

    def never_runs(self, row):
        """Each vector of a row, read as it is and answered."""
        for name, text in seeds("http://127.0.0.1:9")[row].items():
            link = self.deliver(self.html(text))
            page = self.ann.get(link)
            self.assertEqual(page.status, 200, name)
            self.is_harmless(page.text, name)
            self.in_frame(page, name)

    def test_L01_scripts(self):
        self.never_runs("L01")

    def test_L02_parsers_that_disagree(self):
        self.never_runs("L02")

    def test_L03_svg_and_math(self):
        self.never_runs("L03")

    def test_L04_styles(self):
        self.never_runs("L04")

    def test_L05_styles_that_look_out(self):
        self.never_runs("L05")

    def test_L06_styles_that_cover(self):
        self.never_runs("L06")

    def test_L07_what_asks_for_something(self):
        self.never_runs("L07")

    def test_L09_forms(self):
        self.never_runs("L09")

    def test_L10_names_of_the_page(self):
        self.never_runs("L10")

    def test_L12_what_looks_like_a_link(self):
        self.never_runs("L12")

    def test_L14_answered_printed_and_edited(self):
        """What was made harmless is not parsed into harm again."""
        for found in seeds("http://127.0.0.1:9").values():
            name, text = list(found.items())[-1]
            link = self.deliver(self.html(text))
            self.is_harmless(self.ann.get(link + "/print").text, name)
            for verb in ("reply", "forward", "edit"):
                page = self.ann.get(link)
                page = self.ann.follow(self.ann.post(f"{link}/{verb}", {},
                                                     page))
                self.assertIn("<textarea", page.text, (name, verb))
                self.is_harmless(page.text, (name, verb))

    def test_L08_the_server_fetches_nothing(self):
        with socket.create_server(("127.0.0.1", 0)) as sink:
            sink.settimeout(0)
            port = sink.getsockname()[1]
            link = self.deliver(self.html("".join(
                f"<img src='{at}:{port}/x'>" for at in (
                    "http://127.0.0.1", "https://127.1", "http://0x7f.1",
                    "http://[::ffff:7f00:1]", "//2130706433",
                    "https://127.0.0.1.nip.io"))))
            page = self.ann.get(self.of(link, "img"))
            self.frame(page)
            self.ann.get(link + "/print")
            with self.assertRaises(BlockingIOError):
                sink.accept()

    def test_K07_two_types(self):
        for types in (b"text/plain\nContent-Type: text/html",
                      b"text/html\nContent-Type: text/plain",
                      b"(x) text/html;", b"TEXT/HTML; charset=\"utf-7\"",
                      b"text/html/plain", b"text/html,text/plain"):
            link = self.deliver(
                b"From: a@b.example\nContent-Type: " + types + b"\n"
                b"Content-Transfer-Encoding: base64, 7bit\n\n"
                b"<img src=x: onerror=hit()>\n")
            page = self.ann.get(link)
            self.assertEqual(page.status, 200, types)
            self.is_harmless(page.text, types)
            if Tags(page.text).named("iframe"):
                self.in_frame(page, types)

    def test_K12_nothing_is_unpacked(self):
        huge = PNG[:16] + b"\x00\x00\x75\x30" * 2 + PNG[24:]
        packed = gzip.compress(bytes(50_000_000))
        m = EmailMessage()
        m["Subject"] = "packed"
        m.set_content("see below")
        for data, main, sub in ((huge, "image", "png"),
                                (packed, "application", "gzip"),
                                (packed, "image", "svg+xml")):
            m.add_attachment(data, maintype=main, subtype=sub, filename="x")
        link = self.deliver(m)
        page = self.ann.get(link)
        urls = list(dict.fromkeys(re.findall(
            r'href="([^"]+/part/[^"?]+)"', page.text)))
        self.assertEqual(self.ann.get(urls[0] + "?view=picture").body, huge)
        self.assertEqual(self.ann.get(urls[1]).body, packed)
        part = self.ann.get(urls[2] + "?view=text")
        self.assertLess(len(part.body), 2_000_000)
        # and what is sent to us packed is taken as it is
        letter = Letter(self.ann)
        self.ann.more = {"HTTP_CONTENT_ENCODING": "gzip"}
        try:
            letter.post("attach", [("file", "x.gz", "a/b", packed)])
        finally:
            self.ann.more = {}
        self.assertIn("%d kB" % (len(packed) // 1024), letter.page.text)

    def test_K14_who_wrote_it(self):
        for raw, shown in (
                (b"From: <a@b.example> <c@d.example>", "a@b.example"),
                (b"From: \"bank@bank.example\" <evil@x.example>",
                 "evil@x.example"),
                (b"From: =?utf-8?q?bank=40bank.example?= <evil@x.example>",
                 "evil@x.example"),
                (b"From: x (bank@bank.example) <evil@x.example>",
                 "evil@x.example"),
                (b"From: \xe2\x80\xaeelpmaxe <evil@x.example>",
                 "evil@x.example"),
                (b"From: team: evil@x.example;", "evil@x.example"),
                (b"From: \"bank@bank.example\" <evil@x.example>, "
                 b"b@y.example", "evil@x.example, b@y.example"),
                (b"X-No: from", ""), (b"From:", ""),
                (b"Sender: a@x.example\nFrom: \"bank@bank.example\" "
                 b"<a@x.example>, Bank <evil@x.example>",
                 "a@x.example, evil@x.example"),
                (b"From: evil@x.example\nFrom: bank@bank.example",
                 "evil@x.example")):
            page = self.ann.get(self.deliver(raw + b"\nSubject: who\n\nx\n"))
            self.assertEqual(page.status, 200, raw)
            self.assertIn(shown, page.text, raw)
            self.assertNotIn("\u202e", page.text, raw)
            # a name that claims to be an address is not shown as one
            rows = self.ann.get("/webmail/m/inbox").text
            for text in (page.text, rows):
                self.assertNotIn(">bank@", text, raw)
            self.assertNotIn("Reply to bank@", page.text, raw)
        self.deliver(b"Subject: from nobody\n\nx\n")
        self.assertIn("(nobody)", self.ann.get("/webmail/m/inbox").text)

    def test_L15_files_with_html_in_their_fields(self):
        m = EmailMessage()
        m["Subject"] = "fields"
        m.set_content("see below")
        for kind, text in (
                ("calendar", "BEGIN:VCALENDAR\nBEGIN:VEVENT\nSUMMARY:%s\n"
                 "DESCRIPTION:%s\nEND:VEVENT\nEND:VCALENDAR\n"),
                ("vcard", "BEGIN:VCARD\nFN:%s\nNOTE:%s\nEND:VCARD\n"),
                ("csv", "Name,Mail\n%s,%s\n")):
            m.add_attachment(text % (CANARY, CANARY), subtype=kind,
                             filename=f"x.{kind}")
        inner = EmailMessage()
        inner["Subject"] = CANARY
        inner.set_content(f"<script>{CANARY}", subtype="html")
        m.add_attachment(inner, filename="x.eml")
        page = self.ann.get(self.deliver(m))
        self.assertEqual(Tags(page.text).named("img"), [])
        self.assertEqual(Tags(page.text).named("script"),
                         Tags(self.ann.get("/webmail/m/inbox").text)
                         .named("script"))
        urls = list(dict.fromkeys(re.findall(
            r'href="([^"]+/part/[^"?]+)"', page.text)))
        self.assertGreaterEqual(len(urls), 4)
        for url in urls:
            for view in ("", "?view=text", "?view=picture"):
                part = self.ann.get(url + view)
                self.assertIn(part.status, (200, 404))
                self.assertNotIn("html", part.header("Content-Type")
                                 if part.status == 200 else "")
                self.assertEqual(part.header("X-Content-Type-Options"),
                                 "nosniff")

    def test_L17_names_of_files(self):
        for name in (b'"a\\\r\\\nX-Evil: y"', b'"a%22; x=y.html"',
                     b'"..\\\\..\\\\x"', b'"x.html\0.png"',
                     b'"' + b"n" * 4096 + b'"', b'"\xff\xfe.exe"', b'"CON"',
                     b'"a\nX-Evil: y"', b'".htaccess"', b'"/etc/passwd"'):
            link = self.deliver(
                b"From: a@b.example\nContent-Type: application/x-y; name=" +
                name + b"\nContent-Disposition: attachment; filename=" +
                name + b"; filename*0*=utf-8''a%0d%0aX-Evil%3a%20y\n\nx\n")
            page = self.ann.get(link)
            url = re.search(r'href="([^"]+/part/[^"?]+)"', page.text)
            self.assertIsNotNone(url, name)
            part = self.ann.get(url.group(1))
            self.assertEqual(part.status, 200, name)
            self.assertIsNone(part.header("X-Evil"), name)
            how = part.header("Content-Disposition")
            self.assertRegex(how, r'^attachment; filename="[^"\\/\x00-\x1f]*"'
                             r"(; filename\*=UTF-8''[A-Za-z0-9%._~-]*)?$")
            self.assertNotIn("..", how)
            self.assertLess(len(how), 1500)

    def test_K01_K04_broken_messages(self):
        head = b"Subject: odd\nFrom: a@b.example\n"
        for raw in (head + b"To: " + b"a:" * 3000 + b"\n\nx",
                    head + b"Content-Type: multipart/mixed\n\nno boundary",
                    head + b"Content-Type: text/html\n"
                    b"Content-Transfer-Encoding: base64\n\n!!!!",
                    head + b"\n", b"\nno header at all"):
            link = self.deliver(raw)
            self.assertEqual(self.ann.get(link).status, 200)
            self.assertEqual(self.ann.get(link + "/eml").status, 200)
            self.assertIn(self.ann.get(link + "/headers").status, (200,))
            self.assertIn(self.ann.get(link + "/zip").status, (200, 404))
        page = self.ann.get(self.deliver(
            head + b"To: " + b"a:" * 3000 + b"\n\nx"))
        self.assertIn("too complex to take apart", page.text)

    def test_L13_canaries(self):
        m = EmailMessage()
        m["Subject"] = CANARY
        m["Reply-To"] = f'"{CANARY}" <x@y.example>'
        m["Cc"] = '"\\"><img src=x onerror=alert(1)>" <c@d.example>'
        m.set_content(CANARY)
        m.add_attachment(b"x", maintype="application", subtype="x-y",
                         filename=CANARY)
        link = self.deliver(m)
        for what in ("", self.of("", "plain", link), "/headers", "/print"):
            page = self.ann.get(link + what)
            self.assertEqual(page.status, 200)
            tags = Tags(page.text)
            self.assertEqual(tags.named("img"), [], what)
            self.assertFalse([a for _, a in tags.tags if
                              any(k.startswith("on") for k in a)], what)

    def test_L12_text_of_links(self):
        raw = b"Content-Type: text/plain; charset=utf-8\n\n" + \
            b"http://" * 40000 + b"\nhttp://x\"onmouseover=alert(1)\n" \
            b"http://[ http://' http://<b>\n" + b"\xff\xfe" * 100
        page = self.ann.get(self.deliver(raw))
        self.assertEqual(page.status, 200)
        self.assertFalse([a for _, a in Tags(page.text).tags if
                          any(k.startswith("on") for k in a)])
        self.assertIn("this is its beginning", page.text)

    def test_M07_others(self):
        link = self.deliver(self.html("<p>mine"))
        bob = self.sign_in("bob@example.org")
        for what in ("", "/raw", "/eml", "/headers", "/print", "/zip",
                     "/body?part=1.2", "/part/1.1", "/cid/x"):
            self.assertEqual(bob.get(link + what).status, 404, what)
            self.assertIn(Browser(bob.path).get(link + what).status,
                          (401,), what)


if __name__ == "__main__":
    unittest.main()
