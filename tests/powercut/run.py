#!/usr/bin/python3
"""Power cuts: the server's disks as they were at any instant, put back and used.

A whole server lives on file systems that lie on `disk.c`, where every write,
every flush and every 250 is kept in order.  Then, for a sample of cut points
(each flush and each 250 is one), the disks are rebuilt as a power cut could
have left them, mounted, looked at, and a server started on them:

    all     every write up to the cut arrived
    none    nothing after a disk's last flush arrived
    some    a random half of what came after a disk's last flush arrived

No message may be seen in part, neither right after mounting nor when the queue
is empty; then every message whose 250 came before the cut must be in its
mailboxes, the directory must be whole, and so must the file systems (e2fsck or
xfs_repair, which also say that this proof itself has not gone wrong).  Counted
are the messages that are there twice.

POWERCUT_POINTS (default 2000) cut points over POWERCUT_LAYOUTS (default ext4,
writeback, xfs, ext4+ext4, xfs+xfs; behind a plus: the disk of the mailboxes;
writeback is ext4 with data=writeback), POWERCUT_SECONDS (default 8) of traffic
for each layout, POWERCUT_SEED.
Needs root, FUSE and loop devices.
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
# kind: type, size and options of its mount; a commit each second makes more
# states of the journal to be cut at
KINDS = {"ext4": ("ext4", 192 << 20, "commit=1"),
         "writeback": ("ext4", 192 << 20, "commit=1,data=writeback"),
         "xfs": ("xfs", 300 << 20, "nouuid")}
LAYOUTS = ("ext4", "writeback", "xfs", "ext4+ext4", "xfs+xfs")
MODES = ("all", "none", "some")
CLONE_NEWNS = 0x20000
RECORD = struct.Struct("=IIIIQ")
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
    for tool in ("mkfs.ext4", "mkfs.xfs", "losetup"):
        if not shutil.which(tool, path="/usr/sbin:/sbin:/usr/bin"):
            return f"needs {tool}"
    return None


def body_of(tag, size):
    """The text of a message: follows from its tag and size."""
    line = hashlib.sha256(tag.encode()).hexdigest() + "\n"
    return (line * (size // len(line) + 1)) + "the end\n"


class Mounted:
    """A file with a file system, mounted by way of a loop device."""

    def __init__(self, kind, path, where, direct=False):
        self.where = where
        flag = ["--direct-io=on"] if direct else []
        fs, _, options = KINDS[kind]
        self.loop = run("losetup", "--find", "--show", *flag, path)
        try:
            if direct and run("losetup", "-n", "-O", "DIO", self.loop) != "1":
                raise RuntimeError("the loop device refuses direct I/O")
            run("mount", "-t", fs, "-o", options, self.loop, where)
        except BaseException:
            run("losetup", "-d", self.loop)
            raise

    def close(self):
        umount(self.where)
        run("losetup", "-d", self.loop)


class Disks:
    """The server's file systems: the first one holds all, the mailboxes lie
    on the second one, if there is one."""

    def __init__(self, kinds, mount):
        self.kinds, self.mount = kinds, mount
        self.mounted = []

    def make(self, images):
        for kind, image in zip(self.kinds, images):
            with open(image, "wb") as f:
                f.truncate(KINDS[kind][1])
            if KINDS[kind][0] == "ext4":
                run("mkfs.ext4", "-q", "-F", "-E",
                    "lazy_itable_init=0,lazy_journal_init=0", image)
            else:
                run("mkfs.xfs", "-q", image)

    def add(self, image, direct=False):
        where = self.mount / "state/mail" if self.mounted else self.mount
        kind = self.kinds[len(self.mounted)]
        self.mounted.append(Mounted(kind, image, where, direct))

    def close(self):
        while self.mounted:
            self.mounted.pop().close()

    def damage(self, images):
        """What is wrong with them, not mounted, or ""."""
        for kind, image in zip(self.kinds, images):
            words = ["e2fsck", "-fn"] \
                if KINDS[kind][0] == "ext4" else ["xfs_repair", "-n"]
            p = subprocess.run([*words, image], capture_output=True, text=True)
            if p.returncode != 0:
                return p.stdout + p.stderr
        return ""


class Recording:
    """Runs a server on disks that remember; the images it began with and the
    log of what was written are left."""

    def __init__(self, top, kinds, seconds):
        self.log, self.view, self.mount = top / "log", top / "view", top / "mount"
        self.disks = Disks(kinds, self.mount)
        self.images = [top / f"image{i}" for i in range(len(kinds))]
        self.view.mkdir()
        self.mount.mkdir()
        self.disks.make(self.images)
        process = subprocess.Popen([BUILD / "tests/powercut_disk", self.log,
                                    self.view, *self.images])
        try:
            wait_until(lambda: (self.view / "mark").exists(), 10, "the disks")
            try:
                self.traffic(seconds)
            finally:
                self.disks.close()
        finally:
            umount(self.view)
            process.wait()

    def traffic(self, seconds):
        self.disks.add(self.view / "disk0", direct=True)
        s = Server(directory=self.mount)
        if len(self.images) > 1:
            self.disks.add(self.view / "disk1", direct=True)
        s.output = self.log.with_name("run.log")
        for u in USERS:
            s.user(u)
        s.start()
        self.stop = False
        for where in (self.mount, s.state / "mail"):
            run("sync", "-f", where)
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
                to = dice.sample(USERS, 2 if dice.random() < 0.1 else 1)
                count += 1
                try:
                    c.sendmail("s@elsewhere.example", to,
                               f"Subject: {tag}\n\n{body_of(tag, size)}")
                except smtplib.SMTPResponseException as e:
                    if e.smtp_code >= 500:
                        raise
                    continue  # refused for now: the disk is full or slow
                os.write(self.mark, " ".join([tag, *to]).encode())
                # slow enough that the disk has room for all
                time.sleep(0.01)


class Log:
    """The records of a log: (type, disk, offset, where the data is, length)."""

    def __init__(self, path):
        self.data = path.read_bytes()
        self.records = []
        at = 0
        while at < len(self.data):
            kind, disk, _, size, offset = RECORD.unpack_from(self.data, at)
            at += RECORD.size
            self.records.append((chr(kind), disk, offset, at, size))
            at += size

    def bytes_of(self, record):
        return self.data[record[3]:record[3] + record[4]]

    def marks(self, start, end):
        return [self.bytes_of(r).decode() for r in self.records[start:end]
                if r[0] == "M"]

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
    """Cuts in ascending order; `images` are what is on the disks for sure."""

    def __init__(self, top, recording, seed):
        self.log = Log(recording.log)
        self.disks = Disks(recording.disks.kinds, recording.mount)
        self.server = Server(init=False, directory=recording.mount)
        self.server.output = top / "run.log"
        self.dice = random.Random(seed)
        self.images = recording.images
        self.cut = [top / f"cut{i}" for i in range(len(self.images))]
        self.seen = [0] * len(self.images)  # records that are in `images`
        self.total = dict.fromkeys(
            ("points", "lost", "partial", "repeated", "damaged"), 0)

    def writes(self, disk, start, end):
        return [r for r in self.log.records[start:end]
                if r[0] == "W" and r[1] == disk]

    def apply(self, path, records):
        with open(path, "r+b") as f:
            for r in records:
                f.seek(r[2])
                f.write(self.log.bytes_of(r))

    def rebuild(self, disk, index, mode):
        """One disk as it is after a cut at a record."""
        last = max((i for i in range(self.seen[disk], index + 1)
                    if self.log.records[i][:2] == ("F", disk)),
                   default=self.seen[disk] - 1)
        self.apply(self.images[disk],
                   self.writes(disk, self.seen[disk], last + 1))
        self.seen[disk] = last + 1
        # a new file: an earlier mount may still be on its way out
        self.cut[disk].unlink(missing_ok=True)
        run("cp", "--sparse=always", self.images[disk], self.cut[disk])
        self.apply(self.cut[disk],
                   [r for r in self.writes(disk, last + 1, index + 1)
                    if mode == "all" or
                    (mode == "some" and self.dice.random() < 0.5)])

    def at(self, index, mode):
        """One power cut; everything found is added to `total`."""
        for disk in range(len(self.images)):
            self.rebuild(disk, index, mode)
        promised = [(m.split()[0], u) for m in self.log.marks(0, index + 1)
                    for u in m.split()[1:]]
        try:
            for image in self.cut:
                self.disks.add(image)
            self.look(f"{index} ({mode})", promised)
        finally:
            self.disks.close()
        damage = self.disks.damage(self.cut)
        if damage:
            self.total["damaged"] += 1
            print(f"cut {index} ({mode}): {damage}", flush=True)

    def look(self, name, promised):
        s, total = self.server, self.total
        uuid = re.search(r"[0-9a-f]{8}-[0-9a-f-]{27}|[0-9a-f]{32}",
                         (s.state / "spool/spool.id").read_text()).group()
        live = Path("/dev/shm") / f"mailstead-{uuid}"
        live.unlink(missing_ok=True)  # memory dies with the power
        partial = self.mail()[1]
        s.start()
        try:
            s.cli("wait", "--for", "empty", "--timeout", "60")
            found, later = self.mail()
        finally:
            s.stop()
            live.unlink(missing_ok=True)
        partial += [p for p in later if p not in partial]
        db = sqlite3.connect(s.state / "directory/directory.db")
        damaged = db.execute("PRAGMA integrity_check").fetchone() != ("ok",)
        db.close()
        lost = set(promised) - set(found)
        total["points"] += 1
        total["lost"] += len(lost)
        total["partial"] += len(partial)
        total["repeated"] += len(found) - len(set(found))
        total["damaged"] += damaged
        if lost or partial or damaged:
            print(f"cut {name}: of {len(promised)} lost {sorted(lost)[:3]} "
                  f"partial {partial[:3]} directory damaged: {damaged}",
                  flush=True)

    def mail(self):
        """The (tag, user) of whole messages, and the paths of the others."""
        found, partial = [], []
        for u in USERS:
            for sub in ("new", "cur"):
                folder = self.server.mailbox(u) / sub
                for path in sorted(folder.iterdir()) if folder.is_dir() else ():
                    head, _, body = path.read_bytes().partition(b"\n\n")
                    m = re.search(rb"^Subject: (tag-\d+-\d+-(\d+))$", head,
                                  re.M)
                    if m and body.decode("latin-1") == body_of(
                            m[1].decode(), int(m[2])):
                        found.append((m[1].decode(), u))
                    else:
                        partial.append(str(path))
        return found, partial


def prove(points, seconds, seed=None, layouts=LAYOUTS):
    """Record for each layout, cut at `points` places altogether, return the
    counts."""
    seed = seed if seed is not None else random.randrange(1 << 32)
    own_mounts()
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    total = {"seed": seed, "acknowledged": 0}
    for layout in layouts:
        top = Path(tempfile.mkdtemp(prefix="powercut-", dir=memory))
        try:
            replay = Replay(top, Recording(top, layout.split("+"), seconds),
                            seed)
            cuts = replay.log.cuts()
            wanted = points // len(layouts)
            cuts = sorted(replay.dice.sample(cuts, min(wanted, len(cuts))))
            for n, index in enumerate(cuts):
                replay.at(index, MODES[n % len(MODES)])
            total["acknowledged"] += len(replay.log.marks(0, None)) - 2
            for name, count in replay.total.items():
                total[name] = total.get(name, 0) + count
        finally:
            shutil.rmtree(top, ignore_errors=True)
        print(layout, replay.total, flush=True)
    return total


def main():
    reason = why_not()
    if reason:
        print(f"skipped: {reason}")
        return 0
    seed = os.environ.get("POWERCUT_SEED")
    layouts = os.environ.get("POWERCUT_LAYOUTS", " ".join(LAYOUTS)).split()
    result = prove(int(os.environ.get("POWERCUT_POINTS", "2000")),
                   float(os.environ.get("POWERCUT_SECONDS", "8")),
                   None if seed is None else int(seed), layouts)
    print("power cuts:", ", ".join(f"{k} {v}" for k, v in result.items()))
    return 1 if (result["lost"] or result["partial"] or result["damaged"] or
                 not result["points"]) else 0


if __name__ == "__main__":
    sys.exit(main())
