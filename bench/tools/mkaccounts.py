#!/usr/bin/python3
"""Many accounts that can sign in, each with the same small mailbox.

usage: mkaccounts.py STATE DOMAIN COUNT MESSAGES BYTES

Accounts p00000..; prints an app password that signs all of them in.  Made as
copies of one row, and with an app password because that costs no yescrypt:
10,000 first sign-ins would take a quarter of an hour.  The server runs when
this begins and has to be started again behind it.
"""
import json
import os
import socket
import sqlite3
import subprocess
import sys


def ask(state, **request):
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
        s.connect(f"{state}/run/accountd/mailstead.sock")
        s.send(json.dumps(request).encode())
        reply = json.loads(s.recv(65536))
    if not reply.get("ok"):
        raise SystemExit(f"{request['verb']}: {reply}")
    return reply


def copy_rows(state, domain, count):
    d = sqlite3.connect(f"{state}/directory/directory.db", timeout=30)
    s = sqlite3.connect(f"{state}/directory/secrets.db", timeout=30)
    row = "SELECT a.* FROM account a JOIN domain d ON d.id = a.domain_id" \
          " WHERE a.local = 'p00000' AND d.name = ?"
    d.row_factory = sqlite3.Row
    first = dict(d.execute(row, (domain,)).fetchone())
    mac, name, made = s.execute(
        "SELECT mac, name, created_ms FROM app_password WHERE account_id = ?",
        (first["id"],)).fetchone()
    one = first.pop("id")
    rest = ",".join(c[1] for c in s.execute("PRAGMA table_info(password)")
                    if c[1] != "account_id")
    for i in range(1, count):
        first["local"] = f"p{i:05d}"
        at = d.execute(
            f"INSERT INTO account ({','.join(first)}) VALUES"
            f" ({','.join('?' * len(first))})", tuple(first.values())).lastrowid
        s.execute(f"INSERT INTO password (account_id, {rest}) SELECT ?, {rest}"
                  " FROM password WHERE account_id = ?", (at, one))
        s.execute("INSERT INTO app_password (account_id, name, mac,"
                  " created_ms) VALUES (?, ?, ?, ?)", (at, name, mac, made))
    d.commit()
    s.commit()


def main():
    state, domain, count, messages, size = sys.argv[1:]
    mail = f"{state}/mail/{domain}"
    here = os.path.dirname(os.path.abspath(__file__))
    token = ask(state, verb="app add", address=f"p00000@{domain}",
                name="bench")["password"]
    copy_rows(state, domain, int(count))
    subprocess.run([f"{here}/mkmaildir.py", f"{mail}/p00000", messages, size],
                   check=True)
    names = os.listdir(f"{mail}/p00000/cur")
    for i in range(1, int(count)):
        box = f"{mail}/p{i:05d}"
        for part in ("tmp", "new", "cur"):
            os.makedirs(f"{box}/{part}")
        for name in names:
            os.link(f"{mail}/p00000/cur/{name}", f"{box}/cur/{name}")
    print(token)


if __name__ == "__main__":
    main()
