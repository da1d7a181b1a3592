#!/usr/bin/python3
"""Power cuts: the server's disk as it was at any instant, put back and used.

A whole server lives on an ext4 that lies on `disk.c`, where every write, every
flush and every 250 is kept in order.  Then, for a sample of cut points (each
flush and each 250 is one), the disk is rebuilt as a power cut could have left
it, mounted, and a server started on it:

    all     every write up to the cut arrived
    none    nothing after the last flush arrived
    some    a random half of what came after the last flush arrived

Every message whose 250 came before the cut must then be in its mailbox, none
may be seen in part when the queue is empty, and the directory must be whole.
Counted are also the names without their bytes that the start finds and repairs
("repaired"), and the messages that are there twice.

POWERCUT_POINTS (default 400) cut points, POWERCUT_SECONDS (default 8) of
traffic, POWERCUT_SEED.  Needs root, FUSE and loop devices.
"""

import ctypes
import hashlib
import os
import random
import re
import shutil
import sqlite3
import struct
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))
from lib.server import BUILD, Server, wait_until  # noqa: E402

import smtplib  # noqa: E402

USERS = [f"u{i}@example.org" for i in range(4)]
SIZE = 192 << 20
MODES = ("all", "none", "some")
CLONE_NEWNS = 0x20000
RECORD = struct.Struct("=IIQ")
LARGE = 200_000  # above what goes into the journal


def run(*words):
    return subprocess.run([str(w) for w in words], check=True,
                          capture_output=True, text=True).stdout.strip()


def umount(where):
    """Patiently: a process or a loop device may be on its way out."""
    wait_until(lambda: subprocess.run(
        ["umount", where], capture_output=True).returncode == 0,
        20, f"umount {where}")


def own_mounts():
    """A mount namespace for this process: a copy of our mounts in somebody
    else's would keep a file system alive behind umount, writing."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    run("mount", "--make-rprivate", "/")


def why_not():
    """Why this machine cannot do it, or None."""
    if os.geteuid() != 0:
        return "needs root"
    for path in ("/dev/fuse", "/dev/loop-control"):
        if not os.path.exists(path):
            return f"needs {path}"
    for tool in ("mkfs.ext4", "losetup"):
        if not shutil.which(tool, path="/usr/sbin:/sbin:/usr/bin"):
            return f"needs {tool}"
    return None


def body_of(tag, size):
    """The text of a message: follows from its tag and size."""
    line = hashlib.sha256(tag.encode()).hexdigest() + "\n"
    return (line * (size // len(line) + 1)) + "the end\n"


class Mounted:
    """A file with an ext4, mounted by way of a loop device."""

    def __init__(self, path, where, direct=False):
        self.where = where
        flag = ["--direct-io=on"] if direct else []
        self.loop = run("losetup", "--find", "--show", *flag, path)
        try:
            if direct and run("losetup", "-n", "-O", "DIO", self.loop) != "1":
                raise RuntimeError("the loop device refuses direct I/O")
            # a commit each second: more states of the journal to be cut at
            run("mount", "-t", "ext4", "-o", "commit=1", self.loop, where)
        except BaseException:
            run("losetup", "-d", self.loop)
            raise

    def close(self):
        umount(self.where)
        run("losetup", "-d", self.loop)


class Recording:
    """Runs a server on the disk that remembers; the image it began with and
    the log of what was written are left."""

    def __init__(self, top, seconds):
        self.image, self.log = top / "image", top / "log"
        self.view, self.mount = top / "view", top / "mount"
        self.view.mkdir()
        self.mount.mkdir()
        with open(self.image, "wb") as f:
            f.truncate(SIZE)
        run("mkfs.ext4", "-q", "-F", "-E",
            "lazy_itable_init=0,lazy_journal_init=0", self.image)
        disk = subprocess.Popen([BUILD / "tests/powercut_disk", self.image,
                                 self.log, self.view])
        try:
            wait_until(lambda: (self.view / "mark").exists(), 10, "the disk")
            mounted = Mounted(self.view / "disk", self.mount, direct=True)
            try:
                self.traffic(seconds)
            finally:
                mounted.close()
        finally:
            umount(self.view)
            disk.wait()

    def traffic(self, seconds):
        s = Server(directory=self.mount)
        s.output = self.log.with_name("run.log")
        for u in USERS:
            s.user(u)
        s.start()
        self.offset = s.offset
        self.stop = False
        run("sync", "-f", self.mount)
        self.mark = os.open(self.view / "mark", os.O_WRONLY)
        os.write(self.mark, b"begin")
        threads = [threading.Thread(target=self.send, args=(s, i))
                   for i in range(4)]
        for t in threads:
            t.start()
        time.sleep(seconds)
        self.stop = True
        for t in threads:
            t.join()
        time.sleep(1.5)  # the last shared flush
        os.write(self.mark, b"end")
        os.close(self.mark)
        s.kill()

    def send(self, server, number):
        dice = random.Random(number)
        count = 0
        with smtplib.SMTP(server.host, server.port["smtp"], timeout=30) as c:
            while not self.stop:
                size = LARGE if dice.random() < 0.04 else dice.randrange(9000)
                tag = f"tag-{number}-{count}-{size}"
                count += 1
                try:
                    c.sendmail("s@elsewhere.example", [dice.choice(USERS)],
                               f"Subject: {tag}\n\n{body_of(tag, size)}")
                except smtplib.SMTPResponseException as e:
                    if e.smtp_code >= 500:
                        raise
                    continue  # refused for now: the disk is full or slow
                os.write(self.mark, tag.encode())
                # slow enough that the disk has room for all
                time.sleep(0.01)


class Log:
    """The records of a log: (type, offset, where the data is, length)."""

    def __init__(self, path):
        self.data = path.read_bytes()
        self.records = []
        at = 0
        while at < len(self.data):
            kind, size, offset = RECORD.unpack_from(self.data, at)
            at += RECORD.size
            self.records.append((chr(kind), offset, at, size))
            at += size

    def bytes_of(self, record):
        return self.data[record[2]:record[2] + record[3]]

    def cuts(self):
        """Indexes at which the power may go: while there is traffic."""
        found, on = [], False
        for i, r in enumerate(self.records):
            if r[0] == "M" and self.bytes_of(r) in (b"begin", b"end"):
                on = self.bytes_of(r) == b"begin"
            elif on and r[0] in "FM":
                found.append(i)
        return found


class Replay:
    """Cuts in ascending order; `image` is what is on the disk for sure."""

    def __init__(self, top, recording, seed):
        self.log = Log(recording.log)
        self.top, self.mount = top, recording.mount
        self.server = Server(init=False, directory=self.mount)
        self.server.output = top / "run.log"
        self.dice = random.Random(seed)
        self.image, self.cut = recording.image, top / "cut"
        self.done = 0     # records that are in `image`, or speak of no write
        self.acked = []
        self.total = dict.fromkeys(
            ("points", "lost", "partial", "repaired", "repeated", "damaged"),
            0)

    def advance(self, index):
        """Put into `image` what the last flush before `index` covers;
        returns the writes after it."""
        records = self.log.records
        last = max((i for i in range(self.done, index + 1)
                    if records[i][0] == "F"), default=self.done - 1)
        with open(self.image, "r+b") as f:
            self.apply(f, records[self.done:last + 1])
        self.acked += [self.log.bytes_of(r).decode()
                       for r in records[self.done:last + 1] if r[0] == "M"]
        self.done = last + 1
        return records[self.done:index + 1]

    def apply(self, f, records):
        for r in records:
            if r[0] == "W":
                f.seek(r[1])
                f.write(self.log.bytes_of(r))

    def at(self, index, mode):
        """One power cut; everything found is added to `total`."""
        later = self.advance(index)
        # a new file: an earlier mount may still be on its way out
        self.cut.unlink(missing_ok=True)
        run("cp", "--sparse=always", self.image, self.cut)
        promised = self.acked + [self.log.bytes_of(r).decode()
                                 for r in later if r[0] == "M"]
        promised = [t for t in promised if t.startswith("tag-")]
        with open(self.cut, "r+b") as f:
            self.apply(f, [r for r in later if mode == "all" or
                           (mode == "some" and self.dice.random() < 0.5)])
        mounted = Mounted(self.cut, self.mount)
        try:
            self.look(f"{index} ({mode})", promised)
        finally:
            mounted.close()

    def look(self, name, promised):
        s, total = self.server, self.total
        uuid = re.search(r"[0-9a-f]{8}-[0-9a-f-]{27}|[0-9a-f]{32}",
                         (s.state / "spool/spool.id").read_text()).group()
        live = Path("/dev/shm") / f"mailstead-{uuid}"
        live.unlink(missing_ok=True)  # memory dies with the power
        total["repaired"] += len(self.mail()[1])
        s.start()
        try:
            s.cli("wait", "--for", "empty", "--timeout", "60")
            tags, partial = self.mail()
        finally:
            s.stop()
            live.unlink(missing_ok=True)
        db = sqlite3.connect(s.state / "directory/directory.db")
        damaged = db.execute("PRAGMA integrity_check").fetchone() != ("ok",)
        db.close()
        lost = set(promised) - set(tags)
        total["points"] += 1
        total["lost"] += len(lost)
        total["partial"] += len(partial)
        total["repeated"] += len(tags) - len(set(tags))
        total["damaged"] += damaged
        if lost or partial or damaged:
            print(f"cut {name}: of {len(promised)} lost {sorted(lost)[:3]} "
                  f"partial {partial[:3]} directory damaged: {damaged}",
                  flush=True)

    def mail(self):
        """The tags of whole messages and the paths of the others."""
        tags, partial = [], []
        for u in USERS:
            for sub in ("new", "cur"):
                folder = self.server.mailbox(u) / sub
                for path in sorted(folder.iterdir()) if folder.is_dir() else ():
                    head, _, body = path.read_bytes().partition(b"\n\n")
                    m = re.search(rb"^Subject: (tag-\d+-\d+-(\d+))$", head,
                                  re.M)
                    if m and body.decode("latin-1") == body_of(
                            m[1].decode(), int(m[2])):
                        tags.append(m[1].decode())
                    else:
                        partial.append(str(path.relative_to(self.mount)))
        return tags, partial


def prove(points, seconds, seed=None):
    """Record, cut at `points` places (0: all), return the counts."""
    seed = seed if seed is not None else random.randrange(1 << 32)
    own_mounts()
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    top = Path(tempfile.mkdtemp(prefix="powercut-", dir=memory))
    try:
        recording = Recording(top, seconds)
        replay = Replay(top, recording, seed)
        cuts = replay.log.cuts()
        if points and points < len(cuts):
            cuts = sorted(replay.dice.sample(cuts, points))
        acknowledged = sum(
            replay.log.bytes_of(r).startswith(b"tag-")
            for r in replay.log.records if r[0] == "M")
        for n, index in enumerate(cuts):
            replay.at(index, MODES[n % len(MODES)])
        return {"seed": seed, "acknowledged": acknowledged, **replay.total}
    finally:
        shutil.rmtree(top, ignore_errors=True)


def main():
    reason = why_not()
    if reason:
        print(f"skipped: {reason}")
        return 0
    seed = os.environ.get("POWERCUT_SEED")
    result = prove(int(os.environ.get("POWERCUT_POINTS", "400")),
                   float(os.environ.get("POWERCUT_SECONDS", "8")),
                   None if seed is None else int(seed))
    print("power cuts:", ", ".join(f"{k} {v}" for k, v in result.items()))
    return 1 if (result["lost"] or result["partial"] or result["damaged"] or
                 not result["points"]) else 0


if __name__ == "__main__":
    sys.exit(main())
