"""The administration's pages in a real browser, behind a real nginx: wide and
light, narrow and dark; what axe finds, what the policy refuses."""

# timeout: 600

import json
import os
import socket
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/e2e")]
from lib.server import PASSWORD, Server, free_port, wait_until  # noqa: E402
from stage import run_node  # noqa: E402

ADMIN = "admin@example.org"
PAGES = ["/", "/domains", "/domains/new", "/d/example.org",
         "/d/example.org/users", "/d/example.org/users/new",
         "/d/example.org/look", "/users", "/users/import",
         "/u/ann@example.org", "/u/ann@example.org/delete", "/mailboxes",
         "/aliases",
         "/lists", "/l/news@example.org", "/admins", "/audit", "/me",
         "/queue", "/trace?q=ann", "/log", "/tools", "/protection", "/checks",
         "/certificates", "/backup", "/settings/server", "/settings/text",
         "/d/example.org/dns", "/nothing"]
NGINX = """daemon off; master_process off; pid {top}/pid;
error_log stderr; {user}
events {{ }}
http {{ access_log off;
client_body_temp_path {top}/b; fastcgi_temp_path {top}/f;
proxy_temp_path {top}/p; uwsgi_temp_path {top}/u; scgi_temp_path {top}/s;
server {{ listen 127.0.0.1:{port}; include {top}/mailstead.conf; }} }}
"""


class Pages(unittest.TestCase):
    def setUp(self):
        self.s = s = Server()
        self.addCleanup(s.close)
        s.start()
        for user in ("ann@example.org", "left@example.org"):
            s.user(user)
        s.mailbox("left@example.org").mkdir(parents=True)
        s.cli("user", "delete", "left@example.org")
        s.cli("list", "add", "news@example.org", "ann@example.org")
        self.port = free_port()
        top = tempfile.mkdtemp(prefix="mailstead-nginx-")
        conf = (ROOT / "packaging/nginx.conf").read_text()
        Path(top, "mailstead.conf").write_text(conf.replace(
            "unix:/var/lib/mailstead/run/", f"unix:{s.state}/run/"))
        Path(top, "nginx.conf").write_text(NGINX.format(
            top=top, port=self.port,
            user="user root;" if os.geteuid() == 0 else ""))
        unpacked = subprocess.run(
            [ROOT / "packaging/unpack.sh", "nginx", "nginx"], check=True,
            capture_output=True, text=True).stdout.strip()
        nginx = subprocess.Popen(
            [unpacked + "/usr/sbin/nginx", "-e", "stderr", "-p", top, "-c",
             top + "/nginx.conf"], stderr=subprocess.DEVNULL)
        self.addCleanup(nginx.wait)
        self.addCleanup(nginx.terminate)
        wait_until(self.listens, 20, "nginx")

    def listens(self):
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", self.port)) == 0

    def test_every_page(self):
        done = run_node("admin.mjs", {
            "origin": f"http://127.0.0.1:{self.port}", "user": ADMIN,
            "password": PASSWORD, "pages": PAGES})
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(json.loads(done.stdout), [])


if __name__ == "__main__":
    unittest.main()
