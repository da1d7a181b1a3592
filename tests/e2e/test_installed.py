"""Installed into a scratch root with the real users: one message the whole
way, and what every process and file may do.  Needs root."""

import json
import os
import re
import shutil
import smtplib
import stat
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from lib.fastcgi import Browser  # noqa: E402
from lib.server import PASSWORD, ROOT, BUILD, free_offset, wait_until  # noqa: E402

USERS = {"mailstead-mta": "mtad", "mailstead-queue": "queue-runner",
         "mailstead-pop": "popd", "mailstead-auth": "accountd",
         "mailstead-parse": "mailstead-parse"}
# (path below the state directory, mode, owner, group)
PLACES = [
    ("directory", 0o2750, "mailstead-auth", "mailstead-dir"),
    ("directory/directory.db", 0o640, "mailstead-auth", "mailstead-dir"),
    ("directory/secrets.db", 0o600, "mailstead-auth", None),
    ("spool", 0o2770, "mailstead-queue", "mailstead-spool"),
    ("spool/journal", 0o2770, "mailstead-queue", "mailstead-spool"),
    ("mail", 0o2770, "mailstead-queue", "mailstead-store"),
    ("users", 0o2770, "mailstead-web", "mailstead-users"),
    ("tls", 0o2750, "mailstead-auth", "mailstead-tls"),
    ("tls/default.key", 0o640, "mailstead-auth",
     "mailstead-tls"),
    ("log/mtad", 0o2750, "mailstead-mta", "mailstead-dir"),
    ("log/audit", 0o2750, "mailstead-auth", "mailstead-dir"),
]


@unittest.skipUnless(os.geteuid() == 0, "needs root")
class Installed(unittest.TestCase):
    """Lives in a mount namespace whose /etc is an overlay, so that neither
    the users nor the configuration reach the machine's own."""

    @classmethod
    def setUpClass(cls):
        cls.top = Path(tempfile.mkdtemp(prefix="mailstead-installed-"))
        cls.addClassCleanup(shutil.rmtree, cls.top, True)
        cls.top.chmod(0o755)
        cls.root = cls.top / "root"
        cls.state = cls.top / "state"
        subprocess.run([str(ROOT / "packaging" / "install.sh"), str(BUILD),
                        str(cls.root), "/usr"], check=True, cwd=ROOT,
                       capture_output=True)
        conf = cls.root / "etc/mailstead/mailstead.conf"
        conf.write_text(re.sub(r"^state = .*$", f"state = {cls.state}",
                               conf.read_text(), flags=re.M))
        cls.enter_namespace()
        users = subprocess.run(
            cls.inside("systemd-sysusers",
                       str(cls.root / "usr/lib/sysusers.d/mailstead.conf")),
            capture_output=True, text=True)
        if users.returncode != 0:
            raise AssertionError(users.stderr)
        cls.offset = free_offset()
        cls.cli("init", "--hostname", "mail.example.org", "--domain",
                "example.org", "--admin", "admin@example.org", "--listen",
                "127.0.0.1", "--port-offset", str(cls.offset),
                input=PASSWORD + "\n")
        cls.cli("user", "add", "bob@example.org", input=PASSWORD + "\n")
        # as an older version left it
        for name in ("tls", "tls/default.key"):
            os.chown(cls.state / name, 0, -1)
        cls.run_process = subprocess.Popen(
            cls.inside(cls.mailstead(), "run"), stdout=subprocess.PIPE,
            stderr=open(cls.top / "run.log", "wb"))
        cls.addClassCleanup(cls.stop)
        if cls.run_process.stdout.readline() != b"ready\n":
            raise AssertionError((cls.top / "run.log").read_text())

    @classmethod
    def enter_namespace(cls):
        for name in ("upper", "work"):
            (cls.top / name).mkdir()
        cls.keeper = subprocess.Popen(
            ["unshare", "-m", "sh", "-c",
             f"mount -t overlay overlay -o lowerdir={cls.root}/etc:/etc,"
             f"upperdir={cls.top}/upper,workdir={cls.top}/work /etc && "
             "echo mounted && exec sleep 1000000"], stdout=subprocess.PIPE)
        cls.addClassCleanup(cls.leave_namespace)
        if cls.keeper.stdout.readline() != b"mounted\n":
            raise unittest.SkipTest("no overlay mounts here")

    @classmethod
    def leave_namespace(cls):
        cls.keeper.kill()
        cls.keeper.wait()
        cls.keeper.stdout.close()

    @classmethod
    def stop(cls):
        """nsenter becomes the program, so the signal goes to `run`."""
        cls.run_process.terminate()
        cls.run_process.wait(20)
        cls.run_process.stdout.close()

    @classmethod
    def inside(cls, *command):
        return ["nsenter", "-m", "-t", str(cls.keeper.pid), *command]

    @classmethod
    def mailstead(cls):
        return str(cls.root / "usr/bin/mailstead")

    @classmethod
    def cli(cls, *args, input=None):
        p = subprocess.run(cls.inside(cls.mailstead(), *args), input=input,
                           text=True, capture_output=True)
        if p.returncode != 0:
            raise AssertionError(f"{args}: {p.stdout}{p.stderr}")
        return p.stdout

    @classmethod
    def ids(cls, table, name):
        out = subprocess.run(cls.inside("getent", table, name), text=True,
                             capture_output=True, check=True).stdout
        return int(out.split(":")[2])

    def processes(self):
        """(pid, program, status) of everything below `run`."""
        children, status = {}, {}
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            try:
                text = Path(f"/proc/{entry}/status").read_text()
            except OSError:
                continue
            fields = dict(line.split(":", 1) for line in text.splitlines()
                          if ":" in line)
            status[int(entry)] = fields
            children.setdefault(int(fields["PPid"]), []).append(int(entry))
        found = [self.run_process.pid]
        for pid in found:
            found += children.get(pid, [])
        return [(pid, status[pid]["Name"].strip(), status[pid])
                for pid in found]

    def test_the_group_of_the_web_server(self):
        import grp
        sockets = [self.state / "run/web" / f"{n}.sock"
                   for n in ("webmail", "admin")]
        wait_until(lambda: all(s.exists() for s in sockets), 10, "the web")

        def groups():
            return [s.lstat().st_gid for s in sockets]

        wrong = subprocess.run(
            self.inside(self.mailstead(), "set", "web.group", "no-such-group"),
            capture_output=True, text=True)
        self.assertEqual(wrong.returncode, 1)
        self.assertIn("no group no-such-group", wrong.stderr)
        before = groups()
        self.cli("set", "web.group", "www-data")
        wanted = grp.getgrnam("www-data").gr_gid
        wait_until(lambda: groups() == [wanted] * 2, 10, "the group")
        self.cli("set", "web.group", "")
        wait_until(lambda: groups() == before, 10, "no group")

    def test_one_message_the_whole_way(self):
        with smtplib.SMTP("127.0.0.1", 25 + self.offset, timeout=30) as c:
            c.sendmail("stranger@elsewhere.example", ["bob@example.org"],
                       "Subject: installed\r\n\r\nhello\r\n")
        new = self.state / "mail/example.org/bob/new"
        wait_until(lambda: new.is_dir() and os.listdir(new), 15, "delivery")
        (name,) = os.listdir(new)
        st = (new / name).stat()
        self.assertEqual(stat.S_IMODE(st.st_mode), 0o660)
        self.assertEqual(st.st_gid, self.ids("group", "mailstead-store"))
        got = subprocess.run(
            ["curl", "-sS", "-k",
             f"pop3s://127.0.0.1:{995 + self.offset}/1",
             "--user", f"bob@example.org:{PASSWORD}"], text=True,
            capture_output=True)
        self.assertIn("Subject: installed", got.stdout, got.stderr)
        # submitted by a local program
        self.cli("submit", "-f", "bob@example.org", "bob@example.org",
                 input="Subject: local\n\nhello\n")
        wait_until(lambda: len(os.listdir(new)) +
                   len(os.listdir(new.parent / "cur")) == 2, 15, "second")

    def browser(self, program, user):
        b = Browser(self.state / f"run/web/{program}.sock")
        wait_until(b.path.exists, 10, program)
        form = b.get(f"/{program}/login")
        page = b.post(f"/{program}/login", {"user": user, "pass": PASSWORD,
                                            "back": "/"}, form)
        self.assertEqual(page.status, 303, page.body)
        return b

    def do(self, b, path, fields):
        page = b.post(path, fields, b.get("/admin/me"))
        self.assertEqual(page.status, 303, page.text)

    def server_check(self, name):
        p = subprocess.run(self.inside(self.mailstead(), "check", "--json"),
                           text=True, capture_output=True)
        return next(c for c in json.loads(p.stdout)["checks"]
                    if c["id"] == name)

    def test_what_a_deleted_user_leaves(self):
        """The runner moves and erases what others' users own, and reads none
        of it; a folder from before it could is told with what mends it."""
        lou = "lou@example.org"
        self.cli("user", "add", lou, input=PASSWORD + "\n")
        self.cli("submit", "-f", "bob@example.org", lou,
                 input="Subject: local\n\nhello\n")
        box = self.state / "mail/example.org/lou"
        kept = self.state / "users/example.org/lou.db"
        wait_until(lambda: (box / "new").is_dir() and
                   os.listdir(box / "new"), 15, "delivery")
        mail = self.browser("webmail", lou)
        page = mail.post("/webmail/settings/look", {"theme": "dark"},
                         mail.get("/webmail/settings/look"))
        self.assertEqual(page.status, 303, page.text)
        self.assertEqual(kept.stat().st_uid,
                         self.ids("passwd", "mailstead-web"))
        read = subprocess.run(
            self.inside("setpriv", "--reuid", "mailstead-queue", "--regid",
                        "mailstead-queue", "--init-groups", "cat", str(kept)),
            capture_output=True)
        self.assertNotEqual(read.returncode, 0)

        admin = self.browser("admin", "admin@example.org")
        where = "/admin/mailboxes"
        self.do(admin, f"/admin/u/{lou}/delete", {"name": lou})
        for folder in (kept.parent, kept.parent.parent):  # of an older one
            os.chown(folder, -1, self.ids("group", "mailstead-web"))
        check = self.server_check("mailboxes")
        self.assertEqual(check["state"], "bad", check)
        mend = check["fix"].split("; systemctl")[0]
        self.assertIn(f"find {self.state}/users", mend)
        p = subprocess.run(self.inside("sh", "-ec", mend), text=True,
                           capture_output=True)
        self.assertEqual(p.returncode, 0, p.stderr)
        self.assertEqual(self.server_check("mailboxes")["state"], "ok")

        self.do(admin, where, {"aside": lou})
        self.assertFalse(box.exists() or kept.exists())
        self.cli("user", "add", lou, input=PASSWORD + "\n")
        self.do(admin, where, {"back": lou})
        self.assertTrue(box.exists() and kept.exists())
        mail = self.browser("webmail", lou)
        self.assertIn("local", mail.get("/webmail/m/inbox").text)
        self.assertIn('data-theme="dark"', mail.get("/webmail/m/inbox").text)
        self.do(admin, f"/admin/u/{lou}/delete", {"name": lou})
        self.do(admin, where, {"aside": lou})
        self.do(admin, where, {"purge": lou, "confirm": PASSWORD})
        for folder in (box.parent, kept.parent):
            self.assertEqual(os.listdir(folder / ".left"), [], folder)

    def test_O06_processes(self):
        seen = set()
        for pid, name, fields in self.processes():
            if name not in USERS.values() or name == "mailstead":
                continue
            parent = fields["PPid"].strip()
            if parent == str(self.run_process.pid):
                continue  # a supervisor: it binds and forks, nothing else
            seen.add(name)
            user = next(u for u, n in USERS.items() if n == name)
            uid = str(self.ids("passwd", user))
            self.assertEqual(fields["Uid"].split(), [uid] * 4, name)
            self.assertNotIn("0", fields["Groups"].split(), name)
            self.assertEqual(int(fields["CapEff"], 16), 0, name)
            self.assertEqual(int(fields["CapPrm"], 16), 0, name)
            self.assertEqual(fields["NoNewPrivs"].strip(), "1", name)
            if "-" not in BUILD.name:  # sanitizers need what seccomp takes
                self.assertEqual(fields["Seccomp"].strip(), "2", name)
        self.assertEqual(seen, set(USERS.values()))

    def test_O09_no_core_and_no_tracing(self):
        """Not even by the same user: /proc belongs to root then."""
        for pid, name, fields in self.processes():
            if name != "accountd" or fields["Uid"].split()[0] == "0":
                continue
            self.assertEqual(os.stat(f"/proc/{pid}/environ").st_uid, 0)
            limits = Path(f"/proc/{pid}/limits").read_text()
            self.assertRegex(limits, r"Max core file size +0 +0 ")
            p = subprocess.run(
                self.inside("setpriv", "--reuid", "mailstead-auth",
                            "--clear-groups", "cat", f"/proc/{pid}/maps"),
                capture_output=True)
            self.assertNotEqual(p.returncode, 0)

    def test_O04_files(self):
        for path, mode, owner, group in PLACES:
            st = (self.state / path).stat()
            self.assertEqual(oct(stat.S_IMODE(st.st_mode)), oct(mode), path)
            self.assertEqual(st.st_uid, self.ids("passwd", owner), path)
            if group is not None:
                self.assertEqual(st.st_gid, self.ids("group", group), path)
        for base, dirs, files in os.walk(self.state):
            for name in files:
                path = Path(base) / name
                st = path.lstat()
                if stat.S_ISREG(st.st_mode) and "run" not in path.parts:
                    self.assertEqual(stat.S_IMODE(st.st_mode) & 0o007, 0,
                                     f"{path} is open to all")

    def test_O10_who_may_read_what(self):
        """As each user: secrets and mailboxes of others stay closed."""
        for user, path, allowed in (
                ("mailstead-mta", "directory/secrets.db", False),
                ("mailstead-mta", "mail/example.org", False),
                ("mailstead-mta", "directory/directory.db", True),
                ("mailstead-pop", "directory/secrets.db", False),
                ("mailstead-pop", "spool/journal", False),
                ("mailstead-queue", "directory/secrets.db", False),
                ("mailstead-queue", "tls/default.key", False),
                ("mailstead-auth", "spool/journal", False),
                ("mailstead-auth", "mail/example.org", False),
                ("mailstead-parse", "directory/directory.db", False),
                ("mailstead-parse", "mail/example.org", False)):
            full = self.state / path
            how = "-r" if not full.is_dir() else "-x"
            p = subprocess.run(
                self.inside("setpriv", "--reuid", user, "--regid", user,
                            "--init-groups", "test", how, str(full)))
            self.assertEqual(p.returncode == 0, allowed, f"{user} {path}")

    def test_who_may_ask_the_runner(self):
        """Others than operators and the pages' programs are hung up on."""
        ask = ("import socket, sys\n"
               "s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)\n"
               "s.connect(sys.argv[1])\n"
               "try:\n s.send(b'{\"verb\":\"list\"}')\n"
               " print(s.recv(65536).decode())\n"
               "except (BrokenPipeError, ConnectionResetError): print()\n")
        for user, answer in (("nobody", ""), ("mailstead-mta", ""),
                             ("mailstead-web", '"code":"forbidden"'),
                             ("mailstead-admin", '"code":"forbidden"')):
            said = subprocess.run(
                self.inside("setpriv", "--reuid", user, "--clear-groups",
                            sys.executable, "-c", ask,
                            str(self.state / "run/queue.sock")),
                capture_output=True, text=True, check=True).stdout
            self.assertIn(answer, said, user)
            self.assertEqual(answer == "", said == "\n", user)


if __name__ == "__main__":
    unittest.main()
