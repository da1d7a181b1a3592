#!/usr/bin/python3
"""CPU time that signing adds to a relayed 4 KB message.

    bench/dkim.py [BUILD [MESSAGES [ROUNDS [IN_FLIGHT]]]]

Two servers, alike but for dkim.enabled, relay the same messages in turn to a
scripted exchanger, over IN_FLIGHT (4) connections at once; counted is the CPU
time of queue-runner and accountd, by /proc/PID/task/*/schedstat.  The
private-key operations alone are what `openssl speed` says in each round.
Prints medians of the rounds, in ms a message.
"""

import glob
import os
import re
import smtplib
import statistics
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = sys.argv[1] if len(sys.argv) > 1 else os.path.join(TOP, 'build/gcc')
MESSAGES = int(sys.argv[2]) if len(sys.argv) > 2 else 1000
ROUNDS = int(sys.argv[3]) if len(sys.argv) > 3 else 5
IN_FLIGHT = sys.argv[4] if len(sys.argv) > 4 else '4'
os.environ['MAILSTEAD_BUILD'] = os.path.abspath(BUILD)
sys.path[:0] = [os.path.join(TOP, 'tests/e2e/lib'),
                os.path.join(TOP, 'tests/e2e')]
from fakedns import FakeDNS  # noqa: E402
from fakemx import FakeMX  # noqa: E402
from server import Server, wait_until  # noqa: E402

TEXT = (b'From: Bob <bob@example.org>\r\nTo: x@far.example\r\nSubject: 4 KB\r\n'
        b'Date: Fri, 20 Nov 2026 20:00:00 +0000\r\nMIME-Version: 1.0\r\n'
        b'Content-Type: text/plain; charset=utf-8\r\n\r\n')
TEXT += b'The quick brown fox jumps over the lazy dog again and again.\r\n' * 63


PROGRAMS = ('queue-runner', 'accountd')


def cpu(server, name):
    total = 0
    for pid in server.pids(name):
        for path in glob.glob('/proc/%d/task/*/schedstat' % pid):
            with open(path) as f:
                total += int(f.read().split()[0])
    return total / 1e6


def run(server, mx):
    before = [cpu(server, p) for p in PROGRAMS]
    seen = len(mx.messages)
    with smtplib.SMTP('127.0.0.1', server.port['smtp'], timeout=60) as s:
        for _ in range(MESSAGES):
            s.sendmail('bob@example.org', ['x@far.example'], TEXT)
    wait_until(lambda: len(mx.messages) >= seen + MESSAGES, 300)
    return [(cpu(server, p) - b) / MESSAGES for p, b in zip(PROGRAMS, before)]


def key_operations():
    text = subprocess.run(
        ['openssl', 'speed', '-seconds', '1', 'rsa2048', 'ed25519'],
        capture_output=True, text=True).stdout
    rate = r'\s+[\d.]+s\s+[\d.]+s\s+([\d.]+)'
    return (1000 / float(re.search(r'rsa 2048 bits' + rate, text)[1]),
            1000 / float(re.search(r'\(Ed25519\)' + rate, text)[1]))


def main():
    with FakeMX() as mx, FakeDNS({
            'far.example': {'MX': ['10 mx.far.example']},
            'mx.far.example': {'A': ['127.0.0.1']}}) as dns:
        settings = {'dns.servers': dns.setting, 'remote.port': mx.port,
                    'remote.allow_loopback': 'yes', 'remote.ipv6': 'no',
                    'relay.trusted': '127.0.0.1', 'dns.self_check': 'no',
                    'smtp.reverse_lookup': 'no',
                    'remote.per_destination': IN_FLIGHT}
        with Server(settings=settings) as signing, \
                Server(settings={**settings, 'dkim.enabled': 'no'}) as plain:
            results = {signing: [], plain: []}
            operations = []
            for server in (signing, plain):
                run(server, mx)
            for _ in range(ROUNDS):
                for server in (signing, plain):
                    results[server].append(run(server, mx))
                operations.append(key_operations())
            signed, unsigned = ([statistics.median(c) for c in zip(*results[x])]
                                for x in (signing, plain))
    rsa, ed = (statistics.median(c) for c in zip(*operations))
    print('relay of a 4 KB message, ms CPU       %s  %s  together' % PROGRAMS)
    for what, c in (('unsigned', unsigned), ('signed', signed)):
        print('  %-34s %12.3f %9.3f %9.3f' % (what, *c, sum(c)))
    print('  RSA-2048 and Ed25519 operation alone %.3f, %.3f' % (rsa, ed))
    print('  added beyond RSA                     %.3f (asked for: at most 0.15)'
          % (sum(signed) - sum(unsigned) - rsa))


if __name__ == '__main__':
    main()
