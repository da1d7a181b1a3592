"""Writing in webmail: drafts, attachments, answers, sending and taking back."""

import json
import os
import re
import smtplib
import socket
import ssl
import sys
import threading
import unittest
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from lib.fakedns import FakeDNS  # noqa: E402
from lib.fastcgi import Browser, Letter  # noqa: E402
from lib.server import (  # noqa: E402
    PASSWORD, ServerTest, wait_steady, wait_until)


def parse(raw):
    return message_from_bytes(raw, policy=policy.default)


class Writing(ServerTest):
    users = ("ann", "bob", "carl", "dora")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.s.cli("alias", "add", "sales@example.org", "ann@example.org")
        cls.socket = cls.s.state / "run/web/webmail.sock"

    def browser(self, user, undo="0"):
        return Browser(self.socket).sign_in(
            f"{user}@example.org", PASSWORD).send_at_once(undo)

    def folder(self, user, name):
        path = self.s.mailbox(f"{user}@example.org") / f".{name}"
        return sorted(x for sub in ("cur", "new")
                      for x in (path / sub).glob("*"))

    def deliver(self, to, inbox=None, **headers):
        m = EmailMessage()
        m["From"] = headers.pop("sender", "Sue Stranger <sue@far.example>")
        m["To"] = headers.pop("shown", to)
        m["Date"] = "Thu, 12 Nov 2026 10:42:00 +0100"
        text = headers.pop("text", "Hello there\n\n> old\n\n-- \nSue\n")
        for name, value in headers.items():
            m[name.replace("_", "-")] = value
        m.set_content(text)
        count = len(self.s.messages(inbox or to))
        with smtplib.SMTP(self.s.host, self.s.port["smtp"], timeout=30) as c:
            c.send_message(m, "sue@far.example", [to])
        self.s.wait_messages(inbox or to, count + 1)
        return m

    def open_last(self, b):
        page = b.get("/webmail/m/inbox")
        link = re.search(r'class="go" href="([^"]+)"', page.text).group(1)
        return link, b.get(link)

    def answer(self, b, verb):
        _, page = self.open_last(b)
        url = re.search(r'action="([^"]+)/reply"', page.text).group(1)
        made = b.post(f"{url}/{verb}", {"back": "/c/back"}, page)
        self.assertEqual(made.status, 303, made.text)
        letter = Letter.__new__(Letter)
        letter.b, letter.page = b, b.follow(made)
        return letter

    def wait_subject(self, user, subject):
        def found():
            return [m for m in map(parse, self.s.messages(
                f"{user}@example.org")) if m["Subject"] == subject]
        wait_until(found, 20, f"{subject} at {user}")
        return found()[0]

    def queued(self, user):
        return [q for q in self.s.json("queue", "list")
                if q["sender"] == f"{user}@example.org"]

    def wait_taken(self, user):
        wait_until(lambda: not self.queued(user), 10, "nothing in the queue")

    def wait_limit(self, b, is_small):
        wait_steady(lambda: ('data-max="73500"' in Letter(b).page.text) ==
                      is_small, "the limit on the page")

    # --- drafts

    def test_a_draft_is_a_message_in_drafts(self):
        b = self.browser("carl")
        letter = Letter(b, "?to=bob@example.org&subject=Mail%20to&body=a%0D%0Ab")
        self.assertEqual(self.folder("carl", "Drafts"), [])
        self.assertEqual(letter.fields()["to"], "bob@example.org")
        self.assertTrue(letter.fields()["text"].startswith("a\nb"))
        typed = {"to": 'Bob <bob@example.org>, not yet', "bcc": "x@y.example",
                 "subject": "Größe", "text": "Grüße\n  indented\n\nend"}
        self.assertEqual(letter.post("save", **typed).status, 303)
        self.assertEqual({k: letter.fields()[k] for k in typed}, typed)
        files = self.folder("carl", "Drafts")
        self.assertEqual(len(files), 1)
        self.assertTrue(files[0].name.endswith(":2,DS"))
        m = parse(files[0].read_bytes())
        self.assertEqual(m["To"], "Bob <bob@example.org>")
        self.assertEqual(m["Subject"], "Größe")
        self.assertEqual(m.get_content(), typed["text"])
        # a second save replaces the first
        letter.post("save", text="other")
        self.assertEqual(len(self.folder("carl", "Drafts")), 1)
        self.assertEqual(letter.fields()["rev"], "2")
        # the list leads to where it is written on, to no copy of it
        page = b.get("/webmail/m/drafts")
        self.assertRegex(page.text, r'class="go" href="/webmail/d/%s"' %
                         files[0].name.partition(".")[0])
        # nobody else sees it (M07)
        other = Browser(self.socket).sign_in("dora@example.org", PASSWORD)
        self.assertEqual(other.get(letter.uri).status, 404)
        self.assertEqual(letter.post("discard").status, 303)
        self.assertEqual(self.folder("carl", "Drafts"), [])
        self.assertEqual(len(self.folder("carl", "Trash")), 1)
        self.assertEqual(b.get(letter.uri).status, 404)

    def test_autosave_and_two_windows(self):
        b = self.browser("carl")
        one = Letter(b)
        token = {"csrf": one.page.hidden("csrf")}
        page = b.upload(one.uri, dict(one.fields(), text="first", do="save",
                                      **token), [], HTTP_X_PART="saved")
        self.assertEqual((page.status, page.header("X-Rev")), (200, "1"))
        two = Letter.__new__(Letter)
        two.b, two.page = b, b.get(one.uri)
        two.post("save", text="from the second window")
        page = b.upload(one.uri, dict(one.fields(), rev="1", text="mine",
                                      do="save", **token), [],
                        HTTP_X_PART="saved")
        self.assertEqual(page.status, 409)
        clash = one.post("save", rev="1", text="mine")
        self.assertEqual(clash.status, 409)
        self.assertIn("from the second window</textarea>", clash.text)
        self.assertIn("mine</textarea>", clash.text)
        # keep mine: the form has the newer rev now
        self.assertEqual(one.post("save").status, 303)
        self.assertEqual(one.fields()["text"], "mine")
        # a send from the old window is no send
        gone = two.post("send", to="bob@example.org", subject="x")
        self.assertEqual(gone.status, 409)
        one.post("discard")

    def test_M14_begun_in_many_windows_at_once(self):
        """The first save of a draft: one wins, none is lost unseen."""
        self.s.user("gina@example.org")
        b = self.browser("gina")
        for _ in range(5):
            one, answers = Letter(b), []

            def save(i):
                answers.append(b.upload(one.uri, dict(
                    one.fields(), text=f"words {i}", do="save"), [], one.page))
            threads = [threading.Thread(target=save, args=(i,))
                       for i in range(12)]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
            self.assertEqual(sorted(a.status for a in answers),
                             [303] + [409] * 11)
            did = one.uri.rsplit("/", 1)[1]
            self.assertEqual(len(list(self.s.mailbox("gina@example.org").glob(
                f".Drafts/*/{did}*"))), 1)
            one.page = b.get(one.uri)
            for page in [one.page] + [a for a in answers if a.status == 409]:
                self.assertRegex(page.text, r"words \d+</textarea>")

    def test_attachments(self):
        b = self.browser("carl")
        letter = Letter(b)
        data = os.urandom(200 << 10)
        letter.post("attach", [("file", "plan.pdf", "application/pdf", data),
                               ("file", "Größe.txt", "text/plain", b"a\r\nb"),
                               ("file", "a %22b%22.txt", "a/b", b"quotes")],
                    text="see", subject="files")
        self.assertIn("plan.pdf", letter.page.text)
        self.assertIn("Größe.txt", letter.page.text)
        self.assertIn("200 kB", letter.page.text)
        letter.post("save", text="see below")
        # the parts of script: the list of files as answer
        page = b.upload(letter.uri + "/files", {"rev": letter.fields()["rev"]},
                        [("file", "c.html", "text/html", b"<b>")],
                        letter.page, HTTP_X_PART="files")
        self.assertEqual(page.status, 200, page.text)
        self.assertIn("c.html", page.text)
        self.assertIn("data-files", page.text)
        page = b.post(letter.uri, {"rev": page.header("X-Rev"),
                                   "do": "drop:1"}, letter.page,
                      HTTP_X_PART="files")
        self.assertNotIn("Größe.txt", page.text)
        letter.page = b.get(letter.uri)
        sent = letter.post("send", [("file", "../../d\x01.txt", "text/plain",
                                     b"last")], to="bob@example.org")
        self.assertEqual(sent.status, 303, sent.text)
        m = self.wait_subject("bob", "files")
        files = {p.get_filename(): p for p in m.iter_attachments()}
        self.assertEqual(sorted(files), ['a b.txt', "c.html", "d.txt",
                                         "plan.pdf"])
        self.assertEqual(files["plan.pdf"].get_content(), data)
        self.assertEqual(files["c.html"].get_content_type(), "text/html")
        self.assertEqual(m.get_body().get_content(), "see below\n")
        self.assertEqual(self.folder("carl", "Drafts"), [])

    def test_M10_size_is_told_and_kept(self):
        self.s.set("message.max_bytes", "100000")
        b = self.browser("dora")
        try:
            self.wait_limit(b, True)
            letter = Letter(b)
            page = letter.post("attach", [("file", "big", "a/b", b"x" * 90000)],
                               text="typed")
            self.assertEqual(page.status, 413)
            self.assertIn("too large", page.text)
            self.assertIn("typed</textarea>", page.text)
            page = letter.post("send", text="y" * 150000, subject="s",
                               to="bob@example.org")
            self.assertEqual(page.status, 413)
        finally:
            self.s.set("message.max_bytes", "52428800")
            self.wait_limit(b, False)

    # --- sending

    def test_what_is_sent(self):
        b = self.browser("ann")
        letter = Letter(b)
        long = "word " * 40
        text = f"Hällo,\n{long}\n\nFrom here\n> quoted\n> > deeper\n"
        sent = letter.post(
            "send", to="Bob Röwer <bob@example.org>; \"C, D\" "
            "<carl@example.org>", bcc="dora@example.org", subject="Ein Größe",
            text=text, back="/m/sent")
        self.assertEqual(sent.status, 303, sent.text)
        self.assertTrue(sent.header("Location").startswith(
            "/webmail/m/sent?flash=sent&id="))
        self.assertIn("Sent.", b.follow(sent).text)
        m = self.wait_subject("bob", "Ein Größe")
        self.wait_subject("dora", "Ein Größe")
        self.assertEqual([a.display_name for a in m["To"].addresses],
                         ["Bob Röwer", "C, D"])
        self.assertIsNone(m["Bcc"])
        self.assertNotIn("127.0.0.1", m["Received"])
        self.assertIsNone(m["User-Agent"])
        self.assertEqual(m["Content-Type"].params["format"], "flowed")
        self.assertTrue(m["Message-ID"].endswith("@example.org>"))
        self.assertIn(long.strip(), m.get_content().replace(" \n", " "))
        self.assertIn(">> deeper", m.get_content())
        copy = [parse(p.read_bytes()) for p in self.folder("ann", "Sent")]
        copy = [c for c in copy if c["Subject"] == "Ein Größe"][0]
        self.assertEqual(copy["Bcc"], "dora@example.org")
        self.assertEqual(copy["Message-ID"], m["Message-ID"])

    def test_identities(self):
        b = self.browser("ann")
        page = b.get("/webmail/settings/identities")
        self.assertIn("sales@example.org", page.text)
        saved = b.post("/webmail/settings/identities", {
            "address": "sales@example.org", "name": "Sales, Inc",
            "reply_to": "ann@example.org", "signature": "The sales team"}, page)
        self.assertEqual(saved.status, 303, saved.text)
        letter = Letter(b, "?from=sales@example.org")
        self.assertIn("\n-- \nThe sales team", letter.fields()["text"])
        letter.post("send", to="bob@example.org", subject="from sales")
        m = self.wait_subject("bob", "from sales")
        self.assertEqual(str(m["From"]), '"Sales, Inc" <sales@example.org>')
        self.assertEqual(m["Reply-To"], "ann@example.org")
        self.assertEqual(m["Return-Path"], "<sales@example.org>")
        # somebody else's address is none of ours
        letter = Letter(b)
        letter.post("send", to="bob@example.org", subject="forged",
                    **{"from": "carl@example.org"})
        self.assertEqual(self.wait_subject("bob", "forged")["From"],
                         "ann@example.org")
        # who it was delivered to answers
        self.deliver("sales@example.org", "ann@example.org", Subject="for sales")
        letter = self.answer(b, "reply")
        self.assertEqual(letter.fields()["from"], "sales@example.org")

    def test_warnings(self):
        b = self.browser("ann")
        letter = Letter(b)
        many = ", ".join(f"u{i}@example.org" for i in range(21))
        page = letter.post("send", to="bob@example.org",
                           text="the plan is attached")
        self.assertEqual(page.status, 422)
        self.assertIn("There is no subject", page.text)
        self.assertIn("speaks of an attachment", page.text)
        seen = re.findall(r'name="seen" value="([a-z_]+)"', page.text)
        self.assertEqual(seen, ["no_subject", "no_file"])
        page = letter.post("send", to=many, subject="x", text="hi")
        self.assertIn("More than 20", page.text)

    def test_domains_without_mail(self):
        """Said while writing, asked once at Send; never in the way."""
        b = self.browser("dora")
        zone = {"good.example": {"MX": ["10 mx.good.example"]},
                "old.example": {"A": ["192.0.2.1"]},
                "bare.example": {"TXT": ['"x"']},
                "null.example": {"MX": ["0 ."]},
                "slow.example": {"fault": "drop"},
                "down.example": {"fault": "servfail"}}
        bad = {"typo.example": "There is no domain typo.example",
               "bare.example": "bare.example has no mail server",
               "null.example": "null.example says that it takes no mail"}
        with FakeDNS(zone) as dns:
            self.s.set("dns.servers", dns.setting)
            letter = Letter(b)
            fields = dict(letter.fields(),
                          to=", ".join("u@" + d for d in zone), bcc="",
                          cc="x@typo.example, bob@example.org, no address",
                          csrf=letter.page.hidden("csrf"))

            def check():
                page = b.upload(letter.uri + "/check", fields, [],
                                HTTP_X_PART="domains")
                self.assertEqual(page.status, 200)
                return page.text
            wait_until(lambda: bad["null.example"] in check(), 10,
                       "the setting")
            page = check()
            for domain in list(zone) + ["typo.example", "example.org"]:
                self.assertEqual(bad.get(domain, domain) in page,
                                 domain in bad, domain)
            self.assertNotIn("example.org", [q[0] for q in dns.queries])
            # remembered: the second look asks nobody
            before = [q for q in dns.queries if q[0] in bad]
            check()
            self.assertEqual([q for q in dns.queries if q[0] in bad], before)
            # without script: after saving, and once at Send
            to = "bob@example.org, u@typo.example"
            letter.post("save", to=to, cc="", subject="doubtful", text="x")
            self.assertIn(bad["typo.example"], letter.page.text)
            letter = Letter(b)
            page = letter.post("send", to=to, text="typed")
            self.assertEqual(page.status, 422)
            self.assertIn(bad["typo.example"], page.text)
            self.assertIn("Press Send again", page.text)
            self.assertIn("There is no subject", page.text)
            seen = re.findall(r'name="seen" value="([^"]+)"', page.text)
            sent = b.upload(letter.uri, dict(
                letter.fields(), do="send", seen=seen,
                csrf=page.hidden("csrf")), [])
            self.assertIn("flash=sent", sent.header("Location"))
            self.domains_by_others(b, dns)
            # a way of its own for all mail: the DNS is not asked
            self.s.set("smarthost.host", "127.0.0.1")
            self.s.set("smarthost.mode", "always")
            try:
                wait_until(lambda: "note" not in check(), 10, "the smart host")
            finally:
                self.s.set("smarthost.mode", "off")

    def domains_by_others(self, b, dns):
        """The runner tells nobody without a webmail session, and not all."""
        token = b.cookies["wm"]
        socket_path = str(self.s.state / "run/queue.sock")

        def ask(**request):
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as c:
                c.settimeout(30)
                c.connect(socket_path)
                c.send(json.dumps(request).encode())
                return json.loads(c.recv(65536))
        self.assertFalse(ask(verb="domains", domains=["typo.example"])["ok"])
        self.assertFalse(ask(verb="domains", session="x" * 43,
                             domains=["typo.example"])["ok"])
        for n in range(8):
            answer = ask(verb="domains", session=token, domains=[
                f"n{n}-{i}.example" for i in range(15)] + [1, "..", "a b"])
            self.assertTrue(answer["ok"])
        asked = {q[0] for q in dns.queries if q[0].startswith("n")}
        self.assertTrue(30 <= len(asked) <= 120, len(asked))

    def test_refused(self):
        """The same policy as for SMTP judges."""
        b = self.browser("ann")
        for to, words in (("", "at least one address"),
                          ("nobody", "Not an address: nobody"),
                          ("nobody@example.org", "nobody@example.org: ")):
            letter = Letter(b)
            page = letter.post("send", to=to, subject="<s>", text="typed")
            self.assertEqual(page.status, 422, to)
            self.assertIn(words, page.text)
            self.assertIn("&lt;s&gt;", page.text)
            self.assertIn("typed</textarea>", page.text)

    def test_ask_for_a_receipt(self):
        """Kept with the draft; whoever reads it is told, nobody else is."""
        b = self.browser("ann")
        before = self.s.messages("ann@example.org")
        letter = Letter(b)
        letter.post("save", to="carl@example.org", subject="receipt please",
                    text="x", receipt="yes")
        self.assertIn('value="yes" checked', letter.page.text)
        letter.post("save", receipt="")
        self.assertNotIn('value="yes" checked', letter.page.text)
        letter.post("send", receipt="yes")
        m = self.wait_subject("carl", "receipt please")
        self.assertEqual(m["Disposition-Notification-To"], "ann@example.org")
        carl = self.browser("carl")
        page = self.open_last(carl)[1].text
        self.assertIn("ann@example.org asks for a receipt", page)
        self.assertEqual(self.s.messages("ann@example.org"), before)
        page = b.get("/webmail/m/sent").text
        sent = b.get(re.search(r'class="go" href="([^"]+)"', page).group(1))
        self.assertNotIn("asks for a receipt", sent.text)

    def test_one_limit_for_smtp_and_webmail(self):
        self.s.user("erik@example.org")
        dora, erik = self.browser("dora"), self.browser("erik")
        self.s.set("limit.messages_per_user", "2")
        try:
            wait_steady(lambda: self.limited(dora), "the limit")
            wait_until(lambda: self.smtp_limited("dora"), 10,
                       "what webmail sent counts for SMTP")
            wait_until(lambda: self.smtp_limited("erik", send=True), 10,
                       "the limit by SMTP")
            self.assertTrue(self.limited(erik))
        finally:
            self.s.set("limit.messages_per_user", "0")
            wait_steady(lambda: not self.limited(dora), "no limit")

    def smtp_limited(self, user, send=False):
        with smtplib.SMTP(self.s.host, self.s.port["submission"],
                          timeout=30) as c:
            c.starttls(context=ssl._create_unverified_context())
            c.login(f"{user}@example.org", PASSWORD)
            if c.mail(f"{user}@example.org")[0] == 451:
                return True
            if send:
                c.rcpt("bob@example.org")
                self.assertEqual(c.data(b"Subject: x\r\n\r\nx\r\n")[0], 250)
            return False

    def limited(self, b):
        page = Letter(b).post("send", to="bob@example.org", subject="one more",
                              text="x")
        return page.status == 422 and "Not sent" in page.text

    def test_M08_nothing_typed_makes_a_header(self):
        b = self.browser("ann")
        letter = Letter(b)
        letter.post("save", [("file", 'a"\r\nX-Evil: 1.txt', "text/plain\r\nX: y",
                              b"x")],
                    subject="a\r\nX-Evil: 1", to="bob@example.org",
                    in_reply_to="a@b\r\nX-Evil: 1", references="x>\r\nX-Evil: 1",
                    answers="a\r\nX-Evil: 1", note="b\nX-Evil:1",
                    cc="\"x\r\nX-Evil: 1\" <carl@example.org>")
        draft = self.folder("ann", "Drafts")[-1].read_bytes()
        letter.post("send", subject="a\r\nX-Evil: 2")
        m = self.wait_subject("bob", "a X-Evil: 2")
        for raw in (draft, bytes(m)):
            self.assertNotRegex(raw, rb"(?im)^x-evil")
            self.assertNotRegex(raw, rb"(?im)^x: y")

    def five_times(self, b, uri, fields):
        """The answers to a form that is sent five times at once."""
        answers = []
        threads = [threading.Thread(target=lambda: answers.append(
            b.upload(uri, fields, []))) for _ in range(5)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        return answers

    def test_M14_send_twice_is_sent_once(self):
        b = self.browser("ann")
        letter = Letter(b)
        letter.post("save", to="carl@example.org", subject="only once",
                    text="x")
        fields = dict(letter.fields(), do="send",
                      csrf=letter.page.hidden("csrf"))
        answers = self.five_times(b, letter.uri, fields)
        self.assertEqual({a.status for a in answers}, {303})
        self.assertEqual(sum("flash=sent" in a.header("Location")
                             for a in answers), 1)
        # one that was never stored
        letter = Letter(b)
        fields = dict(letter.fields(), to="carl@example.org", text="y",
                      subject="once, unsaved", do="send",
                      csrf=letter.page.hidden("csrf"))
        answers = self.five_times(b, letter.uri, fields)
        self.assertEqual(sorted(a.header("Location").split("flash=")[1][:4]
                                for a in answers), ["alre"] * 4 + ["sent"])
        # gone back to and changed it is another message
        fields.update(text="y, changed", subject="once more")
        sent = b.upload(letter.uri, fields, [])
        self.assertIn("flash=sent", sent.header("Location"))
        self.wait_subject("carl", "once more")
        self.assertEqual(sum(parse(p.read_bytes())["Subject"] ==
                             "once, unsaved"
                             for p in self.folder("ann", "Sent")), 1)
        self.wait_subject("carl", "only once")
        self.assertEqual(sum(parse(p.read_bytes())["Subject"] == "only once"
                             for p in self.folder("ann", "Sent")), 1)

    def test_undo_send(self):
        b = self.browser("ann", undo="30")
        letter = Letter(b)
        letter.post("attach", [("file", "a.bin", "a/b", b"\0\1\2")])
        sent = letter.post("send", to="Bob <bob@example.org>",
                           bcc="carl@example.org", subject="take it back",
                           text="first\n\nsecond line that is long " * 5)
        page = b.follow(sent)
        undo = re.search(r'action="([^"]+/undo-send/[^"]+)"', page.text)
        self.assertIsNotNone(undo, page.text)
        sent_id = undo.group(1).split("/")[-1]

        def queued():
            return sent_id in [q["id"] for q in self.queued("ann")]
        self.assertTrue(queued())
        # another user's word does not count
        other = Browser(self.socket).sign_in("dora@example.org", PASSWORD)
        answer = other.post(undo.group(1), {}, other.get("/webmail/m/inbox"))
        self.assertIn("too-late", answer.header("Location"))
        self.assertTrue(queued())
        answer = b.post(undo.group(1), {}, page)
        again = Letter.__new__(Letter)
        again.b, again.page = b, b.follow(answer)
        wait_until(lambda: not queued(), 10, "it to be taken back")
        fields = again.fields()
        self.assertEqual(fields["to"], "Bob <bob@example.org>")
        self.assertEqual(fields["bcc"], "carl@example.org")
        self.assertEqual(fields["subject"], "take it back")
        self.assertIn("second line that is long first\n\nsecond",
                      fields["text"])
        self.assertIn("a.bin", again.page.text)
        self.assertFalse([p for p in self.folder("ann", "Sent")
                          if b"take it back" in p.read_bytes()])
        again.post("discard")

    def test_delivery_in_the_servers_words(self):
        b = self.browser("carl")
        letter = Letter(b)
        sent = letter.post("send", to="bob@example.org, x@nowhere.invalid",
                           subject="how far", text="x",
                           seen="nowhere.invalid")
        self.assertEqual(sent.status, 303, sent.text)
        uri = "/webmail/delivery/" + sent.header("Location").split("id=")[1]

        def found():
            page = b.get(uri)
            return page.status == 200 and "Delivered" in page.text and page
        wait_until(found, 20, "the word of the runner")
        self.assertIn("bob@example.org", found().text)
        self.assertIn("x@nowhere.invalid", found().text)
        # it is nobody else's business
        other = Browser(self.socket).sign_in("dora@example.org", PASSWORD)
        self.assertEqual(other.get(uri).status, 404)

    def test_disk_full_loses_no_text(self):
        """It cannot be stored: what was typed is in the answer."""
        b = self.browser("dora")
        letter = Letter(b)
        letter.post("save", text="first")
        in_the_way = self.s.mailbox("dora@example.org") / ".Drafts/tmp" / \
            (letter.uri.split("/")[-1] + ".2.writing")
        in_the_way.mkdir()
        page = letter.post("save", text="typed on a full disk")
        self.assertEqual(page.status, 507)
        self.assertIn("typed on a full disk</textarea>", page.text)
        in_the_way.rmdir()
        self.assertEqual(letter.post("save").status, 303)
        self.assertEqual(letter.fields()["text"], "typed on a full disk")
        letter.post("discard")

    def test_send_later(self):
        b = self.browser("dora")
        letter = Letter(b)
        page = letter.post("later:pick", to="bob@example.org", subject="later",
                           text="x", when="2001-01-01T10:00")
        self.assertEqual(page.status, 422)
        page = letter.post("later:tomorrow")
        self.assertEqual(page.status, 303, page.text)
        scheduled = self.folder("dora", "Scheduled")
        self.assertEqual(len(scheduled), 1)
        wait_until(lambda: [q["state"] for q in self.queued("dora")] ==
                   ["deferred"], 10, "it to wait for its time")
        queued = self.queued("dora")
        self.assertIn("T08:00:00", queued[0]["next_try_at"])
        page = b.get(f"/webmail/m/inbox?flash=scheduled&id={queued[0]['id']}")
        undo = re.search(r'action="([^"]+/undo-send/[^"]+)"', page.text)
        answer = b.post(undo.group(1), {}, page)
        self.assertIn("/d/", answer.header("Location"))
        self.assertEqual(self.folder("dora", "Scheduled"), [])
        self.wait_taken("dora")
        # from the list of what waits: opened, it says when; deleted, it is
        # not sent, and cannot be put back as if it were
        letter.post("later:tomorrow", to="bob@example.org", subject="never",
                    text="x")
        page = b.get("/webmail/m/scheduled")
        talk = re.search(r'class="go" href="([^"]+)"', page.text).group(1)
        self.assertIn("/undo-send/", b.get(talk).text)
        row = re.search(r'name="trash" value="([^"]+)"', page.text).group(1)
        thrown = len(self.folder("dora", "Trash"))
        answer = b.post("/webmail/act", {"trash": row, "folder": "scheduled",
                                         "back": "/m/scheduled"}, page)
        self.assertIn("flash=cancelled", answer.header("Location"))
        self.assertNotIn("undo=", answer.header("Location"))
        self.assertIn("will not be sent", b.follow(answer).text)
        self.assertEqual(self.folder("dora", "Scheduled"), [])
        self.assertEqual(len(self.folder("dora", "Trash")), thrown + 1)
        self.wait_taken("dora")

    # --- answers

    def test_reply(self):
        b = self.browser("bob")
        sent = self.deliver(
            "bob@example.org", Subject="RE: Aw: Plans", Message_ID="<m1@far>",
            References="<a@far> <b@far>", Cc="carl@example.org",
            shown="Bob <bob@example.org>, Cy <cy@far.example>",
            sender="Sue Stranger <sue@far.example>")
        letter = self.answer(b, "reply")
        f = letter.fields()
        self.assertEqual(f["to"], "Sue Stranger <sue@far.example>")
        self.assertEqual(f["subject"], "Re: Plans")
        self.assertEqual(f["in_reply_to"], "m1@far")
        self.assertEqual(f["references"], "a@far b@far m1@far")
        self.assertRegex(f["text"], r"On \d+ \w+ \d+ at \d\d:\d\d, "
                         r"Sue Stranger wrote:\n> Hello there\n>\n>> old\n")
        # nothing was typed: nothing is kept, and what is discarded neither
        self.assertEqual(self.folder("bob", "Drafts"), [])
        thrown = len(self.folder("bob", "Trash"))
        gone = letter.post("discard")
        self.assertEqual(gone.header("Location"), "/webmail/c/back")
        self.assertEqual(len(self.folder("bob", "Trash")), thrown)
        self.assertEqual(letter.post("save").status, 303)
        self.assertEqual(letter.fields()["back"], "/c/back")
        self.assertEqual(letter.fields()["text"], f["text"])
        # in the conversation it is no letter to answer, but one to go on with
        _, talk = self.open_last(b)
        self.assertRegex(talk.text, r'href="%s"[^>]*>.*Go on writing' %
                         re.escape(letter.uri))
        self.assertNotIn("-- \n> Sue", f["text"])
        letter.post("discard")
        letter = self.answer(b, "reply-all")
        f = letter.fields()
        self.assertEqual(f["to"], "Sue Stranger <sue@far.example>")
        self.assertEqual(f["cc"], "Cy <cy@far.example>, carl@example.org")
        page = letter.post("send", to="carl@example.org", cc="",
                           subject="Re: answered")
        self.assertEqual(page.status, 303, page.text)
        m = self.wait_subject("carl", "Re: answered")
        self.assertEqual(m["In-Reply-To"], "<m1@far>")
        self.assertEqual(m["References"], "<a@far> <b@far> <m1@far>")
        b.get("/webmail/m/inbox")
        inbox = self.s.mailbox("bob@example.org") / "cur"
        wait_until(lambda: any(b"<m1@far>" in p.read_bytes() and
                               "R" in p.name.split(",")[-1]
                               for p in inbox.glob("*")), 10, "the mark")
        self.assertIsNotNone(sent)

    def quick(self, b):
        """The box below the conversation: its form, as a Letter."""
        _, page = self.open_last(b)
        box = re.search(r'<form class="reply".*?</form>', page.text, re.S)
        letter = Letter.__new__(Letter)
        letter.b, letter.page = b, page
        letter.page.body = box.group(0).encode()
        return letter

    def test_quick_reply(self):
        self.s.user("hal@example.org")
        b = self.browser("hal")
        self.deliver("hal@example.org", Subject="Lunch", Message_ID="<q1@far>",
                     shown="hal@example.org, Bob Röwer <bob@example.org>, "
                     "carl@example.org, dora@example.org",
                     text="Where?\n\n-- \nSue\n")
        quick = self.quick(b)
        self.assertIn('placeholder="Reply to Sue Stranger, Bob Röwer, '
                      'carl@example.org…"', quick.page.text)
        uri, token = quick.uri, quick.page.hidden("csrf")
        fields = dict(quick.fields(), csrf=token)
        # nothing typed: the whole page, and nothing is stored
        for do in ("open", "send"):
            page = b.follow(b.upload(uri, dict(fields, do=do), []))
            self.assertIn('value="Re: Lunch"', page.text)
        self.assertEqual(self.folder("hal", "Drafts"), [])
        # as the script saves what is typed; it is an ordinary draft
        page = b.upload(uri, dict(fields, do="save", text="At one."), [],
                        HTTP_X_PART="saved")
        self.assertEqual((page.status, page.header("X-Rev")), (200, "1"))
        letter = Letter.__new__(Letter)
        letter.b, letter.page = b, b.get(uri.replace("/files", ""))
        f = letter.fields()
        self.assertEqual(f["to"], "Sue Stranger <sue@far.example>")
        self.assertEqual(f["cc"], "Bob Röwer <bob@example.org>, "
                         "carl@example.org, dora@example.org")
        self.assertRegex(f["text"], r"^At one\.\n\nOn .* wrote:\n> Where\?\n$")
        self.assertEqual(b.upload(uri, dict(fields, do="save", text="x"), [])
                         .status, 409)
        letter.post("discard")
        # the forgotten file is asked for, on the page; then it goes
        quick = self.quick(b)
        page = quick.post("send", text="It is attached.")
        self.assertEqual(page.status, 422)
        self.assertIn("speaks of an attachment", page.text)
        sent = quick.post("send")
        self.assertRegex(sent.header("Location"),
                         r"/webmail/c/[^?]+\?flash=sent&id=")
        m = self.wait_subject("carl", "Re: Lunch")
        self.assertEqual(m["In-Reply-To"], "<q1@far>")
        self.assertRegex(m.get_content(), r"^It is attached\.\n\nOn (.|\n)*"
                         r"wrote:\n> Where\?\n$")
        # it is the answer to what one wrote oneself now
        self.assertIn("Sent.", b.follow(sent).text)
        # a hidden copy is not given away; with the original gone, the text stays
        self.deliver("hal@example.org", Subject="hidden", sender="sue@far.example",
                     shown="someone@far.example")
        quick = self.quick(b)
        self.assertIn("Reply to sue@far.example…", quick.page.text)
        page = quick.post("send", of="1", text="kept")
        self.assertEqual(page.status, 503)
        self.assertIn("kept</textarea>", page.text)

    def test_selected_text_is_quoted(self):
        b = self.browser("bob")
        self.deliver("bob@example.org", Subject="Parts", text="one\n\ntwo\n")
        _, page = self.open_last(b)
        url = re.search(r'action="([^"]+)/reply"', page.text).group(1)
        for verb, shows in (("reply", True), ("reply-all", True),
                            ("forward", False)):
            made = b.post(f"{url}/{verb}", {"quote": "t<w>o\r\n> x\r\n",
                                            "back": "/m/sent"}, page)
            if not shows:
                self.assertEqual(made.status, 303)
                continue
            letter = Letter.__new__(Letter)
            letter.b, letter.page = b, made
            self.assertRegex(letter.fields()["text"],
                             r"wrote:\n> t<w>o\n>> x\n$")
            self.assertEqual(letter.fields()["back"], "/m/sent")
        made = b.post(f"{url}/reply", {"quote": " \r\n"}, page)
        self.assertEqual(made.status, 303)
        self.assertFalse([p for p in self.folder("bob", "Drafts")
                          if b"Re: Parts" in p.read_bytes()])

    def test_quote_of_a_designed_message(self):
        self.s.user("jan@example.org")
        m = EmailMessage()
        m["From"], m["To"] = "Sue <sue@far.example>", "jan@example.org"
        m["Message-ID"] = "no id at all"
        m["Subject"] = "designed"
        m.set_content("<p>My\n  own <b>words</b></p><blockquote>old"
                      "<blockquote>older</blockquote></blockquote><pre>a\n"
                      "  b</pre>", subtype="html")
        with smtplib.SMTP(self.s.host, self.s.port["smtp"], timeout=30) as c:
            c.send_message(m)
        self.s.wait_messages("jan@example.org", 1)
        f = self.answer(self.browser("jan"), "reply").fields()
        self.assertRegex(f["text"], r"wrote:\n> My own words\n>> old\n"
                         r">>> older\n> a\n>   b\n$")
        self.assertEqual((f["in_reply_to"], f["references"]), ("", ""))

    def test_threads_by_in_reply_to_and_own_mail(self):
        b = self.browser("ann")
        self.deliver("ann@example.org", Subject="no references",
                     Message_ID="<c2@far>", In_Reply_To="<c1@far>")
        f = self.answer(b, "reply").fields()
        self.assertEqual(f["references"], "c1@far c2@far")
        # once more: it is no answer to itself
        f = self.answer(b, "edit").fields()
        self.assertEqual(f["references"], "c1@far")
        self.assertEqual(f["in_reply_to"], "c1@far")
        # own mail: from whom it was, to whom it went
        letter = Letter(b)
        letter.post("send", to="Bob <bob@example.org>, ann@example.org",
                    cc="carl@example.org", subject="own words", text="x",
                    **{"from": "sales+x@example.org"})
        self.wait_subject("ann", "own words")
        f = self.answer(b, "reply-all").fields()
        self.assertEqual(f["from"], "sales+x@example.org")
        self.assertEqual(f["to"], "Bob <bob@example.org>, ann@example.org")
        self.assertEqual(f["cc"], "carl@example.org")
        # a draft does not fold the letter it answers
        letter = self.answer(b, "reply")
        letter.post("save", text="not yet")
        _, page = self.open_last(b)
        self.assertEqual(len(re.findall(r'<details class="msg"[^>]* open',
                                        page.text)), 2)
        letter.post("discard")

    def test_the_mark_in_any_folder(self):
        self.s.user("ina@example.org")
        b = self.browser("ina")
        self.deliver("ina@example.org", Subject="filed",
                     Message_ID="<filed@far>")
        _, page = self.open_last(b)
        row = re.search(r'action="[^"]+/v/([^"/]+)/reply"', page.text).group(1)
        moved = b.post("/webmail/act", {
            "do": "move:new", "new_name": "Größe & more, 100%",
            "id": row, "folder": "inbox", "back": "/m/inbox"}, page)
        self.assertEqual(moved.status, 303)
        made = b.post(f"/webmail/v/{row}/reply", {}, page)
        letter = Letter.__new__(Letter)
        letter.b, letter.page = b, b.follow(made)
        letter.post("save")
        letter.post("send", to="carl@example.org", subject="Re: filed, sent")
        b.get("/webmail/m/inbox")
        box = self.s.mailbox("ina@example.org")
        wait_until(lambda: [p for p in box.glob(".*/cur/*") if b"<filed@far>"
                            in p.read_bytes()[:2000] and b"Subject: filed" in
                            p.read_bytes() and
                            "R" in p.name.split(",")[-1]], 10, "the mark")

    def test_reply_to_list_and_bcc(self):
        b = self.browser("bob")
        self.deliver("bob@example.org", Subject="on the list", List_Id="<l.x>",
                     List_Post="<mailto:team%2Bx@lists.example>",
                     Reply_To="other@far.example", shown="team@lists.example")
        self.assertEqual(self.answer(b, "reply-list").fields()["to"],
                         "team+x@lists.example")
        letter = self.answer(b, "reply")
        self.assertEqual(letter.fields()["to"], "other@far.example")
        self.deliver("bob@example.org", Subject="hidden copy",
                     shown="someone@far.example")
        self.assertIn("hidden copy (Bcc)", self.answer(b, "reply-all").page.text)

    def test_forward(self):
        b = self.browser("bob")
        m = EmailMessage()
        m["From"], m["To"] = "Sue <sue@far.example>", "bob@example.org"
        m["Subject"], m["Message-ID"] = "Photos", "<photos@far>"
        m.set_content("see\n")
        m.add_alternative('<p>see<img src="cid:p1">', subtype="html")
        m.get_payload()[1].add_related(b"PNG", "image", "png", cid="<p1>",
                                       filename="p.png")
        m.add_attachment(b"%PDF", maintype="application", subtype="pdf",
                         filename="a.pdf")
        count = len(self.s.messages("bob@example.org"))
        with smtplib.SMTP(self.s.host, self.s.port["smtp"], timeout=30) as c:
            c.send_message(m)
        self.s.wait_messages("bob@example.org", count + 1)
        letter = self.answer(b, "forward")
        f = letter.fields()
        self.assertEqual(f["subject"], "Fwd: Photos")
        self.assertEqual(f["in_reply_to"], "")
        self.assertIn("From: Sue <sue@far.example>\n", f["text"])
        self.assertIn("\n\nsee", f["text"])
        # the files come along though nothing is stored yet
        self.assertEqual(self.folder("bob", "Drafts"), [])
        self.assertIn("p.png", letter.page.text)
        page = letter.post("send", to="nobody", take=letter.takes())
        self.assertEqual(page.status, 422)
        self.assertIn("a.pdf", page.text)
        letter.post("discard")
        letter = self.answer(b, "forward")
        self.assertEqual(len(letter.takes()), 2)
        letter.post("send", to="carl@example.org", take=letter.takes())
        got = self.wait_subject("carl", "Fwd: Photos")
        self.assertEqual(got["References"], "<photos@far>")
        self.assertEqual([a.get_filename() for a in got.iter_attachments()],
                         ["p.png", "a.pdf"])
        letter = self.answer(b, "forward-eml")
        letter.post("send", to="carl@example.org", subject="whole",
                    take=letter.takes())
        got = self.wait_subject("carl", "whole")
        inner = list(got.iter_attachments())[0]
        self.assertEqual(inner.get_content_type(), "message/rfc822")
        self.assertEqual(inner.get_content()["Subject"], "Photos")
        # one taken away before anything else was done, another added
        letter = self.answer(b, "forward")
        letter.post("drop:0", [("file", "b.txt", "text/plain", b"b")],
                    take=letter.takes())
        self.assertNotIn("p.png", letter.page.text)
        self.assertEqual(letter.takes(), [])
        for name in ("a.pdf", "b.txt"):
            self.assertIn(name, letter.page.text)
        letter.post("discard")
        # the original went meanwhile: the text does not
        letter = self.answer(b, "forward")
        takes = letter.takes()
        page = letter.post("save", take=takes, of="1", text="typed")
        self.assertEqual(page.status, 422)
        self.assertIn("they are not attached", page.text)
        self.assertIn("typed</textarea>", page.text)
        self.assertEqual(letter.takes(), [])
        self.assertEqual(letter.post("save").status, 303)
        letter.post("discard")

    def test_signature_file(self):
        path = self.s.state / "domains/example.org"
        path.mkdir(parents=True, exist_ok=True)
        (path / "signature.txt").write_text("Example Org, the footer\n")
        try:
            b = self.browser("ann")
            page = Letter(b).post("send", to="bob@example.org",
                                  subject="footed", text="hi")
            self.assertEqual(page.status, 303, page.text)
            text = self.wait_subject("bob", "footed").get_content()
            self.assertEqual(text, "hi\n\nExample Org, the footer\n")
        finally:
            (path / "signature.txt").unlink()


if __name__ == "__main__":
    unittest.main()
