"""accountd as a daemon: sockets, kill -9, the command line's own copy."""

import base64
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BIN = os.path.join(os.environ.get('MAILSTEAD_BUILD', os.path.join(ROOT, 'build/gcc')), 'bin')
ACCOUNTD = os.path.join(ROOT, BIN, 'accountd')
ADMIN = 'three blind mice'


def b64(text):
    return base64.b64encode(text.encode()).decode()


class Link:
    """One connection; ask() sends a verb and gives the answer."""

    def __init__(self, sock):
        self.sock = sock
        self.sock.settimeout(20)

    def ask(self, verb, **fields):
        self.sock.send(json.dumps(dict(fields, verb=verb)).encode())
        return json.loads(self.sock.recv(65536))

    def close(self):
        self.sock.close()


class Accountd(unittest.TestCase):

    def setUp(self):
        self.state = tempfile.mkdtemp(prefix='mailstead-e2e-')
        self.addCleanup(shutil.rmtree, self.state)
        self.run_once('--create')
        self.daemon = None

    def run_once(self, *arguments):
        return subprocess.run([ACCOUNTD, '--state', self.state, *arguments], check=True,
                              capture_output=True, text=True, timeout=30)

    def start(self):
        self.daemon = subprocess.Popen([ACCOUNTD, '--state', self.state],
                                       stderr=subprocess.DEVNULL)
        self.addCleanup(self.stop)
        self.connect('mailstead').close()

    def stop(self):
        if self.daemon is not None:
            self.daemon.send_signal(signal.SIGTERM)
            self.assertEqual(self.daemon.wait(10), 0)
            self.daemon = None

    def connect(self, program, seconds=10):
        deadline = time.monotonic() + seconds
        while True:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            try:
                sock.connect(f'{self.state}/run/accountd/{program}.sock')
                return Link(sock)
            except OSError:
                sock.close()
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def own(self):
        """The command line's way while no daemon runs."""
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        process = subprocess.Popen([ACCOUNTD, '--state', self.state, '--serve-fd',
                                    str(there.fileno())], pass_fds=[there.fileno()])
        there.close()
        return Link(here), process

    def init(self, link):
        answer = link.ask('init', hostname='mx.example.org', domain='example.org',
                          address='admin@example.org', password=ADMIN)
        self.assertTrue(answer['ok'], answer)

    def login(self, link, name='admin', password=ADMIN):
        return link.ask('auth password', login=b64(name), password=b64(password),
                        ip='127.0.0.1', log_id='S')['result']

    def test_without_a_daemon(self):
        link, process = self.own()
        self.init(link)
        self.assertEqual(link.ask('user show', address='admin@example.org')['user']['roles'],
                         ['server_admin'])
        link.close()
        self.assertEqual(process.wait(10), 0)

    def test_both_at_once(self):
        self.start()
        operator = self.connect('mailstead')
        self.init(operator)
        pop = self.connect('popd')
        self.assertEqual(self.login(pop), 'ok')
        link, process = self.own()
        for i in range(20):
            for asked in operator, link:
                answer = asked.ask('alias add', address=f'a{i}-{id(asked)}@example.org',
                                   targets=['admin@example.org'])
                self.assertTrue(answer['ok'], answer)
        # a password changed by the one is not remembered by the other
        self.assertEqual(self.login(pop), 'ok')
        answer = link.ask('user passwd', address='admin@example.org', password='up the clock they ran')
        self.assertTrue(answer['ok'], answer)
        self.assertEqual(self.login(pop), 'failed')
        self.assertEqual(self.login(pop, password='up the clock they ran'), 'ok')
        link.close()
        self.assertEqual(process.wait(10), 0)
        items, after = 0, ''
        while after is not None:
            answer = operator.ask('alias list', after=after)
            items += len(answer['items'])
            after = answer.get('next')
        self.assertEqual(items, 42)
        days = os.listdir(f'{self.state}/log/audit')
        with open(f'{self.state}/log/audit/{days[0]}', encoding='utf-8') as log:
            lines = [json.loads(line) for line in log]
        self.assertGreaterEqual(len(lines), 42)
        pop.close()
        operator.close()

    def test_worker_killed(self):
        self.start()
        link = self.connect('mailstead')
        self.init(link)
        children = subprocess.run(['pgrep', '-P', str(self.daemon.pid)], check=True,
                                  capture_output=True, text=True).stdout.split()
        self.assertEqual(len(children), 1)
        os.kill(int(children[0]), signal.SIGKILL)
        with self.assertRaises((OSError, ValueError)):
            link.ask('user list')
        link.close()
        deadline = time.monotonic() + 10
        result = None
        while result != 'ok' and time.monotonic() < deadline:
            try:
                pop = self.connect('popd')
                result = self.login(pop)
                pop.close()
            except (OSError, ValueError):
                time.sleep(0.05)
        self.assertEqual(result, 'ok')

    def test_garbage(self):
        self.start()
        link = self.connect('mtad')
        for packet in (b'{', b'[]', b'{"verb": "auth step"}', b'\xff\xfe', b'{"verb": 1}',
                       b'[' * 60000, b'{"verb":"auth start","verb":"auth start"}'):
            link.sock.send(packet)
            self.assertFalse(json.loads(link.sock.recv(65536))['ok'])
        link.close()

    def test_half_open_exchanges(self):
        """Exchanges nobody continues hold nobody else up."""
        self.start()
        operator = self.connect('mailstead')
        self.init(operator)
        operator.close()
        waiting = [self.connect('mtad') for _ in range(50)]
        for link in waiting:
            answer = link.ask('auth start', mechanism='LOGIN', ip='192.0.2.1')
            self.assertEqual(answer['result'], 'more')
        pop = self.connect('popd')
        started = time.monotonic()
        self.assertEqual(self.login(pop), 'ok')
        self.assertLess(time.monotonic() - started, 1)
        for link in waiting + [pop]:
            link.close()

    def test_wrong_starts(self):
        again = subprocess.run([ACCOUNTD, '--state', self.state, '--create'], check=False,
                               capture_output=True, text=True, timeout=10)
        self.assertEqual(again.returncode, 1)
        self.assertIn('directory.db', again.stderr)
        with tempfile.TemporaryDirectory(prefix='mailstead-e2e-') as empty:
            wrong = subprocess.run([ACCOUNTD, '--state', empty], check=False,
                                   capture_output=True, text=True, timeout=10)
            self.assertEqual(wrong.returncode, 1)
            self.assertEqual(len(wrong.stderr.splitlines()), 1)
        os.chmod(f'{self.state}/directory/secrets.db', 0o644)
        link, process = self.own()
        self.assertEqual(process.wait(10), 1)
        link.close()


if __name__ == '__main__':
    unittest.main()
