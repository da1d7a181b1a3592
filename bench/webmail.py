#!/usr/bin/python3
"""Webmail on a large mailbox, measured at the FastCGI socket.

    bench/webmail.py [--build build/gcc] [--messages 100000] [--parts list]

Prints one line a figure: what, measured, wanted.  Times are of one client on
a warm server, uncompressed; "cpu" is of webmail-cgi's processes alone, which
a busy machine does not disturb.
"""

import argparse
import gzip
import os
import random
import sqlite3
import statistics
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests/e2e"))
from lib.fastcgi import Browser  # noqa: E402
from lib.server import PASSWORD, Server, wait_until  # noqa: E402

WORDS = [w + e for w in (
    "amber birch cedar delta ember fjord grove haven inlet jetty knoll "
    "lunar maple north ocean pearl quartz river solar tulip umbra vivid "
    "willow xenon yacht zephyr").split() for e in ("", "s", "ed", "ing", "ly")]
TICK = os.sysconf("SC_CLK_TCK")


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
        total = 0
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                name, _, rest = stat.read_text().partition(") ")
                exe = os.readlink(stat.parent / "exe")
                if exe.endswith("/webmail-cgi") and str(
                        self.s.state) in (stat.parent / "cmdline").read_text():
                    fields = rest.split()
                    total += int(fields[11]) + int(fields[12])
            except OSError:
                pass
        return total / TICK

    def timed(self, what, wanted, url, count=40, before=None, check=None):
        times, cpu = [], self.cpu()
        for i in range(count):
            if before:
                before(i)
            start = time.perf_counter()
            page = self.b.get(url(i) if callable(url) else url)
            times.append((time.perf_counter() - start) * 1000)
            assert page.status == 200, page.body
            assert check is None or check in page.text, page.text
        cpu = (self.cpu() - cpu) * 1000 / count
        print(f"{what:38} median {statistics.median(times):7.2f} ms"
              f"  p95 {sorted(times)[int(count * .95)]:7.2f} ms"
              f"  cpu {cpu:6.2f} ms   wanted {wanted}", flush=True)
        return page


def first_build(bench, count):
    start = time.perf_counter()
    page = bench.b.get("/webmail/m/inbox")
    first = time.perf_counter() - start
    assert 'class="go"' in page.text
    print(f"{'first page of a new mailbox':38} {first * 1000:14.0f} ms")
    index = bench.s.state / "cache/index/example.org/ann.db"

    def missing():
        with closing(sqlite3.connect(index)) as db:
            return db.execute("SELECT sum(missing) FROM folders").fetchone()[0]

    wait_until(lambda: missing() == 0, 600, "the index")
    took = time.perf_counter() - start
    print(f"{'first build':38} {count / took:14.0f} messages/s"
          "   wanted 3000", flush=True)


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
    print(f"{'list pages, 4 clients':38} {sum(done) / seconds:14.0f} a second,"
          f" cpu {cpu * 1000:.2f} ms each   wanted 500", flush=True)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--build", default="build/gcc")
    p.add_argument("--messages", type=int, default=100000)
    args = p.parse_args()
    os.environ["MAILSTEAD_BUILD"] = args.build
    s = Server()
    s.start()
    s.user("ann@example.org")
    box = s.state / "mail/example.org/ann"
    fill(box, args.messages)
    time.sleep(2.5)  # the directory is to have settled
    bench = Bench(s, args.build)
    bench.sign_in()
    first_build(bench, args.messages)
    time.sleep(2.5)
    bench.b.get("/webmail/m/inbox")

    page = bench.timed("list page, nothing changed", "< 5 ms",
                       "/webmail/m/inbox")
    rng = random.Random(2)

    def one_more(i):
        raw = message(args.messages + i, rng)
        (box / "tmp" / "x").write_bytes(raw)
        (box / "tmp" / "x").rename(
            box / "new" / f"{int(time.time())}.n{i}.bench,S={len(raw)}")

    bench.timed("list page after one new message", "< 20 ms",
                "/webmail/m/inbox", before=one_more)
    link = page.text.split('rel="next"')[0].rsplit('href="', 1)[1]
    link = link.split('"')[0].replace("&amp;", "&")
    bench.timed("second page", "< 5 ms", link)
    bench.timed("unread only", "< 5 ms", "/webmail/m/inbox?filter=unread")
    some = [rng.choice(WORDS) for _ in range(40)]
    bench.timed("search: one common word", "< 30 ms",
                lambda i: f"/webmail/search?q={some[i]}")
    bench.timed("search: three words", "< 30 ms",
                lambda i: "/webmail/search?q=%s+%s+%s" % (
                    some[i], some[i - 1], some[i - 2]))
    bench.timed("search: a rare word", "< 30 ms",
                lambda i: f"/webmail/search?q=unique{rng.randrange(1000)}")
    bench.timed("search: from and subject", "< 30 ms",
                lambda i: f"/webmail/search?q=from:s{i}+subject:{some[i]}")
    bench.timed("search: is:unread larger:1M", "< 30 ms",
                "/webmail/search?q=is%3Aunread+larger%3A1M")
    bench.timed("search: a phrase not there", "< 30 ms",
                lambda i: '/webmail/search?q="%s+nowhere"' % some[i])
    bench.timed("poll", "< 2 ms", "/webmail/poll?since=0")
    throughput(bench)
    raw = page.body
    print(f"{'list page of 50 rows':38} {len(raw):14} bytes, gzip"
          f" {len(gzip.compress(raw))}   wanted < 100000, 15000")
    static = Path(__file__).resolve().parent.parent / \
        "common/web/pages/static"
    size = sum((static / n).stat().st_size for n in ("app.css", "app.js"))
    print(f"{'style and script':38} {size:14} bytes   wanted < 45000")
    index = s.state / "cache/index/example.org/ann.db"
    print(f"{'index':38} {index.stat().st_size / args.messages:14.0f}"
          " bytes a message")
    s.stop()
    s.close()


if __name__ == "__main__":
    main()
