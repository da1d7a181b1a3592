#!/usr/bin/python3
# timeout: 600
"""Remote delivery against exchangers that misbehave: threats.md group F."""

import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), 'lib'))
from fakemx import DROP, HANG, Delay, Drip, Endless, FakeMX, Reset  # noqa: E402
from lib.exim import Exim  # noqa: E402
from lib.postfix import Postfix  # noqa: E402
from queuelab import (EIGHT_BIT, SLOW, SMTPUTF8, SUCCESS,  # noqa: E402
                      QueueLab, far_zone)

FAR = 'x@far.example'
BOB = 'bob@example.org'


def lab_for(mx, zone=None, **settings):
    values = {'remote.port': mx.port}
    values.update({k.replace('__', '.'): v for k, v in settings.items()})
    return QueueLab(zone, values)


class Sending(unittest.TestCase):
    def test_text_on_the_wire(self):
        """LF becomes CRLF, dots double, no stray CR or LF goes out."""
        with FakeMX() as mx, lab_for(mx) as lab:
            lab.submit('bob@example.org', [FAR],
                       'Subject: x\n\n.\n..a\nb\rc\r\nlast line')
            lab.wait(lambda: mx.messages)
            self.assertEqual(
                mx.messages[0]['data'],
                b'Subject: x\r\n\r\n..\r\n...a\r\nb c\r\nlast line\r\n.\r\n')

    def test_large_body(self):
        body = 'Subject: x\n\n' + ('.%s\n' % ('y' * 70)) * 20000
        with FakeMX() as mx, lab_for(mx) as lab:
            lab.submit('bob@example.org', [FAR], body)
            lab.wait(lambda: mx.messages)
            self.assertEqual(
                mx.messages[0]['data'],
                body.replace('\n', '\r\n').replace('\r\n.', '\r\n..').encode() + b'.\r\n')

    def test_several_recipients_one_transaction(self):
        with FakeMX() as mx, lab_for(mx) as lab:
            lab.submit('bob@example.org', ['u%d@far.example' % i for i in range(30)])
            lab.wait(lambda: mx.messages)
            self.assertEqual(len(mx.messages[0]['rcpts']), 30)

    def test_connection_is_reused(self):
        with FakeMX() as mx, lab_for(mx, remote__per_destination='1') as lab:
            for _ in range(5):
                lab.submit('bob@example.org', [FAR])
            lab.wait(lambda: len(mx.messages) == 5)
            self.assertEqual(mx.connections, 1)

    def test_reused_connection_closed_by_the_peer(self):
        """A connection the peer closed while idle costs no attempt."""
        with FakeMX(replies={'DOT': Reset('250 2.0.0 ok')}) as mx, \
                lab_for(mx) as lab:
            for i in range(3):
                lab.submit('bob@example.org', [FAR])
                lab.wait(lambda i=i: len(mx.seen) == i + 1)
                lab.wait_log('event=sent', count=i + 1)
            self.assertNotIn('event=defer', lab.log())

    def test_without_pipelining_and_esmtp(self):
        with FakeMX(extensions=()) as mx, lab_for(mx) as lab:
            lab.submit('bob@example.org', [FAR, 'y@far.example'])
            lab.wait(lambda: mx.messages)
            self.assertEqual(mx.messages[0]['mail'], 'FROM:<bob@example.org>')
        with FakeMX(replies={'EHLO': '502 5.5.1 no'}) as mx, lab_for(mx) as lab:
            lab.submit('bob@example.org', [FAR])
            lab.wait(lambda: mx.messages)
            self.assertEqual(mx.messages[0]['helo'], 'mail.example.org')

    def test_delivery_status_parameters_are_passed_on(self):
        with FakeMX() as mx, lab_for(mx) as lab:
            lab.submit('bob@example.org', [FAR], envid='a b+c', notify=SUCCESS,
                       original='rfc822;x+y@far.example', flags=4)
            lab.wait(lambda: mx.messages)
            self.assertIn(' RET=HDRS ENVID=a+20b+2Bc', mx.messages[0]['mail'])
            self.assertEqual(
                mx.messages[0]['rcpts'][0], 'TO:<x@far.example> NOTIFY=SUCCESS '
                'ORCPT=rfc822;x+2By@far.example')
            lab.wait_empty()
            self.assertEqual(lab.box(), [])  # the peer reports success itself


class Outcomes(unittest.TestCase):
    def test_F12_permanent_at_each_step(self):
        with FakeMX() as mx, lab_for(mx) as lab:
            for i, step in enumerate(('MAIL', 'RCPT', 'DATA', 'DOT')):
                with self.subTest(step):
                    mx.script({step: '554 5.7.1 go away'})
                    message, = lab.submit('bob@example.org', [FAR])
                    report = lab.wait_box(count=i + 1)[-1]
                    self.assertIn('554 5.7.1 go away', report)
                    self.assertIn('Status: 5.7.1', report)
                    lab.wait_gone(message)

    def survives(self, lab, mx, replies, drop_after=None):
        """One message is put off under this script and arrives after it."""
        mx.script(replies, drop_after)
        message, = lab.submit('bob@example.org', [FAR])
        lab.wait_log('%s event=defer' % message)
        mx.replies, mx.drop_after = {}, None
        lab.wait_gone(message)
        self.assertEqual(len(mx.messages), 1)
        self.assertEqual(lab.box(), [])

    GOOD = {'BANNER': '220 ok', 'DATA': '354 go'}

    def test_F12_temporary_at_each_step(self):
        with FakeMX() as mx, lab_for(mx) as lab:
            for step in ('BANNER', 'EHLO', 'MAIL', 'RCPT', 'DATA', 'DOT'):
                script = {step: ['451 4.7.1 later', self.GOOD.get(step, '250 ok')]}
                with self.subTest(step):
                    self.survives(lab, mx, script)
                    self.assertIn('reply="451 4.7.1 later"', lab.log())

    def test_F12_junk_at_each_step_is_no_bounce(self):
        junk = ('250', b'\r\n', b'\x00\x01\x02\xff\r\n', 'hello', '999 x', '25 x',
                '250-a\r\n251 b', '354 what', '199 x', b'2' * 9000 + b'\r\n',
                '250\tx', 'HTTP/1.1 400 Bad Request')
        with FakeMX() as mx, lab_for(mx) as lab:
            for step in ('BANNER', 'MAIL', 'DATA'):
                for reply in junk:
                    if (step, reply) in (('MAIL', '250'), ('DATA', '354 what')):
                        continue
                    with self.subTest(step=step, reply=reply):
                        self.survives(lab, mx, {step: reply})

    def test_F13_421_at_each_step(self):
        with FakeMX() as mx, lab_for(mx) as lab:
            for step in ('EHLO', 'MAIL', 'RCPT', 'DATA', 'DOT'):
                good = self.GOOD.get(step, '250 ok')
                with self.subTest(step):
                    self.survives(lab, mx, {step: [Reset('421 4.3.2 closing'), good]})

    def test_F14_every_recipient_its_own_fate(self):
        fates = {'a': ['250 ok'], 'b': ['450 4.2.0 later', '250 ok'],
                 'c': ['550 5.1.1 nobody']}

        def rcpt(arg):
            replies = fates[arg[4]]
            return replies.pop(0) if len(replies) > 1 else replies[0]
        with FakeMX(replies={'RCPT': rcpt}) as mx, lab_for(mx) as lab:
            lab.submit('bob@example.org', ['a@far.example', 'b@far.example', 'c@far.example'])
            lab.wait(lambda: len(mx.messages) == 2)
            lab.wait_empty()
            self.assertEqual([[r[4] for r in m['rcpts']] for m in mx.messages],
                             [['a'], ['b']])
            report, = lab.wait_box()
            self.assertIn('c@far.example', report)
            self.assertNotIn('b@far.example', report)

    def test_F14_too_many_recipients_goes_on_at_once(self):
        seen, late = [], []

        def rcpt(arg):
            if '<late@' in arg:
                late.append(arg)
                return '451 4.3.0 later'
            seen.append(arg)
            return '250 ok' if len(seen) % 3 else '452 4.5.3 too many'
        with FakeMX(replies={'RCPT': rcpt}) as mx, lab_for(mx, queue__retry='1h') as lab:
            lab.submit('bob@example.org', ['late@far.example'] +
                       ['u%d@far.example' % i for i in range(6)])
            lab.wait(lambda: sum(len(m['rcpts']) for m in mx.messages) == 6)
            lab.wait(lambda: lab.control(verb='statistics')['deferred'])
            self.assertEqual(len(late), 1)  # it waits for its own time

    def test_F15_drop_at_every_byte(self):
        """Each connection is cut one byte later; the mail arrives in the end."""
        names = ['m%d.far.example' % i for i in range(5)]
        zone = {n: {'A': ['127.0.0.1']} for n in names}
        zone['far.example'] = {'MX': ['10 ' + n for n in names]}
        cuts = iter(range(100000))
        with FakeMX(drop_after=lambda: next(cuts)) as mx, lab_for(mx, zone) as lab:
            message, = lab.submit('bob@example.org', [FAR])
            lab.wait_gone(message, 120)
            self.assertGreater(next(cuts), 100)
            self.assertGreater(len(mx.messages), 0)
            self.assertEqual({m['data'] for m in mx.seen}, {mx.messages[0]['data']})
            self.assertEqual(lab.box(), [])

    def test_F15_lost_after_the_dot_is_said(self):
        with FakeMX(replies={'DOT': [DROP, '250 ok']}) as mx, lab_for(mx) as lab:
            lab.submit('bob@example.org', [FAR])
            lab.wait(lambda: mx.messages)
            lab.wait_log('event=defer .*twice=possible')
            self.assertEqual(mx.seen[0]['data'], mx.seen[1]['data'])

    def test_F15_lost_after_250(self):
        with FakeMX(replies={'DOT': Reset('250 ok')}) as mx, lab_for(mx) as lab:
            lab.submit('bob@example.org', [FAR])
            lab.wait_log('event=sent')
            lab.wait_empty()
            time.sleep(1.5)
            self.assertEqual(len(mx.seen), 1)

    def test_F16_no_answer_to_the_dot(self):
        with FakeMX(replies={'DOT': [HANG, '250 ok']}) as mx, lab_for(mx) as lab:
            lab.submit('bob@example.org', [FAR])
            lab.wait_log('event=defer .*no answer to the end of the message')
            lab.wait(lambda: mx.messages)

    def test_F11_slow_endless_and_silent_servers(self):
        with FakeMX() as mx, lab_for(mx) as lab:
            for reply in (HANG, Drip(0.5, '220 mx.test ESMTP slow'), Endless(b'220-x\r\n'),
                          Endless(b'2'), Endless(b'\x00')):
                with self.subTest(reply):
                    start = time.monotonic()
                    self.survives(lab, mx, {'BANNER': [reply, '220 ok']})
                    self.assertLess(time.monotonic() - start, 8 * SLOW)

    def test_F18_what_the_peer_lacks(self):
        cases = (({'extensions': ('SIZE 100',)}, 0, 'y' * 200, '5.3.4'),
                 ({'extensions': ('SMTPUTF8',)}, EIGHT_BIT, 'gr\u00fc\u00df', '5.6.3'),
                 ({'extensions': ('8BITMIME',)}, SMTPUTF8 | EIGHT_BIT, '\u00fc', '5.6.7'))
        for options, flags, text, status in cases:
            with self.subTest(status), FakeMX(**options) as mx, lab_for(mx) as lab:
                lab.submit('bob@example.org', [FAR], 'Subject: x\n\n%s\n' % text, flags=flags)
                report, = lab.wait_box()
                self.assertIn('Status: ' + status, report)
                self.assertEqual(mx.seen, [])

    def test_F18_eight_bit_as_is(self):
        with FakeMX(extensions=()) as mx, lab_for(mx, remote__8bit='as-is') as lab:
            lab.submit('bob@example.org', [FAR], 'Subject: x\n\n\u00fc\n', flags=EIGHT_BIT)
            lab.wait(lambda: mx.messages)
            self.assertIn('\u00fc'.encode(), mx.messages[0]['data'])

    def test_F19_terminal_escapes(self):
        with FakeMX(replies={'RCPT': b'550 5.1.1 \x1b[2J<script>\x00\xff\r\n'}) as mx, \
                lab_for(mx) as lab:
            lab.submit('bob@example.org', [FAR])
            report, = lab.wait_box()
            for text in (report, lab.log()):
                self.assertNotIn('\x1b', text)
                self.assertNotIn('\x00', text)

    def test_F21_greylisting(self):
        with FakeMX(replies={'RCPT': ['451 4.7.1 greylisted'] * 2 + ['250 ok']}) as mx, \
                lab_for(mx) as lab:
            lab.submit('bob@example.org', [FAR])
            lab.wait(lambda: mx.messages)
            self.assertEqual(len(mx.messages), 1)


class Destinations(unittest.TestCase):
    def one(self, zone, status, temporary=False, domain='far.example', **settings):
        with FakeMX() as mx, lab_for(mx, zone, **settings) as lab:
            lab.submit('bob@example.org', ['x@' + domain])
            if temporary:
                lab.wait_log('event=defer .*status=' + status)
                self.assertEqual(lab.box(), [])
            else:
                report, = lab.wait_box()
                self.assertIn('Status: ' + status, report)
            self.assertEqual(mx.seen, [])

    def test_F01_servfail_and_refused_defer(self):
        for fault in ('servfail', 'refused', 'truncate_only'):
            with self.subTest(fault):
                self.one({'far.example': {'fault': {'MX': fault}, 'A': ['127.0.0.1']}},
                         '4.4.3', True)

    def test_F02_no_such_domain(self):
        self.one({}, '5.1.2')

    def test_F03_address_instead_of_mx(self):
        with FakeMX() as mx, lab_for(mx, {'far.example': {'A': ['127.0.0.1']}}) as lab:
            lab.submit('bob@example.org', [FAR])
            lab.wait(lambda: mx.messages)
        self.one({'far.example': {'fault': {'A': 'servfail', 'AAAA': 'servfail'}}},
                 '4.4.3', True)
        self.one({'far.example': {'TXT': ['"x"']}}, '5.4.4')

    def test_F06_exchanger_behind_a_chain_of_names(self):
        chain = {'c%d.example' % i: {'CNAME': ['c%d.example' % (i + 1)]}
                 for i in range(3)}
        with FakeMX() as mx, lab_for(mx, {
                'far.example': {'MX': ['10 c0.example']}, **chain,
                'c3.example': {'A': ['127.0.0.1']}}) as lab:
            lab.submit(BOB, [FAR])
            lab.wait(lambda: mx.messages)

    def test_F04_null_mx(self):
        self.one({'far.example': {'MX': ['0 .'], 'A': ['127.0.0.1']}}, '5.1.10')

    def test_F05_never_to_ourselves_or_loopback(self):
        self.one({'far.example': {'MX': ['10 mail.example.org']},
                  'mail.example.org': {'A': ['127.0.0.1']}}, '5.4.6')
        for address in ('127.0.0.1', '0.0.0.0', '224.0.0.1', '127.9.9.9'):
            with self.subTest(address):
                self.one(far_zone('far.example', ip=address), '5.4.6',
                         remote__allow_loopback='no')
        self.one(far_zone('far.example', ip='192.0.2.77'), '5.4.6',
                 nat__addresses='192.0.2.77')

    def test_F05_own_host_at_worse_preference(self):
        """Only what is better than ourselves is tried."""
        with FakeMX() as mx, lab_for(mx, {
                'far.example': {'MX': ['10 a.far.example', '20 mail.example.org',
                                       '30 c.far.example']},
                'a.far.example': {'A': ['127.0.0.1']},
                'mail.example.org': {'A': ['127.0.0.1']},
                'c.far.example': {'A': ['127.0.0.3']}}) as lab:
            lab.submit('bob@example.org', [FAR])
            lab.wait(lambda: mx.messages)
            self.assertNotIn(('c.far.example', 'A', 'udp'), list(lab.dns.queries))

    def test_next_exchanger_is_tried(self):
        """A dead and a refusing host cost nothing but the connection."""
        with FakeMX(host='127.0.0.1') as mx, \
                FakeMX(host='127.0.0.2', port=mx.port, replies={'BANNER': '554 no'}), \
                lab_for(mx, {
                    'far.example': {'MX': ['5 dead.far.example', '10 no.far.example',
                                           '20 good.far.example']},
                    'dead.far.example': {'A': ['127.0.0.9']},
                    'no.far.example': {'A': ['127.0.0.2']},
                    'good.far.example': {'A': ['127.0.0.1']}}) as lab:
            lab.submit('bob@example.org', [FAR])
            lab.wait(lambda: mx.messages)
            self.assertNotIn('event=defer', lab.log())

    def test_F07_many_exchangers_few_attempts(self):
        names = ['m%03d.far.example' % i for i in range(100)]
        zone = {n: {'A': ['127.0.1.%d' % (i + 1)]} for i, n in enumerate(names)}
        zone['far.example'] = {'MX': ['10 ' + n for n in names]}
        with FakeMX() as mx, lab_for(mx, zone) as lab:
            lab.submit('bob@example.org', [FAR])
            lab.wait_log('event=defer')
            self.assertLessEqual(lab.log().split('event=defer')[0].count('event=attempt'), 5)

    def test_address_literal(self):
        with FakeMX() as mx, lab_for(mx) as lab:
            lab.submit('bob@example.org', ['x@[127.0.0.1]'])
            lab.wait(lambda: mx.messages)

    def test_F10_resolver_comes_back(self):
        with FakeMX() as mx, lab_for(mx, {'far.example': {'fault': 'servfail'}}) as lab:
            lab.submit('bob@example.org', [FAR])
            lab.wait_log('event=defer')
            lab.dns.zone.update(far_zone('far.example'))
            lab.wait(lambda: mx.messages)
            self.assertEqual(lab.box(), [])


class Stopping(unittest.TestCase):
    """Whatever hosts are silent, the runner stops in time and by itself."""

    def stop(self, lab):
        began = time.monotonic()
        self.assertEqual(lab.stop(), 0)
        self.assertNotIn('were killed', lab.log())
        return time.monotonic() - began

    def test_silent_hosts_do_not_keep_it(self):
        with socket.socket() as full, FakeMX(replies={'BANNER': HANG}) as mx:
            # a listener that takes no connection, as a black hole
            full.bind(('127.0.0.9', mx.port))
            full.listen(0)
            with socket.create_connection(full.getsockname()), QueueLab(
                    {**far_zone('mute.example'),
                     **far_zone('hole.example', ip='127.0.0.9')},
                    settings={'remote.port': mx.port, 'remote.timeout': '60s',
                              'remote.connect_timeout': '60s'}) as lab:
                ids = lab.submit(BOB, ['x@hole.example', 'x@mute.example'])
                lab.wait(lambda: mx.connections)
                self.assertLess(self.stop(lab), 2 * SLOW)
                self.assertEqual(lab.log().count('event=defer'), 0)
                lab.start()
                shown = lab.control(verb='show', id=ids[0])['message']
                self.assertEqual(shown['attempts'], 0)

    def test_answer_to_a_whole_message_is_waited_for(self):
        with FakeMX(replies={'DOT': Delay(3, '250 ok')}) as mx, \
                QueueLab(settings={'remote.port': mx.port,
                                   'remote.timeout': '60s'}) as lab:
            lab.submit(BOB, ['x@far.example'])
            lab.wait(lambda: mx.messages)
            self.assertLess(self.stop(lab), 5 * SLOW)
            self.assertIn('event=sent', lab.log())


class SmartHost(unittest.TestCase):
    def test_always_and_by_sender_domain(self):
        with FakeMX() as mx, lab_for(mx, {}, smarthost__mode='always',
                                     smarthost__host='[127.0.0.1]:%d/none' % mx.port) as lab:
            lab.submit('bob@example.org', ['x@nowhere.example'])
            lab.wait(lambda: mx.messages)
        with FakeMX() as mx, FakeMX() as other, \
                lab_for(mx, smarthost__mode='listed',
                        smarthost__senders='s.example=[127.0.0.1]:%d/none' % other.port) as lab:
            lab.submit('a@s.example', [FAR])
            lab.submit('a@t.example', [FAR])
            lab.wait(lambda: mx.messages and other.messages)
            self.assertIn('a@s.example', other.messages[0]['mail'])

    def test_fallback_after_failed_attempts(self):
        with FakeMX() as mx, FakeMX() as smart, \
                lab_for(mx, {'far.example': {'fault': 'servfail'}}, smarthost__mode='fallback',
                        smarthost__fallback_after='2',
                        smarthost__host='[127.0.0.1]:%d/none' % smart.port) as lab:
            lab.submit('bob@example.org', [FAR])
            lab.wait(lambda: smart.messages)
            self.assertGreaterEqual(lab.log().count('event=defer'), 2)

    def test_limits_of_its_own(self):
        with FakeMX(replies={'DOT': Delay(0.2, '250 2.0.0 ok')}) as mx, \
                lab_for(mx, {}, smarthost__mode='always', smarthost__host='[127.0.0.1]:%d'
                        '/none/connections=1/rate=240' % mx.port) as lab:
            start = time.monotonic()
            for n in range(14):
                lab.submit('bob@example.org', ['x%d@nowhere.example' % n])
            lab.wait(lambda: len(mx.messages) == 14, 20)
            # four a second after the first four
            self.assertGreater(time.monotonic() - start, 2.2)
            self.assertEqual(mx.connections, 1)

    def test_a_full_lane_hurries_nobody_else(self):
        """What has no room is tried again soon, the rest by queue.retry."""
        with FakeMX(replies={'RCPT': '451 4.3.0 later'}) as mx, FakeMX() as smart, \
                lab_for(mx, smarthost__mode='listed', smarthost__domains='full.example',
                        queue__retry='1h', smarthost__host='[127.0.0.1]:%d/none/'
                        'connections=1/rate=1' % smart.port) as lab:
            for n in range(3):
                lab.submit('bob@example.org', ['x%d@full.example' % n])
            lab.wait(lambda: lab.control(verb='statistics')['remote_waiting'])
            message, = lab.submit('bob@example.org', ['x@full.example', FAR])
            lab.wait_log('event=defer .*' + FAR)
            released = lab.wait(lambda: lab.control(
                verb='show', id=message)['message']['state'] == 'deferred')
            time.sleep(5)
            self.assertEqual(lab.log().count('to=' + FAR), 1, released)

    def test_not_set_holds_the_mail(self):
        with FakeMX() as mx, lab_for(mx, smarthost__mode='always') as lab:
            lab.submit('bob@example.org', [FAR])
            lab.wait_log('event=defer .*smart host')
            self.assertEqual(mx.seen, [])

    def test_sign_in(self):
        for words in ('PLAIN', 'LOGIN'):
            with self.subTest(words), FakeMX(extensions=('AUTH ' + words,)) as mx, \
                    QueueLab({}, {'smarthost.mode': 'always',
                                  'smarthost.host': '[127.0.0.1]:%d/none/isp' % mx.port},
                             daemon=True) as lab:
                lab.ask(verb='credential set', name='isp', user='joe', password='sesame open')
                lab.submit('bob@example.org', ['x@nowhere.example'])
                lab.wait(lambda: mx.messages)
                self.assertEqual(mx.messages[0]['auth'], [b'joe', b'sesame open'])
                self.assertNotIn('sesame', lab.log())


def make_certificate(cert, key):
    """Both may be one file."""
    with tempfile.TemporaryDirectory() as top:
        names = [os.path.join(top, n) for n in ('c', 'k')]
        subprocess.run(
            ['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt',
             'ec_paramgen_curve:P-256', '-nodes', '-keyout', names[1], '-out',
             names[0], '-subj', '/CN=mx.far.example', '-days', '30', '-addext',
             'subjectAltName=DNS:mx.far.example'], check=True, capture_output=True)
        for name, to in zip(names, (cert, key)):
            with open(name, 'rb') as f, open(to, 'ab') as out:
                out.write(f.read())


class Encryption(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.top = tempfile.TemporaryDirectory()
        cls.cert, cls.key = (os.path.join(cls.top.name, n) for n in ('c.pem', 'k.pem'))
        make_certificate(cls.cert, cls.key)

    @classmethod
    def tearDownClass(cls):
        cls.top.cleanup()

    def tls(self):
        from fakemx import make_tls
        return make_tls(self.cert, self.key)

    def test_F17_opportunistic(self):
        with FakeMX(tls=self.tls()) as mx, lab_for(mx) as lab:
            lab.submit('bob@example.org', [FAR])
            lab.wait(lambda: mx.messages)
            self.assertTrue(mx.messages[0]['tls'])

    def test_F17_D02_opportunistic_falls_back(self):
        for reply in ('454 4.7.0 no', Reset('220 go'), '220 go\r\nnot tls at all'):
            with self.subTest(reply), \
                    FakeMX(tls=self.tls(), replies={'STARTTLS': reply}) as mx, \
                    lab_for(mx) as lab:
                lab.submit('bob@example.org', [FAR])
                lab.wait(lambda: mx.messages)
                self.assertFalse(mx.messages[0]['tls'])

    def test_F17_required(self):
        with FakeMX() as mx, lab_for(mx, remote__tls='encrypt') as lab:
            lab.submit('bob@example.org', [FAR])
            lab.wait_log('event=defer .*TLS is required')
            self.assertEqual(mx.seen, [])

    def test_F17_verified(self):
        with FakeMX(tls=self.tls()) as mx, \
                lab_for(mx, remote__tls_policy='far.example=verify') as lab:
            lab.submit('bob@example.org', [FAR])
            lab.wait_log('event=defer .*status=4.7.5')
            self.assertEqual(mx.seen, [])
        with FakeMX(tls=self.tls()) as mx, \
                lab_for(mx, remote__tls_policy='far.example=verify',
                        remote__ca_file=self.cert) as lab:
            lab.submit('bob@example.org', [FAR])
            lab.wait(lambda: mx.messages)
            self.assertTrue(mx.messages[0]['tls'])


def texts():
    """With LF, as in the spool; servers treat them differently."""
    yield 'Subject: plain\n\nhello\n'
    yield 'Subject: dots\n\n.\n..\n.x\n\n'
    yield 'Subject: empty\n\n'
    yield 'Subject: eight\n\ngr\u00fc\u00dfe\n'
    yield 'Subject: long\n\n' + 'z' * 990 + '\n'
    yield 'Subject: big\n\n' + 'line of text\n' * 6000


class RealServers(unittest.TestCase):
    """Debian's Postfix and Exim take our mail, and hand it to a scripted MX
    so that it can be looked at."""

    @classmethod
    def setUpClass(cls):
        cls.top = cls.enterClassContext(tempfile.TemporaryDirectory())
        os.chmod(cls.top, 0o755)
        cls.cert = os.path.join(cls.top, 'both.pem')
        make_certificate(cls.cert, cls.cert)
        os.chmod(cls.cert, 0o644)
        cls.later = os.path.join(cls.top, 'access')
        with open(cls.later, 'w') as f:
            f.write('later@far.example 451 4.7.1 not yet\n'
                    'refused@far.example 550 5.1.1 nobody here\n')

    def take(self, peer, mx, sign):
        """`sign` is in its log when there was TLS."""
        with peer, lab_for(peer, remote__tls='none',
                           remote__messages_per_connection='1') as lab:
            for text in texts():
                lab.submit(BOB, [FAR], text, flags=EIGHT_BIT)
            lab.wait(lambda: len(mx.messages) == 6, 30)
            for text in texts():
                wire = re.sub(rb'(?m)^\.', b'..', text.replace(
                    '\n', '\r\n').encode()) + b'.\r\n'
                self.assertEqual(sum(m['data'].endswith(wire)
                                     for m in mx.messages), 1, text[:60])
            self.assertNotRegex(peer.log(), sign)
            self.assertEqual(lab.log().count('event=sent'), 6)
            self.assertNotIn('event=defer', lab.log())

            lab.set('remote.tls', 'encrypt')
            lab.stop()
            lab.start()
            lab.submit(BOB, [FAR], 'Subject: secret\n\nx\n')
            lab.wait(lambda: len(mx.messages) == 7)
            self.assertRegex(peer.log(), sign)

            lab.submit(BOB, ['a@far.example', 'refused@far.example',
                             'b@far.example'])
            report, = lab.wait_box()
            self.assertIn('Status: 5.1.1', report)
            self.assertIn('nobody here', report)
            self.assertNotIn('a@far.example', report)

            def served(*names):
                found = [r for m in mx.messages for r in m['rcpts']]
                return all(sum(name in r for r in found) == 1
                           for name in names)
            lab.wait(lambda: served('<a@', '<b@'))

            lab.submit(BOB, ['later@far.example'])
            lab.wait_log('event=defer .*to=later@.*not yet')
            with open(self.later) as f:
                whole = f.read()
            self.addCleanup(self.rewrite, whole)
            self.rewrite(whole.replace('later', 'other'))
            lab.wait(lambda: served('<later@'), 20)

            message, = lab.submit(BOB, [FAR], 'Subject: x\n\n' + 'y\n' * 60000)
            lab.wait_box(count=2)
            self.assertIn('Status: 5.3.4', lab.box()[1])
            lab.wait_gone(message)
            self.assertEqual(lab.queued(), [])

    def rewrite(self, text):
        with open(self.later + '.new', 'w') as f:
            f.write(text)
        os.rename(self.later + '.new', self.later)

    def test_postfix(self):
        with FakeMX() as mx:
            self.take(Postfix(('127.0.0.1', mx.port), extra=f'''
message_size_limit = 100000
max_use = 1
local_header_rewrite_clients =
smtpd_recipient_restrictions =
  check_recipient_access texthash:{self.later}, permit_mynetworks, reject
smtpd_tls_security_level = may
smtpd_tls_cert_file = {self.cert}
smtpd_tls_key_file = {self.cert}
smtpd_tls_loglevel = 1
'''), mx, r'smtpd.* TLS connection established')

    def test_exim(self):
        found = '${lookup{$local_part@$domain}lsearch{%s}}' % self.later
        with FakeMX() as mx:
            self.take(Exim(('127.0.0.1', mx.port), extra=f'''
message_size_limit = 100000
tls_certificate = {self.cert}
''', rcpt=f'''
  defer condition = ${{if match{{{found}}}{{^4}}}}
    message = not yet
  deny condition = ${{if match{{{found}}}{{^5}}}}
    message = 550 5.1.1 nobody here
'''), mx, r' <= .* X=TLS')


class Memory(unittest.TestCase):
    @unittest.skipIf(os.environ.get('MAILSTEAD_SAN'), 'sanitizers take more')
    def test_ten_thousand_in_flight(self):
        names = ['d%d.example' % i for i in range(50)]
        body = 'Subject: x\n\n' + ('y' * 70 + '\n') * 56
        with FakeMX(replies={'BANNER': HANG}) as mx, \
                lab_for(mx, far_zone(*names), remote__timeout='120s') as lab:
            for name in names:
                lab.submit(BOB, ['x@' + name], body, count=200)

            def known():
                figures = lab.control(verb='statistics')
                return figures['active'] + figures['deferred'] == 10000
            lab.wait(known, 30)
            with open('/proc/%d/status' % lab.worker()) as f:
                kilobytes = int(re.search(r'^VmHWM:\s+(\d+)', f.read(), re.M)[1])
            self.assertLess(kilobytes, 64 << 10)


class Fairness(unittest.TestCase):
    def test_F20_a_slow_domain_delays_nobody(self):
        slow = FakeMX(host='127.0.0.2', replies={'DOT': Delay(0.5, '250 ok')})
        with slow, FakeMX(port=slow.port) as fast:
            zone = {**far_zone('slow.example', ip='127.0.0.2'),
                    **far_zone(*('d%d.example' % i for i in range(20)))}
            with lab_for(slow, zone) as lab:
                lab.submit('bob@example.org', ['x@slow.example'], count=300)
                start = time.monotonic()
                for i in range(20):
                    lab.submit('bob@example.org', ['x@d%d.example' % i])
                lab.wait(lambda: len(fast.messages) == 20)
                self.assertLess(time.monotonic() - start, 5 * SLOW)

    def test_black_holes_leave_the_healthy_their_speed(self):
        """40 of 50 destinations never answer; see also bench/."""
        hole = socket.create_server(('127.0.0.2', 0), backlog=1024)
        port = hole.getsockname()[1]
        with hole, FakeMX(port=port) as mx:
            zone = {**far_zone(*('dead%d.example' % i for i in range(40)), ip='127.0.0.2'),
                    **far_zone(*('well%d.example' % i for i in range(10)))}
            with lab_for(mx, zone, remote__timeout='20s') as lab:
                everybody = ['x@dead%d.example' % i for i in range(40)]
                for _ in range(5):
                    lab.submit('bob@example.org', everybody)
                start = time.monotonic()
                for i in range(10):
                    lab.submit('bob@example.org', ['x@well%d.example' % i], count=20)
                lab.wait(lambda: len(mx.messages) == 200)
                self.assertLess(time.monotonic() - start, 5 * SLOW)


if __name__ == '__main__':
    unittest.main()
