#!/usr/bin/python3
"""A reader of webmail: signs in, then asks for one kind of page n times.

usage: webload.py fill DIR COUNT          a mailbox of the benchmark's messages
       webload.py mailstead|roundcube URL USER PASSWORD KIND N

KIND: list (the newest 50), subject or text (one common word each time, another
one), rare (a word of few messages).  From Roundcube only the list itself is
asked for, as its script does, and neither the page around it nor a file.
Prints one JSON object; "rows" tells how many messages the answers showed.
"""
import http.client
import json
import re
import statistics
import sys
import time
from pathlib import Path
from urllib.parse import urlencode, urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from webmail import WORDS, fill  # noqa: E402


class Reader:
    """One connection, kept, with cookies."""

    def __init__(self, url):
        self.c = http.client.HTTPConnection(urlsplit(url).netloc, timeout=170)
        self.cookies = {}
        self.headers = {}

    def ask(self, path, form=None):
        headers = dict(self.headers, Cookie="; ".join(
            f"{k}={v}" for k, v in self.cookies.items()))
        body = None
        if form is not None:
            body = urlencode(form)
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        self.c.request("GET" if form is None else "POST", path, body, headers)
        answer = self.c.getresponse()
        text = answer.read().decode()
        for cookie in answer.headers.get_all("Set-Cookie") or ():
            name, _, value = cookie.partition("=")
            self.cookies[name] = value.split(";")[0]
        if answer.status not in (200, 302, 303):
            raise SystemExit(f"{path}: {answer.status}\n{text[:2000]}")
        return text


class Mailstead(Reader):
    ROW = 'class="go"'

    def sign_in(self, user, password):
        page = self.ask("/webmail/login")
        token = re.search(r'name="csrf" value="([^"]+)"', page).group(1)
        self.ask("/webmail/login", {"user": user, "pass": password,
                                    "csrf": token})

    def path(self, kind, word):
        if kind == "list":
            return "/webmail/m/inbox"
        prefix = "subject:" if kind == "subject" else ""
        return "/webmail/search?" + urlencode({"q": prefix + word})


class Roundcube(Reader):
    ROW = "add_message_row("

    def sign_in(self, user, password):
        page = self.ask("/?_task=login")
        token = re.search(r'name="_token" value="([^"]+)"', page).group(1)
        self.ask("/?_task=login", {
            "_task": "login", "_action": "login", "_timezone": "UTC",
            "_url": "", "_user": user, "_pass": password, "_token": token})
        page = self.ask("/?_task=mail&_mbox=INBOX")
        self.headers = {
            "X-Requested-With": "XMLHttpRequest",
            "X-Roundcube-Request":
            re.search(r'"request_token":"([^"]+)"', page).group(1)}

    def path(self, kind, word):
        query = {"_task": "mail", "_action": "list", "_mbox": "INBOX",
                 "_remote": "1", "_layout": "widescreen"}
        if kind != "list":
            query.update(_action="search", _q=word, _filter="ALL",
                         _scope="base",
                         _headers="subject" if kind == "subject" else "text")
        return "/?" + urlencode(query)


def word(kind, i):
    return f"unique{40 + i}77" if kind == "rare" else WORDS[i * 7 % len(WORDS)]


def main():
    if sys.argv[1] == "fill":
        fill(Path(sys.argv[2]), int(sys.argv[3]))
        return
    server, url, user, password, kind, n = sys.argv[1:]
    reader = {"mailstead": Mailstead, "roundcube": Roundcube}[server](url)
    reader.sign_in(user, password)
    times, rows = [], []
    started = time.perf_counter()
    for i in range(int(n)):
        before = time.perf_counter()
        page = reader.ask(reader.path(kind, word(kind, i)))
        times.append((time.perf_counter() - before) * 1000)
        rows.append(page.count(reader.ROW))
    print(json.dumps({
        "ok": len(times), "failed": rows.count(0), "rows": sum(rows),
        "s": round(time.perf_counter() - started, 3),
        "ms": round(statistics.median(times), 3)}))


if __name__ == "__main__":
    main()
