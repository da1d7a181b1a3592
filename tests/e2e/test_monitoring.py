"""What watches over the server: status, the endpoint for monitoring, alerts
by mail, old logs."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parent / "lib"))
from lib.fastcgi import Browser  # noqa: E402
from lib.server import (BASE_PORTS, PASSWORD, ServerTest,  # noqa: E402
                        wait_until)

ADMIN = "admin@example.org"


def make_certificate(folder, name, days):
    """A self-signed pair that is good for `days` from now."""
    cert, key = folder / "x.crt", folder / "x.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
         "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", cert,
         "-days", str(days), "-subj", f"/CN={name}",
         "-addext", f"subjectAltName=DNS:{name}"],
        check=True, capture_output=True)
    return str(cert), str(key)


class Monitoring(ServerTest):
    settings = {
        "dns.self_check": "no", "dns.servers": "127.0.0.1:9",
        "alert.interval": "1", "metrics.port": BASE_PORTS["metrics"],
        "metrics.addresses": "127.0.0.1"}

    def ask(self, request, source="127.0.0.1"):
        with socket.create_connection(
                (self.s.host, self.s.port["metrics"]), 5,
                source_address=(source, 0)) as c:
            c.settimeout(10)
            answer = b""
            try:
                c.sendall(request)
                while data := c.recv(65536):
                    answer += data
            except (ConnectionResetError, BrokenPipeError):
                pass
            return answer.decode()

    def metrics(self):
        head, _, body = self.ask(
            b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").partition("\r\n\r\n")
        self.assertTrue(head.startswith("HTTP/1.1 200 "), head)
        return body

    def health(self):
        return json.loads((self.s.state / "run/health.json").read_text())

    def told(self, what, cause):
        """How often it was told, in the mail's part `what`."""
        parts = [m.decode().split("This is over:") for m in
                 self.s.messages(ADMIN) if b"Auto-Submitted: auto-gen" in m]
        return sum(f"  {cause}: " in p[what == "over"] for p in parts
                   if len(p) > (what == "over"))

    def test_status_is_complete(self):
        st = self.s.json("status")
        self.assertTrue(st["ready"])
        for service in st["services"]:
            self.assertEqual(service["state"], "running")
            self.assertEqual(service["version"], st["version"])
            self.assertGreaterEqual(service["uptime_s"], 0)
            self.assertIn("started_at", service)
        self.assertEqual(set(st["queue"]), {"active", "deferred", "held",
                                            "flush_fails"})
        self.assertGreater(st["disk"]["total"], st["disk"]["free"])
        cert = st["certificates"][0]
        self.assertEqual(cert["name"], "default")
        self.assertTrue(cert["self_signed"])
        self.assertIn("mail.example.org", cert["names"])
        self.assertRegex(cert["not_after"], r"^20\d\d-")
        self.assertIn("disk: ", self.s.cli("status"))

    def test_metrics(self):
        wait_until(lambda: "certificate_not_after_seconds{" in self.metrics())
        text = self.metrics()
        for line in text.splitlines():
            self.assertRegex(
                line, r'^(# (HELP|TYPE) mailstead_\w+ .+|'
                r'mailstead_\w+(\{\w+="[^"]*"\})? \d+)$')
        self.assertIn('mailstead_service_up{service="mtad"} 1\n', text)
        self.assertIn('mailstead_queue_messages{state="deferred"} ', text)
        self.assertIn("mailstead_disk_free_bytes ", text)
        self.assertIn('mailstead_certificate_not_after_seconds'
                      '{name="default"} ', text)
        self.assertNotIn("@", text)

    def test_M09_metrics_take_only_their_question(self):
        for request, status in (
                (b"GET / HTTP/1.1\r\n\r\n", "404"),
                (b"GET /metrics/../x HTTP/1.0\r\n\r\n", "404"),
                (b"POST /metrics HTTP/1.1\r\n\r\n", "405"),
                (b"\x16\x03\x01\r\n\r\n", "405")):
            self.assertEqual(self.ask(request)[9:12], status, request)
        head = self.ask(b"HEAD /metrics HTTP/1.1\r\n\r\n")
        self.assertTrue(head.endswith("\r\n\r\n"))
        self.assertEqual(self.ask(b"GET /metrics HTTP/1.1\r\n" +
                                  b"a: b\r\n" * 200 + b"\r\n"), "")
        self.assertEqual(self.ask(b"G" * 20000), "")

    def test_M12_metrics_go_by_the_connection(self):
        said = b"GET /metrics HTTP/1.1\r\nX-Forwarded-For: 127.0.0.1\r\n\r\n"
        self.assertEqual(self.ask(said, "127.0.0.2"), "")
        self.assertIn("200 OK", self.ask(said))
        # and not at all over FastCGI, whatever its parameters say
        b = Browser(self.s.state / "run/web/admin.sock")
        self.assertEqual(b.get("/admin/metrics").status, 404)

    def test_alerts(self):
        s = self.s
        causes = ("service.popd", "certificate.pop.example.org", "queue")
        s.set("alert.queue_messages", 1)
        s.cli("submit", "x@far.example", input="Subject: x\n\nx\n")
        old = make_certificate(s.top, "pop.example.org", 5)
        self.assertIn("pop.example.org installed, valid until 20",
                      s.cli("tls", "install", "pop.example.org", *old))
        os.kill(s.process.pid, signal.SIGSTOP)  # or it is started again
        try:
            os.kill(s.supervisor("popd"), signal.SIGKILL)
            for cause in causes:
                wait_until(lambda c=cause: self.told("news", c), 30)
            self.assertIn('mailstead_service_up{service="popd"} 0\n',
                          self.metrics())
        finally:
            os.kill(s.process.pid, signal.SIGCONT)
        b = Browser(s.state / "run/web/admin.sock")
        page = b.sign_in(ADMIN, PASSWORD, "/admin", "/").get("/admin/")
        self.assertIn("pop.example.org, 4 days left", page.text)
        # what was told before the runner crashed is not told again
        os.kill(s.workers("queue-runner")[0], signal.SIGKILL)
        s.set("alert.addresses", "admin@example.org postmaster@example.org")
        s.cli("tls", "install", "pop.example.org",
              *make_certificate(s.top, "pop.example.org", 300))
        wait_until(lambda: s.run_cli("queue", "delete", "--all")
                   .returncode == 0)
        for cause in causes:
            wait_until(lambda c=cause: self.told("over", c), 30)
            self.assertEqual(self.told("news", cause), 1, cause)
        self.assertFalse(self.health()["told"])

    def test_old_logs_are_removed(self):
        def day(n):
            return time.strftime("%Y-%m-%d", time.gmtime(
                time.time() - n * 86400)) + ".log"

        def old(n):
            return {d.name for d in (self.s.state / "log").iterdir()
                    if (d / day(n)).exists()}
        for folder in (self.s.state / "log").iterdir():
            for n in (3, 29, 400):
                (folder / day(n)).write_text("")
            (folder / "2020-01-01.txt").write_text("")
        others = old(3) - {"audit"}
        self.assertGreaterEqual(len(others), 6)
        self.s.set("log.keep_days", 10)
        # the parser reads no settings
        wait_until(lambda: old(29) <= {"audit", "mailstead-parse"}, 20)
        self.assertEqual(old(3) - {"audit"}, others)
        self.assertIn("audit", old(29))
        wait_until(lambda: "audit" not in old(400), 20)
        self.assertTrue((self.s.state / "log/mtad/2020-01-01.txt").exists())
        # and at the start of a program
        os.kill(self.s.supervisor("mailstead-parse"), signal.SIGTERM)
        wait_until(lambda: "mailstead-parse" not in old(400), 20)

    def test_a_sign_up_waits(self):
        """Each is told once, by mail and in the overview; and when it is
        decided, that is over."""
        s = self.s
        s.set("signup.enabled", "yes")
        s.cli("set", "--domain", "example.org", "signup.mode", "approval")
        web = Browser(s.state / "run/web/webmail.sock")
        wait_until(lambda: web.get("/webmail/signup").status == 200)
        admin = Browser(s.state / "run/web/admin.sock")
        admin.sign_in(ADMIN, PASSWORD, "/admin", "/")
        self.assertNotIn("approval", admin.get("/admin/").text)
        causes = []
        for name in ("hal", "ida"):
            page = web.post("/webmail/signup", {
                "user": name, "name": "", "pass": PASSWORD,
                "pass2": PASSWORD}, web.get("/webmail/signup"))
            self.assertIn("waits for approval", page.text)
            wait_until(lambda: "signup." in self.metrics(), 20)

            def news():
                causes[:] = re.findall(r'id="(signup\.\d+)"',
                                       self.metrics())
                return len(causes) == 1 + (name == "ida")
            wait_until(news, 20)
            wait_until(lambda: self.told("news", causes[-1]), 20)
        self.assertNotIn("@", self.metrics())
        self.assertEqual([self.told("news", c) for c in causes], [1, 1])
        page = admin.get("/admin/")
        self.assertIn("hal@example.org, +1", page.text)
        page = admin.get(re.search(r'/admin(/users\?waiting=1)', page.text)
                         .group())
        self.assertEqual(page.text.count("Waits for approval"), 2)
        self.assertNotIn(ADMIN + "</a>", page.text)
        self.assertTrue(s.json("user", "show", "ida@example.org")["waiting"])
        s.cli("user", "enable", "ida@example.org")
        s.cli("user", "delete", "hal@example.org")
        self.assertNotIn("waiting", s.json("user", "show", "ida@example.org"))
        self.assertNotIn("approval", admin.get("/admin/").text)
        for cause in causes:
            wait_until(lambda c=cause: self.told("over", c), 20)

    def test_alert_of_the_disk(self):
        s = self.s
        if s.json("status")["disk"]["used_percent"] == 0:
            self.skipTest("the disk is empty")
        s.set("alert.disk_percent", 1)
        wait_until(lambda: self.told("news", "disk"), 20)
        s.set("alert.disk_percent", 0)
        wait_until(lambda: self.told("over", "disk"), 20)


if __name__ == "__main__":
    unittest.main()
