"""Exim from Debian as a peer on loopback; see peer.py.

    with Exim(('127.0.0.1', mx.port), extra=...) as p:   # sends all on there

`extra` are further main options, `rcpt` what its ACL says to RCPT first.
"""

import os

from lib.peer import Peer

MAIN = """
spool_directory = {top}/spool
log_file_path = {top}/%slog
primary_hostname = exim.test
daemon_smtp_ports = {port}
local_interfaces = 127.0.0.1
acl_smtp_rcpt = rcpt
received_header_text =
host_lookup =
rfc1413_hosts =
{extra}
begin acl
rcpt:
{rcpt}
  accept
begin routers
on:
  driver = manualroute
  transport = on
  route_list = * {relay[0]}
  self = send
begin transports
on:
  driver = smtp
  port = {relay[1]}
  allow_localhost
  hosts_avoid_tls = *
"""


class Exim(Peer):
    name, packages = 'exim', ('exim4-daemon-light',)
    accounts = {'Debian-exim': 6404}
    words = ('/usr/sbin/exim4', '-bdf', '-q2s')

    def __init__(self, relay, extra='', rcpt=''):
        super().__init__()
        for name in ('spool', 'etc/exim4'):
            (self.top / name).mkdir()
        os.chown(self.top / 'spool', 6404, 6404)
        os.chown(self.top, 6404, 6404)
        (self.top / 'etc/exim4/exim4.conf').write_text(MAIN.format(
            top=self.top, port=self.port, relay=relay, extra=extra, rcpt=rcpt))
