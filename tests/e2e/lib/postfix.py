"""Postfix from Debian as a peer on loopback; see peer.py.

    with Postfix(relay=('127.0.0.1', port)) as p:   # sends everything on there
"""

import os

from lib.peer import Peer

POSTFIX, POSTDROP = 6402, 6403
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


class Postfix(Peer):
    """`extra` are further lines of main.cf."""

    name, packages = 'postfix', ('postfix',)
    accounts = {'postfix': POSTFIX, 'postdrop': POSTDROP}

    def __init__(self, relay=None, hostname='postfix.test', extra=''):
        super().__init__()
        if relay:
            extra += '\nrelayhost = [%s]:%d' % relay
        for name in ('conf', 'queue', 'lib'):
            (self.top / name).mkdir()
        os.chown(self.top / 'lib', POSTFIX, -1)
        values = {'top': self.top, 'tree': self.tree, 'hostname': hostname,
                  'port': self.port, 'extra': extra}
        (self.top / 'conf/main.cf').write_text(MAIN.format(**values))
        (self.top / 'conf/master.cf').write_text(SERVICES.format(**values))
        self.words = ('postfix', '-c', str(self.top / 'conf'), 'start-fg')
