"""Faults of the whole server while it is used in every way: what cannot be done
is put off and never refused for good, what was promised holds, whoever is
signed in stays so, and all goes on by itself."""

import errno
import itertools
import os
import poplib
import random
import re
import signal
import smtplib
import sqlite3
import ssl
import sys
import tempfile
import threading
import time
import unittest
from collections import Counter
from contextlib import closing, contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from lib.fastcgi import Browser  # noqa: E402
from lib.faults import Faults, are_possible  # noqa: E402
from lib.server import PASSWORD, ROOT, Server, wait_until  # noqa: E402

BOB, EVE = "bob@example.org", "eve@example.org"
GOOD = {"smtp": 250, "submission": 250, "pop": "+OK", "web": 200, "admin": 200}
LARGE = ("y" * 70 + "\r\n") * 6000  # above what the journal takes


def steps_of_the_directory():
    """What makes a directory.db of each version of the one before."""
    text = (ROOT / "accountd/store_directory.c").read_text()
    text = text.split("steps[] = {")[1].split("\n};")[0]
    found = [""]
    for part, comma in re.findall(r'"((?:[^"\\]|\\.)*)"|(,)',
                                  re.sub(r"/\*.*?\*/", "", text, flags=re.S)):
        found[-1] += part
        if comma:
            found.append("")
    return [x for x in found if x]


def make_older(path, version):
    """The same directory as an older version would have left it."""
    with tempfile.TemporaryDirectory() as top, \
            closing(sqlite3.connect(f"{top}/old.db")) as db:
        db.executescript("PRAGMA journal_mode=WAL;" + "".join(
            steps_of_the_directory()[:version]))
        db.execute("ATTACH ? AS now", (str(path),))
        tables = [name for name, in db.execute(
            "SELECT name FROM main.sqlite_master JOIN now.sqlite_master"
            " USING (type, name) WHERE type = 'table'"
            " AND name NOT LIKE 'sqlite_%'")]
        for name in tables:
            names = ", ".join(column[1] for column in db.execute(
                f"PRAGMA main.table_info({name})").fetchall())
            db.execute(f"DELETE FROM main.{name}")
            db.execute(f"INSERT INTO main.{name} ({names})"
                       f" SELECT {names} FROM now.{name}")
        kind, = db.execute("PRAGMA now.application_id").fetchone()
        db.execute(f"PRAGMA main.application_id={kind}")
        db.execute(f"PRAGMA main.user_version={version}")
        db.commit()
        db.execute("DETACH now")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        for end in ("-wal", "-shm"):
            Path(f"{path}{end}").unlink(missing_ok=True)
        path.write_bytes(Path(top, "old.db").read_bytes())


class Clients:
    """One thread each; `said` counts what they heard, (kind, answer)."""

    tags = itertools.count()

    def __init__(self, server, web, admin):
        self.s, self.pages = server, {"web": web, "admin": admin}
        self.acked, self.said, self.wrong = [], Counter(), []
        self.stop = False
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.run, args=(kind, act))
                        for kind, act in (
            ("smtp", lambda: self.send("smtp", "a@far.example", "x\r\n")),
            ("smtp", lambda: self.send("smtp", "a@far.example", LARGE)),
            ("submission", lambda: self.send("submission", BOB, "x\r\n")),
            ("pop", self.pop),
            ("web", lambda: self.pages["web"].get("/webmail/m/inbox").status),
            ("admin", lambda: self.pages["admin"].get("/admin/users").status))]
        for t in self.threads:
            t.start()

    def run(self, kind, act):
        while not self.stop:
            try:
                said = act()
            except smtplib.SMTPRecipientsRefused as e:
                said = next(iter(e.recipients.values()))[0]
            except smtplib.SMTPResponseException as e:
                said = e.smtp_code
            except OSError:
                said = "closed"
            with self.lock:
                self.said[kind, said] += 1
                if not self.is_fine(kind, said):
                    self.wrong.append((kind, said))
            time.sleep(0.03)

    @staticmethod
    def is_fine(kind, said):
        if said in ("closed", GOOD[kind]):
            return True
        if kind in ("web", "admin"):
            return said == 503
        if kind == "pop":
            return said in ("[SYS/TEMP]", "[IN-USE]")
        return 400 <= said < 500

    def send(self, port, sender, text):
        tag = f"tag-{next(self.tags)}-end"
        with smtplib.SMTP(self.s.host, self.s.port[port], timeout=60) as c:
            if port == "submission":
                c.starttls()
                c.login(sender, PASSWORD)
            c.sendmail(sender, [EVE], f"Subject: {tag}\r\n\r\n{text}")
            self.acked.append(tag)
        return 250

    def pop(self):
        with closing(poplib.POP3_SSL(
                self.s.host, self.s.port["pop3s"], timeout=60,
                context=ssl._create_unverified_context())) as p:
            try:
                p.user(EVE)
                p.pass_(PASSWORD)
                p.quit()
            except poplib.error_proto as e:
                found = re.search(r"\[\S+\]", str(e))
                return found[0] if found else \
                    "closed" if "EOF" in str(e) else str(e)
        return "+OK"

    def hear(self, *wanted, seconds=20):
        """Wait until, from now on, these answers were heard."""
        with self.lock:
            self.said.clear()
        wait_until(lambda: all(self.said[w] for w in wanted), seconds,
                   f"{wanted}, only {self.said}")

    def hear_good(self, seconds=20):
        self.hear(*GOOD.items(), seconds=seconds)

    def finish(self):
        self.stop = True
        for t in self.threads:
            t.join()


@unittest.skipUnless(are_possible(), "not beside a sanitizer")
class Live(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.f = cls.enterClassContext(Faults())
        cls.s = Server()
        cls.addClassCleanup(cls.s.close)
        cls.f.started()
        for user in (BOB, EVE):
            cls.s.user(user)
        cls.start()
        run = cls.s.state / "run/web"
        cls.web = Browser(run / "webmail.sock").sign_in(BOB, PASSWORD)
        cls.admin = Browser(run / "admin.sock").sign_in(
            "admin@example.org", PASSWORD, "/admin", "/")

    @classmethod
    def start(cls):
        os.environ.update(cls.f.environment)
        cls.s.start()
        cls.f.started()

    def delivered(self):
        return Counter(tag.decode() for m in self.s.messages(EVE)
                       for tag in re.findall(rb"^Subject: (tag-\S+)", m, re.M))

    @contextmanager
    def traffic(self):
        c = Clients(self.s, self.web, self.admin)
        try:
            c.hear_good()
            yield c
            c.hear_good()
            wait_until(lambda: len(c.acked) > 10, 30, "some messages")
        finally:
            self.f.clear()
            c.finish()
        self.assertEqual(c.wrong, [])
        self.s.run_cli("queue", "retry", "--all")
        wait_until(lambda: set(c.acked) <= set(self.delivered()), 30,
                   "every acknowledged message")
        self.s.cli("wait", "--for", "empty", "--timeout", "30")
        self.assertEqual([t for t, n in self.delivered().items() if n > 1], [])

    def test_H18_all_of_it_becomes_read_only(self):
        with self.traffic() as c:
            for _ in range(2):
                for call in ("create", "write", "size", "sync", "rename",
                             "link", "mkdir", "unlink"):
                    self.f.add(call, errno.EROFS, "/state/")
                c.hear(("smtp", 451), ("smtp", 452), ("submission", 451))
                # what could be read can be
                c.hear(("web", 200), ("admin", 200), ("pop", "+OK"),
                       ("smtp", 451), ("submission", 451))
                self.assertEqual((c.said["smtp", 250],
                                  c.said["submission", 250]), (0, 0))
                self.f.clear()
                c.hear_good()

    def test_H13_accountd_killed_again_and_again(self):
        with self.traffic() as c:
            kills = 0
            while kills < 8 or not c.said["submission", 454]:
                self.assertLess(kills, 60)
                pids = self.s.pids("accountd")
                if pids:
                    os.kill(random.choice(pids), signal.SIGKILL)
                    kills += 1
                time.sleep(random.uniform(0.05, 0.6))

    def test_G14_the_clock_goes_back_a_day(self):
        with self.traffic() as c:
            self.f.clock(-86400)
            c.hear_good()
            self.f.clock(0)

    def test_log_whose_disk_hangs(self):
        """Each is as slow as its lines, and nobody is refused."""
        with self.traffic() as c:
            self.f.add("write", -1000, "/log/")
            c.hear_good(30)

    def test_older_directory(self):
        """It is brought to the version of today before anybody is served."""
        path = self.s.state / "directory/directory.db"
        newest = len(steps_of_the_directory())
        for version in (newest - 1, 5, 1):
            with self.traffic():
                self.assertEqual(self.s.stop(), 0)
                make_older(path, version)
                self.start()
            with closing(sqlite3.connect(path)) as db:
                self.assertEqual(db.execute("PRAGMA user_version").fetchone(),
                                 (newest,))


if __name__ == "__main__":
    unittest.main()
