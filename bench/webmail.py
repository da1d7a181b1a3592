#!/usr/bin/python3
"""Webmail on a large mailbox, measured at the FastCGI socket.

    bench/webmail.py [--build build/gcc] [--messages 100000]

Prints one line a figure: what, measured, wanted, whether that is reached.
Times are medians of one client on a warm server, uncompressed; "cpu" is of
webmail-cgi's processes alone, which a busy machine does not disturb.
"""

import argparse
import gzip
import html
import os
import random
import re
import sqlite3
import statistics
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests/e2e"))
from lib.fastcgi import Browser, Letter  # noqa: E402
from lib.server import PASSWORD, Server, wait_until  # noqa: E402

WORDS = [w + e for w in (
    "amber birch cedar delta ember fjord grove haven inlet jetty knoll "
    "lunar maple north ocean pearl quartz river solar tulip umbra vivid "
    "willow xenon yacht zephyr").split() for e in ("", "s", "ed", "ing", "ly")]
TICK = os.sysconf("SC_CLK_TCK")
REST_S = 40  # until indexes nobody uses are closed


def say(what, value, unit, limit=None, least=False, more=""):
    """A line of the table; `limit` is the most, or with `least` the least."""
    verdict = ""
    if limit is not None:
        good = value >= limit if least else value < limit
        verdict = (f"{'>' if least else '<'} {limit:<7}"
                   f"{'reached' if good else 'MISSED'}")
    number = f"{value:.2f}" if value < 100 else f"{value:.0f}"
    print(f"{what:34}{number:>9} {unit:11}{verdict:18}{more}".rstrip(),
          flush=True)


def message(i, rng):
    sender = rng.randrange(400)
    text = "\n".join(" ".join(rng.choices(WORDS, k=12)) for _ in range(14))
    reply = f"References: <m{i - 7}@x>\n" if i % 3 == 0 else ""
    return (f"From: Sender {sender} <s{sender}@elsewhere.example>\n"
            f"To: ann@example.org\nSubject: {' '.join(rng.choices(WORDS, k=5))}"
            f" {i}\nMessage-ID: <m{i}@x>\n{reply}"
            "Date: Thu, 12 Nov 2026 10:42:00 +0000\n"
            "MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\n"
            f"Hello,\n\n{text}\nunique{i}\n").encode()


def fill(box, count):
    rng = random.Random(1)
    (box / "cur").mkdir(parents=True, exist_ok=True)
    (box / "new").mkdir(exist_ok=True)
    (box / "tmp").mkdir(exist_ok=True)
    start = int(time.time()) - count * 60
    for i in range(count):
        raw = message(i, rng)
        name = f"{start + i * 60}.{i}.bench,S={len(raw)}"
        (box / "cur" / f"{name}:2,{'S' if i % 5 else ''}").write_bytes(raw)


class Bench:
    def __init__(self, server, build):
        self.s = server
        self.b = Browser(server.state / "run/web/webmail.sock")

    def sign_in(self):
        form = self.b.get("/webmail/login")
        page = self.b.post("/webmail/login", {
            "user": "ann", "pass": PASSWORD}, form)
        assert page.status == 303, page.body

    def cpu(self):
        """Seconds of webmail-cgi so far."""
        ticks = 0
        for path in self.processes("webmail-cgi"):
            fields = (path / "stat").read_text().rpartition(") ")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / TICK

    def processes(self, program):
        """Directories below /proc of the server's processes."""
        for path in Path("/proc").glob("[0-9]*"):
            try:
                exe = os.readlink(path / "exe")
                if exe.endswith("/" + program) and str(self.s.state) in (
                        path / "cmdline").read_text():
                    yield path
            except OSError:
                pass

    def memory(self, program):
        """(PSS, private) of the largest process in kilobytes, how many."""
        found = []
        for path in self.processes(program):
            lines = (path / "smaps_rollup").read_text().splitlines()
            sizes = {n.split(":")[0]: int(n.split()[1]) for n in lines[1:]}
            found.append((sizes["Pss"], sizes["Private_Clean"] +
                          sizes["Private_Dirty"]))
        return *max(found), len(found)

    def timed(self, what, limit, url, count=40, before=None):
        times, cpu = [], self.cpu()
        for i in range(count):
            if before:
                before(i)
            start = time.perf_counter()
            page = self.b.get(url(i) if callable(url) else url)
            times.append((time.perf_counter() - start) * 1000)
            assert page.status == 200, page.body
        cpu = (self.cpu() - cpu) * 1000 / count
        say(what, statistics.median(times), "ms", limit,
            more=f"p95 {sorted(times)[int(count * .95)]:.2f}, cpu {cpu:.2f}")
        return page


def first_build(bench, count):
    cpu, start = bench.cpu(), time.perf_counter()
    page = bench.b.get("/webmail/m/inbox")
    first = time.perf_counter() - start
    assert 'class="go"' in page.text
    say("first page of a new mailbox", first * 1000, "ms")
    index = bench.s.state / "cache/index/example.org/ann.db"

    def missing():
        with closing(sqlite3.connect(index)) as db:
            return db.execute("SELECT sum(missing) FROM folders").fetchone()[0]

    wait_until(lambda: missing() == 0, 600, "the index")
    took = time.perf_counter() - start
    say("first build", count / took, "messages/s", 3000, least=True,
        more=f"cpu {(bench.cpu() - cpu) * 1000 / count:.2f} ms each")


def conversations(bench, page):
    links = [html.unescape(h) for h in
             re.findall(r'class="go" href="([^"]+)"', page.text)][:40]
    # the first time marks them as read, and then cur/ is read once
    bench.timed("conversation not read yet", None, lambda i: links[i],
                count=len(links))
    time.sleep(0.3)
    bench.b.get("/webmail/m/inbox")
    bench.timed("conversation", 10, lambda i: links[i % len(links)])


def flush_ms(directory):
    """What one small flush takes where the server writes."""
    times = []
    with open(directory / "flush", "wb") as f:
        for _ in range(20):
            f.write(bytes(4096))
            f.flush()
            start = time.perf_counter()
            os.fdatasync(f.fileno())
            times.append((time.perf_counter() - start) * 1000)
    (directory / "flush").unlink()
    return statistics.median(times)


def sending(bench):
    bench.b.send_at_once()
    times, cpu = [], bench.cpu()
    for i in range(20):
        letter = Letter(bench.b)
        start = time.perf_counter()
        sent = letter.post("send", to="bob@example.org", subject=f"Number {i}",
                           text="Hello Bob,\n" * 20)
        times.append((time.perf_counter() - start) * 1000)
        assert sent.status == 303, sent.text
    flush = flush_ms(bench.s.state / "spool")
    say("sending accepted, but the flush",
        max(0, statistics.median(times) - flush), "ms", 15,
        more=f"the flush {flush:.2f}, cpu with the form "
        f"{(bench.cpu() - cpu) * 50:.2f}")


def at_rest(bench):
    time.sleep(REST_S)
    for program in ("webmail-cgi", "admin-cgi", "mailstead-parse"):
        pss, private, count = bench.memory(program)
        say(f"{program} at rest", pss / 1024, "MB PSS", 12,
            more=f"private {private / 1024:.1f}, largest of {count}")


def throughput(bench):
    seconds, done = 3, [0, 0, 0, 0]
    until = time.perf_counter() + seconds

    def work(n):
        b = Browser(bench.b.path)
        b.cookies = dict(bench.b.cookies)
        while time.perf_counter() < until:
            assert b.get("/webmail/m/inbox").status == 200
            done[n] += 1

    cpu = bench.cpu()
    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    cpu = (bench.cpu() - cpu) / sum(done)
    say("list pages, 4 clients", sum(done) / seconds, "a second", 500,
        least=True, more=f"cpu {cpu * 1000:.2f} ms each")


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--build", default="build/gcc")
    p.add_argument("--messages", type=int, default=100000)
    args = p.parse_args()
    os.environ["MAILSTEAD_BUILD"] = args.build
    s = Server()
    s.start()
    s.user("ann@example.org")
    s.user("bob@example.org")
    box = s.state / "mail/example.org/ann"
    fill(box, args.messages)
    bench = Bench(s, args.build)
    bench.sign_in()
    first_build(bench, args.messages)
    time.sleep(0.3)  # the directory is to have settled
    bench.b.get("/webmail/m/inbox")

    page = bench.timed("list page, nothing changed", 5,
                       "/webmail/m/inbox")
    rng = random.Random(2)

    def one_more(i):
        raw = message(args.messages + i, rng)
        (box / "tmp" / "x").write_bytes(raw)
        (box / "tmp" / "x").rename(
            box / "new" / f"{int(time.time())}.n{i}.bench,S={len(raw)}")

    bench.timed("list page after one new message", 20,
                "/webmail/m/inbox", before=one_more)
    link = page.text.split('rel="next"')[0].rsplit('href="', 1)[1]
    link = link.split('"')[0].replace("&amp;", "&")
    bench.timed("second page", 5, link)
    bench.timed("unread only", 5, "/webmail/m/inbox?filter=unread")
    some = [rng.choice(WORDS) for _ in range(40)]
    bench.timed("search: one common word", 30,
                lambda i: f"/webmail/search?q={some[i]}")
    bench.timed("search: three words", 30,
                lambda i: "/webmail/search?q=%s+%s+%s" % (
                    some[i], some[i - 1], some[i - 2]))
    bench.timed("search: a rare word", 30,
                lambda i: f"/webmail/search?q=unique{rng.randrange(1000)}")
    bench.timed("search: from and subject", 30,
                lambda i: f"/webmail/search?q=from:s{i}+subject:{some[i]}")
    bench.timed("search: is:unread larger:1M", 30,
                "/webmail/search?q=is%3Aunread+larger%3A1M")
    bench.timed("search: a phrase not there", 30,
                lambda i: '/webmail/search?q="%s+nowhere"' % some[i])
    bench.timed("poll", 2, "/webmail/poll?since=0")
    throughput(bench)
    raw = page.body
    conversations(bench, page)
    sending(bench)
    say("list page of 50 rows", len(raw), "bytes", 100000)
    say("the same, gzip", len(gzip.compress(raw)), "bytes", 15000)
    static = Path(__file__).resolve().parent.parent / \
        "common/web/pages/static"
    size = sum((static / n).stat().st_size for n in ("app.css", "app.js"))
    say("style and script", size, "bytes", 45000)
    index = s.state / "cache/index/example.org/ann.db"
    say("index, a message", index.stat().st_size / args.messages, "bytes")
    at_rest(bench)
    s.stop()
    s.close()


if __name__ == "__main__":
    main()
