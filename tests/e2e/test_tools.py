"""The administrator's tools against the scripted DNS and exchanger."""

import json
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parent / "lib"))
from lib.fakedns import FakeDNS  # noqa: E402
from lib.fastcgi import Browser  # noqa: E402
from lib.fakemx import HANG, FakeMX  # noqa: E402
from lib.server import PASSWORD, Server, wait_until  # noqa: E402

ZONE = {"far.example": {"MX": ["10 mx.far.example", "20 off.far.example"],
                        "TXT": ["v=spf1 mx -all"]},
        "mx.far.example": {"A": ["127.0.0.1"]},
        "off.far.example": {"A": ["127.0.0.9"]},
        "mail.example.org": {"A": ["127.0.0.1"]}}


class Tools(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.dns = FakeDNS(ZONE)
        cls.dns.__enter__()
        cls.mx = FakeMX()
        cls.mx.__enter__()
        cls.s = Server(settings={
            "dns.servers": cls.dns.setting, "dns.self_check": "no",
            "remote.allow_loopback": "yes", "remote.port": cls.mx.port})
        cls.s.start()

    @classmethod
    def tearDownClass(cls):
        code = cls.s.stop()
        cls.s.close()
        cls.mx.__exit__()
        cls.dns.__exit__()
        assert code == 0, f"run ended with {code}"

    def test_lookup(self):
        found = self.s.json("tool", "lookup", "far.example", "MX")
        self.assertEqual(found["status"], "ok")
        self.assertEqual(len(found["answers"]), 2)
        self.assertIn("mx.far.example", found["answers"][0])
        found = self.s.json("tool", "lookup", "far.example", "TXT",
                            "--server", self.dns.setting)
        self.assertIn('"v=spf1 mx -all"', found["answers"][0])
        p = self.s.run_cli("tool", "lookup", "nowhere.example", "A")
        self.assertEqual((p.returncode, p.stdout), (1, "none (nxdomain)\n"))
        p = self.s.run_cli("tool", "lookup", "far.example", "A", "--server",
                           "not an address")
        self.assertEqual(p.returncode, 1)

    def test_domain_tries_each_exchanger(self):
        found = self.s.json("tool", "domain", "far.example")
        self.assertEqual([(x["preference"], x["host"], x["state"])
                          for x in found["exchangers"]],
                         [(10, "mx.far.example", "ok"),
                          (20, "off.far.example", "failed")])
        said = found["exchangers"][0]["dialogue"]
        self.assertEqual(said[0], {"from": "server",
                                   "text": "220 mx.test ESMTP"})
        self.assertEqual(said[1]["text"], "EHLO mail.example.org")

    def test_console(self):
        s = self.s
        said = s.json("tool", "console", s.host, str(s.port["smtp"]),
                      "EHLO me", "STARTTLS", "EHLO me", "QUIT")["dialogue"]
        text = "\n".join(x["from"][0] + x["text"] for x in said)
        self.assertRegex(text, r"(?s)s220 .*cSTARTTLS\ns220 .*nTLSv1.3, "
                         r"certificate not expired\ncEHLO me\n.*s221 ")
        p = s.run_cli("tool", "console", s.host, str(s.port["pop3s"]),
                      "--tls", "--pop3", "CAPA", "USER admin@example.org",
                      "PASS " + PASSWORD, "UIDL", "QUIT")
        self.assertEqual(p.returncode, 0, p.stderr)
        self.assertIn("S: .\n", p.stdout)
        self.assertIn("C: PASS\n", p.stdout)
        self.assertNotIn(PASSWORD, p.stdout)
        p = s.run_cli("tool", "console", "127.0.0.9", "1", "QUIT")
        self.assertEqual(p.returncode, 1)
        self.assertIn("127.0.0.9", p.stderr)
        with FakeMX(replies={"BANNER": HANG}) as mx:
            p = s.run_cli("tool", "console", s.host, str(mx.port))
            self.assertEqual(p.returncode, 1)

    def test_relay_self_test(self):
        self.assertFalse(self.s.json("tool", "relay")["open"])
        self.s.set("relay.mode", "anyone")
        try:
            p = self.s.run_cli("tool", "relay")
            self.assertEqual(p.returncode, 1)
            self.assertIn("OPEN RELAY", p.stdout)
        finally:
            self.s.set("relay.mode", "none")
        self.assertFalse(self.s.json("tool", "relay")["open"])

    def test_send_and_trace(self):
        ident = self.s.json("tool", "send", "someone@far.example")["id"]
        self.s.wait_log("queue-runner", f"{ident} event=sent")
        self.assertEqual(self.s.json("trace", ident)["id"], ident)

    def test_check(self):
        found = {c["id"]: c for c in self.s.json("check")["checks"]}
        for name in ("service.mtad", "port.smtp", "port.submissions",
                     "port.pop3s", "certificate.default", "resolver",
                     "hostname"):
            self.assertEqual(found[name]["state"], "ok", found[name])
        self.assertEqual(found["backup"]["state"], "warn")
        self.s.set("service.popd.enabled", "no")
        try:
            wait_until(lambda: {c["id"]: c for c in self.s.json(
                "check")["checks"]}["port.pop3"]["state"] == "bad", 20)
        finally:
            self.s.set("service.popd.enabled", "yes")
            wait_until(lambda: self.s.run_cli(
                "tool", "console", self.s.host, str(self.s.port["pop3s"]),
                "--tls", "--pop3", "QUIT").returncode == 0, 20)

    def test_public_address(self):
        s, host = self.s, self.dns.zone["mail.example.org"]

        def check():
            return {c["id"]: c for c in s.json("check")["checks"]}.get(
                "address", {"state": "not asked"})

        def alerts(what):
            return sum(f"  address: {what}" in m.decode()
                       for m in s.messages("admin@example.org"))
        host["A"] = ["203.0.113.7"]
        s.set("nat.addresses", "203.0.113.7")
        s.set("dns.self_check", "yes")
        try:
            wait_until(lambda: check()["state"] == "ok")
            s.set("alert.interval", 1)
            wait_until(lambda: "203.0.113.7" in (
                s.state / "run/health.json").read_text(), 20)
            # the DNS leads elsewhere
            host["A"] = ["203.0.113.8"]
            wait_until(lambda: alerts(
                "this server is 203.0.113.7; mail.example.org leads to "
                "203.0.113.8. Correct the A"), 20)
            host["A"] = ["203.0.113.7"]
            wait_until(lambda: check()["state"] == "ok", 20)
            wait_until(lambda: "address" not in [c["id"] for c in json.loads(
                (s.state / "run/health.json").read_text())["told"]], 20)
            # it moved, and the DNS with it: PTR and SPF may not have
            s.set("nat.addresses", "203.0.113.9")
            host["A"] = ["203.0.113.9"]
            found = "this server is 203.0.113.9, was 203.0.113.7"
            wait_until(lambda: alerts(found), 20)
            self.assertEqual(check()["found"], found)
            page = Browser(s.state / "run/web/admin.sock").sign_in(
                "admin@example.org", PASSWORD, "/admin", "/").get("/admin/")
            self.assertIn(found, page.text)
        finally:
            host["A"] = ["127.0.0.1"]
            for name, value in (("nat.addresses", ""), ("alert.interval", 60),
                                ("dns.self_check", "no")):
                s.set(name, value)

    def test_without_a_server(self):
        with Server(settings={"dns.servers": self.dns.setting}) as other:
            other.stop()
            found = other.json("tool", "lookup", "mx.far.example")
            self.assertEqual(found["status"], "ok")


if __name__ == "__main__":
    unittest.main()
