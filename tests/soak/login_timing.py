#!/usr/bin/python3
"""Does the time of a failed login tell whether the name exists?

    login_timing.py [--build build/gcc] [--logins 1000]

Starts accountd in a scratch directory, sends wrong passwords for a name that
exists and one that does not by turns, each from an address of its own so that
nothing is throttled, and compares: medians within 1 % and Kolmogorov-Smirnov
p > 0.01.  Exit 0 when they cannot be told apart.
"""

import argparse
import base64
import bisect
import json
import math
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time


def b64(text):
    return base64.b64encode(text.encode()).decode()


def connect(state, program):
    for _ in range(200):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            sock.connect(f'{state}/run/accountd/{program}.sock')
            return sock
        except OSError:
            sock.close()
            time.sleep(0.05)
    raise SystemExit('accountd does not answer')


def ask(sock, **request):
    sock.send(json.dumps(request).encode())
    return json.loads(sock.recv(65536))


def attempt(sock, name, number):
    """Seconds that one failed login takes."""
    request = dict(verb='auth password', login=b64(name), password=b64('wrong password'),
                   ip=f'10.{number // 250 % 250}.{number % 250}.1')
    started = time.perf_counter()
    answer = ask(sock, **request)
    seconds = time.perf_counter() - started
    if answer.get('result') != 'failed':
        raise SystemExit(f'unexpected: {answer}')
    return seconds


def smirnov(a, b):
    """The largest distance of the two distributions, and its p value."""
    a, b = sorted(a), sorted(b)
    distance = max(abs(bisect.bisect_right(a, x) / len(a) - bisect.bisect_right(b, x) / len(b))
                   for x in a + b)
    scaled = distance * math.sqrt(len(a) * len(b) / (len(a) + len(b)))
    p = 2 * sum((-1) ** (k - 1) * math.exp(-2 * k * k * scaled * scaled) for k in range(1, 101))
    return distance, min(1.0, p) if scaled > 0.2 else 1.0


def measure(state, logins):
    operator = connect(state, 'mailstead')
    ask(operator, verb='init', hostname='mx.example.org', domain='example.org',
        address='joe@example.org', password='three blind mice')
    sock = connect(state, 'popd')
    known, unknown = [], []
    for i in range(logins):
        known.append(attempt(sock, 'joe@example.org', 2 * i))
        unknown.append(attempt(sock, 'jim@example.org', 2 * i + 1))
    return known, unknown


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--build', default='build/gcc')
    parser.add_argument('--logins', type=int, default=1000)
    args = parser.parse_args()
    program = os.path.join(args.build, 'bin/accountd')
    state = tempfile.mkdtemp(prefix='mailstead-soak-')
    subprocess.run([program, '--state', state, '--create'], check=True)
    daemon = subprocess.Popen([program, '--state', state], stderr=subprocess.DEVNULL)
    try:
        known, unknown = measure(state, args.logins)
    finally:
        daemon.terminate()
        daemon.wait(10)
        shutil.rmtree(state)
    medians = statistics.median(known), statistics.median(unknown)
    apart = abs(medians[0] - medians[1]) / medians[1]
    distance, p = smirnov(known, unknown)
    print(f'medians {medians[0] * 1e3:.3f} and {medians[1] * 1e3:.3f} ms ({apart:.2%} apart), '
          f'Kolmogorov-Smirnov D={distance:.4f} p={p:.3f}')
    return 0 if apart < 0.01 and p > 0.01 else 1


if __name__ == '__main__':
    sys.exit(main())
