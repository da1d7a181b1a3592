"""Postfix from Debian as a peer on loopback, unpacked and never installed.

    with Postfix(relay=('127.0.0.1', port)) as p:   # sends everything on there
        smtplib.SMTP('127.0.0.1', p.port)
        p.log()

It needs several accounts of its own and its compiled-in paths, so it runs in a
mount namespace where the unpacked package lies over /usr and /etc/passwd has
its accounts; that takes root, and tests are skipped without it.
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

from lib.server import ROOT, SLOW, wait_until

POSTFIX, POSTDROP = 6402, 6403
ENTER = """set -e
mount -t overlay overlay -o lowerdir={tree}/usr:/usr /usr
mount --bind {top}/passwd /etc/passwd
mount --bind {top}/group /etc/group
chgrp {group} /usr/sbin/postdrop /usr/sbin/postqueue 2>/dev/null || true
exec "$@"
"""
MAIN = """
compatibility_level = 3.6
queue_directory = {top}/queue
data_directory = {top}/lib
daemon_directory = /usr/lib/postfix/sbin
command_directory = /usr/sbin
shlib_directory = /usr/lib/postfix
meta_directory = {tree}/etc/postfix
mail_owner = postfix
setgid_group = postdrop
maillog_file = {top}/mail.log
maillog_file_prefixes = {top}
myhostname = {hostname}
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
alias_maps =
alias_database =
local_recipient_maps =
smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination
smtp_dns_support_level = disabled
minimal_backoff_time = 2s
queue_run_delay = 2s
{extra}
"""
SERVICES = """127.0.0.1:{port} inet n - n - - smtpd
postlog   unix-dgram n  -       n       -       1       postlogd
pickup    unix  n       -       n       60      1       pickup
cleanup   unix  n       -       n       -       0       cleanup
qmgr      unix  n       -       n       300     1       qmgr
tlsmgr    unix  -       -       n       1000?   1       tlsmgr
rewrite   unix  -       -       n       -       -       trivial-rewrite
bounce    unix  -       -       n       -       0       bounce
defer     unix  -       -       n       -       0       bounce
trace     unix  -       -       n       -       0       bounce
proxymap  unix  -       -       n       -       -       proxymap
smtp      unix  -       -       n       -       -       smtp
relay     unix  -       -       n       -       -       smtp
error     unix  -       -       n       -       -       error
retry     unix  -       -       n       -       -       error
discard   unix  -       -       n       -       -       discard
anvil     unix  -       -       n       -       1       anvil
scache    unix  -       -       n       -       1       scache
"""


@functools.cache
def unpacked():
    if os.geteuid() != 0:
        raise unittest.SkipTest('Postfix wants root')
    try:
        return subprocess.run(
            [ROOT / 'packaging/unpack.sh', 'postfix', 'postfix'], check=True,
            capture_output=True, text=True, timeout=120).stdout.strip()
    except subprocess.SubprocessError as e:
        raise unittest.SkipTest(f'Postfix cannot be unpacked: {e}') from e


class Postfix:
    """start at entering; `extra` are further lines of main.cf."""

    def __init__(self, relay=None, hostname='postfix.test', extra=''):
        tree = unpacked()
        self.top = Path(tempfile.mkdtemp(prefix='mailstead-postfix-'))
        self.top.chmod(0o755)
        with socket.socket() as s:
            s.bind(('127.0.0.1', 0))
            self.port = s.getsockname()[1]
        if relay:
            extra += '\nrelayhost = [%s]:%d' % relay
        for name in ('etc', 'queue', 'lib'):
            (self.top / name).mkdir()
        os.chown(self.top / 'lib', POSTFIX, -1)
        values = {'top': self.top, 'tree': tree, 'hostname': hostname,
                  'port': self.port, 'extra': extra, 'group': POSTDROP}
        (self.top / 'etc/main.cf').write_text(MAIN.format(**values))
        (self.top / 'etc/master.cf').write_text(SERVICES.format(**values))
        for name, line in (
                ('passwd', f'postfix:x:{POSTFIX}:{POSTFIX}::/:/bin/false\n'),
                ('group', f'postfix:x:{POSTFIX}:\npostdrop:x:{POSTDROP}:\n')):
            with open(f'/etc/{name}', encoding='utf-8') as f:
                (self.top / name).write_text(f.read() + line)
        self.enter = ['unshare', '-m', 'sh', '-c', ENTER.format(**values), 'sh']
        self.process = None

    def __enter__(self):
        with open(self.top / 'start.log', 'wb') as log:
            self.process = subprocess.Popen(
                [*self.enter, 'postfix', '-c', str(self.top / 'etc'), 'start-fg'],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True)
        try:
            wait_until(self._listens, 30, 'Postfix listens')
        except AssertionError as e:
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
                       for p in sorted(self.top.glob('*.log')))
