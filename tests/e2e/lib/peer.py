"""Another mail server of Debian's on loopback, unpacked and never installed.

    with Postfix() as p:            # or Exim(): classes of their own
        smtplib.SMTP('127.0.0.1', p.port)
        p.log()

It needs accounts of its own and its compiled-in paths, so it runs in a mount
namespace where the unpacked package lies over /usr, and a folder with the
accounts over /etc; that takes root, and tests are skipped without it.
"""

import functools
import os
import shutil
import socket
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

from lib.server import ROOT, SLOW, free_port, wait_until

ENTER = """set -e
mount -t overlay overlay -o lowerdir={tree}/usr:/usr /usr
mount -t overlay overlay -o lowerdir={top}/etc:/etc /etc
exec "$@"
"""


@functools.cache
def unpacked(name, *packages):
    if os.geteuid() != 0:
        raise unittest.SkipTest(f'{name} wants root')
    try:
        return subprocess.run(
            [ROOT / 'packaging/unpack.sh', name, *packages], check=True,
            capture_output=True, text=True, timeout=120).stdout.strip()
    except subprocess.SubprocessError as e:
        raise unittest.SkipTest(f'{name} cannot be unpacked: {e}') from e


class Peer:
    """A subclass has `name`, `packages`, `accounts` {name: number} and
    `words`, the program in the foreground; its __init__ writes what it reads
    (below top/etc: as /etc)."""

    def __init__(self):
        self.tree = unpacked(self.name, *self.packages)
        self.top = Path(tempfile.mkdtemp(prefix=f'mailstead-{self.name}-'))
        self.top.chmod(0o755)
        self.port = free_port()
        (self.top / 'etc').mkdir()
        for file, form in (('passwd', '{0}:x:{1}:{1}::/:/bin/false\n'),
                           ('group', '{0}:x:{1}:\n')):
            text = Path('/etc', file).read_text(encoding='utf-8')
            (self.top / 'etc' / file).write_text(text + ''.join(
                form.format(*account) for account in self.accounts.items()))
        self.enter = ['unshare', '-m', 'sh', '-c',
                      ENTER.format(tree=self.tree, top=self.top), 'sh']
        self.process = None

    def __enter__(self):
        with open(self.top / 'start.log', 'wb') as log:
            self.process = subprocess.Popen(
                [*self.enter, *self.words], stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, start_new_session=True)
        try:
            wait_until(self._listens, 30, f'{self.name} listens')
        except AssertionError as e:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f'{e}\n{self.log()}') from e
        return self

    def _listens(self):
        try:
            socket.create_connection(('127.0.0.1', self.port), 2).close()
            return True
        except OSError:
            return False

    def __exit__(self, *exc):
        self.process.terminate()
        try:
            self.process.wait(10 * SLOW)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        time.sleep(0.2)  # its children see the master gone
        shutil.rmtree(self.top, ignore_errors=True)

    def log(self):
        return ''.join(p.read_text(errors='replace')
                       for p in sorted(self.top.glob('*log')))
