#!/usr/bin/python3
"""Random kill -9 under traffic, with clients emptying the mailboxes.

SOAK_KILLS times (default 500): senders number their messages, a POP3 client
fetches and deletes, and every half second some process of the server dies, now
and then all of them.  In the end every acknowledged message was fetched or
lies in a mailbox, exactly once, and after each new start of all the first
delivery came within two seconds.
"""

import os
import poplib
import random
import re
import signal
import ssl
import sys
import threading
import time
from collections import Counter
from datetime import datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))
from lib.server import PASSWORD, Server, wait_until  # noqa: E402
from test_crash import USERS, Traffic  # noqa: E402

KILLS = int(os.environ.get("SOAK_KILLS", "500"))
FIRST_SECONDS = 2
VICTIMS = ("mtad", "queue-runner", "popd", "accountd")


class Reader(threading.Thread):
    """Fetches and deletes; `fetched` holds the tags of what QUIT confirmed."""

    def __init__(self, server, user):
        super().__init__()
        self.s, self.user, self.stop = server, user, False
        self.fetched, self.maybe = [], set()

    def run(self):
        context = ssl._create_unverified_context()
        while not self.stop:
            tags = []
            try:
                p = poplib.POP3_SSL(self.s.host, self.s.port["pop3s"],
                                    context=context, timeout=20)
                p.user(self.user)
                p.pass_(PASSWORD)
                for n in range(1, len(p.list()[1]) + 1):
                    text = b"\n".join(p.retr(n)[1])
                    tags.append(re.search(rb"^Subject: (\S+)", text,
                                          re.M).group(1).decode())
                    p.dele(n)
                p.quit()
                self.fetched += tags
            except (OSError, poplib.error_proto, EOFError):
                # QUIT's answer did not come: they may be gone or not
                self.maybe.update(tags)
            time.sleep(0.1)


def first_deliveries(server, starts):
    """Seconds from each start to the first delivery after it."""
    times = []
    for path in sorted((server.state / "log/queue-runner").glob("*.log")):
        times += [datetime.fromisoformat(m[1]).timestamp() for m in re.finditer(
            r"^(\S+) .*event=deliver ", path.read_text(), re.M)]
    return [min((t for t in times if t >= start), default=float("inf")) - start
            for start in starts]


def main():
    with Server() as s:
        for u in USERS:
            s.user(u)
        readers = [Reader(s, u) for u in USERS]
        for r in readers:
            r.start()
        traffic = Traffic(s)
        kills = {name: 0 for name in (*VICTIMS, "all")}
        starts = []
        while sum(kills.values()) < KILLS:
            time.sleep(0.5)
            if random.random() < 0.05:
                s.kill()
                kills["all"] += 1
                starts.append(time.time())
                s.start()
                time.sleep(FIRST_SECONDS)
                continue
            name = random.choice(VICTIMS)
            pids = s.pids(name)
            if pids:
                kills[name] += 1
                os.kill(random.choice(pids), signal.SIGKILL)
        acked = traffic.finish()
        s.cli("wait", "--for", "ready", "--timeout", "60")
        s.cli("wait", "--for", "empty", "--timeout", "60")
        time.sleep(2)
        for r in readers:
            r.stop = True
        for r in readers:
            r.join()

        def left():
            return [t.decode() for u in USERS for m in s.messages(u)
                    for t in re.findall(rb"^Subject: (\S+)", m, re.M)]

        fetched = [t for r in readers for t in r.fetched]
        maybe = set().union(*(r.maybe for r in readers))
        wait_until(lambda: set(acked) <= set(fetched) | set(left()) | maybe,
                   30, "all messages")
        seen = fetched + left()
        lost = set(acked) - set(seen) - maybe
        twice = [t for t, n in Counter(seen).items() if n > 1 and t not in maybe]
        slowest = max(first_deliveries(s, starts), default=0)
        print(f"kills {kills}, acknowledged {len(acked)}, fetched "
              f"{len(fetched)}, lost {len(lost)}, twice {len(twice)}, first "
              f"delivery after a start of all: at most {slowest:.1f} s")
        return 1 if lost or twice or slowest > FIRST_SECONDS else 0


if __name__ == "__main__":
    sys.exit(main())
