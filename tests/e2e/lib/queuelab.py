"""A queue-runner alone in a temporary state directory, with a scripted DNS.

    with QueueLab(zone, {'remote.port': mx.port}) as lab:
        id, = lab.submit('bob@example.org', ['x@far.example'])
        lab.wait_log('event=sent .*to=x@far.example')

The domain example.org is local, with the users admin and bob.  Messages go
straight into the spool (tests/tools/spool_submit.c); settings and accounts
through accountd, which serves this process alone unless daemon=True.
"""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from fakedns import FakeDNS
from lib import report

ROOT = Path(__file__).resolve().parents[3]
BUILD = Path(os.environ.get('MAILSTEAD_BUILD', ROOT / 'build' / 'gcc')).resolve()
BIN = BUILD / 'bin'
PASSWORD = 'correct horse battery'
SLOW = 4 if '-' in BUILD.name else 1

# enum envelope_notify, envelope_flags
NEVER, SUCCESS, FAILURE, DELAY = 1, 2, 4, 8
SMTPUTF8, EIGHT_BIT, RET_HDRS, RET_FULL, GENERATED = 1, 2, 4, 8, 16


def far_zone(*names, ip='127.0.0.1'):
    """Each name with one MX at an address."""
    zone = {}
    for name in names:
        zone[name] = {'MX': ['10 mx.' + name]}
        zone['mx.' + name] = {'A': [ip]}
    return zone


class QueueLab:
    def __init__(self, zone=None, settings=None, users=(), aliases=None,
                 daemon=False, start=True):
        self.top = Path(tempfile.mkdtemp(prefix='mailstead-queue-'))
        self.state = self.top / 'state'
        report.watch(self.state)
        for name in ('spool', 'mail', 'run/accountd', 'log/audit', 'directory',
                     'cache'):
            (self.state / name).mkdir(parents=True)
        (self.state / 'mailstead.conf').write_text(
            '[mailstead]\nstate = %s\n' % self.state)
        self.process = self.accountd = self.server = None
        self.dns = FakeDNS(zone if zone is not None else far_zone('far.example'))
        self.dns.__enter__()
        subprocess.run([BIN / 'accountd', '--state', self.state, '--create'],
                       check=True)
        self.open_accountd(daemon)
        self.ask(verb='init', hostname='mail.example.org', domain='example.org',
                 address='admin@example.org', password=PASSWORD)
        for user in ('bob@example.org', *users):
            self.ask(verb='user add', address=user, password=PASSWORD)
        for address, targets in (aliases or {}).items():
            self.ask(verb='alias add', address=address, targets=targets)
        defaults = {'dns.servers': self.dns.setting, 'queue.retry': '1s',
                    'remote.allow_loopback': 'yes', 'remote.timeout': '2s',
                    'remote.connect_timeout': '2s',
                    # nobody to ask for keys
                    **({} if daemon else {'dkim.unavailable': 'unsigned',
                                          'srs.enabled': 'no'})}
        for name, value in {**defaults, **(settings or {})}.items():
            self.set(name, value)
        if start:
            self.start()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if self.process is not None:
            self.stop()
        if self.accountd is not None:
            self.accountd.terminate()
            self.accountd.wait()
        self.socket.close()
        if self.server is not None:
            self.server.wait()
        self.dns.__exit__(*exc)
        report.forget(self.state)
        shutil.rmtree(self.top, ignore_errors=True)

    # -- accounts and settings -------------------------------------------------
    def open_accountd(self, daemon):
        if daemon:
            with open(self.top / 'stderr', 'ab') as stderr:
                self.accountd = subprocess.Popen(
                    [BIN / 'accountd', '--state', self.state], stderr=stderr)
            path = str(self.state / 'run/accountd/mailstead.sock')
            self.wait(lambda: os.path.exists(path))
            self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            self.wait(lambda: self.socket.connect_ex(path) == 0)
            return
        self.socket, other = socket.socketpair(
            socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with other:
            self.server = subprocess.Popen(
                [BIN / 'accountd', '--state', self.state, '--serve-fd',
                 str(other.fileno())], pass_fds=[other.fileno()])

    def ask(self, **request):
        self.socket.send(json.dumps(request).encode())
        answer = json.loads(self.socket.recv(65536))
        if not answer.get('ok'):
            raise AssertionError('%r: %r' % (request, answer))
        return answer

    def set(self, name, value):
        self.ask(verb='setting set', name=name, value=str(value))

    # -- the runner --------------------------------------------------------------
    def start(self):
        stat = self.state / 'run/queue.stat'
        stat.unlink(missing_ok=True)
        with open(self.top / 'stderr', 'ab') as stderr:
            self.process = subprocess.Popen(
                [BIN / 'queue-runner', '--state', self.state], stderr=stderr)
        self.wait(stat.exists, what='the runner')

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(20 * SLOW)
        self.process = None
        return code

    def worker(self):
        """The pid of the worker process."""
        path = '/proc/%d/task/%d/children' % ((self.process.pid,) * 2)
        with open(path) as f:
            return int(f.read().split()[0])

    def control(self, **request):
        return self.control_packet(json.dumps(request).encode())

    def control_packet(self, packet):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
            s.connect(str(self.state / 'run/queue.sock'))
            s.send(packet)
            return json.loads(s.recv(65536))

    def submit(self, sender, recipients, body='Subject: test\n\nhello\n',
               writer='submit', **more):
        order = dict(sender=sender, recipients=list(recipients), body=body, **more)
        done = subprocess.run(
            [BUILD / 'tests/tools/spool_submit', self.state / 'spool', writer],
            input=json.dumps(order), text=True, capture_output=True, check=True)
        return done.stdout.split()

    # -- what came of it ------------------------------------------------------------
    def wait(self, condition, timeout=10, what='condition'):
        end = time.monotonic() + timeout * SLOW
        while True:
            value = condition()
            if value:
                return value
            if time.monotonic() > end:
                raise AssertionError('timeout waiting for %s\n%s' %
                                     (what, self.log()[-3000:]))
            time.sleep(0.02)

    def log(self):
        folder = self.state / 'log/queue-runner'
        return ''.join(p.read_text() for p in sorted(folder.glob('*.log')))

    def wait_log(self, pattern, timeout=10, count=1):
        return self.wait(
            lambda: len(re.findall(pattern, self.log())) >= count and
            re.search(pattern, self.log()), timeout, 'log ' + pattern)

    def box(self, address='bob@example.org'):
        local, domain = address.split('@')
        folder = self.state / 'mail' / domain / local / 'new'
        return [p.read_text('utf-8', 'surrogateescape')
                for p in sorted(folder.glob('*'))]

    def wait_box(self, address='bob@example.org', count=1, timeout=10):
        self.wait(lambda: len(self.box(address)) >= count, timeout,
                  'mail for ' + address)
        return self.box(address)

    def queued(self):
        return self.control(verb='list')['messages']

    def retry(self):
        """Everything now, whatever was dead."""
        self.control(verb='retry', all=True)

    def is_gone(self, message):
        return self.control(verb='show', id=message).get('code') == 'not-found'

    def wait_gone(self, message, timeout=10):
        """Wait until a message has left the queue, pushing it."""
        def gone():
            self.retry()
            return self.is_gone(message)
        self.wait(gone, timeout, 'the end of ' + message)

    def wait_empty(self, timeout=10):
        self.wait(lambda: not self.queued(), timeout, 'an empty queue')
