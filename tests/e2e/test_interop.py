"""Other programs on the same Maildir: Dovecot, mutt, what Courier left."""

import os
import poplib
import pty
import random
import re
import smtplib
import sys
import threading
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from lib import dovecot  # noqa: E402
from lib.server import PASSWORD, SLOW, Server, wait_until  # noqa: E402
from test_first_path import trusting  # noqa: E402
from test_pop3_clients import watch  # noqa: E402

ANN = "ann@example.org"
MARK = re.compile(rb"^X-Mark: (\d+)", re.M)


def letter(mark, text=b"hello\r\n.dot\r\n"):
    return b"X-Mark: %d\r\nSubject: m\r\n\r\n" % mark + text


class Interop(unittest.TestCase):
    def setUp(self):
        self.s = Server()
        self.addCleanup(self.s.close)
        self.s.user(ANN)
        self.box = self.s.mailbox(ANN)

    def deliver(self, marks):
        with smtplib.SMTP(self.s.host, self.s.port["smtp"], timeout=60) as c:
            for mark in marks:
                c.sendmail("a@remote.test", [ANN], letter(mark))

    def pop(self):
        """Signed in; waits while another session has the mailbox."""
        while True:
            p = poplib.POP3_SSL(self.s.host, self.s.port["pop3s"],
                                context=trusting(), timeout=60)
            p.user(ANN)
            try:
                p.pass_(PASSWORD)
                return p
            except poplib.error_proto as e:
                p.close()
                if b"[IN-USE]" not in e.args[0]:
                    raise
            time.sleep(0.01)

    def sizes(self):
        p = self.pop()
        found = {n: int(line.split()[1])
                 for n, line in enumerate(p.list()[1], 1)}
        p.quit()
        return found

    def marks(self):
        """The mark of every file in all folders."""
        found = []
        for path in self.box.glob("**/*"):
            if path.parent.name in ("new", "cur") and path.is_file():
                found.append(int(MARK.search(path.read_bytes())[1]))
        return sorted(found)

    def test_dovecot_reads_what_we_deliver(self):
        with self.s:
            self.deliver(range(50))
            self.s.wait_messages(ANN, 50)
            imap = dovecot.imap(self.box, self.s.top)
            self.assertEqual(imap.select()[1], [b"50"])
            told = {int(a): int(b) for a, b in (
                re.search(rb"^(\d+) \(RFC822.SIZE (\d+)\)", line).groups()
                for line in imap.fetch("1:*", "(RFC822.SIZE)")[1])}
            self.assertCountEqual(told.values(), self.sizes().values())
            body = imap.fetch("1", "(BODY.PEEK[])")[1][0][1]
            self.assertEqual(len(body), told[1])
            imap.store("1:10", "+FLAGS", r"(\Seen \Flagged)")
            imap.create("Archiv&AOQ-.2026")
            imap.copy("1:5", "Archiv&AOQ-.2026")
            imap.store("6:10", "+FLAGS", r"(\Deleted)")
            imap.expunge()
            imap.logout()
            listed = self.s.json("mailbox", "list", ANN)
            inbox = [m for m in listed if m["folder"] == "INBOX"]
            self.assertEqual(len(inbox), 45)
            self.assertEqual(sum(m["flags"] == "FS" for m in inbox), 5)
            self.assertEqual(
                sum(m["folder"] == "Archivä/2026" for m in listed), 5)
            self.assertEqual(len(self.sizes()), 45)
            self.assertEqual(
                self.s.run_cli("mailbox", "check", ANN).stdout, "")

    def test_at_the_same_time(self):
        """Deliveries, Dovecot and popd at once: nothing lost, nothing twice."""
        total, popped, expunged = 300, set(), set()
        done = threading.Event()
        failures = []

        def guarded(work):
            def run():
                try:
                    work()
                except Exception as e:  # pylint: disable=broad-except
                    failures.append(repr(e))
            t = threading.Thread(target=run)
            t.start()
            return t

        def with_dovecot():
            imap = dovecot.imap(self.box, self.s.top)
            rng = random.Random(1)
            imap.create("Kept")
            while not done.is_set():
                count = int(imap.select()[1][0])
                if count == 0:
                    time.sleep(0.02)
                    continue
                imap.store("1:*", rng.choice(["+FLAGS", "-FLAGS"]),
                           r"(\Seen)")
                n = str(rng.randint(1, count))
                if rng.random() < 0.3:
                    imap._simple_command("MOVE", n, "Kept")
                    continue
                got = imap.fetch(n, "(BODY.PEEK[])")[1][0]
                if not isinstance(got, tuple):
                    continue
                mark = int(MARK.search(got[1])[1])
                imap.store(n, "+FLAGS", r"(\Deleted)")
                expunged.add(mark)
                imap.expunge()
            imap.logout()

        def with_popd():
            rng = random.Random(2)
            while not done.is_set():
                p = self.pop()
                sure = set()
                for n in range(1, p.stat()[0] + 1):
                    if rng.random() > 0.1:
                        continue
                    try:
                        text = b"\n".join(p.retr(n)[1])
                        p.dele(n)
                    except poplib.error_proto:
                        continue
                    sure.add(int(MARK.search(text)[1]))
                popped.update(sure)
                p.quit()
                time.sleep(0.02)

        with self.s:
            dovecot.command()
            self.deliver([0])
            self.s.wait_messages(ANN, 1)
            threads = [guarded(with_dovecot), guarded(with_popd)]
            self.deliver(range(1, total))
            wait_until(lambda: self.s.log("queue-runner").count(
                " event=deliver ") >= total, 60, "all delivered")
            time.sleep(1)
            done.set()
            for t in threads:
                t.join(60 * SLOW)
            self.assertEqual(failures, [])
            left = self.marks()
        self.assertEqual(len(left), len(set(left)), "something is there twice")
        lost = set(range(total)) - set(left) - popped - expunged
        self.assertEqual(lost, set())
        self.assertGreater(len(popped), 10)
        self.assertGreater(len(expunged), 0)

    def mutt(self, keys):
        """Run mutt on the mailbox in a terminal of its own."""
        rc = self.s.top / "muttrc"
        rc.write_text(f"set folder={self.s.top}\nset mbox_type=Maildir\nset move=no\nset delete=yes\n"
                      "set wait_key=no\nset mark_old=no\nset auto_tag=yes\n")
        pid, fd = pty.fork()
        if pid == 0:
            os.environ.update(TERM="vt100", HOME=str(self.s.top))
            os.execvp("mutt", ["mutt", "-n", "-F", str(rc), "-f",
                               str(self.box), "-e", f"push '{keys}'"])
        self.assertEqual(watch(pid, fd), 0)

    def test_mutt_changes_under_a_session(self):
        with self.s:
            self.deliver(range(10))
            self.s.wait_messages(ANN, 10)
            before = dict(x.split() for x in self.pop_uidl())
            p = self.pop()
            self.mutt("<tag-pattern>~m 3-7<enter><flag-message><delete-message>"
                      "<sync-mailbox><exit>")
            left = self.marks()
            self.assertEqual(len(left), 5)
            readable = 0
            for n in range(1, 11):
                try:
                    p.retr(n)
                    readable += 1
                except poplib.error_proto as e:
                    self.assertIn(b"gone", e.args[0])
            self.assertEqual(readable, len(left))
            p.quit()
            after = dict(x.split() for x in self.pop_uidl())
            self.assertLessEqual(set(after.values()), set(before.values()))
            self.assertEqual(len(after), len(left))

    def pop_uidl(self):
        p = self.pop()
        found = [x.decode() for x in p.uidl()[1]]
        p.quit()
        return found

    def test_taken_in_place(self):
        """What vpopmail, Courier and Dovecot leave is served as it is."""
        files = {
            "cur/1199923001.M20046P2137V0000000000000801I000A1_0.mx,S=8:2,S":
                b"a: b\n\nx\n",
            "cur/1199923002.2137_1.mx,S=8:2,": b"c: d\n\ny\n",
            "cur/1199923003.M1P7.dove,S=8,W=11:2,FSab": b"e: f\n\nz\n",
            "new/1199923004.qmail.mx": b"g: h\r\n\r\nw\r\n",
            ".Trash/cur/1199923005.M3.mx,S=2:2,ST": b"t\n",
        }
        for sub in ("new", "cur", "tmp", ".Trash/new", ".Trash/cur",
                    ".Trash/tmp", "courierimapkeywords"):
            (self.box / sub).mkdir(parents=True)
        for name, data in files.items():
            (self.box / name).write_bytes(data)
        (self.box / ".Trash/maildirfolder").touch()
        (self.box / "maildirsize").write_text(
            "10485760S,1000C\n        32    4\n2 1\n")
        (self.box / "courierpop3dsizelist").write_text("/3 4 1\n")
        (self.box / "subscriptions").write_text("Trash\n")
        with self.s:
            uidls = [x.split()[1] for x in self.pop_uidl()]
            self.assertEqual(uidls, [
                "1199923001.M20046P2137V0000000000000801I000A1_0.mx",
                "1199923002.2137_1.mx", "1199923003.M1P7.dove",
                "1199923004.qmail.mx"])
            self.assertEqual(self.sizes(), {1: 11, 2: 11, 3: 11, 4: 11})
            self.deliver([7])
            self.s.wait_messages(ANN, 5)
            p = self.pop()
            self.assertEqual(p.stat()[0], 5)
            p.dele(2)
            p.quit()
            self.assertEqual([x.split()[1] for x in self.pop_uidl()][:3],
                             [uidls[0], uidls[2], uidls[3]])
            for name, data in files.items():
                if "2137_1" not in name:
                    self.assertEqual(
                        (self.box / name).read_bytes(), data, name)
            self.assertEqual(
                (self.box / "maildirsize").read_text().splitlines()[0],
                "10485760S,1000C")


if __name__ == "__main__":
    unittest.main()
