#!/usr/bin/python3
"""A full queue and a full day of logs.

usage: bench/fullqueue.py [queue|acts|trace] [BUILD]   (default: all, build/gcc)

queue: 100,000 deferred messages for 50 domains from 20 senders.  How long
until the server listens and until the first delivery, memory, and what a page
of 50 rows, filters and the groups cost on the control socket.
acts: what is done to 100,000 at once by `mailstead queue`, and how long single
letters to a mailbox take meanwhile.
trace: a day of 1,000,000 messages in the logs; `mailstead trace` by id, by
address within an hour and within the day."""

import json
import os
import re
import resource
import smtplib
import socket
import statistics
import subprocess
import sys
import threading
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
WHAT = [a for a in sys.argv[1:] if a in ("queue", "acts", "trace")]
BUILD = Path(next((a for a in sys.argv[1:] if a not in WHAT),
                  TOP / "build/gcc")).resolve()
os.environ.setdefault("MAILSTEAD_BUILD", str(BUILD))
sys.path.insert(0, str(TOP / "tests/e2e"))
sys.path.insert(0, str(TOP / "tests/e2e/lib"))
from lib.fakedns import FakeDNS  # noqa: E402
from lib.fakemx import FakeMX  # noqa: E402
from lib.server import Server, wait_until  # noqa: E402

MESSAGES, DESTINATIONS, SENDERS = 100000, 50, 20
DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
DAY_MESSAGES = 1000000


def ulid(wall_ms, number):
    """An id made at that time; `number` in place of random bits."""
    out, n = [], wall_ms << 80 | (number * 0x9e3779b97f4a7c15 % 2**64) << 16
    for _ in range(26):
        out.append(DIGITS[n & 31])
        n >>= 5
    return "".join(reversed(out))


def refused_mail():
    """(settings, what to end later) of a world that refuses all mail."""
    names = [f"d{n:02}.example" for n in range(DESTINATIONS)]
    zone = {n: {"MX": [f"10 mx.{n}"]} for n in names}
    zone.update({"mx." + n: {"A": ["127.0.0.1"]} for n in names})
    dns = FakeDNS(zone)
    dns.__enter__()
    mx = FakeMX(replies={"RCPT": "451 4.7.1 Slow down please"})
    mx.__enter__()
    return {"dns.servers": dns.setting, "dns.self_check": "no",
            "remote.allow_loopback": "yes", "remote.port": mx.port,
            "queue.retry": "12h"}, (mx, dns)


def fill_queue(server, count=MESSAGES, senders=SENDERS):
    """Deferred messages: some are sent, the others are links to their files.
    The server is stopped afterwards."""
    orders = "\n".join(json.dumps({
        "sender": f"user{n % senders}@s{n % senders:02}.example",
        "recipients": [f"x{n}@d{n % DESTINATIONS:02}.example"],
        "body": "Subject: test\n\nhello\n"}) for n in range(100))
    subprocess.run([BUILD / "tests/tools/spool_submit", server.state / "spool"],
                   input=orders, text=True, check=True, capture_output=True)
    wait_until(lambda: server.json("status")["queue"]["deferred"] >= 100, 60)
    server.stop()
    folder = server.state / "spool/deferred"
    models = [p.name for p in folder.iterdir() if p.name.endswith(".f")]
    now = int(time.time() * 1000)
    fd = os.open(folder, os.O_DIRECTORY)
    for n in range(count - len(models)):
        ident, rest = models[n % len(models)].split(".", 1)
        fresh = ulid(now - 1 - n * 100, n)
        os.link(f"{ident}.{rest}", f"{fresh}.{rest}", src_dir_fd=fd,
                dst_dir_fd=fd)
        os.link(ident, fresh, src_dir_fd=fd, dst_dir_fd=fd)
    os.close(fd)


def control(server, **request):
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
        s.connect(str(server.state / "run/queue.sock"))
        s.send(json.dumps(request).encode())
        answer = json.loads(s.recv(65536))
    assert answer["ok"], answer
    return answer


def cpu(pids):
    """Milliseconds used so far, by these or by ended children."""
    if not pids:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return (used.ru_utime + used.ru_stime) * 1000
    ticks = 0
    for pid in pids:
        stat = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
        ticks += int(stat[11]) + int(stat[12])
    return ticks * 1000 / os.sysconf("SC_CLK_TCK")


def show(name, ask, times=20, pids=()):
    walls, before = [], cpu(pids)
    for _ in range(times):
        start = time.perf_counter()
        result = ask()
        walls.append((time.perf_counter() - start) * 1000)
    used = (cpu(pids) - before) / times
    print(f"{name:44} p50 {statistics.median(walls):7.1f} ms  max "
          f"{max(walls):7.1f} ms  CPU {used:5.1f} ms", flush=True)
    return result


def rss(server):
    return max(int(re.search(r"VmRSS:\s+(\d+)", Path(
        f"/proc/{p}/status").read_text())[1]) / 1024
        for p in server.workers("queue-runner"))


def bench_queue():
    settings, world = refused_mail()
    s = Server(settings=settings)
    try:
        s.start()
        s.user("bob@example.org")
        fill_queue(s)
        start = time.monotonic()
        s.start()
        print(f"listening after {time.monotonic() - start:.2f} s")
        with smtplib.SMTP(s.host, s.port["smtp"], timeout=60) as c:
            c.sendmail("a@elsewhere.example", ["bob@example.org"],
                       "Subject: x\r\n\r\nx\r\n")
        wait_until(lambda: s.messages("bob@example.org"), 60)
        print(f"first delivery after {time.monotonic() - start:.2f} s")
        wait_until(lambda: sum(g["count"] for g in control(
            s, verb="groups")["groups"]) >= MESSAGES, 300)
        print(f"all envelopes read after {time.monotonic() - start:.2f} s")
        pids = s.workers("queue-runner")

        def ask(name, **request):
            return show(name, lambda: control(s, **request), 100, pids)
        first = ask("list, 50 rows", verb="list", limit=50)
        ask("list, the next 50", verb="list", limit=50, after=first["next"])
        ask("list of one sender", verb="list", limit=50,
            sender="user7@s07.example")
        ask("list for one destination", verb="list", limit=50,
            destination="d33.example")
        ask("list of an unknown sender", verb="list", limit=50,
            sender="no@where.example")
        ask("show", verb="show", id=first["messages"][0]["id"])
        groups = ask("groups", verb="groups")
        assert groups["total"] == DESTINATIONS, groups
        print(f"queue-runner {rss(s):.1f} MB")
        s.stop()
    finally:
        s.close()
        for w in world:
            w.__exit__()


class Letters:
    """Somebody who sends letters to a mailbox, one after the other, and waits
    for each; .longest() is how long one took since the last call."""

    def __init__(self, server):
        self.server = server
        self.waits, self.stopped = [], False
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        s, n = self.server, 0
        new = s.state / "mail/example.org/bob/new"
        while not self.stopped:
            n += 1
            with smtplib.SMTP(s.host, s.port["smtp"], timeout=60) as c:
                c.sendmail("a@elsewhere.example", ["bob@example.org"],
                           "Subject: x\r\n\r\nx\r\n")
            start = time.monotonic()
            wait_until(lambda n=n: new.is_dir() and len(list(new.iterdir()))
                       >= n, 60)
            self.waits.append(time.monotonic() - start)
            time.sleep(0.1)

    def longest(self):
        waits, self.waits = self.waits, []
        return max(waits, default=0)

    def stop(self):
        self.stopped = True
        self.thread.join()


def bench_acts():
    settings, world = refused_mail()
    world[0].__exit__()  # connections are refused
    s = Server(settings=settings)
    try:
        s.start()
        s.user("bob@example.org")
        fill_queue(s, senders=1)
        s.start()
        pids = s.workers("queue-runner")
        letters = Letters(s)

        def act(*words):
            letters.longest()
            before, start = cpu(pids), time.monotonic()
            done = json.loads(s.cli("--json", "queue", *words, timeout=900))
            took = time.monotonic() - start
            print(f"{' '.join(words):32} {done['done']:6} done "
                  f"{took:6.1f} s  CPU {cpu(pids) - before:7.0f} ms  "
                  f"longest delivery {letters.longest():.2f} s", flush=True)
            assert not done["failed"], done["failed"][:3]

        def settled():
            return s.json("status")["queue"]["active"] == 0
        everything = "--sender", "user0@s00.example"
        act("hold", *everything)
        act("release", *everything)
        start = time.monotonic()
        wait_until(settled, 600)
        print(f"tried again after {time.monotonic() - start:.1f} s, longest "
              f"delivery {letters.longest():.2f} s")
        act("retry", "--destination", "d33.example")
        wait_until(settled, 600)
        act("delete", "--destination", "d33.example")
        act("delete", *everything)
        print(f"queue-runner {rss(s):.1f} MB")
        letters.stop()
        s.stop()
    finally:
        s.close()
        world[1].__exit__()


def fill_day(server, day):
    """A day's logs of messages that all went the way of one real one."""
    with smtplib.SMTP(server.host, server.port["smtp"], timeout=60) as c:
        c.ehlo("client.example")
        c.mail("ann@elsewhere.example")
        c.rcpt("admin@example.org")
        ident = c.data(b"Message-ID: <one@elsewhere.example>\r\n"
                       b"Subject: x\r\n\r\nx\r\n")[1].decode().split()[-1]
    server.wait_log("queue-runner", f"{ident} event=deliver")
    start = int(day.timestamp() * 1000)
    step = 86400000 / DAY_MESSAGES
    for program in ("mtad", "queue-runner"):
        text = next((server.state / "log" / program).iterdir()).read_text()
        session = re.search(rf"^\S+ (\S+) {ident} event=accept", text, re.M)
        words = {ident} | ({session[1]} if session else set())
        lines = [x for x in text.splitlines()
                 if words & set(x.split(" ")[1:3])]
        model = "".join(re.sub(r"^\S+", "{time}", x).replace(
            ident, "{id}").replace("ann@", "user{n}@").replace(
            "<one@", "<m{n}@").replace("one@", "m{n}@") + "\n" for x in lines)
        model = model.replace(session[1], "{session}") if session else model
        path = server.state / "log" / program / f"{day:%Y-%m-%d}.log"
        with open(path, "w", 1 << 20) as out:
            for n in range(DAY_MESSAGES):
                ms = start + int(n * step)
                at = datetime.fromtimestamp(ms / 1000, timezone.utc)
                out.write(model.format(
                    time=f"{at:%Y-%m-%dT%H:%M:%S}.{ms % 1000:03}Z",
                    id=ulid(ms, n), n=n, session=f"S{n:011}"))
        print(f"{path.name} of {program}: {path.stat().st_size >> 20} MB, "
              f"{model.count(chr(10))} lines a message")
    n = DAY_MESSAGES // 2 + 77
    return ulid(start + int(n * step), n), n


def bench_trace():
    today = datetime.now(timezone.utc).replace(
        hour=0, minute=0, second=0, microsecond=0)
    day = today - timedelta(days=1)
    s = Server()
    try:
        s.start()
        ident, n = fill_day(s, day)
        s.stop()
        show("(version: a program's start)", lambda: s.cli("version"))
        show("trace by id", lambda: s.json("trace", ident))
        at = day + timedelta(seconds=n * 86400 / DAY_MESSAGES)
        hour = f"{at:%Y-%m-%dT%H}"
        show(f"trace by address, --hour {hour}", lambda: s.json(
            "trace", f"user{n}@elsewhere.example", "--hour", hour))
        show("trace by Message-ID, two days", lambda: s.json(
            "trace", f"m{n}@elsewhere.example"), 3)
        show("trace by address, two days", lambda: s.json(
            "trace", f"user{n}@elsewhere.example"), 3)
    finally:
        s.close()


if __name__ == "__main__":
    for name, bench in (("queue", bench_queue), ("acts", bench_acts),
                        ("trace", bench_trace)):
        if not WHAT or name in WHAT:
            bench()
