"""The operational pages of administration: queue, trace, log, tools,
checks, settings, protection, backup."""

import json
import os
import re
import signal
import smtplib
import socket
import sqlite3
import ssl
import subprocess
import sys
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parent / "lib"))
from lib.fakedns import FakeDNS  # noqa: E402
from lib.fakemx import FakeMX  # noqa: E402
from lib.fastcgi import Browser  # noqa: E402
from lib.server import (  # noqa: E402
    BIN, PASSWORD, ROOT, Server, wait_until)
from test_monitoring import make_certificate  # noqa: E402

ADMIN = "admin@example.org"
ZONE = {"far.example": {"MX": ["10 mx.far.example"]},
        "mx.far.example": {"A": ["127.0.0.1"]}}


class Ops(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.dns = FakeDNS(ZONE)
        cls.dns.__enter__()
        cls.mx = FakeMX(replies={"RCPT": "451 4.7.28 Slow <down> please"})
        cls.mx.__enter__()
        cls.s = Server(settings={
            "dns.servers": cls.dns.setting, "dns.self_check": "no",
            "remote.allow_loopback": "yes", "remote.port": cls.mx.port})
        cls.s.start()
        cls.s.user("bob@example.org")
        cls.s.cli("domain", "add", "other.example")
        cls.s.user("boss@other.example", PASSWORD, "--role", "domain_admin")
        cls.socket = cls.s.state / "run/web/admin.sock"

    @classmethod
    def tearDownClass(cls):
        code = cls.s.stop()
        cls.s.close()
        cls.mx.__exit__()
        cls.dns.__exit__()
        assert code == 0, f"run ended with {code}"

    def sign_in(self, user=ADMIN):
        return Browser(self.socket).sign_in(user, PASSWORD, "/admin", "/")

    def setUp(self):
        self.b = self.sign_in()

    def page(self, path, status=200):
        page = self.b.get("/admin" + path)
        self.assertEqual(page.status, status, page.text)
        return page

    def act(self, path, form, page, status=303):
        answer = self.b.post("/admin" + path, form, page)
        self.assertEqual(answer.status, status, answer.text)
        return answer

    def job(self, answer):
        """The page of a job once it is done."""
        where = answer.header("location")
        return wait_until(lambda: (lambda p: "Working on it" not in p.text
                                   and p)(self.b.get(where)), 20)

    def send(self, *to, text="Subject: x\r\n\r\nx\r\n", by=ADMIN):
        with smtplib.SMTP(self.s.host, self.s.port["submission"]) as c:
            c.starttls()
            c.login(by, PASSWORD)
            c.mail(by)
            for rcpt in to:
                c.rcpt(rcpt)
            return c.data(text)[1].decode().split()[-1]

    def test_what_settings_name_is_there(self):
        for name, value, why in (
                ("web.group", "no-such-group", "there is no group"),
                ("remote.ca_file", "/nowhere/ca.pem", "there is no file"),
                ("remote.ca_file", "/etc", "there is no file")):
            p = self.s.run_cli("set", name, value)
            self.assertEqual(p.returncode, 1, p.stderr)
            self.assertIn(why, p.stderr)
            p = self.s.run_cli("settings", "apply", input=f"{name} = {value}\n")
            self.assertEqual(p.returncode, 1, p.stdout)
            self.assertIn(why, p.stderr)
        self.s.set("web.group", "daemon")
        self.s.set("web.group", "")

    def test_passwords_for_smart_hosts(self):
        s, where, secret = self.s, "/admin/credentials", "harbour-of-lanterns"
        b = Browser(self.socket).sign_in("admin@example.org", PASSWORD,
                                         "/admin", "/")

        def post(status, **fields):
            page = b.post(where, fields, b.get(where))
            self.assertEqual(page.status, status, page.text[-3000:])
            return page

        for fields, why in (
                ({"name": "two words", "user": "x", "password": secret},
                 "one word"),
                ({"name": "isp", "user": "", "password": secret},
                 "user is missing"),
                ({"name": "isp", "user": "joe", "password": ""},
                 "password is missing")):
            page = post(422, **fields)
            self.assertIn(why, page.text)
            self.assertNotIn(secret, page.text)
        post(303, name="isp", user="joe", password=secret)
        self.assertEqual(s.json("credential", "list"),
                         [{"name": "isp", "user": "joe"}])
        self.assertNotIn(secret, b.get(where).text + s.log("audit"))
        post(303, drop="isp")
        s.cli("credential", "set", "isp", "--user", "ann",
              input=secret + "\n")
        self.assertIn("ann", b.get(where).text)
        s.cli("credential", "delete", "isp")
        self.assertEqual(
            s.run_cli("credential", "delete", "isp").returncode, 1)
        self.assertEqual(s.run_cli("credential", "set", "isp",
                                   input=secret + "\n").returncode, 1)

    def test_values_have_their_types(self):
        for name, value in (("message.max_bytes", 52428800),
                            ("dns.self_check", False),
                            ("remote.port", self.mx.port),
                            ("queue.expire", 432000),
                            ("relay.mode", "none"), ("relay.trusted", "")):
            self.assertEqual(self.s.json("get", name), value)
        for one in self.s.json("settings", "list"):
            if one["type"] in ("number", "yes or no"):
                self.assertNotIsInstance(one["value"], str, one)
                self.assertNotIsInstance(one["default"], str, one)

    def test_a_mailbox_that_is_not_yet_there_is_fine(self):
        self.s.user("fresh@example.org")
        self.assertFalse(self.s.mailbox("fresh@example.org").exists())
        self.assertEqual(self.s.json("mailbox", "check", "fresh@example.org"),
                         [])
        self.assertEqual(
            self.s.run_cli("mailbox", "check", "nobody@example.org")
            .returncode, 1)

    def test_queue(self):
        ident = self.send("x@far.example")
        self.s.wait_log("queue-runner", f"{ident} event=(attempt|defer)")
        wait_until(lambda: "Slowed down" in self.page("/queue").text, 10)
        page = wait_until(lambda: (lambda p: "far.example</a>" in p.text and
                                   p)(self.page("/queue")), 10)
        self.assertIn("451 4.7.28 Slow &lt;down&gt; please", page.text)
        self.assertIn(f'/admin/queue/{ident}', page.text)
        one = self.page(f"/queue/{ident}")
        self.assertIn("Slow &lt;down&gt;", one.text)
        self.assertIn("Gives up on the oldest", page.text)
        for state, fits in (("deferred", True), ("held", False)):
            self.assertIn(f'/admin/queue?state={state}"', page.text)
            some = self.page(f"/queue?state={state}").text
            self.assertEqual(f"/admin/queue/{ident}" in some, fits, state)
            self.assertIn(f'?state={state}" aria-current="true"', some)
        some = self.page("/queue?destination=far.example")
        self.assertIn(f'/admin/queue/{ident}', some.text)
        self.assertIn("A part of the queue", some.text)
        for none in ("sender=x@far.example", "recipient=admin@example.org",
                     "destination=example.org", "after=7" + "Z" * 25):
            self.assertIn("No further message fits",
                          self.page("/queue?" + none).text)
        self.act("/queue", {"do": "hold", "id": ident}, page)
        wait_until(lambda: "Held by you" in self.page("/queue").text)
        self.act("/queue", {"do": "release", "id": ident}, page)
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as c:
            c.connect(str(self.s.state / "run/queue.sock"))
            order = json.dumps({"verb": "hold", "ids": [ident],
                                "reason": "<odd>"}).encode()
            wait_until(lambda: c.send(order) and b'"done":1' in c.recv(65536))
        for where in ("/queue", f"/queue/{ident}"):
            self.assertIn("&lt;odd&gt;", wait_until(
                lambda: (lambda p: "Held by you" in p and p)(
                    self.page(where).text)))
        self.act("/queue", {"do": "release", "id": ident}, page)
        before = len(self.mx.messages)
        self.act("/queue", {"do": "retry", "destination": "far.example"}, page)
        self.act("/queue", {"do": "suspend"}, page)
        wait_until(lambda: "Resume delivery" in self.page("/queue").text)
        self.act("/queue", {"do": "resume"}, page)
        wait_until(lambda: "Suspend delivery" in self.page("/queue").text)
        self.act("/queue", {"do": "rm -rf", "id": ident}, page, 400)
        # one that is just being tried is let go of first
        wait_until(lambda: self.act("/queue", {"do": "delete", "id": ident},
                                    page) and f"/queue/{ident}" not in
                   self.page("/queue").text)
        self.page(f"/queue/{ident}", 404)
        self.assertEqual(len(self.mx.messages), before)

    def audit(self, verb):
        return [e for f in sorted((self.s.state / "log/audit").iterdir())
                for e in map(json.loads, f.read_text().splitlines())
                if e["verb"] == verb]

    def state(self, ident):
        return self.s.json("queue", "show", ident)["state"]

    def wait_deferred(self, ident):
        """Until it is no longer being worked on."""
        wait_until(lambda: self.state(ident) == "deferred")

    def test_queue_of_a_domain(self):
        boss = "boss@other.example"
        others = self.send("x@far.example")
        own = self.send("y@far.example", by=boss)
        for ident in (own, others):
            self.wait_deferred(ident)
        self.b = self.sign_in(boss)
        page = wait_until(lambda: (lambda p: own in p.text and p)(
            self.page("/queue")))
        self.assertNotIn(others, page.text)
        self.assertNotIn("Suspend delivery", page.text)
        self.assertNotIn('value="bounce"', page.text)
        self.page(f"/queue/{own}")
        self.page(f"/queue/{others}", 404)
        self.act("/queue", {"do": "hold", "id": own}, page)
        wait_until(lambda: "Held by you" in self.page("/queue").text)
        done = self.act("/queue", {"do": "hold", "id": others}, page)
        self.assertIn("queue_some", done.header("location"))
        self.act("/queue", {"do": "bounce", "id": own}, page, 404)
        self.act("/queue", {"do": "suspend"}, page, 404)
        self.assertNotEqual(self.state(others), "held")
        self.act("/queue", {"do": "release", "id": own}, page)
        wait_until(lambda: self.act("/queue", {"do": "delete", "id": own},
                                    page) and own not in
                   self.page("/queue").text)
        entries = [e for e in self.audit("queue hold") if e["actor"] == boss]
        self.assertEqual(entries[0]["target"], "other.example")
        self.assertIn(own, entries[0]["before"])
        self.assertEqual(entries[0]["after"], {own: "held"})
        self.assertNotIn(others, str(entries))
        self.assertIn(own, self.page("/d/other.example/audit").text)
        # all that is left: nothing but one's own is there to be chosen
        self.act("/queue", {"do": "delete", "destination": "far.example"},
                 page)
        self.assertTrue(self.state(others))

    def test_queue_acts_are_in_the_audit_log(self):
        ident = self.send("x@far.example")
        self.wait_deferred(ident)
        self.act("/queue", {"do": "hold", "id": ident}, self.page("/queue"))
        wait_until(lambda: self.state(ident) == "held")
        self.s.cli("queue", "release", ident)
        self.s.run_cli("queue", "delete", ident, "0" * 26)
        web = [e for e in self.audit("queue hold") if ident in e["after"]][-1]
        self.assertEqual((web["actor"], web["program"], web["after"][ident]),
                         (ADMIN, "queue-runner", "held"))
        cli = [e for e in self.audit("queue release") if ident in e["after"]]
        self.assertEqual([(e["actor"], e["before"][ident]) for e in cli],
                         [("operator", "held")])
        self.assertNotIn("0" * 26, str(self.audit("queue delete")))

    def test_queue_is_for_server_administrators(self):
        self.b = self.sign_in("boss@other.example")
        for path in ("/log", "/tools", "/settings/server",
                     "/protection", "/checks", "/backup"):
            self.assertIn(self.b.get("/admin" + path).status, (403, 404))

    def test_trace(self):
        self.send("bob@example.org")
        ident = self.send("boss@other.example", "bob@example.org",
                          text="Subject: secret\r\n\r\nx\r\n")
        self.s.wait_log("queue-runner", f"{ident} event=deliver.*boss")
        self.s.wait_log("queue-runner", f"{ident} event=deliver.*bob")
        found = self.page("/trace?q=boss@other.example")
        self.assertIn(ident, found.text)
        story = self.page(f"/trace/{ident}")
        for word in ("Connected", "Accepted", "Delivered here",
                     "bob@example.org", "SMTP server", "calls itself: <code>",
                     "As recorded", "mtad connect "):
            self.assertIn(word, story.text)
        self.assertIn("know nothing", self.page("/trace?q=no@one.example").text)
        # a domain administrator sees what touches the own domain
        self.b = self.sign_in("boss@other.example")
        story = self.page(f"/trace/{ident}")
        self.assertIn("boss@other.example", story.text)
        self.assertNotIn("bob@example.org", story.text.split("<h1>")[1])
        other = self.send("bob@example.org")
        self.s.wait_log("queue-runner", f"{other} event=deliver")
        self.page(f"/trace/{other}", 404)
        self.assertNotIn(other, self.page("/trace?q=bob@example.org").text)

    def test_search(self):
        """The field at the top finds whatever has a name."""
        s = self.s
        s.cli("alias", "add", "reading@example.org", "bob@example.org")
        s.cli("list", "add", "readers@example.org", "bob@example.org")
        page = self.page("/search?q=read")
        self.assertIn('href="/admin/a/reading%40example.org"', page.text)
        self.assertIn('href="/admin/l/readers%40example.org"', page.text)
        self.assertNotIn('href="/admin/u/', page.text)
        page = self.page("/search?q=+BOB@exa*+")
        self.assertIn('href="/admin/u/bob%40example.org"', page.text)
        self.assertIn("/admin/trace?q=BOB%40exa%2a", page.text.replace(
            "%2A", "%2a"))
        page = self.page("/search?q=other.ex")
        self.assertIn('href="/admin/d/other.example"', page.text)
        for words in ("largest+message", "MAX_bytes+message"):
            self.assertIn('/admin/settings/message#i-message.max_bytes"',
                          self.page("/search?q=" + words).text)
        page = self.page("/search?q=%3Cb%3Eqqq")
        self.assertIn("called “&lt;b&gt;qqq”", page.text)
        self.page("/search")
        ident = self.send("bob@example.org", text="Message-ID: "
                          "<find.me@example.org>\r\n\r\nx\r\n")
        to = self.b.get("/admin/search?q=" + ident)
        self.assertEqual(to.header("location"), f"/admin/trace/{ident}")
        s.wait_log("queue-runner", f"{ident} event=deliver")
        to = self.b.get("/admin/search?q=%3Cfind.me%40example.org%3E")
        self.assertIn(ident, self.b.get(to.header("location")).text)
        # of a domain: the own ones, and nothing of the server
        self.b = self.sign_in("boss@other.example")
        page = self.page("/search?q=o")
        self.assertIn("/admin/u/boss%40other.example", page.text)
        self.assertNotIn("%40example.org", page.text)
        self.assertNotIn("/admin/settings/", page.text)

    def test_each_setting_has_a_title(self):
        texts = json.loads((ROOT / "admin-cgi/pages/lang/ops/en.json")
                           .read_text())
        for row in self.s.json("settings", "list"):
            self.assertIn("setting." + row["name"], texts)
            self.assertIn("settings.section." + row["name"].split(".")[0],
                          texts)

    def test_the_log_can_be_followed(self):
        with subprocess.Popen(
                [str(BIN / "mailstead"), "--state", str(self.s.state), "log",
                 "mtad", "--match", "event=accept", "--lines", "5",
                 "--follow"], stdout=subprocess.PIPE, text=True) as p:
            try:
                ident = self.send("bob@example.org")
                self.assertTrue(any(ident in line for line in p.stdout))
            finally:
                p.terminate()

    def test_log(self):
        self.send("bob@example.org")
        page = self.page("/log?service=mtad&q=event=accept")
        self.assertIn("event=accept", page.text)
        self.assertNotIn("event=connect", page.text)
        day = time.strftime("%Y-%m-%d", time.gmtime())
        path = self.s.state / "log/mtad" / f"{day}.log"
        with open(path, "ab") as f:
            f.write(b"torn \x00\x1b[31m<b>line\n")
        page = self.page("/log?service=mtad")
        self.assertIn("Damaged line", page.text)
        self.assertIn("torn ??[31m&lt;b&gt;line", page.text)
        last = self.s.json("log", "mtad", "--match", "torn")[-1]
        self.assertEqual((last["damaged"], last["line"]),
                         (True, "torn ??[31m<b>line"))
        shown = self.s.cli("log", "mtad", "--match", "event=accept",
                           "--lines", "1")
        self.assertRegex(shown, "^[^\n]* event=accept [^\n]*\n$")
        # searches rely on lines being nearly sorted
        now = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime()).encode()
        with open(path, "ab") as f:
            for n in range(5000):
                f.write(b"%s - - event=test n=%d\n" % (now, n))
        page = self.page("/log?service=mtad&q=event=test")
        self.assertIn("n=4999", page.text)
        seen = set()
        while True:
            seen |= set(re.findall(r"event=test n=(\d+)", page.text))
            more = re.search(r'rel="next" href="/admin([^"]+)"', page.text)
            if not more:
                break
            page = self.page(more.group(1).replace("&amp;", "&"))
        self.assertEqual(len(seen), 5000)

    def test_N11_names_never_become_paths(self):
        secret = self.s.state / "log" / "secret.log"
        secret.write_text("2026-01-01T00:00:00.000Z - - event=secret\n")
        os.symlink(secret, self.s.state / "log/mtad/2020-01-01.log")
        for query in ("service=../../directory&day=2020-01-01",
                      "service=..&day=secret", "day=../../secret",
                      "service=mtad&day=2020-01-01",
                      "service=mtad%00&day=%2e%2e/secret"):
            page = self.b.get("/admin/log?" + query)
            self.assertIn(page.status, (200, 400))
            self.assertNotIn("event=secret", page.text)

    def test_tools(self):
        page = self.page("/tools")
        done = self.job(self.act("/tools", {
            "tool": "lookup", "name": "far.example", "type": "MX"}, page))
        self.assertIn("mx.far.example", done.text)
        self.assertRegex(done.text, r">Found \d+ ms")
        done = self.job(self.act("/tools", {
            "tool": "lookup", "name": "not.there.example", "type": "A"}, page))
        self.assertIn("There is no such name.", done.text)
        done = self.job(self.act("/tools", {
            "tool": "domain", "domain": "far.example"}, page))
        self.assertIn("220 mx.test ESMTP", done.text)
        for words in (">Answers<", ">they<", ">we<", ">Different<"):
            self.assertIn(words, done.text)
        done = self.job(self.act("/tools", {
            "tool": "console", "host": self.s.host,
            "port": str(self.s.port["smtp"]), "protocol": "smtp",
            "commands": "EHLO <b>\r\nQUIT"}, page))
        self.assertIn("EHLO &lt;b&gt;", done.text)
        self.assertIn("221 ", done.text)
        done = self.job(self.act("/tools", {
            "tool": "send", "to": "bob@example.org"}, page))
        ident = re.search(r"/trace/(\w{26})", done.text).group(1)
        self.s.wait_log("queue-runner", f"{ident} event=deliver")
        self.assertIn("deliver", self.page(f"/trace/{ident}").text)
        self.act("/tools", {"tool": "server"}, page, 400)
        self.page("/tools/999999", 404)
        self.page("/tools/x", 404)

    def test_checks(self):
        page = self.page("/checks")
        self.act("/checks", {}, page)
        page = wait_until(lambda: (lambda p: "Port for other mail servers" in p.text and p)(
            self.page("/checks")), 20)
        self.assertIn("SMTP server runs", page.text)

    def looked(self, path):
        """The page once nothing is looked up any more."""
        return wait_until(lambda: (lambda p: "Working on it" not in p.text
                                   and p)(self.page(path)), 20)

    def test_dns(self):
        began = time.monotonic()
        page = self.page("/d/example.org/dns")
        self.assertLess(time.monotonic() - began, 2.5)
        self.assertIn("v=DKIM1", page.text)
        page = self.looked("/d/example.org/dns")
        for text in ("v=DKIM1", "Missing", "Copy zone file", "Last looked",
                     "records need work", "Who may send (SPF)"):
            self.assertIn(text, page.text)
        self.act("/d/example.org/dns", {}, page)
        self.looked("/d/example.org/dns?full=1")
        zone = self.page("/d/example.org/dns.zone")
        self.assertIn('filename="example.org.zone"',
                      zone.header("content-disposition"))
        self.assertIn("\nexample.org. IN TXT \"v=spf1 mx -all\"\n", zone.text)
        self.assertIn("example.org. IN MX 10 mail.example.org.\n", zone.text)
        self.assertIn("\n; mail.example.org. IN A the public address",
                      zone.text)
        self.page("/d/nowhere.example/dns", 404)
        self.page("/d/nowhere.example/dns.zone", 404)
        self.assertRegex(self.page("/").text, r"example\.org/dns\"><span "
                         r'class="chip warn">\d+ to mend')
        # a key made now is wanted now, and looked up
        self.s.cli("dkim", "add", "example.org", "fresh")
        self.assertIn("fresh-rsa._domainkey",
                      self.looked("/d/example.org/dns").text)
        # a domain's administrator looks at the own one, and at no other
        self.b = self.sign_in("boss@other.example")
        page = self.page("/d/other.example/users")
        self.assertIn('href="/admin/d/other.example/dns"', page.text)
        page = self.looked("/d/other.example/dns")
        self.assertIn("other.example. IN MX", page.text)
        self.act("/d/other.example/dns", {}, page)
        self.page("/d/example.org/dns", 404)
        self.page("/d/example.org/dns.zone", 404)
        self.act("/d/example.org/dns", {}, page, 404)

    def test_dns_that_is_silent(self):
        """The page comes at once, and does not call missing what it cannot
        know."""
        s = self.s
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mute:
            mute.bind((s.host, 0))
            s.cli("set", "dns.servers", f"{s.host}:{mute.getsockname()[1]}")
            try:
                wait_until(lambda: "(nxdomain)" not in s.run_cli(
                    "tool", "lookup", "mute.example").stdout)
                s.cli("domain", "add", "mute.example")
                began = time.monotonic()
                page = self.page("/d/mute.example/dns")
                self.assertLess(time.monotonic() - began, 2.5)
                self.assertIn("v=spf1", page.text)
                self.assertRegex(page.text, "Working on it|"
                                 "did not say what is there")
                page = self.looked("/d/mute.example/dns")
                self.assertIn("did not say what is there", page.text)
                self.assertNotIn("Missing", page.text)
            finally:
                s.cli("set", "dns.servers", self.dns.setting)

    def test_settings(self):
        page = self.page("/settings/queue")
        self.assertIn("queue.expire", page.text)
        self.assertIn("How long delivery is tried", page.text)
        bad = self.act("/settings/queue", {
            "queue.expire": "soon", "queue.max_messages": "77"}, page, 422)
        self.assertIn('value="soon"', bad.text)
        self.assertIn('value="77"', bad.text)
        self.assertEqual(self.s.cli("get", "queue.max_messages").strip(), "0")
        self.act("/settings/queue", {"queue.max_messages": "77"}, page)
        self.assertEqual(self.s.cli("get", "queue.max_messages").strip(), "77")
        text = wait_until(lambda: (lambda p: "queue.max_messages = 77" in
                                   p.text and p)(self.page("/settings/text")))
        bad = self.act("/settings/text", {
            "text": "queue.max_messages = 5\nno.such = 1"}, text, 422)
        self.assertIn("no.such", bad.text)
        self.assertEqual(self.s.cli("get", "queue.max_messages").strip(), "77")
        self.act("/settings/text", {
            "text": "# all\nqueue.max_messages = 0\n"}, text)
        self.assertEqual(self.s.cli("get", "queue.max_messages").strip(), "0")

    def test_settings_that_two_change(self):
        """What one did not touch stays as the other wants it, and of what
        both touch the second is told."""
        def form(page, names, **typed):
            out = {f"was.{n}": page.hidden(f"was.{n}") for n in names}
            return out | {n: out[f"was.{n}"] for n in names} | {
                k.replace("__", "."): v for k, v in typed.items()}

        names = ["queue.max_messages", "queue.expire"]
        page = self.page("/settings/queue")
        self.assertNotIn("queue.retry", self.page("/settings/text").text)
        first = form(page, names, queue__expire="6d")
        second = form(page, names, queue__max_messages="7")
        self.act("/settings/queue", first, page)
        self.act("/settings/queue", second, page)
        get = lambda n: self.s.cli("get", n).strip()  # noqa: E731
        self.assertEqual([get(n) for n in names], ["7", "518400"])
        second["queue.expire"] = "7d"
        told = self.act("/settings/queue", second, page, 409)
        self.assertIn("Somebody else has changed this", told.text)
        self.assertIn('value="7d"', told.text)
        again = form(told, names, queue__expire="7d")
        self.act("/settings/queue", again, told)
        self.assertEqual([get(n) for n in names], ["7", "604800"])
        page = self.page("/settings/text")
        shown = page.hidden("was")
        self.s.cli("set", "queue.expire", "5d")
        text = shown + "limit.connections_per_user = 9"
        self.act("/settings/text", {"was": shown, "text": text}, page)
        self.assertEqual(get("queue.expire"), "432000")
        text = shown.replace("604800", "8d")
        self.act("/settings/text", {"was": shown, "text": text}, page, 409)
        self.s.cli("set", "queue.max_messages", "0")
        self.s.cli("set", "limit.connections_per_user", "0")

    def test_signing_keys_are_changed(self):
        """New ones, published, used; the old ones stay until not needed."""
        where = "/d/other.example/dns"
        keys = lambda: {k["selector"]: k["state"] for k in self.s.json(  # noqa: E731
            "dkim", "list", "other.example")}
        old = set(keys())
        self.act(where, {"keys": "new"}, self.page(where))
        new = set(keys()) - old
        self.assertEqual((len(new), {keys()[k] for k in new}), (2, {"new"}))
        page = self.page(where)
        self.assertIn("Switch to the new keys", page.text)
        for k in new:
            self.assertIn(k + "._domainkey", page.text)
        self.act(where, {"keys": "switch"}, page)
        self.assertEqual({keys()[k] for k in new}, {"active"})
        self.assertEqual({keys()[k] for k in old}, {"retired"})
        told = self.act(where, {"drop": sorted(old)[0]}, page, 422)
        self.assertIn("Stays needed until", told.text)
        self.assertEqual({keys()[k] for k in old}, {"retired"})

    def test_a_look_that_two_change(self):
        where = "/d/other.example/look"
        page = self.page(where)
        form = {"rev": page.hidden("rev"), "css": "", "signature": "Mine"}
        self.act(where, form, page)
        form["signature"] = "Theirs"
        told = self.act(where, form, page, 409)
        self.assertIn("Theirs", told.text)
        self.act(where, form | {"rev": told.hidden("rev")}, told)
        self.assertEqual(self.s.cli("domain", "look", "other.example",
                                    "signature.txt"), "Theirs")

    def test_protection(self):
        page = self.page("/protection")
        self.assertIn("Not an open relay", page.text)
        ask = ("/protection?from=a@far.example&to=b@far.example"
               "&ip=192.0.2.9&user=")
        self.assertIn("<b>reject</b>", self.page(ask).text)
        self.act("/protection", {"relay.mode": "anyone"}, page)
        # the runner, which tries it, sees settings within a second
        wait_until(lambda: "This server is an open relay" in
                   self.page(ask).text, 20, "an open relay")
        wait_until(lambda: "<b>accept</b>" in self.page(ask).text, 10,
                   "the new verdict")
        self.act("/protection", {"relay.mode": "none", "relay.trusted":
                                 "192.0.2.0/255.255.255.0 198.51.100.1-198.51.100.9"},
                 page)
        self.act("/protection", {"relay.trusted": ""}, page)
        bad = self.act("/protection", {"relay.trusted": "nonsense"}, page, 422)
        self.assertIn("nonsense", bad.text)
        wait_until(lambda: "open relay.</b>" not in
                   self.page("/protection").text, 20, "a closed relay")

    def trial_ends(self):
        """The minute of the trial is over."""
        with sqlite3.connect(self.s.state / "directory/directory.db") as db:
            db.execute("UPDATE trial SET since_ms = since_ms - 60000")
        db.close()

    def trial(self):
        return {i["name"]: (i["before"], i["value"])
                for i in self.s.json("settings", "trial")["items"]}

    def test_settings_on_trial(self):
        """What may lock out goes back by itself, whole, unless it is kept."""
        mode = lambda: self.s.cli("get", "relay.mode").strip()  # noqa: E731
        self.assertEqual(self.trial(), {})
        # with one risky setting the whole change is tried
        page = self.page("/settings/text")
        answer = self.act("/settings/text", {
            "text": "relay.mode = local-users\nqueue.max_messages = 9\n"},
            page)
        page = self.page(answer.header("location").removeprefix("/admin"))
        self.assertIn("In force now, for a minute", page.text)
        self.assertIn('value="keep"', page.text)
        self.assertEqual(mode(), "local-users")
        self.assertEqual(self.trial(), {
            "relay.mode": ("none", "local-users"),
            "queue.max_messages": ("0", "9")})
        self.assertIn("goes back within a minute", self.page("/").text)
        # a change that joins does not forget what was before
        self.act("/protection", {"relay.mode": "local-hosts"}, page)
        self.assertEqual(self.trial()["relay.mode"], ("none", "local-hosts"))
        # whoever ends accountd or the administration ends no trial
        for name in ("accountd", "admin-cgi"):
            status = {s["name"]: s for s in self.s.json("status")["services"]}
            for pid in self.s.workers(name) or [status[name]["pid"]]:
                os.kill(pid, signal.SIGKILL)
        wait_until(lambda: self.s.json("settings", "trial")["items"])
        self.trial_ends()
        wait_until(lambda: mode() == "none", 10, "the way back")
        self.assertEqual(self.s.cli("get", "queue.max_messages").strip(), "0")
        self.assertEqual(self.trial(), {})
        line = self.s.json("audit", "--what", "setting undo")[0]
        self.assertEqual((line["actor"], line["before"]["relay.mode"],
                          line["after"]["relay.mode"]),
                         ("clock", "local-hosts", "none"))
        # too late to keep it
        self.b = self.sign_in()
        page = self.page("/protection")
        late = self.act("/protection", {"trial": "keep"}, page, 422)
        self.assertIn("Nothing is on trial any more", late.text)

    def test_settings_kept_and_undone(self):
        get = lambda name: self.s.cli("get", name).strip()  # noqa: E731
        page = self.page("/protection")
        # what cannot lock out is in force for good
        self.act("/protection", {"sender.send_as": "domain"}, page)
        self.act("/protection", {"sender.send_as": "own"}, page)
        self.assertEqual(self.trial(), {})
        self.act("/protection", {"access.no_relay": "192.0.2.1"}, page)
        self.assertEqual(list(self.trial()), ["access.no_relay"])
        done = self.act("/protection", {"trial": "keep"}, page)
        self.assertIn("flash=kept", done.header("location"))
        self.assertEqual(self.trial(), {})
        self.assertEqual(get("access.no_relay"), "192.0.2.1")
        self.act("/settings/access", {"access.no_relay": "192.0.2.2"}, page)
        self.act("/settings/access", {"trial": "undo"}, page)
        self.assertEqual(get("access.no_relay"), "192.0.2.1")
        # on the command line: only when asked for; what stays is not tried
        self.s.cli("set", "access.no_relay", "192.0.2.3")
        self.assertEqual(self.trial(), {})
        said = self.s.cli("set", "--trial", "access.no_relay", "192.0.2.4")
        self.assertIn("unless kept", said)
        self.s.cli("set", "--trial", "smtp.max_hops", "40")
        self.assertEqual(self.trial(), {
            "access.no_relay": ("192.0.2.3", "192.0.2.4"),
            "smtp.max_hops": ("50", "40")})
        self.s.cli("set", "access.no_relay", "192.0.2.5")
        self.s.cli("settings", "undo")
        self.assertEqual((get("access.no_relay"), get("smtp.max_hops")),
                         ("192.0.2.5", "50"))
        self.s.cli("settings", "apply", "--trial",
                   input="access.no_relay =\n")
        self.s.cli("settings", "keep")
        self.assertEqual(get("access.no_relay"), "")
        self.assertEqual(self.s.run_cli("settings", "keep").returncode, 1)

    def pop3(self, source, password):
        return self.s.pop3_login("bob@example.org", source, password)

    def test_bans(self):
        s = self.s
        s.set("ban.failures", 3)
        s.set("auth.delay_after", 50)
        wait_until(lambda: s.json("ban", "check", "127.0.0.7")["limit"] == 3)
        self.assertEqual(self.pop3("127.0.0.8", PASSWORD), "+OK")
        for source in ("127.0.0.7", "127.0.0.8", "127.0.0.1"):
            for _ in range(4):
                self.assertEqual(self.pop3(source, "wrong"), "-ERR")
        self.assertEqual(self.pop3("127.0.0.7", PASSWORD), "-ERR")
        # who signed in from there before, and what is never banned
        self.assertEqual(self.pop3("127.0.0.8", PASSWORD), "+OK")
        self.assertEqual(self.pop3("127.0.0.1", PASSWORD), "+OK")
        w = Browser(s.state / "run/web/webmail.sock",
                    REMOTE_ADDR="2001:db8:1:2:3::4", HTTPS="on")
        for n in range(4):
            form = w.get("/webmail/login")
            w.post("/webmail/login", {"user": f"x{n}@example.org",
                                      "pass": "wrong", "back": "/"}, form)
        bans = {b["address"]: b for b in s.json("ban", "list")}
        self.assertEqual(set(bans), {"127.0.0.7", "2001:db8:1:2::"})
        self.assertEqual((bans["127.0.0.7"]["service"],
                          bans["127.0.0.7"]["failures"]), ("pop3", 3))
        s.wait_log("accountd", "event=ban ip=127.0.0.7 service=pop3")
        self.assertEqual(s.json("ban", "check", "2001:db8:1:2:ffff::1")
                         ["verdict"], "ban")
        # a restart forgives nobody
        os.kill(s.workers("accountd")[0], signal.SIGKILL)
        wait_until(lambda: s.run_cli("ban", "list").returncode == 0)
        self.assertEqual(self.pop3("127.0.0.7", PASSWORD), "-ERR")
        page = self.page("/protection")
        self.assertIn("<code>127.0.0.7</code>", page.text)
        self.assertIn("Is banned", self.page(
            "/protection?ban_ip=127.0.0.7").text)
        self.assertIn("is never banned", self.page(
            "/protection?ban_ip=127.0.0.1").text)
        self.assertIn("not an address: &lt;x", self.page(
            "/protection?ban_ip=%3Cx").text)
        self.act("/protection", {"lift": "127.0.0.7"}, page)
        self.assertEqual(self.pop3("127.0.0.7", PASSWORD), "+OK")
        self.act("/protection", {"lift": "127.0.0.7"}, page, 422)
        s.cli("ban", "lift", "2001:db8:1:2::")
        self.assertEqual(s.json("ban", "list"), [])
        s.set("ban.failures", 10)
        s.set("auth.delay_after", 5)

    def shown_certificate(self, name):
        """Until when the certificate POP3 shows for this name is good."""
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        with socket.create_connection((self.s.host, self.s.port["pop3s"])) \
                as c, context.wrap_socket(c, server_hostname=name) as t:
            return ssl.DER_cert_to_PEM_cert(t.getpeercert(True))

    def test_certificates(self):
        s = self.s
        cert, key = (Path(p).read_text() for p in make_certificate(
            s.top, "mx.example.org", 90))
        page = self.page("/certificates")
        self.assertIn("certbot certonly --webroot -w ", page.text)
        self.assertIn("dehydrated", page.text)
        form = {"name": "mx.example.org", "certificate": cert, "key": key}
        # the key does not come back to be posted once more
        asked = self.act("/certificates", dict(form, confirm="no"), page, 403)
        self.assertIn("BEGIN CERTIFICATE", asked.text)
        self.assertNotIn("PRIVATE KEY", asked.text)
        bad = self.act("/certificates", dict(form, confirm=PASSWORD,
                       key=s.state.joinpath("tls/default.key").read_text()),
                       page, 422)
        self.assertIn("does not fit", bad.text)
        self.assertIn("BEGIN CERTIFICATE", bad.text)
        self.assertNotIn("PRIVATE KEY", bad.text)
        self.act("/certificates", form, page)
        page = self.page("/certificates")
        self.assertIn("<b>mx.example.org</b>", page.text)
        for name in ("../x", "a/b", ""):
            self.act("/certificates", dict(form, name=name), page, 422)
        wait_until(lambda: self.shown_certificate("mx.example.org") == cert)
        # an ACME client's hook, by links as certbot makes them
        live = s.top / "live"
        live.mkdir()
        new, new_key = make_certificate(s.top, "mx.example.org", 91)
        (live / "fullchain.pem").symlink_to(new)
        (live / "privkey.pem").symlink_to(new_key)
        tool = ROOT / "packaging/acme-hook"
        env = dict(os.environ, MAILSTEAD=str(BIN / "mailstead"),
                   MAILSTEAD_STATE=str(s.state))
        subprocess.run([tool], check=True, capture_output=True, env=dict(
            env, RENEWED_LINEAGE=str(live), RENEWED_DOMAINS="mx.example.org"))
        new = Path(new).read_text()
        wait_until(lambda: self.shown_certificate("mx.example.org") == new)
        subprocess.run([tool, "deploy_cert", "imap.example.org", new_key, "-",
                        live / "fullchain.pem", "-"], check=True,
                       capture_output=True, env=env)
        subprocess.run([tool, "startup_hook"], check=True, env=env)
        self.act("/certificates", {"made": "own.example.org"}, page)
        self.assertEqual(
            [(c["name"], c["self_signed"]) for c in s.json("tls", "list")],
            [("default", True), ("imap.example.org", True),
             ("mx.example.org", True), ("own.example.org", True)])
        for name in ("imap.example.org", "own.example.org"):
            self.act("/certificates", {"drop": name}, page)
        self.act("/certificates", {"drop": "default"}, page, 422)
        self.act("/certificates", {"drop": "none.example"}, page, 422)
        self.assertEqual(sorted(os.listdir(s.state / "tls")),
                         ["default.crt", "default.key", "mx.example.org.crt",
                          "mx.example.org.key"])
        s.cli("tls", "delete", "mx.example.org")
        audit = "".join(p.read_text()
                        for p in (s.state / "log/audit").iterdir())
        self.assertIn("tls install", audit)
        self.assertNotIn("PRIVATE KEY", audit)

    def test_backup(self):
        self.assertIn("mailstead restore", self.page("/backup").text)
        note = self.s.json("backup", str(self.s.top / "copies"))
        self.assertIn(note["name"], self.page("/backup").text)

    def test_no_runner_no_hang(self):
        with self.s.frozen("queue-runner"):
            started = time.monotonic()
            page = self.b.get("/admin/queue")
            self.assertEqual(page.status, 503)
            self.assertLess(time.monotonic() - started, 4)


if __name__ == "__main__":
    unittest.main()
