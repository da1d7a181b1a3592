#!/usr/bin/python3
"""A scripted DNS server for tests: UDP and TCP, on 127.0.0.1, any port.

In a test:

    with FakeDNS({'example.net': {'MX': ['10 mx.example.net']}}) as dns:
        dns.setting                     # '127.0.0.1:PORT', for dns.servers
        dns.zone['b.example'] = {'fault': 'servfail'}    # changes at once
        dns.queries                     # [('example.net', 'MX', 'udp'), ...]

As a program, for tests in other languages:

    fakedns.py --zone FILE.json [--listen 127.0.0.1:0]

prints the port, and reads the file again when it changes.

A zone maps names (lower case, no dot at the end; '*.example' stands for every
name below it) to records in zone file form:

    {'example.net':  {'MX': ['10 mx.example.net'], 'A': ['127.0.0.1'],
                      'TXT': ['"v=spf1 " "-all"'], 'ttl': 60},
     'www.example':  {'CNAME': ['example.net']},
     '1.2.0.192.in-addr.arpa': {'PTR': ['mx.example.net']},
     'raw.example':  {'MX': [{'hex': '000a'}]},          # rdata as it is
     'bad.example':  {'fault': 'servfail'},
     'part.example': {'A': ['127.0.0.1'], 'fault': {'MX': 'drop'}}}

Names that are not in it do not exist (NXDOMAIN), other types of a name are
empty (NODATA).  CNAMEs are followed within the zone.  A fault is for all types
of a name or, as a mapping, for some:

    servfail refused formerr notimp nxdomain    that response code
    drop                no answer at all
    delay:SECONDS       the right answer, later
    truncate            nothing but TC over UDP, the right answer over TCP
    truncate_only       the same, and TCP is closed without an answer
    garbage             random bytes behind the right id
    wrong_id wrong_question     forged answers only
    flaky:N             servfail N times, then the right answer
"""

import argparse
import json
import os
import socket
import struct
import sys
import threading
import time

import dnslib

RCODES = {'servfail': 2, 'refused': 5, 'formerr': 1, 'notimp': 4, 'nxdomain': 3}
CHAIN_MAX = 32


class FakeDNS:
    def __init__(self, zone=None, ip='127.0.0.1', port=0):
        self.zone = zone if zone is not None else {}
        self.queries = []
        self._failures = {}
        self._stopping = False
        self.ip = ip
        family = socket.AF_INET6 if ':' in ip else socket.AF_INET
        for _ in range(50):
            self._tcp = socket.socket(family, socket.SOCK_STREAM)
            self._tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._tcp.bind((ip, port))
            self.port = self._tcp.getsockname()[1]
            self._udp = socket.socket(family, socket.SOCK_DGRAM)
            try:
                self._udp.bind((ip, self.port))
                break
            except OSError:
                self._udp.close()
                self._tcp.close()
                if port:
                    raise
        else:
            raise OSError('no port free for UDP and TCP')
        self._tcp.listen(64)
        self._threads = [threading.Thread(target=self._serve_udp, daemon=True),
                         threading.Thread(target=self._serve_tcp, daemon=True)]

    @property
    def setting(self):
        """As in the setting dns.servers."""
        return f'[{self.ip}]:{self.port}' if ':' in self.ip else f'{self.ip}:{self.port}'

    def start(self):
        for thread in self._threads:
            thread.start()
        return self

    def stop(self):
        self._stopping = True
        for sock in (self._udp, self._tcp):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        for thread in self._threads:
            thread.join(5)
        self._udp.close()
        self._tcp.close()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    # --- transport

    def _serve_udp(self):
        while not self._stopping:
            try:
                data, peer = self._udp.recvfrom(65535)
            except OSError:
                return
            if data:
                threading.Thread(target=self._answer_udp, args=(data, peer), daemon=True).start()

    def _answer_udp(self, data, peer):
        for answer in self.answers(data, 'udp'):
            try:
                self._udp.sendto(answer, peer)
            except OSError:
                pass

    def _serve_tcp(self):
        while not self._stopping:
            try:
                connection, _ = self._tcp.accept()
            except OSError:
                return
            threading.Thread(target=self._answer_tcp, args=(connection,), daemon=True).start()

    def _answer_tcp(self, connection):
        with connection, connection.makefile('rb') as stream:
            connection.settimeout(30)
            try:
                while True:
                    head = stream.read(2)
                    if len(head) < 2:
                        return
                    answers = self.answers(stream.read(struct.unpack('>H', head)[0]), 'tcp')
                    if not answers:
                        return
                    for answer in answers:
                        connection.sendall(struct.pack('>H', len(answer)) + answer)
            except OSError:
                return

    # --- answers

    def _find(self, name):
        if name in self.zone:
            return self.zone[name]
        labels = name.split('.')
        for i in range(1, len(labels)):
            wild = '*.' + '.'.join(labels[i:])
            if wild in self.zone:
                return self.zone[wild]
        return None

    def _fault(self, name, qtype):
        entry = self._find(name)
        fault = entry.get('fault', '') if entry else ''
        if isinstance(fault, dict):
            fault = fault.get(qtype, fault.get('*', ''))
        return fault

    @staticmethod
    def _records(name, rtype, entry):
        for value in entry.get(rtype, ()):
            number = getattr(dnslib.QTYPE, rtype)
            ttl = entry.get('ttl', 60)
            if isinstance(value, dict):
                rdata = dnslib.RD(bytes.fromhex(value['hex']))
                yield dnslib.RR(name, number, rdata=rdata, ttl=ttl)
            elif rtype == 'TXT' and not value.startswith('"'):
                parts = [value[i:i + 255].encode() for i in range(0, len(value), 255)]
                yield dnslib.RR(name, number, rdata=dnslib.TXT(parts), ttl=ttl)
            else:
                yield from dnslib.RR.fromZone(f'{name}. {ttl} IN {rtype} {value}')

    def _resolve(self, name, qtype, reply):
        """Fill in the reply from the zone."""
        for _ in range(CHAIN_MAX):
            entry = self._find(name)
            if entry is None:
                reply.header.rcode = RCODES['nxdomain']
                return
            for record in self._records(name, qtype, entry):
                reply.add_answer(record)
            if qtype == 'CNAME' or qtype in entry or 'CNAME' not in entry:
                return
            for record in self._records(name, 'CNAME', entry):
                reply.add_answer(record)
            name = entry['CNAME'][0].rstrip('.').lower()

    def answers(self, data, transport):
        """The packets that answer this one."""
        try:
            query = dnslib.DNSRecord.parse(data)
            name = str(query.q.qname).rstrip('.').lower()
            qtype = dnslib.QTYPE[query.q.qtype]
        except Exception:  # whatever dnslib finds wrong with it
            return []
        self.queries.append((name, qtype, transport))
        fault = self._fault(name, qtype)
        fault, _, number = fault.partition(':')
        if fault == 'drop' or (fault == 'truncate_only' and transport == 'tcp'):
            return []
        if fault == 'delay':
            time.sleep(float(number))
        reply = query.reply()
        reply.header.ad = 0  # dnslib echoes the query's
        reply.header.aa = 0
        reply.header.ra = 1
        if fault == 'flaky':
            count = self._failures.get((name, qtype), 0) + 1
            self._failures[(name, qtype)] = count
            fault = 'servfail' if count <= int(number) else ''
        if fault in RCODES:
            reply.header.rcode = RCODES[fault]
            return [reply.pack()]
        if fault == 'garbage':
            return [data[:2] + b'\x81\x80' + os.urandom(60)]
        if fault.startswith('truncate') and transport == 'udp':
            reply.header.tc = 1
            return [reply.pack()]
        if fault == 'wrong_question':
            reply = dnslib.DNSRecord(reply.header, q=dnslib.DNSQuestion('other.example', query.q.qtype))
        self._resolve(name, qtype, reply)
        if fault == 'wrong_id':
            reply.header.id ^= 0x5555
        packed = reply.pack()
        if transport == 'udp' and len(packed) > self._udp_limit(query):
            reply.rr, reply.auth, reply.ar = [], [], []
            reply.header.tc = 1
            packed = reply.pack()
        return [packed] if len(packed) <= 65535 else []

    @staticmethod
    def _udp_limit(query):
        for record in query.ar:
            if record.rtype == dnslib.QTYPE.OPT:
                return max(512, record.edns_len)
        return 512


def main():
    parser = argparse.ArgumentParser(description='A scripted DNS server for tests.')
    parser.add_argument('--zone', required=True)
    parser.add_argument('--listen', default='127.0.0.1:0')
    args = parser.parse_args()
    ip, _, port = args.listen.rpartition(':')
    with open(args.zone, encoding='utf-8') as file:
        zone = json.load(file)
    seen = os.stat(args.zone).st_mtime_ns
    with FakeDNS(zone, ip.strip('[]'), int(port)) as dns:
        print(dns.port, flush=True)
        parent = os.getppid()
        while os.getppid() == parent:
            time.sleep(0.2)
            try:
                now = os.stat(args.zone).st_mtime_ns
                if now != seen:
                    with open(args.zone, encoding='utf-8') as file:
                        dns.zone = json.load(file)
                    seen = now
            except (OSError, ValueError):
                pass  # being written: next time
    return 0


if __name__ == '__main__':
    sys.exit(main())
