#!/usr/bin/python3
"""Server time of the administration's pages in a large directory.

usage: bench/admin.py [BUILD]     (default build/gcc)

1,000 domains and 100,000 users are put into directory.db directly, and 100,000
messages into the queue; then each page is asked for 20 times.  Wall time is
that of the whole FastCGI request; CPU time is what admin-cgi, accountd and
queue-runner together used, a page.  Then searches of users, each the first
after a change of one, and the memory of admin-cgi after 10,000 users were
imported from a table of 3 MB."""

import os
import sqlite3
import statistics
import sys
import time
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
os.environ.setdefault("MAILSTEAD_BUILD", str(
    Path(sys.argv[1] if len(sys.argv) > 1 else TOP / "build/gcc").resolve()))
sys.path.insert(0, str(TOP / "tests/e2e"))
sys.path.insert(0, str(TOP / "tests/e2e/lib"))
sys.path.insert(0, str(TOP / "bench"))
from fullqueue import MESSAGES, control, fill_queue, refused_mail  # noqa: E402
from lib.fastcgi import Browser  # noqa: E402
from lib.server import PASSWORD, Server, wait_until  # noqa: E402

DOMAINS, USERS, TIMES = 1000, 100000, 20
# Every GET of the router's table (admin-cgi/app.c) but the sign-in, downloads,
# jobs and what needs an object of a running server.
PAGES = ["/", "/domains", "/domains?q=*77*", "/domains/new",
         "/d/d0500.example", "/d/d0500.example/delete",
         "/d/d0500.example/look", "/d/d0500.example/users",
         "/d/d0500.example/users?q=*9500*", "/d/d0500.example/users/new",
         "/d/d0500.example/aliases", "/d/d0500.example/lists",
         "/d/d0500.example/admins", "/d/d0500.example/audit",
         "/d/d0500.example/dns", "/users",
         "/users?after=user050000%40d0000.example", "/users?disabled=1",
         "/users?q=user0999*", "/users?q=*nobody*", "/users?q=*e*9*99*9",
         "/users?q=*user*", "/users?q=user099999@d0999*", "/users/new?domain=d0500.example",
         "/users/import", "/u/user050000@d0000.example",
         "/u/user050000@d0000.example/delete", "/aliases", "/aliases?q=*zz*",
         "/a/alias005000@d0000.example", "/lists", "/admins", "/audit",
         "/search?q=nobody", "/search?q=user0999", "/search?q=example",
         "/trace", "/queue", "/queue?destination=d33.example",
         "/queue?sender=user7@s07.example", "/queue?sender=no@where.example",
         "/protection", "/checks", "/tools", "/log", "/certificates",
         "/credentials", "/backup", "/settings/smtp", "/me"]


def fill(state):
    db = sqlite3.connect(state / "directory/directory.db")
    now = int(time.time() * 1000)
    with db:
        db.executemany(
            "INSERT INTO domain (name, created_ms) VALUES (?, ?)",
            ((f"d{n:04}.example", now) for n in range(DOMAINS)))
        first = db.execute("SELECT id FROM domain WHERE name ="
                           " 'd0000.example'").fetchone()[0]
        db.executemany(
            "INSERT INTO account (domain_id, local, name, created_ms)"
            " VALUES (?, ?, ?, ?)",
            ((first + n % DOMAINS, f"user{n:06}", f"Person Number {n}", now)
             for n in range(USERS)))
        db.executemany(
            "INSERT INTO alias (id, domain_id, local) VALUES (?, ?, ?)",
            ((100000 + n, first + n % DOMAINS, f"alias{n:06}")
             for n in range(USERS // 10)))
        db.executemany(
            "INSERT INTO alias_target (alias_id, target) VALUES (?, ?)",
            ((100000 + n, f"user{n:06}@d{n % DOMAINS:04}.example")
             for n in range(USERS // 10)))
    db.close()


def cpu(state):
    """Seconds used by the two programs of this server so far."""
    ticks = 0
    for process in Path("/proc").iterdir():
        try:
            line = (process / "cmdline").read_bytes()
            if str(state).encode() not in line or not (
                    line.startswith((b"admin-cgi", b"accountd",
                                     b"queue-runner"))):
                continue
            stat = (process / "stat").read_text().rsplit(") ", 1)[1].split()
        except (OSError, IndexError):
            continue
        ticks += int(stat[11]) + int(stat[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def rss(state):
    out = []
    for process in Path("/proc").iterdir():
        try:
            if str(state).encode() not in (process / "cmdline").read_bytes():
                continue
            text = (process / "status").read_text()
        except OSError:
            continue
        if text.startswith("Name:\tadmin-cgi"):
            out.append(int(text.split("VmRSS:")[1].split()[0]) / 1024)
    return max(out)


def first_searches(server, browser):
    """What a search costs whose table of names is not that of now."""
    db = sqlite3.connect(server.state / "directory/directory.db")
    browser.get("/admin/users?q=*nobody*")
    before, walls = cpu(server.state), []
    for n in range(TIMES):
        with db:
            db.execute("UPDATE account SET name = ? WHERE local = ?",
                       (f"Other Name {n}", f"user{n * 4999:06}"))
        start = time.perf_counter()
        page = browser.get(f"/admin/users?q=*name%20{n}")
        walls.append((time.perf_counter() - start) * 1000)
        assert f"user{n * 4999:06}@" in page.text, n
    db.close()
    used = (cpu(server.state) - before) * 1000 / TIMES
    print(f"first search after a change: p50 {statistics.median(walls):.1f} ms"
          f", max {max(walls):.1f} ms, CPU {used:.1f} ms")


def import_users(browser):
    """A trial of 10,000 users, then the import, as a browser does both."""
    where = "/admin/users/import"
    table = "address,name,forward\n" + "".join(
        f"new{n:05}@d{n % DOMAINS:04}.example,Person {'x' * 180} {n},"
        f"{'f' * 58}{n:05}@elsewhere.example\n" for n in range(10000))
    form = browser.get(where)
    for act in ("try", "import"):
        form = browser.post(where, {"table": table, "do": act}, form)
        assert form.status == 200, form.text[-300:]
    print(f"{len(table) / 1e6:.1f} MB imported: "
          + form.text.split('id="sum">')[1].split("<")[0])


def main():
    settings, world = refused_mail()
    s = Server(settings=settings)
    try:
        s.start()
        fill_queue(s)
        started = time.monotonic()
        fill(s.state)
        print(f"{USERS} users, {DOMAINS} domains in "
              f"{time.monotonic() - started:.1f} s")
        s.start()
        wait_until(lambda: sum(g["count"] for g in control(
            s, verb="groups")["groups"]) >= MESSAGES, 300)
        b = Browser(s.state / "run/web/admin.sock")
        form = b.get("/admin/login")
        b.post("/admin/login", {"user": "admin@example.org", "pass": PASSWORD,
                                "back": "/"}, form)
        print(f"{'page':44} {'bytes':>7} {'p50 ms':>7} {'max ms':>7} "
              f"{'CPU ms':>7}")
        for path in PAGES:
            b.get("/admin" + path)
            before, walls = cpu(s.state), []
            for _ in range(TIMES):
                start = time.perf_counter()
                page = b.get("/admin" + path)
                walls.append((time.perf_counter() - start) * 1000)
                assert page.status == 200, (path, page.status)
            used = (cpu(s.state) - before) * 1000 / TIMES
            print(f"{path:44} {len(page.body):7} "
                  f"{statistics.median(walls):7.1f} {max(walls):7.1f} "
                  f"{used:7.1f}")
        first_searches(s, b)
        print(f"largest admin-cgi process {rss(s.state):.1f} MB")
        import_users(b)
        print(f"the same after the import {rss(s.state):.1f} MB")
        s.stop()
    finally:
        s.close()
        for w in world:
            w.__exit__()


if __name__ == "__main__":
    main()
