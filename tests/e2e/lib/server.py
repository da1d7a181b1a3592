"""A whole Mailstead server in a temporary state directory, for tests.

    with Server() as s:                   # init + run, all on loopback
        s.user("bob@example.org", "a long password")
        smtplib.SMTP(s.host, s.port["smtp"])

Ports are DESIGN's plus an offset found free at run time.  Everything is
started by this process and stopped by pid.
"""

import json
import os
import random
import re
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
import unittest
from contextlib import contextmanager
from pathlib import Path

from lib import report

ROOT = Path(__file__).resolve().parents[3]
BUILD = Path(os.environ.get("MAILSTEAD_BUILD", ROOT / "build" / "gcc"))
BIN = BUILD / "bin"
PASSWORD = "correct horse battery"
BASE_PORTS = {"smtp": 25, "submission": 587, "submissions": 465,
              "pop3": 110, "pop3s": 995, "http": 80, "metrics": 9154}
# Sanitizers and busy machines are slow; this scales every wait in tests.
SLOW = 4 if "-" in BUILD.name else 1


def free_ports(bases):
    """What to add to `bases` for ports that are free just now, below those
    the kernel gives to clients, who would take them any moment."""
    with open("/proc/sys/net/ipv4/ip_local_port_range", "rb") as f:
        end = max(20000, int(f.read().split()[0]))
    for _ in range(200):
        offset = random.randrange(10000, end - max(bases))
        try:
            for port in bases:
                with socket.socket() as s:
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    s.bind(("127.0.0.1", port + offset))
            return offset
        except OSError:
            continue
    raise RuntimeError("no free ports")


def free_offset():
    """An offset for a server's ports."""
    return free_ports(BASE_PORTS.values())


def free_port():
    return free_ports([0])


def wait_until(condition, timeout=10, what="condition"):
    """Poll `condition` until it is true; its value is returned."""
    end = time.monotonic() + timeout * SLOW
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"timeout waiting for {what}")
        time.sleep(0.02)


def wait_steady(condition, what="condition"):
    """True in all workers: each looks at settings twice a second."""
    seen = []

    def settled():
        if condition():
            seen.append(time.monotonic())
        else:
            seen.clear()
        return seen and seen[-1] - seen[0] > 0.6
    wait_until(settled, 20, what)


def is_stopped(pid):
    try:
        return all(stat.read_text().rpartition(")")[2].split()[0] == "T"
                   for stat in Path(f"/proc/{pid}/task").glob("*/stat"))
    except OSError:  # a thread that has just ended
        return False


class Server:
    """init at construction (unless init=False); start() and stop()."""

    def __init__(self, domain="example.org", hostname="mail.example.org",
                 admin=None, settings=None, init=True, directory=None):
        self.domain = domain
        self.hostname = hostname
        self.admin = admin or f"admin@{domain}"
        self.host = "127.0.0.1"
        self.offset = free_offset()
        self.port = {k: v + self.offset for k, v in BASE_PORTS.items()}
        self.top = Path(directory or tempfile.mkdtemp(prefix="mailstead-test-"))
        self.state = self.top / "state"
        report.watch(self.state)
        self.process = None
        self.output = self.top / "run.log"
        if init:
            self.cli("init", "--hostname", hostname, "--domain", domain,
                     "--admin", self.admin, "--listen", self.host,
                     "--port-offset", str(self.offset), input=PASSWORD + "\n")
            for name, value in (settings or {}).items():
                self.set(name, value)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *exc):
        self.close()

    # -- command line -------------------------------------------------------
    def run_cli(self, *args, input=None, timeout=60):
        """Run the command line; the finished process, whatever its code."""
        return subprocess.run(
            [str(BIN / "mailstead"), "--state", str(self.state), *args],
            input=input, text=True, capture_output=True,
            timeout=timeout * SLOW)

    def cli(self, *args, input=None, timeout=60):
        """Run the command line; it must succeed; its standard output."""
        p = self.run_cli(*args, input=input, timeout=timeout)
        if p.returncode != 0:
            raise AssertionError(
                f"mailstead {' '.join(args)}: exit {p.returncode}\n"
                f"{p.stdout}{p.stderr}")
        return p.stdout

    def json(self, *args, input=None):
        return json.loads(self.cli("--json", *args, input=input))

    def user(self, address, password=PASSWORD, *options):
        self.cli("user", "add", address, *options, input=password + "\n")

    def set(self, name, value):
        self.cli("set", name, str(value))

    # -- daemons --------------------------------------------------------------
    def start(self):
        with open(self.output, "ab") as log:
            self.process = subprocess.Popen(
                [str(BIN / "mailstead"), "--state", str(self.state), "run"],
                stdout=subprocess.PIPE, stderr=log, stdin=subprocess.DEVNULL)
        line = self.process.stdout.readline().decode().strip()
        if line != "ready":
            self.process.wait()
            self.process.stdout.close()
            self.process = None
            raise AssertionError("run said %r, log:\n%s" %
                                 (line, self.output.read_text()))

    def stop(self, timeout=15):
        """SIGTERM; returns the exit code."""
        if self.process is None:
            return None
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(timeout * SLOW)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        self.process.stdout.close()
        self.process = None
        return code

    def kill(self):
        """SIGKILL to the whole tree at once, as a crash of everything."""
        for pid in self.pids():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait()
        self.process.stdout.close()
        self.process = None

    def close(self):
        if self.process is not None:
            self.stop()
        report.forget(self.state)
        shutil.rmtree(self.top, ignore_errors=True)

    def pids(self, name=None):
        """Processes of this server, parents first, by /proc; `name` filters
        by program."""
        children = {}
        names = {}
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            try:
                stat = Path(f"/proc/{entry}/stat").read_text()
            except OSError:
                continue
            parent = int(stat.rsplit(")", 1)[1].split()[1])
            children.setdefault(parent, []).append(int(entry))
            names[int(entry)] = stat[stat.index("(") + 1:stat.rindex(")")]
        found = [self.process.pid]
        for pid in found:
            found.extend(children.get(pid, []))
        return [p for p in found if name is None or names.get(p) == name]

    def supervisor(self, name):
        return self.pids(name)[0]

    def workers(self, name):
        return self.pids(name)[1:]

    @contextmanager
    def frozen(self, name):
        """A daemon is stopped meanwhile, every thread of it."""
        pids = []
        try:
            # parents first: they start no more
            for pid in self.pids(name):
                os.kill(pid, signal.SIGSTOP)
                pids.append(pid)
                wait_until(lambda p=pid: is_stopped(p), 10,
                           f"{name} to stop")
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    def peak_kb(self, name):
        """The most memory any worker of a daemon ever had."""
        return max(int(re.search(
            r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1])
            for pid in self.workers(name))

    # -- what is on disk -------------------------------------------------------
    def mailbox(self, address):
        local, domain = address.rsplit("@", 1)
        return self.state / "mail" / domain / local

    def messages(self, address):
        """Contents of all messages of a mailbox's inbox."""
        found = []
        for sub in ("new", "cur"):
            directory = self.mailbox(address) / sub
            if directory.is_dir():
                for name in sorted(os.listdir(directory)):
                    try:
                        found.append((directory / name).read_bytes())
                    except FileNotFoundError:
                        pass
        return found

    def wait_messages(self, address, count, timeout=10):
        wait_until(lambda: len(self.messages(address)) >= count, timeout,
                   f"{count} messages for {address}")
        return self.messages(address)

    def log(self, program):
        """All log lines of a program so far."""
        directory = self.state / "log" / program
        text = ""
        if directory.is_dir():
            for name in sorted(os.listdir(directory)):
                text += (directory / name).read_text(errors="replace")
        return text

    def pop3_login(self, user, source, password):
        """What POP3 says to the password from this address: +OK or -ERR."""
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        with socket.create_connection(
                (self.host, self.port["pop3s"]), 20,
                source_address=(source, 0)) as c, \
                context.wrap_socket(c) as t, t.makefile("rw") as f:
            f.readline()
            f.write(f"USER {user}\nPASS {password}\n")
            f.flush()
            f.readline()
            return f.readline().split()[0]

    def wait_log(self, program, pattern, timeout=10):
        """Wait for a line matching the regular expression; the match."""
        return wait_until(lambda: re.search(pattern, self.log(program)),
                          timeout, f"log of {program}: {pattern}")


class ServerTest(unittest.TestCase):
    """Tests that share one running server, self.s."""

    settings = None
    users = ()  # of example.org

    @classmethod
    def setUpClass(cls):
        cls.s = Server(settings=cls.settings)
        cls.addClassCleanup(cls.s.close)
        cls.s.start()
        for user in cls.users:
            cls.s.user(f"{user}@example.org")

    @classmethod
    def tearDownClass(cls):
        code = cls.s.stop()
        assert code == 0, f"run ended with {code}"
