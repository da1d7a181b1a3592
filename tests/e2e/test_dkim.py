#!/usr/bin/python3
# timeout: 900
"""DKIM and return paths over the wire: what a scripted exchanger receives is
verified by dkimpy and, a sample of it, by opendkim's tools.

MAILSTEAD_DKIM_MESSAGES sets how many messages are generated (300)."""

import base64
import ctypes
import os
import random
import re
import smtplib
import socket
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), 'lib'))
import dkim  # noqa: E402
from fakedns import FakeDNS  # noqa: E402
from fakemx import FakeMX  # noqa: E402
from lib.postfix import Postfix  # noqa: E402
from server import PASSWORD, SLOW, Server, wait_until  # noqa: E402

COUNT = int(os.environ.get('MAILSTEAD_DKIM_MESSAGES', '300'))
FAR = 'x@far.example'
ZONE = {'far.example': {'MX': ['10 mx.far.example']},
        'mx.far.example': {'A': ['127.0.0.1']}}


def unstuffed(message):
    """The text as the exchanger's mail system would keep it."""
    text = message['data'][:-3]
    return re.sub(rb'(^|\n)\.', rb'\1', text)


def verify_all(text, keys):
    """Every signature; how many there are."""
    def find(name, timeout=5):
        return keys.get(name.decode().rstrip('.'), '').encode() or None

    count = len(re.findall(rb'(?m)^DKIM-Signature:', text.split(b'\r\n\r\n')[0]))
    for i in range(count):
        d = dkim.DKIM(text)
        if not d.verify(idx=i, dnsfunc=find):
            raise AssertionError('signature %d fails:\n%r' % (i, text))
    return count


def opendkim_verify(library, keys, text):
    """libopendkim's DKIM_STAT; keys come from a file instead of the DNS."""
    p, n = ctypes.c_void_p, ctypes.c_size_t
    library.dkim_init.restype = library.dkim_verify.restype = p
    lib = p(library.dkim_init(None, None))
    path = str(keys).encode()
    for option, value, size in ((6, ctypes.byref(ctypes.c_int(1)), 4),
                                (7, ctypes.c_char_p(path), len(path))):
        assert library.dkim_options(lib, 1, option, value, n(size)) == 0
    status = ctypes.c_int()
    d = p(library.dkim_verify(lib, b'test', None, ctypes.byref(status)))
    library.dkim_chunk(d, text, n(len(text)))
    library.dkim_chunk(d, None, n(0))
    result = library.dkim_eom(d, None)
    library.dkim_free(d)
    library.dkim_close(lib)
    return result


def memory(pid):
    """What a process has written, a mapping at a time."""
    with open('/proc/%d/maps' % pid, encoding='ascii') as maps, \
            open('/proc/%d/mem' % pid, 'rb', 0) as mem:
        for line in maps:
            start, end = (int(x, 16) for x in line.split()[0].split('-'))
            if line.split()[1].startswith('rw'):
                try:
                    mem.seek(start)
                    yield mem.read(end - start)
                except OSError:  # [vvar] and what went meanwhile
                    pass


class DkimCase(unittest.TestCase):
    settings = {}

    def setUp(self):
        self.mx = FakeMX()
        self.mx.__enter__()
        self.addCleanup(self.mx.__exit__, None, None, None)
        self.dns = FakeDNS(dict(ZONE))
        self.dns.__enter__()
        self.addCleanup(self.dns.__exit__, None, None, None)
        self.server = Server(settings={
            'dns.servers': self.dns.setting, 'remote.port': self.mx.port,
            'remote.allow_loopback': 'yes', 'relay.trusted': '127.0.0.1',
            'queue.retry': '1s', 'smtp.reverse_lookup': 'no',
            'remote.ipv6': 'no', **self.settings})
        self.addCleanup(self.server.close)
        self.prepare()
        self.server.start()

    def prepare(self):
        self.server.user('bob@example.org')

    def keys(self, domain='example.org'):
        return {k['record']['name']: k['record']['value']
                for k in self.server.json('dkim', 'list', domain)}

    def submit(self, texts, sender='bob@example.org', to=FAR):
        with smtplib.SMTP('127.0.0.1', self.server.port['smtp'],
                          timeout=30 * SLOW) as s:
            for text in texts:
                if isinstance(text, str):
                    text = text.encode()
                s.sendmail(sender, [to], text, ['BODY=8BITMIME'])

    def received(self, count, timeout=60):
        wait_until(lambda: len(self.mx.messages) >= count, timeout,
                   '%d messages' % count)
        return [unstuffed(m) for m in self.mx.messages]


def random_line(r):
    kind = r.randrange(9)
    if kind == 0:
        return b''
    if kind == 1:
        return b'.' * r.randrange(1, 4)
    if kind == 2:
        return b' \t ' * r.randrange(1, 3)
    if kind == 3:
        return bytes(r.randrange(128, 256) for _ in range(r.randrange(1, 60)))
    if kind == 4:
        return b'x' * r.randrange(900, 997)
    if kind == 5:
        return b'a  b\t\tc \t' + b' ' * r.randrange(3)
    if kind == 6:
        return b'.x'
    if kind == 7:
        return b'From here'
    return bytes(r.choice(b'abc .:;=\t') for _ in range(r.randrange(1, 200)))


def random_message(r, number):
    head = [b'From: Bob <bob@example.org>', b'To: ' + FAR.encode(),
            b'X-Number: %d' % number]
    extra = [
        b'Subject: hello', b'Subject:', b'Subject:  two  spaces \t ',
        b'SUBJECT: odd', b'Subject: folded\r\n\t here\r\n   and there  ',
        b'Subject: =?utf-8?q?=C3=A4?=', b'Subject: \xc3\xa4 raw',
        b'To: second@far.example', b'Cc: a@far.example,\r\n b@far.example',
        b'Cc: another@far.example', b'Date: Fri, 20 Nov 2026 20:00:00 +0000',
        b'Message-ID: <%d@example.org>' % number, b'MIME-Version: 1.0',
        b'Content-Type: text/plain;\r\n charset="utf-8"',
        b'content-transfer-encoding: 8bit', b'Comments: a\r\n \r\n b',
        b'X-Long: ' + b'y' * 900, b'References: <a@b>\r\n\t<c@d>\r\n\t<e@f>',
        b'Reply-To:bob@example.org', b'List-Id: x', b'In-Reply-To: <a@b>']
    head += r.sample(extra, r.randrange(len(extra)))
    r.shuffle(head)
    body = [random_line(r) for _ in range(r.choice((0, 0, 1, 2, 5, 30)))]
    body += [b''] * r.choice((0, 0, 0, 1, 3))
    text = b'\r\n'.join(head) + b'\r\n\r\n' + b'\r\n'.join(body)
    return text + r.choice((b'', b'\r\n'))


class Signing(DkimCase):
    def test_generated_messages_verify(self):
        seed = int(os.environ.get('MAILSTEAD_DKIM_SEED', '8'))
        r = random.Random(seed)
        self.submit(random_message(r, i) for i in range(COUNT))
        texts = self.received(COUNT, 30 + COUNT / 20)
        keys = self.keys()
        seen = set()
        for text in texts:
            self.assertTrue(text.startswith(b'DKIM-Signature: '))
            self.assertEqual(verify_all(text, keys), 2)
            seen.add(re.search(rb'(?m)^X-Number: (\d+)', text).group(1))
        self.assertEqual(len(seen), COUNT)

    def test_fields_cannot_be_added(self):
        self.submit(['From: bob@example.org\r\nSubject: x\r\n\r\nhi\r\n'])
        text, = self.received(1)
        keys = self.keys()
        self.assertEqual(verify_all(text, keys), 2)
        for name in (b'From: evil@example.org', b'To: y@z', b'Subject: other'):
            for changed in (name + b'\r\n' + text,
                            text.replace(b'\r\nSubject:',
                                         b'\r\n' + name + b'\r\nSubject:')):
                with self.assertRaises((AssertionError, dkim.DKIMException)):
                    verify_all(changed, keys)
        for changed in (text.replace(b'hi', b'ho'),
                        text.replace(b'Subject: x', b'Subject: y')):
            with self.assertRaises((AssertionError, dkim.DKIMException)):
                verify_all(changed, keys)

    def test_opendkim_agrees(self):
        try:
            library = ctypes.CDLL('libopendkim.so.11')
        except OSError:
            self.skipTest('libopendkim is not installed')
        r = random.Random(1)
        self.submit(random_message(r, i) for i in range(20))
        texts = self.received(20)
        keys = self.keys()
        file = self.server.top / 'keys'
        file.write_text(''.join('%s %s\n' % k for k in keys.items()))
        for text in texts:
            self.assertEqual(opendkim_verify(library, file, text), 0)
            self.assertNotEqual(
                opendkim_verify(library, file, text + b'more\r\n'), 0)

    def test_large_message(self):
        """Streams: the runner's memory does not grow with the message."""
        line = b'0123456789 ' * 6 + b'\r\n'
        text = b'From: bob@example.org\r\nSubject: x\r\n\r\n' + \
            line * (20 * 1024 * 1024 // len(line)) + b'\r\n' * 1000
        self.submit([b'From: bob@example.org\r\n\r\nwarm\r\n'])
        self.received(1)
        before = self.peak()
        self.submit([text])
        got = self.received(2, 120)[1]
        self.assertEqual(verify_all(got, self.keys()), 2)
        self.assertLess(self.peak() - before, 8 * 1024 * 1024)

    def peak(self):
        size = 0
        for pid in self.server.pids('queue-runner'):
            with open('/proc/%d/status' % pid) as f:
                size = max(size, int(re.search(r'VmHWM:\s+(\d+)', f.read())[1]))
        return size * 1024

    def test_who_is_signed(self):
        """Not what merely says From us; the domain above From will do."""
        self.submit(['From: bob@sub.example.org\r\n\r\na\r\n',
                     'From: eve@elsewhere.example\r\n\r\nb\r\n'])
        texts = sorted(self.received(2), key=lambda t: t[-3:])
        self.assertEqual(verify_all(texts[0], self.keys()), 2)
        self.assertIn(b'd=example.org;', texts[0])
        self.assertNotIn(b'DKIM-Signature', texts[1])
        self.server.set('relay.trusted_enabled', 'no')
        self.server.set('relay.mode', 'anyone')
        time.sleep(1.5)
        self.submit(['From: bob@example.org\r\n\r\nforged\r\n'],
                    sender='eve@elsewhere.example')
        self.assertNotIn(b'DKIM-Signature', self.received(3)[2])

    def test_alias_domain_signs_for_itself(self):
        self.server.cli('domain', 'add', 'alias.example', '--alias-of',
                        'example.org')
        time.sleep(1.5)
        self.submit(['From: bob@alias.example\r\n\r\na\r\n'])
        text, = self.received(1)
        self.assertIn(b'd=alias.example;', text)
        self.assertEqual(verify_all(text, self.keys('alias.example')), 2)
        self.server.cli('domain', 'delete', 'alias.example')
        self.assertEqual(self.server.run_cli('dkim', 'list',
                                             'alias.example').returncode, 1)

    def test_users_speak_for_their_own_domain(self):
        """Signed in, From somebody else's domain here: never signed."""
        self.server.cli('domain', 'add', 'other.example')
        self.server.user('eve@other.example')
        self.server.set('auth.plaintext_networks', '127.0.0.1')
        time.sleep(1.5)
        text = b'From: eve@other.example\r\n\r\na\r\n'
        for sender in ('bob@example.org', 'eve@other.example'):
            with smtplib.SMTP('127.0.0.1', self.server.port['submission'],
                              timeout=30 * SLOW) as s:
                s.login(sender, PASSWORD)
                if sender.startswith('bob'):
                    with self.assertRaises(smtplib.SMTPDataError):
                        s.sendmail(sender, [FAR], text)
                else:
                    s.sendmail(sender, [FAR], text)
        got, = self.received(1)
        self.assertEqual(verify_all(got, self.keys('other.example')), 2)

    def test_reports_are_signed(self):
        self.mx.replies['RCPT'] = lambda arg: (
            '250 ok' if 'back@' in arg else '550 5.1.1 nobody')
        self.submit(['From: bob@example.org\r\n\r\na\r\n'],
                    sender='back@far.example')
        text, = self.received(1)
        self.assertIn(b'Auto-Submitted: auto-replied', text)
        self.assertEqual(verify_all(text, self.keys()), 2)

    def test_rotation(self):
        message = 'From: bob@example.org\r\n\r\na\r\n'
        self.submit([message])
        self.received(1)
        self.server.cli('dkim', 'add', 'example.org', 'next')
        self.submit([message])
        self.assertNotIn(b's=next', self.received(2)[1])
        self.server.cli('dkim', 'activate', 'example.org')
        self.submit([message])
        text = self.received(3)[2]
        self.assertIn(b's=next-rsa;', text)
        self.assertIn(b's=next-ed25519;', text)
        self.assertEqual(verify_all(text, self.keys()), 2)
        old = next(k['selector'] for k in
                   self.server.json('dkim', 'list', 'example.org')
                   if k['state'] == 'retired')
        p = self.server.run_cli('dkim', 'delete', 'example.org', old)
        self.assertEqual(p.returncode, 1)
        self.assertIn('may be under way', p.stderr)
        self.server.cli('dkim', 'delete', '--force', 'example.org', old)

    def test_no_key_leaves_accountd(self):
        """Nothing but secrets.db has a piece of a private key."""
        import sqlite3
        self.submit(['From: bob@example.org\r\n\r\na\r\n'] * 5)
        self.received(5)
        self.server.cli('dkim', 'add', 'example.org')
        db = sqlite3.connect(self.server.state / 'directory/secrets.db')
        canaries = []
        for key, in db.execute('SELECT private_key FROM dkim_key'):
            piece = key[-24:]
            canaries += [piece, base64.b64encode(key)[8:40],
                         piece.hex().encode(), base64.b64encode(piece)]
        db.close()
        self.assertGreaterEqual(len(canaries), 16)
        for folder, _, names in os.walk(self.server.top):
            for name in names:
                if name.startswith('secrets.db'):
                    continue
                path = os.path.join(folder, name)
                if not os.path.isfile(path):
                    continue
                with open(path, 'rb') as f:
                    content = f.read()
                for c in canaries:
                    self.assertNotIn(c, content, path)
        for pid in self.server.pids('accountd')[1:]:  # the worker
            with open('/proc/%d/limits' % pid, encoding='ascii') as f:
                self.assertRegex(f.read(), r'Max core file size +0 +0 ')
        # sanitizers map terabytes
        if os.geteuid() == 0 and not os.environ.get('MAILSTEAD_SAN'):
            self.scan_memory(canaries)

    def scan_memory(self, canaries):
        """What a core of any other program would hold."""
        scanned = 0
        for program in ('queue-runner', 'mtad', 'popd', 'webmail-cgi'):
            for pid in self.server.pids(program):
                for content in memory(pid):
                    scanned += len(content)
                    for c in canaries:
                        self.assertNotIn(c, content, program)
        self.assertGreater(scanned, 1000000)


class ThroughPostfix(DkimCase):
    def prepare(self):
        super().prepare()
        self.postfix = Postfix(relay=('127.0.0.1', self.mx.port))
        self.postfix.__enter__()
        self.addCleanup(self.postfix.__exit__)
        self.server.set('smarthost.mode', 'always')
        self.server.set('smarthost.host', '127.0.0.1:%d' % self.postfix.port)

    def test_nothing_signed_is_changed(self):
        r = random.Random(8)
        self.submit([random_message(r, i) for i in range(30)])
        try:
            texts = self.received(30)
        except AssertionError as e:
            raise AssertionError(f'{e}\n{self.postfix.log()}') from e
        keys = self.keys()
        for text in texts:
            self.assertIn(b'postfix.test', text)
            self.assertEqual(verify_all(text, keys), 2)


def txt(value):
    return {'TXT': [' '.join('"%s"' % value[i:i + 255]
                             for i in range(0, len(value), 255))]}


class Checking(DkimCase):
    """`check domain` and the look at the DNS before the first mail."""

    def publish(self):
        self.dns.zone.update({
            'example.org': {'MX': ['10 mail.example.org'],
                            'TXT': ['"v=spf1 mx -all"', '"other=1"']},
            'mail.example.org': {'A': ['127.0.0.1']},
            '1.0.0.127.in-addr.arpa': {'PTR': ['mail.example.org']},
            '_dmarc.example.org': txt('v=DMARC1; p=reject'),
            **{f'_{name}._tcp.example.org':
               {'SRV': [f'0 1 {self.server.port[name]} mail.example.org.']}
               for name in ('pop3s', 'pop3', 'submissions', 'submission')},
            **{name: txt(value) for name, value in self.keys().items()}})

    def check(self):
        result = self.server.json('check', 'domain', 'example.org')
        self.assertEqual(result['domain'], 'example.org')
        return ({(r['type'], r['name']): r for r in result['records']},
                {c['id']: c for c in result['checks']})

    def failed(self, checks):
        return sorted(i for i, c in checks.items() if c['state'] != 'ok')

    def test_all_is_well(self):
        self.publish()
        records, checks = self.check()
        self.assertEqual({r['state'] for r in records.values()}, {'ok'})
        self.assertEqual(self.failed(checks), [])
        for name, value in self.keys().items():
            record = records['TXT', name]
            self.assertEqual(''.join(record['strings']), value)
            self.assertLessEqual(max(map(len, record['strings'])), 255)
            self.assertEqual(record['short_name'] + '.example.org', name)
            self.assertEqual(record['found'], [value])
            self.assertEqual(checks['dkim.' + name.split('.')[0]]['state'], 'ok')
        self.assertIn(('PTR', '1.0.0.127.in-addr.arpa'), records)
        self.assertIn('ok: MX example.org',
                      self.server.cli('check', 'domain', 'example.org'))

    def test_nothing_is_there(self):
        records, checks = self.check()
        self.assertEqual({r['state'] for r in records.values()}, {'missing'})
        self.assertIn('example.org MX 10 mail.example.org', checks['mx']['text'])
        self.assertIn('v=spf1 mx -all', checks['spf']['text'])
        self.assertTrue({'mx', 'spf', 'dmarc', 'helo'} <= set(self.failed(checks)))
        self.dns.zone['example.org'] = {'fault': 'servfail'}
        self.assertEqual(self.check()[1]['mx']['state'], 'unknown')

    def test_a_record_for_each_own_address(self):
        self.server.cli('set', 'nat.addresses', '203.0.113.5 2001:db8::5')
        self.publish()
        result = self.server.json('check', 'domain', 'example.org')
        self.assertEqual(
            [(r['type'], r['value'], r['state']) for r in result['records']
             if r['type'] in ('A', 'AAAA')],
            [('A', '203.0.113.5', 'different'), ('AAAA', '2001:db8::5', 'missing')])

    def test_wrong_missing_and_revoked_keys(self):
        self.publish()
        keys = self.keys()
        rsa = next(n for n in keys if '-rsa.' in n)
        ed = next(n for n in keys if '-ed25519.' in n)
        self.dns.zone[rsa] = txt('v=DKIM1; k=rsa; p=')
        del self.dns.zone[ed]
        records, checks = self.check()
        self.assertEqual(records['TXT', rsa]['state'], 'different')
        self.assertEqual(records['TXT', ed]['state'], 'missing')
        self.assertIn('revoked', checks['dkim.' + rsa.split('.')[0]]['text'])
        self.assertIn('not published', checks['dkim.' + ed.split('.')[0]]['text'])
        self.server.cli('dkim', 'add', 'example.org', 'other')
        keys = self.keys()
        self.dns.zone[rsa] = txt(keys['other-rsa._domainkey.example.org'])
        self.dns.zone[ed] = txt(keys[rsa])
        checks = self.check()[1]
        self.assertIn('Another key', checks['dkim.' + rsa.split('.')[0]]['text'])
        self.assertIn('another algorithm',
                      checks['dkim.' + ed.split('.')[0]]['text'])
        self.dns.zone[ed] = txt('v=DKIM1; k=ed25519; p=???')
        self.assertIn('wrong', self.check()[1]['dkim.' + ed.split('.')[0]]['text'])

    def test_other_records_are_wrong(self):
        self.publish()
        self.dns.zone['example.org'] = {
            'MX': ['5 mx.elsewhere.example'],
            'TXT': ['"v=spf1 ip4:192.0.2.0/24 -all"']}
        self.dns.zone['1.0.0.127.in-addr.arpa'] = {'PTR': ['host.isp.example']}
        records, checks = self.check()
        self.assertEqual(records['MX', 'example.org']['found'],
                         ['5 mx.elsewhere.example'])
        self.assertEqual(self.failed(checks), ['forward_confirmed', 'mx', 'spf'])
        self.dns.zone['example.org']['TXT'] = ['"v=spf1 ip4:127.0.0.0/8 -all"']
        self.assertEqual(self.check()[1]['spf']['state'], 'ok')
        self.dns.zone['example.org']['TXT'] *= 2
        self.assertIn('more than one', self.check()[1]['spf']['text'])

    def test_first_mail_is_not_stopped(self):
        self.submit(['From: bob@example.org\r\n\r\na\r\n'])
        self.received(1)
        pattern = 'domain example.org: No SPF record'
        self.server.wait_log('queue-runner', pattern)
        self.submit(['From: bob@example.org\r\n\r\nb\r\n'])
        self.received(2)
        time.sleep(1)
        self.assertEqual(self.server.log('queue-runner').count(pattern), 1)


class Unavailable(DkimCase):
    def test_accountd_dies_while_sending(self):
        """Signed or deferred; none lost, none repeated."""
        count = int(os.environ.get('MAILSTEAD_DKIM_KILLS', '200'))
        self.submit('From: bob@example.org\r\nX-Number: %d\r\n\r\na\r\n' % i
                    for i in range(count // 2))
        for n in range(4):
            for pid in self.server.workers('accountd'):
                try:
                    os.kill(pid, 9)
                except ProcessLookupError:
                    pass
            self.submit('From: bob@example.org\r\nX-Number: %d\r\n\r\na\r\n' % i
                        for i in range(count // 2 + n * count // 8,
                                       count // 2 + (n + 1) * count // 8))
        texts = self.received(count, 120)
        time.sleep(2)
        keys = self.keys()
        numbers = []
        for text in (unstuffed(m) for m in self.mx.messages):
            self.assertEqual(verify_all(text, keys), 2)
            numbers.append(int(re.search(rb'X-Number: (\d+)', text)[1]))
        self.assertEqual(sorted(numbers), list(range(count)))
        self.assertEqual(len(texts), count)

    def test_deferred_without_accountd(self):
        socket_path = self.server.state / 'run/accountd/queue-runner.sock'
        socket_path.rename(str(socket_path) + '.away')
        for pid in self.server.pids('accountd')[1:]:  # who is connected
            os.kill(pid, 9)
        self.submit(['From: bob@example.org\r\n\r\na\r\n'])
        self.server.wait_log('queue-runner', 'event=defer .*cannot be signed')
        self.assertEqual(self.mx.messages, [])
        self.server.set('dkim.unavailable', 'unsigned')
        text, = self.received(1)
        self.assertNotIn(b'DKIM-Signature', text)
        self.server.wait_log('queue-runner', 'goes unsigned')


class Forwarding(DkimCase):
    settings = {'relay.trusted': ''}

    def prepare(self):
        super().prepare()
        self.server.cli('alias', 'add', 'away@example.org', FAR)

    def forwarded(self, sender):
        seen = len(self.mx.messages)
        text = (b'DKIM-Signature: v=1; foreign\r\nFrom: bob@example.org\r\n'
                b'Subject:  odd \t spaces\r\n\r\n body \t\r\n\r\n\r\n')
        self.submit([text], sender=sender, to='away@example.org')
        got = self.received(seen + 1)[seen]
        self.assertTrue(got.endswith(text), got)
        self.assertNotIn(b'd=example.org', got)
        return re.match('FROM:<([^>]*)>', self.mx.messages[seen]['mail'])[1]

    def rcpt(self, to, sender='<>'):
        with socket.create_connection(
                ('127.0.0.1', self.server.port['smtp']), 20) as s:
            f = s.makefile('rwb')
            f.readline()
            for line in ('HELO x.example', 'MAIL FROM:' + sender,
                         'RCPT TO:<%s>' % to):
                f.write(line.encode() + b'\r\n')
                f.flush()
                answer = f.readline().decode()
            return answer

    def test_return_path(self):
        path = self.forwarded('joe@origin.example')
        self.assertRegex(
            path, r'^SRS0=[a-z2-7]{8}=[a-z2-7]{2}=origin\.example='
            r'joe@example\.org$')
        self.assertEqual(self.forwarded('bob@example.org'), 'bob@example.org')
        self.assertEqual(self.forwarded('<>' and ''), '')
        long = 'bounce+' + 'v' * 50 + '@news.origin.example'
        self.assertIn('news.origin.example=bounce+' + 'v' * 50,
                      self.forwarded(long))

    def test_reports_come_back(self):
        self.dns.zone['origin.example'] = {'MX': ['10 mx.far.example']}
        long = 'bounce+' + 'v' * 50 + '@origin.example'
        for sender in ('joe@origin.example', long):
            path = self.forwarded(sender)
            seen = len(self.mx.messages)
            for form in (path, path.lower().replace('srs0', 'SRS0')):
                self.assertRegex(self.rcpt(form), '^250')
            self.submit(['Subject: failed\r\n\r\nno\r\n'], '', path)
            self.received(seen + 1)
            self.assertEqual(self.mx.messages[seen]['rcpts'],
                             ['TO:<%s>' % sender])
            self.assertEqual(self.mx.messages[seen]['mail'][:7], 'FROM:<>')

    def test_forged_expired_and_misused(self):
        path = self.forwarded('joe@origin.example')
        for other in (path.replace('joe', 'jim'),
                      path.replace('origin', 'victim'),
                      'SRS0=aaaaaaaa=' + path[14:],
                      'SRS0@example.org', 'SRS0=@example.org',
                      'SRS1=aaaaaaaa=far.example==x=y=z@example.org'):
            self.assertRegex(self.rcpt(other), '^550', other)
            self.assertEqual(self.route('<>', other), self.rcpt(other))
        self.assertRegex(self.rcpt(path, '<spam@origin.example>'), '^550')
        self.assertEqual(self.route('spam@origin.example', path),
                         self.rcpt(path, '<spam@origin.example>'))
        self.assertRegex(self.rcpt(path), '^250')
        self.assertEqual(self.route('<>', path), self.rcpt(path))

    def route(self, sender, to):
        """What `check route` says, as a line of the server."""
        return self.server.json('check', 'route', sender, to,
                                '--ip', '127.0.0.1')['reply'] + '\r\n'

    def test_chain(self):
        """What another forwarder rewrote goes back to it."""
        path = self.forwarded('SRS0=XyZ1=AB=first.example=joe@second.example')
        self.assertRegex(path, r'^SRS1=[a-z2-7]{8}=second\.example=='
                         r'XyZ1=AB=first\.example=joe@example\.org$')
        path = self.forwarded(
            'SRS1=QQQQ=second.example==XyZ1=AB=first.example=joe@third.example')
        self.assertIn('=second.example==XyZ1=AB=', path)
        self.dns.zone['second.example'] = {'MX': ['10 mx.far.example']}
        seen = len(self.mx.messages)
        self.submit(['Subject: failed\r\n\r\nno\r\n'], '', path)
        self.received(seen + 1)
        self.assertEqual(
            self.mx.messages[seen]['rcpts'],
            ['TO:<SRS0=XyZ1=AB=first.example=joe@second.example>'])


if __name__ == '__main__':
    unittest.main()
