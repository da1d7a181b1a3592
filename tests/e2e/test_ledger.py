"""Every acknowledged recipient is accounted for under random faults.

For SOAK_MINUTES (default: a quarter) senders number their messages while
processes die, calls on the disk fail, the DNS and the exchangers misbehave and
sending is suspended.  Then all of that ends, and the ledger has to be exact:
acknowledged = delivered here once + taken by the exchanger + reported as failed
once, and nothing left in the queue or put aside.
"""

import errno
import os
import random
import re
import signal
import sys
import time
import unittest
from collections import Counter
from email import message_from_bytes, policy
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent / "lib")]
from lib.fakedns import FakeDNS  # noqa: E402
from lib.fakemx import DROP, Delay, FakeMX  # noqa: E402
from lib.faults import Faults, are_possible  # noqa: E402
from lib.server import Server, wait_until  # noqa: E402
from test_crash import Traffic  # noqa: E402

SECONDS = 60 * float(os.environ.get("SOAK_MINUTES", "0.25"))
SEED = int(os.environ.get("SOAK_SEED", "0")) or random.randrange(1, 10**6)
SENDER = "s@example.org"

# what a recipient leads to: mailboxes here, addresses there, a report
HERE, THERE, REPORT = range(3)
KINDS = {
    "u0@example.org": [(HERE, "u0@example.org")],
    "u1@example.org": [(HERE, "u1@example.org")],
    "team@example.org": [(HERE, "a0@example.org"), (HERE, "a1@example.org"),
                         (THERE, "alias@far.example")],
    "staff@example.org": [(HERE, "l0@example.org"), (HERE, "l1@example.org"),
                          (THERE, "list@far.example")],
    "both@example.org": [(HERE, "both@example.org"),
                         (THERE, "copy@far.example")],
    "one@far.example": [(THERE, "one@far.example")],
    "two@far.example": [(THERE, "two@far.example")],
    "no@far.example": [(REPORT, "no@far.example")],
    "who@gone.example": [(REPORT, "who@gone.example")],
}
USERS = [SENDER] + [a for targets in KINDS.values() for kind, a in targets
                    if kind == HERE]
ZONE = {"far.example": {"MX": ["10 mx.far.example"]},
        "mx.far.example": {"A": ["127.0.0.1"]}}
VICTIMS = ("mtad", "queue-runner", "accountd")
CALLS = ("write", "size", "sync", "create", "rename", "link", "unlink")
ERRORS = (errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EMFILE)
PLACES = ("/spool/", "/mail/", "/log/", "")


def rcpt(argument):
    return "550 5.1.1 nobody" if "<no@" in argument else "250 2.1.5 ok"


# the exchanger's moods; every one takes or refuses for good in the end
MOODS = ({}, {}, {"RCPT": "451 4.3.0 later"}, {"BANNER": "421 4.3.2 busy"},
         {"DOT": DROP}, {"DOT": "452 4.3.1 full"}, {"MAIL": DROP},
         {"DATA": "421 4.3.0 closing"}, {"DOT": Delay(1, "250 2.0.0 slow")})


class Senders(Traffic):
    """`acked` has a (tag, recipient) for each that was answered 250, `tags`
    the tag of a message's id."""

    def __init__(self, server):
        self.tags = {}
        super().__init__(server, 3)

    def send(self, c, tag):
        chosen = random.sample(sorted(KINDS), random.choice((1, 1, 2, 4)))
        c.ehlo_or_helo_if_needed()
        c.mail(SENDER)
        taken = [a for a in chosen if c.rcpt(a)[0] == 250]
        code, reply = c.data(f"Subject: {tag}\r\n\r\n{'x' * 70}\r\n")
        if code == 250:
            self.tags[re.search(rb"[0-9A-Z]{26}", reply)[0].decode()] = tag
        else:
            c.rset()
        time.sleep(0.02)
        return [(tag, a) for a in taken] if code == 250 else []


@unittest.skipUnless(are_possible(), "sanitizers are preloaded first")
class Ledger(unittest.TestCase):
    def setUp(self):
        print(f"SOAK_SEED={SEED}")
        random.seed(SEED)
        self.mx, self.faults = FakeMX({"RCPT": rcpt}), Faults()
        self.dns = FakeDNS(dict(ZONE))
        self.dns.__enter__()
        self.s = Server(settings={
            "dns.servers": self.dns.setting, "remote.port": self.mx.port,
            "remote.allow_loopback": "yes", "remote.timeout": "2s",
            "remote.connect_timeout": "2s", "queue.retry": "1s",
            "relay.mode": "addresses", "relay.trusted": "127.0.0.0/8"})
        for address in USERS:
            self.s.user(address)
        self.s.cli("alias", "add", "team@example.org", *self.targets("team"))
        self.s.cli("list", "add", "staff@example.org", *self.targets("staff"))
        self.s.cli("user", "set", "both@example.org",
                   "forward=copy@far.example", "forward_keep=yes")
        self.start()

    @staticmethod
    def targets(local):
        return [address for _, address in KINDS[f"{local}@example.org"]]

    def tearDown(self):
        self.s.close()
        self.dns.__exit__()
        self.mx.close()
        self.faults.close()

    def start(self):
        os.environ.update(self.faults.environment)
        self.s.start()
        self.faults.started()

    # -- what goes wrong ---------------------------------------------------------
    def kill_one(self):
        pids = self.s.pids(random.choice(VICTIMS))
        if pids:
            os.kill(random.choice(pids), signal.SIGKILL)

    def kill_all(self):
        self.faults.clear()
        self.s.kill()
        self.start()

    def disk(self):
        self.faults.add(random.choice(CALLS), random.choice(ERRORS),
                        random.choice(PLACES), times=random.choice((1, 3, 99)),
                        skip=random.randrange(20))

    def mood(self):
        self.mx.replies = {"RCPT": rcpt, **random.choice(MOODS)}

    def name_servers(self):
        self.dns.zone["far.example"] = {
            **ZONE["far.example"],
            **random.choice(({}, {}, {"fault": "servfail"}, {"fault": "drop"}))}

    def suspend(self):
        self.s.run_cli("queue", random.choice(("suspend", "resume")))

    def trouble(self, end):
        acts = ((self.kill_one, 20), (self.kill_all, 4), (self.disk, 40),
                (self.mood, 20), (self.name_servers, 10), (self.suspend, 6))
        counts = Counter()
        while time.monotonic() < end:
            act, = random.choices([a for a, _ in acts], [w for _, w in acts])
            counts[act.__name__] += 1
            act()
            time.sleep(random.uniform(0.05, 0.6))
            if random.random() < 0.4:
                self.faults.clear()
        return counts

    def all_is_well(self):
        self.faults.clear()
        self.mx.replies = {"RCPT": rcpt}
        self.dns.zone["far.example"] = ZONE["far.example"]
        self.s.cli("wait", "--for", "ready", "--timeout", "60")
        self.s.cli("queue", "resume")

    # -- the books -----------------------------------------------------------------
    def reported(self, tags):
        """(tag, recipient) of each failure that was reported.  What the disk
        did not give is not in the report, but the id is."""
        for text in self.s.messages(SENDER):
            m = message_from_bytes(text, policy=policy.default)
            if m.get_content_type() != "multipart/report":
                continue
            message = re.search(rb"^X-Mailstead-Queue-Id: (\S+)", text, re.M)
            tag = tags.get(message[1].decode())
            if tag is None:  # of what was never answered
                continue
            for part in m.walk():
                if str(part["Action"]) == "failed":
                    to = str(part["Original-Recipient"] or
                             part["Final-Recipient"])
                    yield REPORT, tag, to.split(";")[1].strip()

    def taken(self):
        for m in list(self.mx.messages):
            tag = re.search(rb"^Subject: (tag-\S+)", m["data"], re.M)
            for to in m["rcpts"]:
                if tag:
                    yield THERE, tag[1].decode(), re.search("<(.*)>", to)[1]

    def delivered(self):
        for address in sorted(set(USERS) - {SENDER}):
            for text in self.s.messages(address):
                tag = re.search(rb"^Subject: (tag-\S+)", text, re.M)[1]
                yield HERE, tag.decode(), address

    def test_G15_nothing_is_unaccounted_for(self):
        senders = Senders(self.s)
        counts = self.trouble(time.monotonic() + SECONDS)
        acked = senders.finish()
        self.all_is_well()

        def is_empty():
            self.s.run_cli("queue", "retry", "--all")
            return not self.s.json("queue", "list")
        wait_until(is_empty, 120, "an empty queue")
        owed = {(kind, tag, address) for tag, to in acked
                for kind, address in KINDS[to]}
        paid = Counter([*self.delivered(), *self.taken(),
                        *self.reported(senders.tags)])
        aside = [p.name for p in (self.s.state / "spool/corrupt").iterdir()]
        again = [x for x, n in paid.items() if n > 1]
        print(f"{dict(counts)}: acknowledged {len(acked)}, owed {len(owed)}, "
              f"missing {len(owed - set(paid))}, aside {len(aside)}, again: "
              + ", ".join(f"{sum(x[0] == kind for x in again)} {name}"
                          for kind, name in ((HERE, "here"), (THERE, "there"),
                                             (REPORT, "reports"))))
        self.assertGreater(len(acked), 20)
        self.assertEqual(sorted(owed - set(paid))[:5], [])
        self.assertEqual(aside, [])
        self.assertEqual([x for x in again if x[0] != THERE], [])


if __name__ == "__main__":
    unittest.main()
