"""POP3 against the threat catalogue (groups J, H, I), by row, and a model."""

import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from lib.dialogue import Connection  # noqa: E402
from lib.server import (  # noqa: E402
    PASSWORD, SLOW, ServerTest, wait_steady, wait_until)
from test_pop3_dialogues import b64, wire  # noqa: E402

# The sequences of the model in `make check`; a long run sets this higher.
SEQUENCES = int(os.environ.get("POP3_SEQUENCES", "300"))
PEAK_KB = 60000 * (10 if SLOW > 1 else 1)


class Client(Connection):
    """Commands and their replies, counted in lines."""

    def __init__(self, server, user=None):
        super().__init__(server.host, server.port["pop3"], 30 * SLOW)
        self.line()
        if user:
            for text in ("USER " + user, "PASS " + PASSWORD):
                reply = self.ask(text)
            if not reply.startswith("+OK"):
                self.close()
                raise AssertionError(reply)

    def ask(self, text):
        self.send(text.encode("latin-1") + b"\r\n")
        return self.line()

    def raw_until_dot(self):
        """A multi-line answer as bytes, dots still stuffed."""
        while not (self.buffer.startswith(b".\r\n") or
                   b"\r\n.\r\n" in self.buffer):
            if not self.fill():
                raise AssertionError("cut off")
        if self.buffer.startswith(b".\r\n"):
            body, self.buffer = b"", self.buffer[3:]
        else:
            body, self.buffer = self.buffer.split(b"\r\n.\r\n", 1)
            body += b"\r\n"
        return body

    def retr(self, number):
        """(octets announced, message) or (None, reply)."""
        reply = self.ask(f"RETR {number}")
        if not reply.startswith("+OK"):
            return None, reply
        body = self.raw_until_dot()
        body = re.sub(rb"(?m)^\.", b"", body)
        return int(reply.split()[1]), body

    def listing(self, verb="UIDL"):
        reply = self.ask(verb)
        assert reply.startswith("+OK"), reply
        return [line.split(b" ", 1)[1].decode()
                for line in self.raw_until_dot().split(b"\r\n")[:-1]]


class Pop3(ServerTest):
    settings = {"auth.plaintext_networks": "127.0.0.0/8"}
    accounts = 0

    def setUp(self):
        # an account for each, so that late sessions of others do no harm
        Pop3.accounts += 1
        self.address = f"u{Pop3.accounts}@example.org"
        self.s.user(self.address)
        self.box = self.s.mailbox(self.address)
        for sub in ("new", "cur", "tmp"):
            (self.box / sub).mkdir(parents=True)

    def client(self):
        return Client(self.s, self.address)

    def put(self, data, name=None, sub="new"):
        """A message with its sizes in its name; the name."""
        self.counter = getattr(self, "counter", 0) + 1
        name = name or (f"{1700000000 + self.counter}.t.host,S={len(data)},"
                        f"W={len(wire(data))}")
        (self.box / sub / name).write_bytes(data)
        return name

    def names(self):
        return sorted(os.listdir(self.box / "new") +
                      os.listdir(self.box / "cur"))

    # -- J --------------------------------------------------------------------
    def test_j03_vanished_moved_truncated(self):
        names = [self.put(b"Subject: %d\n\nhello %d\n" % (i, i))
                 for i in range(4)]
        c = self.client()
        (self.box / "new" / names[0]).unlink()
        (self.box / "new" / names[1]).rename(
            self.box / "cur" / (names[1] + ":2,FS"))
        os.truncate(self.box / "new" / names[2], 5)
        self.assertIsNone(c.retr(1)[0])
        octets, body = c.retr(2)
        self.assertEqual((octets, body),
                         (len(body), b"Subject: 1\r\n\r\nhello 1\r\n"))
        octets, body = c.retr(3)
        self.assertEqual((octets, body), (7, b"Subje\r\n"))
        self.assertEqual(c.retr(4)[1], b"Subject: 3\r\n\r\nhello 3\r\n")
        for i in range(1, 5):
            self.assertTrue(c.ask(f"DELE {i}").startswith("+OK"))
        # the one that vanished is as good as deleted
        self.assertTrue(c.ask("QUIT").startswith("+OK"))
        self.assertEqual(self.names(), [])

    def test_j04_j05_lock(self):
        self.put(b"x\n")
        c = self.client()
        with self.assertRaisesRegex(AssertionError, "IN-USE"):
            self.client()
        # the client vanishes; the lock goes with the connection
        c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                          b"\1\0\0\0\0\0\0\0")
        c.close()
        wait_until(lambda: self.can_login(), 5, "free lock")

    def can_login(self):
        """Sign in and out; QUIT is answered after the lock is free."""
        try:
            c = self.client()
        except AssertionError:
            return False
        c.ask("QUIT")
        c.close()
        return True

    def test_j05_lock_of_a_killed_worker(self):
        self.put(b"x\n")
        holder = self.client()
        for pid in self.s.workers("popd"):
            os.kill(pid, signal.SIGKILL)
        wait_until(self.try_connect, 10, "new worker")
        wait_until(self.can_login, 5, "free lock")
        holder.close()

    def try_connect(self):
        try:
            Client(self.s).close()
            return True
        except (OSError, AssertionError):
            return False

    def test_j06_uidl_is_stable(self):
        names = [self.put(b"x\n"),
                 self.put(b"x\n", "1700000100.foreign.host"),
                 self.put(b"x\n", "1700000200.\xe4.host"),
                 self.put(b"x\n", "1700000300." + "l" * 90)]
        c = self.client()
        before = c.listing()
        # a cut connection may hold the mailbox for a moment longer
        self.assertTrue(c.ask("QUIT").startswith("+OK"))
        c.close()
        for uid in before:
            self.assertRegex(uid, r"^[\x21-\x7e]{1,70}$")
        self.assertEqual(len(set(before)), 4)
        self.assertEqual(before[0], names[0].split(",")[0])
        for name, flags in zip(names, ("", "S", "FST", "Sxyz")):
            (self.box / "new" / name).rename(
                self.box / "cur" / (name + ":2," + flags))
        c = self.client()
        self.assertEqual(c.listing(), before)
        c.close()

    def test_j07_pipelining(self):
        messages = [b"Subject: %d\n\n%s\n" % (i, b"z" * (i % 70))
                    for i in range(1000)]
        for m in messages:
            self.put(m)
        c = Client(self.s)
        lines = ["USER " + self.address, "PASS " + PASSWORD, "STAT", "UIDL"]
        lines += [f"RETR {i}" for i in range(1, 1001)] + ["QUIT"]
        sender = threading.Thread(
            target=c.send, args=("\r\n".join(lines + [""]).encode(),))
        sender.start()
        for _ in range(2):
            self.assertTrue(c.line().startswith("+OK"))
        self.assertEqual(
            c.line(), "+OK 1000 %d" % sum(len(wire(m)) for m in messages))
        self.assertTrue(c.line().startswith("+OK"))
        self.assertEqual(len(c.raw_until_dot().split(b"\r\n")), 1001)
        for m in messages:
            self.assertEqual(c.line(), f"+OK {len(wire(m))} octets")
            self.assertEqual(c.raw_until_dot(), wire(m))
        self.assertTrue(c.line().startswith("+OK"))
        self.assertTrue(c.at_end())
        sender.join()
        c.close()

    def test_j08_wrong_numbers(self):
        self.put(b"one\n")
        wrong = [f"{verb} {args}" for verb in ("RETR", "DELE") for args in (
            "0", "-1", "2", "2147483648", "4294967297", "18446744073709551617",
            "1 2", "01", "+1", "1.0", "0x1", ":", "\0", "1\0", "", " ",
            "9" * 200)]
        wrong += [f"TOP {args}" for args in (
            "1 -1", "1 4294967296", "1", "1 x", "2 0", "0 0", "1 1 1")]
        wrong += ["", " ", ":", "\t"]
        while wrong:
            c = self.client()
            for line in wrong[:5]:  # more of them end the session
                self.assertTrue(c.ask(line).startswith("-ERR"), line)
            wrong = wrong[5:]
            c.ask("QUIT")
        c = self.client()
        self.assertEqual(c.retr(1)[1], b"one\r\n")
        c.ask("QUIT")

    def test_j09_only_quit_deletes(self):
        name = self.put(b"x\n")
        c = self.client()
        self.assertTrue(c.ask("DELE 1").startswith("+OK"))
        c.close()
        time.sleep(0.1)
        self.assertEqual(self.names(), [name])
        line = wait_until(lambda: [
            text for text in self.s.log("popd").splitlines()
            if "event=logout" in text][-1:], 5)[0]
        self.assertIn("deleted=0", line)
        self.assertIn("reason=closed", line)

    def hold_fast(self, path, on):
        """Make a file impossible to delete, by mode or attribute."""
        if os.geteuid() != 0:
            os.chmod(path.parent, 0o500 if on else 0o770)
        elif subprocess.run(["chattr", "+i" if on else "-i", str(path)],
                            capture_output=True).returncode != 0:
            self.skipTest("no immutable files here")

    def test_j09_partial_failure(self):
        names = [self.put(b"x\n", sub="cur"), self.put(b"y\n"),
                 self.put(b"z\n", sub="cur")]
        c = self.client()
        for i in (1, 2, 3):
            c.ask(f"DELE {i}")
        self.hold_fast(self.box / "new" / names[1], True)
        try:
            reply = c.ask("QUIT")
        finally:
            self.hold_fast(self.box / "new" / names[1], False)
        self.assertTrue(reply.startswith("-ERR [SYS/TEMP] 1 "), reply)
        self.assertEqual(self.names(), [names[1]])

    def test_j10_contents(self):
        messages = [b"", b"\n", b".", b".\n", b"..\n.\n", b"no end",
                    b"crlf\r\n.\r\nmixed\n", b"bare\rCR\r", b"\0\xff\n\0",
                    b"x" * 70000 + b"\n." + b"y" * 70000,
                    b"\r", b"a\r\r\n", b"\n.\n\n.."]
        for m in messages:
            self.put(m)
            self.put(m, f"{1600000000 + self.counter}.foreign")
        c = self.client()
        sizes = [int(n) for n in c.listing("LIST")]
        n = len(messages)
        for i, m in enumerate(messages):
            for number in (i + 1, n + i + 1):
                octets, body = c.retr(number)
                self.assertEqual(body, wire(m), m[:20])
                self.assertEqual(octets, len(body), m[:20])
                self.assertEqual(sizes[number - 1], octets, m[:20])
        c.ask("QUIT")

    def count_until_dot(self, c):
        """Bytes of a multi-line answer, without the end of it."""
        total, tail = len(c.buffer), c.buffer
        into = bytearray(1 << 20)
        while not tail.endswith(b"\r\n.\r\n"):
            n = c.sock.recv_into(into)
            self.assertTrue(n)
            total += n
            tail = (tail + into[max(0, n - 10):n])[-10:]
        c.buffer = b""
        return total - len(b".\r\n")

    def test_j10_huge_messages(self):
        """A line of 100 MB, 1 GB and 5 GB: sizes exact, memory bounded."""
        head = b"Subject: huge\n\n.dot\n"
        sizes = [100 << 20, 1 << 30, 5 << 30]
        # three line ends become CRLF, and the last line gets its own
        wires = [size + 5 for size in sizes]
        for number, size in enumerate(sizes):
            name = f"170000000{number}.foreign"
            if number > 0:
                name += f",S={size},W={wires[number]}"
            with open(self.box / "new" / name, "wb") as f:
                f.write(head)
                f.truncate(size)  # one line of NULs, without its end
        c = self.client()
        self.assertEqual(c.ask("STAT"), f"+OK 3 {sum(wires)}")
        self.assertEqual(c.listing("LIST"), [str(n) for n in wires])
        c.send(b"RETR 2\r\n")
        self.assertEqual(c.line(), f"+OK {wires[1]} octets")
        self.assertEqual(self.count_until_dot(c), wires[1] + 1)  # stuffed
        for number in (2, 3):
            self.assertTrue(c.ask(f"TOP {number} 1").startswith("+OK"))
            self.assertEqual(c.raw_until_dot(),
                             b"Subject: huge\r\n\r\n..dot\r\n")
        c.send(b"TOP 1 2\r\n")
        self.assertTrue(c.line().startswith("+OK"))
        self.assertEqual(self.count_until_dot(c), wires[0] + 1)
        self.assertLess(self.s.peak_kb("popd"), PEAK_KB)
        self.assertTrue(c.ask("QUIT").startswith("+OK"))

    def test_j11_mailbox_of_100000(self):
        """All of it in one session, memory in proportion to names."""
        count = 100000
        cur = os.open(self.box / "cur", os.O_RDONLY)
        for i in range(count):
            os.close(os.open(f"{1700000000 + i}.n.host,S=4,W=5:2,S",
                             os.O_CREAT | os.O_WRONLY, dir_fd=cur))
        os.close(cur)
        cpu = self.cpu_seconds()
        c = self.client()
        self.assertEqual(c.ask("STAT"), f"+OK {count} {5 * count}")
        self.assertEqual(len(c.listing("LIST")), count)
        uids = c.listing("UIDL")
        self.assertEqual((uids[0], uids[-1], len(set(uids))),
                         ("1700000000.n.host", f"{1700000000 + count - 1}."
                          "n.host", count))
        c.ask("QUIT")
        self.assertLess(self.cpu_seconds() - cpu, 1 * SLOW)
        self.assertLess(self.s.peak_kb("popd"), PEAK_KB)

    def cpu_seconds(self):
        """What popd's workers used so far: a busy machine does not count."""
        ticks = 0
        for pid in self.s.workers("popd"):
            stat = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1]
            ticks += sum(map(int, stat.split()[11:13]))
        return ticks / os.sysconf("SC_CLK_TCK")

    def test_j12_password_with_spaces(self):
        self.s.user("space@example.org", "  two words, and a tail  ")
        c = Client(self.s)
        self.assertTrue(c.ask("USER space@example.org").startswith("+OK"))
        self.assertTrue(c.ask("PASS   two words, and a tail  ")
                        .startswith("+OK"))
        c.close()

    def test_j12_plain_text(self):
        """Without TLS, from a network that is not listed: no secret is taken.

        Right and wrong ones read the same; STLS injection is a dialogue."""
        self.s.set("auth.plaintext_networks", "")
        try:
            wait_steady(lambda: "SASL" not in " ".join(self.capabilities()))
            plain = b64("\0" + self.address + "\0" + PASSWORD)
            for line in ("USER " + self.address, "PASS " + PASSWORD,
                         "PASS wrong", "AUTH PLAIN " + plain, "AUTH LOGIN",
                         "AUTH"):
                c = Client(self.s)
                self.assertTrue(c.ask(line).startswith("-ERR [AUTH]"), line)
                c.close()
            c = Client(self.s)
            self.assertTrue(c.ask("STLS").startswith("+OK"))
            c.start_tls()
            for text in ("USER " + self.address, "PASS " + PASSWORD):
                self.assertTrue(c.ask(text).startswith("+OK"))
            c.ask("QUIT")
        finally:
            self.s.set("auth.plaintext_networks", "127.0.0.0/8")
            wait_steady(lambda: "SASL" in " ".join(self.capabilities()))

    def capabilities(self):
        c = Client(self.s)
        c.ask("CAPA")
        lines = c.raw_until_dot().decode().split("\r\n")
        c.close()
        return lines

    def test_j13_refused_mailbox(self):
        os.chmod(self.box, 0o777)
        with self.assertRaisesRegex(AssertionError, "SYS/TEMP"):
            self.client()
        shutil.rmtree(self.box)
        self.box.symlink_to("/tmp")
        try:
            with self.assertRaisesRegex(AssertionError, "SYS/TEMP"):
                self.client()
        finally:
            self.box.unlink()
        reasons = [line for line in self.s.log("popd").splitlines()
                   if "result=refused" in line and self.address in line]
        self.assertEqual(len(reasons), 2)
        self.assertIn("anybody may write to it", reasons[0])

    # -- other work at the same time --------------------------------------------
    def test_delivery_during_a_session(self):
        self.put(b"one\n")
        c = self.client()
        self.put(b"two\n")
        self.assertEqual(c.ask("STAT"), "+OK 1 5")
        c.ask("DELE 1")
        c.ask("QUIT")
        c = self.client()
        self.assertEqual(c.ask("STAT"), "+OK 1 5")
        self.assertEqual(c.retr(1)[1], b"two\r\n")
        c.close()

    def test_i07_kill_during_update(self):
        for attempt in range(5):
            names = [self.put(b"%d\n" % i) for i in range(1000)]
            c = self.client()
            before = dict(zip(names, c.listing()))
            for i in range(1, 1001, 2):
                c.send(b"DELE %d\r\n" % i)
            for _ in range(500):
                c.line()
            pids = self.s.workers("popd")
            c.send(b"QUIT\r\n")
            time.sleep(random.random() * 0.004)
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
            c.close()
            left = set(self.names())
            # what was not deleted is there, whole
            self.assertLessEqual(set(names[1::2]), left, attempt)
            wait_until(self.try_connect, 10, "new worker")
            wait_until(self.can_login, 5, "free lock")
            c = self.client()
            uids = c.listing()
            self.assertEqual(uids, [before[n] for n in names if n in left])
            c.close()
            self.setUp()

    def test_cut_off_at_every_byte(self):
        name = self.put(b"x\n")
        text = (f"USER {self.address}\r\nPASS {PASSWORD}\r\nDELE 1\r\n"
                "QUIT\r\n").encode()
        for end in range(len(text) - 1):
            with socket.create_connection(
                    (self.s.host, self.s.port["pop3"])) as sock:
                sock.sendall(text[:end])
        wait_until(self.can_login, 5, "free lock")
        self.assertEqual(self.names(), [name])

    def test_foreign_maildir_in_place(self):
        """As Dovecot, Courier and mutt leave them; nothing is lost."""
        self.put(b"a\n", "1700000001.M1P2.host,S=2,W=3:2,S", "cur")
        self.put(b"b\n", "1700000002.H3P4.host,S=2:2,", "cur")
        self.put(b"c\n", "1700000003.5_6.host:2,RS", "cur")
        self.put(b"d\n", "1700000004.R7.host")
        for extra in ("dovecot-uidlist", "courierpop3dsizelist",
                      "subscriptions"):
            (self.box / extra).write_text("3 V1 N5\n")
        (self.box / ".Sent" / "cur").mkdir(parents=True)
        before = self.names()
        c = self.client()
        self.assertEqual(c.ask("STAT"), "+OK 4 12")
        self.assertEqual([c.retr(i)[1] for i in (1, 2, 3, 4)],
                         [b"a\r\n", b"b\r\n", b"c\r\n", b"d\r\n"])
        c.ask("QUIT")
        self.assertEqual(self.names(), before)
        self.assertTrue((self.box / "dovecot-uidlist").exists())

    def test_usage_follows_deletions(self):
        self.put(b"12345\n")
        self.put(b"123\n")
        (self.box / "maildirsize").write_text("0S\n10 2\n")
        c = self.client()
        c.ask("DELE 2")
        c.ask("QUIT")
        self.assertEqual((self.box / "maildirsize").read_text(),
                         "0S\n10 2\n-4 -1\n")

    def test_expire_and_login_delay(self):
        now = time.time()
        self.put(b"old\n", f"{int(now) - 10 * 86400}.old,S=4,W=5")
        self.put(b"new\n", f"{int(now) - 5 * 86400}.new,S=4,W=5")
        self.s.set("popd.expire_days", "7")
        self.s.set("popd.login_delay", "1h")
        time.sleep(1.2)
        try:
            c = self.client()
            self.assertEqual(c.ask("STAT"), "+OK 1 5")
            c.send(b"CAPA\r\n")
            capa = c.line() and c.raw_until_dot().decode().split("\r\n")
            self.assertIn("EXPIRE 7", capa)
            self.assertIn("LOGIN-DELAY 3600", capa)
            c.ask("QUIT")
            with self.assertRaisesRegex(AssertionError, "LOGIN-DELAY"):
                self.client()
        finally:
            self.s.set("popd.expire_days", "0")
            self.s.set("popd.login_delay", "0")
            time.sleep(1.2)

    def test_connections_per_address(self):
        self.s.set("limit.connections_per_address", "3")
        time.sleep(1.2)
        held = [Client(self.s) for _ in range(3)]
        try:
            c = Connection(self.s.host, self.s.port["pop3"])
            self.assertTrue(c.line().startswith("-ERR [SYS/TEMP] too many"))
            self.assertTrue(c.at_end())
            c.close()
            held.pop().close()
            wait_until(self.try_connect, 5, "place")
        finally:
            for h in held:
                h.close()
            self.s.set("limit.connections_per_address", "0")
            time.sleep(1.2)

    def test_access_switch(self):
        self.s.user("off@example.org")
        self.s.cli("user", "set", "off@example.org", "access.pop3=no")
        self.s.user("gone@example.org")
        self.s.cli("user", "disable", "gone@example.org")
        self.s.cli("domain", "add", "no-pop.example")
        self.s.cli("domain", "set", "no-pop.example", "access.pop3=no")
        self.s.user("ann@no-pop.example")
        for user in ("off@example.org", "gone@example.org",
                     "ann@no-pop.example"):
            with self.assertRaisesRegex(AssertionError, "AUTH"):
                Client(self.s, user)

    # -- the reference model ------------------------------------------------------
    def test_model(self):
        seed = int(os.environ.get("POP3_SEED", time.time_ns()))
        rng = random.Random(seed)
        for sequence in range(SEQUENCES):
            with self.subTest(seed=seed, sequence=sequence):
                self.play(rng)

    def play(self, rng):
        """One session of random commands beside a dictionary of messages."""
        messages = {}
        for name in self.names():
            path = self.box / "new" / name
            messages[name] = path.read_bytes()
        while len(messages) < 6:
            data = bytes(rng.choice(b"ab.\n") for _ in range(rng.randrange(40)))
            messages[self.put(data)] = data
        order = sorted(messages)
        deleted = set()
        c = self.client()
        for _ in range(rng.randrange(12)):
            self.step(rng, c, messages, order, deleted)
        if rng.random() < 0.5:
            self.assertTrue(c.ask("QUIT").startswith("+OK"))
            order = [n for i, n in enumerate(order) if i not in deleted]
        c.close()
        wait_until(lambda: self.unlocked(), 5, "lock")
        self.assertEqual(self.names(), order)

    def unlocked(self):
        import fcntl
        with open(self.box / "pop3.lock", "r+b") as f:
            try:
                fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            except BlockingIOError:
                return False

    def step(self, rng, c, messages, order, deleted):
        verb = rng.choice(("STAT", "LIST", "UIDL", "RETR", "DELE", "DELE",
                           "RSET", "NOOP", "TOP", "XXXX"))
        i = rng.randrange(-1, len(order) + 1)
        here = 0 <= i < len(order) and i not in deleted
        left = [k for k in range(len(order)) if k not in deleted]
        size = {k: len(wire(messages[order[k]])) for k in left}
        if verb == "STAT":
            self.assertEqual(c.ask(verb),
                             f"+OK {len(left)} {sum(size.values())}")
        elif verb == "LIST":
            self.assertEqual(c.listing(verb), [str(size[k]) for k in left])
        elif verb == "UIDL":
            self.assertEqual(c.listing(verb),
                             [order[k].split(",")[0] for k in left])
        elif verb == "RETR":
            octets, body = c.retr(i + 1)
            self.assertEqual(octets is not None, here)
            if here:
                self.assertEqual(body, wire(messages[order[i]]))
        elif verb == "TOP":
            reply = c.ask(f"TOP {i + 1} 3")
            self.assertEqual(reply.startswith("+OK"), here)
            if here:
                c.raw_until_dot()
        elif verb == "DELE":
            self.assertEqual(
                c.ask(f"DELE {i + 1}").startswith("+OK"), here)
            if here:
                deleted.add(i)
        elif verb == "RSET":
            self.assertTrue(c.ask(verb).startswith("+OK"))
            deleted.clear()
        else:
            self.assertEqual(c.ask(verb).startswith("+OK"), verb == "NOOP")


if __name__ == "__main__":
    unittest.main()
