"""Settings in webmail: what users change for themselves."""

import plistlib
import re
import sys
import unittest
from pathlib import Path
from xml.etree import ElementTree

sys.path.insert(0, str(Path(__file__).resolve().parent))
from lib.fastcgi import Browser  # noqa: E402
from lib.server import PASSWORD, ServerTest, wait_until  # noqa: E402

CANARY = '"><img src=x onerror=alert(1)>'


class Settings(ServerTest):
    users = ("ann", "bob", "carl", "dora")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.s.cli("alias", "add", "team@example.org", "ann@example.org",
                  "bob@example.org")
        cls.socket = cls.s.state / "run/web/webmail.sock"

    def browser(self, user="ann", password=PASSWORD):
        return Browser(self.socket).sign_in(f"{user}@example.org", password)

    def change(self, b, topic, status=303, **fields):
        page = b.get(f"/webmail/settings/{topic}")
        self.assertEqual(page.status, 200, page.text)
        page = b.post(f"/webmail/settings/{topic}", fields, page)
        self.assertEqual(page.status, status, page.text)
        return page

    def chosen(self, page, name):
        select = re.search(rf'<select[^>]*name="{name}".*?</select>',
                           page.text, re.S).group(0)
        return re.search(r'value="([^"]*)" selected', select).group(1)

    def test_set_up_a_mail_program(self):
        """The page, the profile, and what programs ask by themselves."""
        port = self.s.port
        page = self.browser().get("/webmail/settings/program")
        self.assertEqual(page.status, 200)
        for text in ("mail.example.org", f"{port['pop3s']}", "SSL/TLS",
                     f"{port['submissions']}", "ann@example.org"):
            self.assertIn(f">{text}<", page.text)
        self.assertIn('href="/webmail/settings/program"', self.browser()
                      .get("/webmail/settings/reading").text)
        profile = self.browser().get("/webmail/settings/program/profile")
        self.assertEqual(profile.header("content-type"),
                         "application/x-apple-aspen-config")
        mail, = plistlib.loads(profile.body)["PayloadContent"]
        self.assertEqual(mail["EmailAccountType"], "EmailTypePOP")
        self.assertEqual(mail["IncomingMailServerPortNumber"], port["pop3s"])
        self.assertEqual(mail["OutgoingMailServerUsername"],
                         "ann@example.org")
        self.assertRegex(mail["PayloadUUID"], r"^[0-9A-F]{8}(-[0-9A-F]{4}){3}"
                         r"-[0-9A-F]{12}$")
        self.assertNotIn(PASSWORD.encode(), profile.body)
        nobody = Browser(self.socket)
        for path in ("/.well-known/autoconfig/mail/config-v1.1.xml",
                     "/mail/config-v1.1.xml"):
            for query in ("?emailaddress=who%40example.org", ""):
                page = nobody.get(path + query,
                                  HTTP_HOST="autoconfig.example.org")
                self.assertEqual(page.status, 200)
                config = ElementTree.fromstring(page.body)
                servers = [(x.get("type"), x.find("hostname").text,
                            int(x.find("port").text),
                            x.find("socketType").text,
                            x.find("username").text)
                           for x in config.find("emailProvider")
                           if x.tag.endswith("Server")]
                who = "who@example.org" if query else "%EMAILADDRESS%"
                self.assertEqual(servers, [
                    (kind, "mail.example.org", port[name], security, who)
                    for kind, name, security in (
                        ("pop3", "pop3s", "SSL"), ("pop3", "pop3", "STARTTLS"),
                        ("smtp", "submissions", "SSL"),
                        ("smtp", "submission", "STARTTLS"))])
        self.assertEqual(nobody.get("/mail/config-v1.1.xml?emailaddress="
                                    "x@other.example").status, 404)
        for address, status in (("who@example.org", 200),
                                ("x@other.example", 404), ("<x&", 404),
                                ('"a&lt;b"@example.org', 404)):
            page = nobody.ask(
                "POST", "/Autodiscover/Autodiscover.xml",
                b'<?xml version="1.0"?><Autodiscover><Request><EMailAddress>'
                + address.encode() + b"</EMailAddress></Request>"
                b"</Autodiscover>", CONTENT_TYPE="text/xml")
            page_2 = nobody.ask("POST", "/autodiscover/autodiscover.xml",
                                b"<EMailAddress>" + address.encode() +
                                b"</EMailAddress>", CONTENT_TYPE="text/xml")
            self.assertEqual(page.status, page_2.status)
            if status == 404:
                continue
            self.assertEqual(page.status, 200)
            found = [(x.findtext("{*}Type"), x.findtext("{*}Server"),
                      int(x.findtext("{*}Port")), x.findtext("{*}SSL"),
                      x.findtext("{*}LoginName"))
                     for x in ElementTree.fromstring(page.body)
                     .iter("{http://schemas.microsoft.com/exchange/"
                           "autodiscover/outlook/responseschema/2006a}"
                           "Protocol")]
            self.assertEqual(found, [
                ("POP3", "mail.example.org", port["pop3s"], "on", address),
                ("SMTP", "mail.example.org", port["submissions"], "on",
                 address)])
        self.assertEqual(nobody.ask(
            "POST", "/autodiscover/autodiscover.xml", b"x" * 70000,
            CONTENT_TYPE="text/xml").status, 413)
        # a domain's own host, and only what is switched on
        self.s.set("client.hosts", "example.org=pop.example.org")
        self.s.set("smtp.submissions_port", 0)
        try:
            self.assertEqual(
                [(x["protocol"], x["host"], x["port"], x["security"]) for x in
                 self.s.json("mail-program", "ann@example.org")][1:],
                [("pop3", "pop.example.org", port["pop3"], "starttls"),
                 ("smtp", "pop.example.org", port["submission"], "starttls")])
            self.assertIn("<hostname>pop.example.org</hostname>", self.s.cli(
                "mail-program", "ann@example.org", "--as", "thunderbird"))
        finally:
            self.s.set("client.hosts", "")
            self.s.set("smtp.submissions_port", 465)

    def test_preferences(self):
        b = self.browser()
        page = b.get("/webmail/m/inbox")
        self.assertIn('data-theme="auto"', page.text)
        # the script offers the browser's zone, until one was chosen
        self.assertIn("data-zone hidden", page.text)
        for zone, status in (("Nowhere/Land", 422), ("UTC", 303)):
            saved = b.post("/webmail/settings/look", {
                "zone": zone, "back": "/m/inbox?filter=unread"}, page)
            self.assertEqual(saved.status, status)
        self.assertEqual(saved.header("Location"),
                         "/webmail/m/inbox?filter=unread")
        self.assertNotIn("data-zone", b.follow(saved).text)
        self.change(b, "look", theme="dark", density="compact",
                    zone="Europe/Oslo")
        page = b.get("/webmail/settings/look")
        self.assertIn('data-theme="dark" data-density="compact"', page.text)
        self.assertIn('value="Europe/Oslo"', page.text)
        # a field that is not there changes nothing
        self.change(b, "look", density="cozy")
        page = b.get("/webmail/settings/look")
        self.assertIn('data-theme="dark" data-density="cozy"', page.text)
        page = self.change(b, "look", 422, theme="pink")
        self.assertIn("not possible", page.text)
        for zone in ("Nowhere/Land", "../../etc/passwd", "/etc", CANARY):
            page = self.change(b, "look", 422, zone=zone)
            self.assertIn("no such time zone", page.text)
            self.assertNotIn("<img", page.text)
        self.change(b, "reading", rows="25", talks="no")
        page = b.get("/webmail/settings/reading")
        self.assertEqual(self.chosen(page, "rows"), "25")
        self.assertEqual(self.chosen(page, "talks"), "no")
        # another session, and nobody else's
        self.assertIn('data-theme="dark"',
                      self.browser().get("/webmail/m/inbox").text)
        self.assertIn('data-theme="auto"',
                      self.browser("carl").get("/webmail/m/inbox").text)
        self.assertEqual(b.get("/webmail/settings/nothing").status, 404)
        # keys can be turned off, for every page
        self.assertIn('data-keys="yes"', page.text)
        self.change(b, "reading", keys="no")
        self.assertIn('data-keys="no"', b.get("/webmail/m/inbox").text)
        self.assertEqual(b.get("/webmail/settings").status, 303)

    def test_language(self):
        arabic = '<html lang="ar" dir="rtl"'
        english = '<html lang="en" dir="ltr"'
        for wish, head in (("ar-EG, en;q=0.5", arabic), ("en, ar;q=0.5",
                           english), ("xx", english), ("ar;q=0", english)):
            page = Browser(self.socket).get("/webmail/login",
                                            HTTP_ACCEPT_LANGUAGE=wish)
            self.assertIn(head, page.text, wish)
        b = self.browser("bob")
        self.assertIn(english, b.get("/webmail/m/inbox").text)
        self.assertIn(arabic, b.get("/webmail/m/inbox",
                                    HTTP_ACCEPT_LANGUAGE="ar").text)
        self.change(b, "look", lang="ar")
        page = b.get("/webmail/m/inbox", HTTP_ACCEPT_LANGUAGE="en")
        self.assertIn(arabic, page.text)
        self.assertIn("الوارد", page.text)
        self.change(b, "look", 422, lang="xx")
        self.change(b, "look", lang="")

    def test_labels(self):
        b = self.browser()
        self.change(b, "labels", name=CANARY, hue="3")
        page = b.get("/webmail/settings/labels")
        self.assertIn("&quot;&gt;&lt;img", page.text)
        self.assertNotIn("<img", page.text)
        number = re.search(r'name="id" value="(\d+)"', page.text).group(1)
        self.change(b, "labels", id=number, name="Work", hue="5")
        page = self.change(b, "labels", 422, name="Work", hue="1")
        self.assertIn("a label of this name already", page.text)
        self.change(b, "labels", 422, name="x", hue="9")
        self.change(b, "labels", 422, name=" ")
        self.change(b, "labels", id=number, delete="yes")
        self.assertIn("no labels yet", b.get("/webmail/settings/labels").text)

    def test_L13_identities(self):
        b = self.browser()
        fields = dict(address="ann@example.org", name=CANARY,
                      signature=CANARY + "\r\nsecond", reply_to="")
        self.change(b, "identities", **fields)
        page = b.get("/webmail/settings/identities")
        self.assertNotIn("<img", page.text)
        self.assertIn("second</textarea>", page.text)
        page = b.follow(b.get("/webmail/compose"))
        self.assertNotIn("<img", page.text)
        self.change(b, "identities", address="ann@example.org", name="Ann")
        self.assertIn("second</textarea>",
                      b.get("/webmail/settings/identities").text)
        self.change(b, "identities", 422, address="carl@example.org", name="x")
        self.change(b, "identities", 422, **dict(fields, name="a\r\nb"))
        self.change(b, "identities", 422, **dict(fields, reply_to="nobody"))
        self.change(b, "identities", 422, **dict(fields, signature="x" * 9000))

    def test_forward(self):
        b = self.browser("bob")
        self.change(b, "forward", forward="x@far.example\r\ny@far.example",
                    forward_keep="yes")
        user = self.s.json("user", "show", "bob@example.org")
        self.assertEqual(user["forward"], ["x@far.example", "y@far.example"])
        self.change(b, "forward", forward_keep="no")
        user = self.s.json("user", "show", "bob@example.org")
        self.assertEqual(len(user["forward"]), 2)
        page = self.change(b, "forward", 422, forward="nobody")
        self.assertIn("not an address", page.text)
        self.change(b, "forward", forward="")
        self.assertEqual(
            self.s.json("user", "show", "bob@example.org")["forward"], [])

    def aliases(self):
        return self.s.json("user", "show", "bob@example.org")["aliases"]

    def test_own_aliases(self):
        b = self.browser("bob")
        page = b.get("/webmail/settings/forward")
        self.assertNotIn('name="aliases"', page.text)
        page = self.change(b, "forward", 422, aliases="robert@example.org")
        self.assertIn("only administrators", page.text)
        self.s.cli("set", "--domain", "example.org",
                   "user.own_aliases", "2")
        wait_until(lambda: 'name="aliases"' in
                   b.get("/webmail/settings/forward").text, 10, "the box")
        self.change(b, "forward", aliases="Robert@example.org")
        self.assertEqual(self.aliases(),
                         ["robert@example.org", "team@example.org"])
        # the seeds' way of leaving them alone
        self.change(b, "forward", aliases="nochange", forward="")
        self.assertEqual(len(self.aliases()), 2)
        for wrong in ("carl@example.org", "postmaster@example.org",
                      "admin@example.org", "x@elsewhere.example", "x y",
                      "a@example.org b@example.org c@example.org"):
            self.change(b, "forward", 422, aliases=wrong)
            self.assertEqual(len(self.aliases()), 2, wrong)
        self.change(b, "forward", aliases="bobby@example.org")
        self.assertEqual(self.aliases(),
                         ["bobby@example.org", "team@example.org"])
        self.change(b, "forward", aliases="")
        self.assertEqual(self.aliases(), ["team@example.org"])

    def test_M02_N07_password(self):
        b, other = self.browser("dora"), self.browser("dora")
        new = "a better pass phrase"
        fields = dict(old_password=PASSWORD, new_password=new,
                      new_password2=new)
        page = self.change(b, "account", 422,
                           **dict(fields, old_password="wrong"))
        self.assertIn("old password is wrong", page.text)
        self.assertNotIn(new, page.text)
        page = self.change(b, "account", 422, **dict(fields, new_password2="x"))
        self.assertIn("not the same", page.text)
        self.change(b, "account", 422,
                    **dict(fields, new_password="x", new_password2="x"))
        self.assertEqual(other.get("/webmail/m/inbox").status, 200)
        self.change(b, "account", **fields)
        self.assertEqual(b.get("/webmail/m/inbox").status, 200)
        self.assertEqual(other.get("/webmail/m/inbox").status, 401)
        self.browser("dora", new)
        self.change(b, "account", name="Dora <b>")
        self.assertEqual(
            self.s.json("user", "show", "dora@example.org")["name"], "Dora <b>")

    def test_quota_bar(self):
        self.s.cli("user", "set", "ann@example.org", "quota_bytes=1000000")
        b = self.browser()
        self.assertRegex(b.get("/webmail/m/inbox").text,
                         r'<progress id="quota" max="100" value="\d+"')


if __name__ == "__main__":
    unittest.main()
