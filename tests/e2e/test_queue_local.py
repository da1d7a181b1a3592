#!/usr/bin/python3
# timeout: 400
"""Local delivery, reports, loops and control: threats.md group E and more.

QUEUE_REPORTS (3000) and QUEUE_MEMBERS (1000) scale rows E11 and E14, whose
full sizes are 100000 and 50000.
"""

import email
import json
import os
import signal
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), 'lib'))
from fakemx import HANG, Delay, FakeMX  # noqa: E402
from queuelab import (BIN, DELAY, FAILURE, GENERATED, NEVER, RET_FULL,  # noqa: E402
                      RET_HDRS, SLOW, SUCCESS, QueueLab, far_zone)

BOB, EVE = 'bob@example.org', 'eve@example.org'
NOBODY = 'nobody@example.org'
REPORTS = int(os.environ.get('QUEUE_REPORTS', '3000'))
MEMBERS = int(os.environ.get('QUEUE_MEMBERS', '1000'))


def report_parts(text):
    message = email.message_from_string(text)
    assert message.get_content_type() == 'multipart/report', text
    assert message.get_param('report-type') == 'delivery-status'
    assert message['Auto-Submitted'] == 'auto-replied'
    return message.get_payload()


class Delivery(unittest.TestCase):
    def test_G16_one_file_many_links(self):
        with QueueLab(users=[EVE], aliases={'all@example.org': [BOB, EVE]}) as lab:
            lab.submit('a@b.example', ['all@example.org'])
            lab.wait_box(EVE)
            lab.wait_box(BOB)
            names = [next((lab.state / 'mail/example.org' / u / 'new').iterdir())
                     for u in ('bob', 'eve')]
            self.assertEqual(names[0].stat().st_ino, names[1].stat().st_ino)
            self.assertEqual(lab.box(BOB)[0], 'Return-Path: <a@b.example>\n'
                             'Subject: test\n\nhello\n')
            lab.wait_empty()
            for user in (BOB, EVE):
                self.assertRegex(lab.log(), 'event=forward from=a@b.example to=%s '
                                 'orig_to=all@example.org' % user)

    def test_C10_one_copy_per_mailbox(self):
        with QueueLab(users=[EVE], aliases={
                'all@example.org': [BOB, EVE, 'more@example.org'],
                'more@example.org': [BOB, 'all@example.org']}) as lab:
            lab.submit('a@b.example', ['all@example.org', BOB, 'more@example.org'])
            lab.wait_box(EVE)
            lab.wait_empty()
            self.assertEqual((len(lab.box(BOB)), len(lab.box(EVE))), (1, 1))

    def test_large_message_is_linked(self):
        body = 'Subject: large\n\n' + 'x' * 79 + '\n' + ('y' * 79 + '\n') * 5000
        with QueueLab(users=[EVE]) as lab:
            lab.submit('a@b.example', [BOB, EVE], body)
            lab.wait_box(BOB)
            lab.wait_box(EVE)
            self.assertTrue(lab.box(BOB)[0].endswith(body))

    def test_full_mailbox(self):
        body = 'Subject: x\n\n' + 'z' * 70 + '\n' + ('z' * 70 + '\n') * 14
        for policy, pattern in (('reject', 'event=bounce .*5.2.2'), ('defer', 'event=defer .*4.2.2')):
            with self.subTest(policy), QueueLab(settings={'quota.full': policy},
                                                users=[EVE], daemon=True) as lab:
                lab.ask(verb='user set', address=EVE, set={'quota_bytes': '3000'})
                lab.submit('a@b.example', [EVE], body, count=4)
                lab.wait_log(pattern)
                self.assertLess(sum(map(len, lab.box(EVE))), 4500)
                lab.wait(lambda: lab.ask(verb='user show', address=EVE)['user'].get('quota_full'))

    def test_one_warning_when_nearly_full(self):
        with QueueLab(users=[EVE]) as lab:
            lab.ask(verb='user set', address=EVE, set={'quota_messages': '10'})
            lab.submit('a@b.example', [EVE], count=9)
            lab.wait(lambda: any('more than 90 % full' in m for m in lab.box(EVE)))
            lab.wait_empty()
            self.assertEqual(len(lab.box(EVE)), 10)

    def test_H11_parallel_deliveries_to_the_last_byte(self):
        """Never one too many, and what did not fit comes when there is room."""
        with QueueLab(settings={'quota.margin_percent': '0', 'quota.warn_percent': '0'},
                      users=[EVE]) as lab:
            lab.ask(verb='user set', address=EVE, set={'quota_messages': '10'})
            new = lab.state / 'mail/example.org/eve/new'
            threads = [threading.Thread(target=lab.submit, args=(
                '', [EVE]), kwargs={'count': 6}) for _ in range(4)]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
            lab.wait_log('event=defer .*4.2.2', count=14)
            lab.wait(lambda: len(lab.box(EVE)) >= 10)
            taken = 0

            def all_taken():
                nonlocal taken
                names = list(new.iterdir())
                self.assertLessEqual(len(names), 10)
                for path in names[:3]:  # as DELE does, beside deliveries
                    path.unlink()
                    taken += 1
                return taken == 24
            lab.wait(all_taken, 20)
            lab.wait_empty()

    def test_E11_flood_of_reports_for_a_forged_sender(self):
        """They fill one mailbox; nobody waits for them, nobody is told."""
        with QueueLab(settings={'quota.full': 'reject'}, users=[EVE]) as lab:
            lab.ask(verb='user set', address=BOB, set={'quota_messages': '100'})
            flood = threading.Thread(target=lab.submit, args=('', [BOB]),
                                     kwargs={'count': REPORTS,
                                             'writer': 'flood'})
            flood.start()
            letters, alive = [], True
            while alive:
                alive = flood.is_alive()
                start = time.monotonic()
                lab.submit('a@b.example', [EVE])
                lab.wait_box(EVE, len(letters) + 1)
                letters.append(time.monotonic() - start)
            self.assertLess(max(letters), 5 * SLOW)
            lab.wait_empty(60 + REPORTS // 500)
            self.assertLess(len(lab.box(BOB)), 120)
            print('E11: %d reports; %d letters, the longest %.1f s' % (
                REPORTS, len(letters), max(letters)), file=sys.stderr)
            self.assertEqual(lab.box('admin@example.org'), [])

    def test_suspended(self):
        with FakeMX() as mx, QueueLab(settings={'remote.port': mx.port,
                                                'queue.suspended': 'remote'}) as lab:
            lab.submit(BOB, ['x@far.example', BOB])
            lab.wait_box()
            time.sleep(1)
            self.assertEqual(mx.seen, [])
            lab.set('queue.suspended', 'all')
            time.sleep(1.5)
            lab.submit(BOB, [BOB])
            time.sleep(1)
            self.assertEqual(len(lab.box()), 1)
            lab.set('queue.suspended', 'no')
            lab.wait_box(count=2)
            lab.wait(lambda: mx.messages)


class Loops(unittest.TestCase):
    def test_E02_C10_aliases_in_a_circle(self):
        with QueueLab(aliases={'a@example.org': ['b@example.org'],
                               'b@example.org': ['a@example.org']}) as lab:
            lab.submit(BOB, ['a@example.org'])
            report, = lab.wait_box()
            self.assertIn('Status: 5.4.6', report)
            lab.wait_empty()
            self.assertEqual(len(lab.box()), 1)

    def test_E03_delivered_to_ends_forwarding(self):
        with FakeMX() as mx, QueueLab(
                settings={'remote.port': mx.port},
                aliases={'away@example.org': ['x@far.example']}) as lab:
            lab.submit(BOB, ['away@example.org'])
            lab.wait(lambda: mx.messages)
            data = mx.messages[0]['data'].decode()
            self.assertTrue(data.startswith('Delivered-To: away@example.org\r\n'))
            lab.submit(BOB, ['away@example.org'], data.replace('\r\n', '\n'))
            report, = lab.wait_box()
            self.assertIn('Status: 5.4.6', report)
            self.assertEqual(len(mx.messages), 1)


class Reports(unittest.TestCase):
    def test_E10_one_well_formed_report(self):
        with QueueLab() as lab:
            lab.submit(BOB, [NOBODY], envid='my id', original='rfc822;No@Example.org')
            report, = lab.wait_box()
            words, status, original = report_parts(report)
            self.assertIn('no such user here', words.get_payload(decode=True).decode())
            message, recipient = status.get_payload()
            self.assertEqual(message['Original-Envelope-Id'], 'my id')
            self.assertEqual(recipient['Action'], 'failed')
            self.assertEqual(recipient['Status'], '5.1.1')
            self.assertEqual(recipient['Original-Recipient'], 'rfc822;No@Example.org')
            self.assertEqual(original.get_content_type(), 'message/rfc822')
            lab.wait_empty()
            self.assertEqual(len(lab.box()), 1)

    def test_E10_header_only_when_large_or_asked(self):
        large = 'Subject: big\n\n' + ('w' * 70 + '\n') * 1000
        with QueueLab() as lab:
            for i, (body, flags) in enumerate(((large, 0), (large, RET_FULL),
                                               ('Subject: small\n\nsecret\n', RET_HDRS))):
                lab.submit(BOB, [NOBODY], body, flags=flags)
                report = lab.wait_box(count=i + 1)[-1]
                parts = report_parts(report)
                self.assertEqual(parts[2].get_content_type(), 'text/rfc822-headers')
                self.assertNotIn('secret', report)
                self.assertNotIn('wwwwwwwwww', report)

    def test_E07_E08_nobody_is_told_about_the_null_sender(self):
        with QueueLab() as lab:
            lab.submit('', [NOBODY])
            lab.submit('', [NOBODY], flags=GENERATED)
            lab.wait_log('reason=double-bounce', count=2)
            lab.wait_empty()
            self.assertNotIn('event=accept', lab.log())

    def test_E07_copies_to_the_postmaster(self):
        with QueueLab(settings={'dsn.postmaster_copies': 'yes'}) as lab:
            lab.submit('', [NOBODY])
            lab.wait_box('admin@example.org')
            lab.wait_empty()

    def test_E12_sender_byte_exact(self):
        with FakeMX() as mx, QueueLab(far_zone('d.example'), {'remote.port': mx.port}) as lab:
            lab.submit('u+tok=x/y_z@d.example', [NOBODY])
            lab.wait(lambda: mx.messages)
            self.assertIn('TO:<u+tok=x/y_z@d.example>', mx.messages[0]['rcpts'][0])
            self.assertIn('FROM:<>', mx.messages[0]['mail'])

    def test_E15_odd_senders_leave_the_header_whole(self):
        for sender in ('"a (b) <c>\\"d"@d.example', 'l' * 64 + '@d.example',
                       '"=?utf-8?q?x?="@d.example'):
            with self.subTest(sender), FakeMX() as mx, \
                    QueueLab(far_zone('d.example'), {'remote.port': mx.port}) as lab:
                lab.submit(sender, [NOBODY])
                lab.wait(lambda: mx.messages)
                taken, = mx.messages
                self.assertIn('TO:<%s>' % sender, taken['rcpts'][0])
                data = taken['data']
                text = data if isinstance(data, str) else data.decode()
                report = email.message_from_string(text)
                self.assertEqual(report.get_content_type(), 'multipart/report')
                self.assertEqual(len(report.get_all('To')), 1)
                self.assertTrue(all(len(line) < 998 for line in text.split('\n')))

    def test_E13_notify(self):
        with QueueLab() as lab:
            lab.submit(BOB, [NOBODY], notify=NEVER)
            lab.submit(BOB, [NOBODY], notify=DELAY)
            lab.wait_empty()
            self.assertEqual(lab.box(), [])
            lab.submit('admin@example.org', [BOB], notify=SUCCESS)
            report, = lab.wait_box('admin@example.org')
            self.assertEqual(report_parts(report)[1].get_payload()[1]['Action'], 'delivered')
            lab.submit(BOB, [NOBODY], notify=FAILURE)
            self.assertEqual(len(lab.wait_box(count=2)), 2)

    def test_E13_relayed_where_the_peer_does_not_report(self):
        with FakeMX(extensions=()) as mx, QueueLab(settings={'remote.port': mx.port}) as lab:
            lab.submit(BOB, ['x@far.example'], notify=SUCCESS)
            report, = lab.wait_box()
            self.assertEqual(report_parts(report)[1].get_payload()[1]['Action'], 'relayed')

    def test_F22_delay_warning_then_expiry(self):
        settings = {'dsn.delay_after': '2s', 'queue.expire': '5s'}
        with QueueLab({'far.example': {'fault': 'servfail'}}, settings) as lab:
            lab.submit(BOB, ['x@far.example'])
            delayed = lab.wait_box()[0]
            self.assertIn('Action: delayed', delayed)
            self.assertIn('Will-Retry-Until:', delayed)
            self.assertTrue(any('Action: failed' in r
                                for r in lab.wait_box(count=2, timeout=15)))
            lab.wait_empty()
            time.sleep(1)
            self.assertEqual(len(lab.box()), 2)


class Control(unittest.TestCase):
    def test_verbs(self):
        with QueueLab({'far.example': {'fault': 'servfail'}}, {'queue.retry': '1h'}) as lab:
            ids = [lab.submit(s, ['x@far.example'])[0] for s in (BOB, BOB, 'a@example.org', EVE)]
            lab.wait(lambda: [m['state'] for m in lab.queued()] == ['deferred'] * 4)
            shown = lab.control(verb='show', id=ids[0])['message']
            self.assertEqual(shown['recipients'][0]['state'], 'waiting')
            self.assertIn('name servers', shown['recipients'][0]['reply'])
            found = lab.control(verb='list', sender=BOB)['messages']
            self.assertEqual([m['id'] for m in found], sorted(ids[:2]))
            # What was done shows in the next answer.
            self.assertEqual(lab.control(verb='hold', ids=[ids[0]])['done'], 1)
            self.assertEqual(lab.control(verb='show', id=ids[0])['message']['state'], 'held')
            self.assertEqual(lab.control(verb='release', ids=[ids[0]])['done'], 1)
            self.assertEqual(lab.control(verb='delete', sender='a@example.org')['done'], 1)
            self.assertEqual(len(lab.queued()), 3)
            self.assertEqual(lab.control(verb='bounce', destination='far.example',
                                         sender=EVE)['done'], 1)
            lab.wait(lambda: len(lab.queued()) == 2)
            lab.dns.zone.update({'far.example': {'MX': ['0 .']}})
            self.assertEqual(lab.control(verb='retry', all=True)['done'], 2)
            lab.wait_box(count=2)
            lab.wait_empty()
            self.assertIn('event=delete verb=delete actor="uid', lab.log())

    def test_commands(self):
        """Each act by itself, and on all, where some are in no state for it."""
        def queue(*args, code=0):
            p = subprocess.run([BIN / 'mailstead', '--state', lab.state, 'queue', *args],
                               capture_output=True, text=True, timeout=60)
            self.assertEqual(p.returncode, code, p.stderr)
            return p.stderr if code else p.stdout

        def states():
            return [m['state'] for m in json.loads(queue('list', '--json'))]

        with QueueLab({'far.example': {'fault': 'servfail'}}, {'queue.retry': '1h'}) as lab:
            ids = sorted(lab.submit(BOB, ['x@far.example'])[0] for _ in range(3))
            lab.wait(lambda: states() == ['deferred'] * 3)
            self.assertEqual(queue('hold', '--all'), 'hold: 3 messages\n')
            self.assertEqual(states(), ['held'] * 3)
            self.assertEqual(queue('retry', '--all'), 'retry: 0 messages\n')
            self.assertEqual(queue('retry', ids[0], code=1),
                             f'mailstead: {ids[0]}: not waiting\n')
            self.assertEqual(queue('delete', ids[1]), 'delete: 1 message\n')
            self.assertEqual(states(), ['held'] * 2)
            self.assertEqual(queue('release', ids[0]), 'release: 1 message\n')
            lab.wait(lambda: states() == ['deferred', 'held'])
            self.assertNotIn('held because', queue('show', ids[0]))
            self.assertEqual(lab.control(verb='hold', ids=[ids[0]],
                                         reason='looks odd')['done'], 1)
            lab.wait(lambda: states() == ['held', 'held'])
            self.assertIn('held because looks odd\n', queue('show', ids[0]))
            self.assertEqual(json.loads(queue('list', '--json'))[0]['hold_reason'],
                             'looks odd')
            self.assertEqual(queue('release', ids[0]), 'release: 1 message\n')
            lab.wait(lambda: states() == ['deferred', 'held'])
            self.assertNotIn('hold_reason', json.loads(queue('list', '--json'))[0])
            self.assertEqual(queue('release', '--sender', BOB), 'release: 1 message\n')
            self.assertEqual(queue('release', '--all'), 'release: 0 messages\n')
            self.assertEqual(queue('release', ids[1], 'bogus', code=1).splitlines(),
                             [f'mailstead: {i}: no such message in the queue'
                              for i in (ids[1], 'bogus')])
            self.assertIn('no such message', queue('show', 'bogus', code=1))
            lab.wait(lambda: states() == ['deferred'] * 2)
            # one started for a command delivers nothing
            lab.stop()
            lab.submit('a@b.example', [BOB])
            for _ in range(3):
                self.assertEqual(states(), ['deferred'] * 2 + ['active'])
            self.assertEqual(lab.box(), [])
            lab.start()
            lab.wait_box()

    def test_wrong_requests(self):
        with QueueLab() as lab:
            for request in ({}, {'verb': 'list', 'session': 'x'}, {'verb': 'fly'},
                            {'verb': 'delete'}, {'verb': 'delete', 'ids': 'x'},
                            {'verb': 'show', 'id': '../../etc/passwd'},
                            {'verb': 'show', 'id': '0' * 26}):
                self.assertFalse(lab.control(**request)['ok'], request)
            answer = lab.control(verb='delete', ids=['0' * 26])
            self.assertEqual((answer['done'], len(answer['failed'])), (0, 1))
            worker = lab.worker()
            for packet in (b'{"a":' * 1500 + b'1' + b'}' * 1500, b'[' * 65536,
                           b'[]', b'"list"', b'{"verb":1}', b'\xff'):
                self.assertFalse(lab.control_packet(packet)['ok'], packet[:9])
            self.assertEqual(lab.worker(), worker)

    def test_pages(self):
        with QueueLab({'far.example': {'fault': 'servfail'}}, {'queue.retry': '1h'}) as lab:
            lab.submit(BOB, ['x@far.example'], count=150)
            lab.wait(lambda: lab.control(verb='statistics')['deferred'] == 150)
            seen, after = [], {}
            while True:
                page = lab.control(verb='list', limit=40, **after)
                seen += [m['id'] for m in page['messages']]
                if 'next' not in page:
                    break
                after = {'after': page['next']}
            self.assertEqual(len(set(seen)), 150)
            self.assertEqual(lab.control(verb='delete', all=True)['done'], 150)
            lab.wait_empty()


class Killed(unittest.TestCase):
    def test_kill_the_worker_under_load(self):
        """Nothing is lost and nothing local delivered twice (G2)."""
        with FakeMX() as mx, QueueLab(settings={'remote.port': mx.port}, users=[EVE]) as lab:
            ids = []
            for _ in range(8):
                ids += lab.submit('a@b.example', [BOB, EVE], count=150)
                ids += lab.submit('a@b.example', ['x@far.example'], count=20)
                os.kill(lab.worker(), signal.SIGKILL)
                lab.wait(lambda: self.has_worker(lab))
            lab.wait(lambda: len(lab.box(EVE)) >= 1200 and len(lab.box(BOB)) >= 1200, 30)
            lab.wait(lambda: len(mx.messages) >= 160, 30)
            lab.wait_empty(20)
            self.assertEqual((len(lab.box(BOB)), len(lab.box(EVE))), (1200, 1200))
            self.assertLess(len(mx.messages), 160 + 8 * 20)

    def test_E14_list_with_a_failing_exchanger(self):
        """It delays no other member, and a crash in the middle repeats
        nobody who was served before it."""
        names = ['d%d.example' % i for i in range(20)]
        members = ['m%d@%s' % (i, n) for n in names
                   for i in range(MEMBERS // len(names))]
        with FakeMX(replies={'DOT': Delay(0.1, '250 ok')}) as mx, \
                FakeMX(port=mx.port, host='127.0.0.2',
                       replies={'BANNER': HANG}), \
                QueueLab({**far_zone('bad.example', ip='127.0.0.2'),
                          **far_zone(*names)},
                         {'remote.port': mx.port, 'remote.threads': '4'}) as lab:
            start = time.monotonic()
            lab.submit(BOB, ['x@bad.example', *members])
            lab.wait(lambda: len(mx.messages) >= 10)
            # what is on its way just now may come again
            before = [r for m in mx.messages[:-6] for r in m['rcpts']]
            os.kill(lab.worker(), signal.SIGKILL)

            def served():
                return [r for m in list(mx.messages) for r in m['rcpts']]
            most = 20 + MEMBERS // 500
            lab.wait(lambda: len(set(served())) == len(members), 10 + most)
            took = time.monotonic() - start
            self.assertLess(took, most * SLOW)
            for one in before:
                self.assertEqual(served().count(one), 1, one)
            self.assertLess(len(served()), len(members) + 6 * 50)
            print('E14: %d members in %.1f s, %d of them twice' % (
                len(members), took, len(served()) - len(members)),
                file=sys.stderr)
            lab.wait(lambda: [r['address'] for r in lab.queued()[0]['recipients']
                              if r['state'] == 'waiting'] == ['x@bad.example'])

    @staticmethod
    def has_worker(lab):
        try:
            return lab.worker() and lab.control(verb='statistics')['ok']
        except (OSError, IndexError, ValueError):  # it died meanwhile
            return False


if __name__ == '__main__':
    unittest.main()
