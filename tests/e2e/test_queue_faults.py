"""Accepting, delivering and bouncing while calls fail or processes die:
threats.md groups H and I, over all processes of mtad and queue-runner.

A library preloaded into both (tests/lib/faults.c) counts their calls on the
state directory and lets the k-th one fail, or kills its process before it.
For each k a letter to two mailboxes and one that comes back are sent, and a
reader empties the mailboxes all the time.  What was answered 250 arrives once,
what was refused never, and everything goes on without a restart by hand.

FAULTS_EACH=1: every k; otherwise some of them, spread.
"""

# timeout: 900

import errno
import json
import os
import re
import signal
import smtplib
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), 'lib'))
from fakemx import FakeMX, HANG  # noqa: E402
from lib.faults import (CLOSE, COUNT, FAIL, KILL, NAME, OFF, OPEN,  # noqa: E402
                        SYNC, UNLINK, WRITE, Faults)
from queuelab import BIN, SLOW, QueueLab  # noqa: E402
from server import free_offset  # noqa: E402

BOB, EVE = 'bob@example.org', 'eve@example.org'
EACH = os.environ.get('FAULTS_EACH')
SAMPLE = 8
LARGE = 'x' * 70 + '\n'


class Lab(QueueLab):
    """With mtad, the library in both, and a reader."""

    def __init__(self, mx, settings=None):
        self.mtad = None
        self.offset = free_offset()
        super().__init__(users=[EVE], daemon=True, start=False, settings={
            'remote.port': mx.port, 'relay.mode': 'addresses',
            'relay.trusted': '127.0.0.1', 'server.port_offset': self.offset,
            'server.listen': '127.0.0.1', **(settings or {})})
        self.faults = Faults(self.state)
        self.arm, self.calls = self.faults.arm, self.faults.calls
        self.struck = self.faults.struck
        self.environment = {**os.environ, **self.faults.environment}
        self.stop_reader = False
        self.seen = []  # (user, tag, is a report)
        self.start()
        self.reader = threading.Thread(target=self.read)
        self.reader.start()

    def __exit__(self, *exc):
        self.arm(OFF)
        self.stop_reader = True
        self.reader.join()
        if self.mtad.poll() is None:
            self.mtad.terminate()
        self.mtad.wait(20 * SLOW)
        super().__exit__(*exc)
        self.faults.close()

    def spawn(self, name):
        with open(self.top / 'stderr', 'ab') as stderr:
            return subprocess.Popen([BIN / name, '--state', self.state],
                                    stderr=stderr, env=self.environment)

    def start(self):
        self.process = self.spawn('queue-runner')
        self.wait((self.state / 'run/queue.stat').exists, 20, 'the runner')
        self.mtad = self.spawn('mtad')
        self.wait(self.greets, 20, 'mtad')

    def revive(self):
        """What an init system does when a supervisor died."""
        if self.process is None or self.process.poll() is not None:
            self.process = self.spawn('queue-runner')
        if self.mtad.poll() is not None:
            self.mtad = self.spawn('mtad')

    def greets(self):
        try:
            with smtplib.SMTP('127.0.0.1', 25 + self.offset, timeout=5):
                return True
        except (OSError, smtplib.SMTPException):
            return False

    def read(self):
        boxes = [(u, self.state / 'mail/example.org' / u.split('@')[0] / 'new')
                 for u in (BOB, EVE)]
        while not self.stop_reader:
            for user, box in boxes:
                for path in box.iterdir() if box.is_dir() else ():
                    text = path.read_text()
                    path.unlink()
                    tag = re.search(r'^Subject: (tag-\S+)$', text, re.M)
                    assert text.endswith('the end\n') or 'multipart/report' in text
                    self.seen.append((user, tag and tag[1],
                                      'multipart/report' in text))
            time.sleep(0.005)

    def send(self, tag, to, body=''):
        """True: answered 250, False: refused for now, None: who knows."""
        try:
            with smtplib.SMTP('127.0.0.1', 25 + self.offset, timeout=20) as c:
                c.sendmail(BOB, to, 'Subject: %s\r\n\r\n%sthe end\n' % (tag, body))
                return True
        except smtplib.SMTPResponseException as e:
            assert e.smtp_code < 500 or 'temporar' in str(e.smtp_error), e
            return False if e.smtp_code > 0 else None
        except smtplib.SMTPRecipientsRefused as e:
            assert all(code < 500 for code, _ in e.recipients.values()), e
            return False
        except (OSError, smtplib.SMTPException):
            return None


@unittest.skipIf(os.environ.get('MAILSTEAD_SAN'), 'the library comes first')
class EachCall(unittest.TestCase):
    def setUp(self):
        mx = self.enterContext(FakeMX(replies={'RCPT': '550 5.1.1 no such user'}))
        self.lab = self.enterContext(Lab(mx))
        self.expected, self.forbidden = [], []
        self.slowest = 0

    def until(self, tag, *args):
        """Send until it is accepted; a tag for each attempt."""
        began = time.monotonic()
        for n in range(1000):
            one = '%s-%d' % (tag, n)
            answer = self.lab.send(one, *args)
            if answer:
                return one
            if answer is False:
                self.forbidden.append(one)
            self.lab.revive()
            self.assertLess(time.monotonic() - began, 30 * SLOW,
                            'not accepted: ' + self.lab.log()[-3000:])
            time.sleep(0.02)

    def round(self, name):
        lab = self.lab
        due = []
        tag = self.until(name + '-local', [BOB, EVE])
        due += [(BOB, tag, False), (EVE, tag, False)]
        tag = self.until(name + '-large', [EVE], LARGE * 2000)
        due += [(EVE, tag, False)]
        tag = self.until(name + '-back', ['x@far.example'])
        due += [(BOB, tag, True)]
        self.expected += due
        began = time.monotonic()

        def arrived():
            lab.revive()
            return set(due) <= set(lab.seen)
        lab.wait(arrived, 20, '%r of %r' % (set(due) - set(lab.seen), name))
        self.slowest = max(self.slowest, time.monotonic() - began)

    def each_call(self, mode, error, kinds):
        lab = self.lab
        self.round('tag-warm')
        lab.arm(COUNT, kinds=kinds)
        self.round('tag-count')
        time.sleep(1.2)  # the settled marks, too
        count = lab.calls()
        self.assertGreater(count, 5)
        step = 1 if EACH else max(1, count // SAMPLE)
        struck = 0
        for k in range(1, count + 1, step):
            lab.arm(mode, k, error, kinds)
            self.round('tag-%d' % k)
            struck += lab.struck()
        lab.arm(OFF)
        self.round('tag-last')
        lab.wait(lambda: lab.control(verb='list')['messages'] == [], 30, 'empty')
        for one in self.expected:
            self.assertEqual(lab.seen.count(one), 1, one)
        for _, tag, _ in lab.seen:
            self.assertNotIn(tag, self.forbidden)
            self.assertLessEqual(max(lab.seen.count(s) for s in lab.seen
                                     if s[1] == tag), 1, tag)
        self.assertGreater(struck, count / step / 3)
        print('%s: %d of %d calls, %d struck, slowest %.1f s' % (
            self.id().split('.')[-1], len(range(1, count + 1, step)), count,
            struck, self.slowest), file=sys.stderr)

    def test_I01_to_I06_killed_before_a_call(self):
        self.each_call(KILL, 0, OPEN | WRITE | SYNC | NAME | UNLINK | CLOSE)

    def test_H01_H05_H10_no_space(self):
        self.each_call(FAIL, 28, WRITE | NAME | CLOSE)  # ENOSPC

    def test_H01_quota(self):
        self.each_call(FAIL, 122, WRITE | NAME | CLOSE)  # EDQUOT

    def test_H01_to_H07_input_output_error(self):
        self.each_call(FAIL, 5, OPEN | WRITE | SYNC | NAME | UNLINK | CLOSE)  # EIO

    def test_H04_no_descriptors(self):
        self.each_call(FAIL, 24, OPEN)  # EMFILE

    def no_repeats(self):
        for one in self.expected:
            self.assertEqual(self.lab.seen.count(one), 1, one)
        for _, tag, _ in self.lab.seen:
            self.assertNotIn(tag, self.forbidden)

    def test_H17_no_space_for_the_log(self):
        """Mail flows; how much was not written down is, soon."""
        self.lab.faults.add('write', errno.ENOSPC, '/log/')
        self.round('tag-unseen')
        self.lab.faults.clear()
        for program in ('mtad', 'queue-runner'):
            folder = self.lab.state / 'log' / program
            self.lab.wait(lambda folder=folder: any(
                re.search(r'event=log-lost count=[1-9]', p.read_text())
                for p in folder.glob('*.log')), 10, 'lost lines')
        self.round('tag-seen')
        self.no_repeats()

    def test_H18_spool_read_only_under_traffic(self):
        lab = self.lab
        answers = []
        stop = threading.Event()

        def traffic():
            n = 0
            while not stop.is_set():
                n += 1
                tag = 'tag-%d' % n
                answers.append((tag, lab.send(tag, [BOB, EVE])))
        thread = threading.Thread(target=traffic)
        thread.start()
        try:
            for _ in range(2):
                count = len(answers)
                lab.wait(lambda count=count: True in [
                    a for _, a in answers[count:]], 20, 'mail taken')
                for call in ('create', 'write', 'size', 'sync', 'rename',
                             'link', 'mkdir', 'unlink'):
                    lab.faults.add(call, errno.EROFS, '/spool/')
                count = len(answers) + 1  # one may be half through
                lab.wait(lambda count=count: len(answers) > count + 5)
                self.assertEqual({a for _, a in answers[count:count + 5]},
                                 {False})
                lab.faults.clear()
        finally:
            stop.set()
            thread.join()
        self.round('tag-last')
        self.expected += [(user, tag, False) for tag, answer in answers
                          if answer for user in (BOB, EVE)]
        self.forbidden += [tag for tag, answer in answers if answer is False]
        lab.wait(lambda: set(self.expected) <= set(lab.seen), 20, 'all')
        lab.wait(lambda: lab.control(verb='list')['messages'] == [], 30, 'empty')
        self.no_repeats()


DAY = 86400
YEARS = 3650 * DAY


@unittest.skipIf(os.environ.get('MAILSTEAD_SAN'), 'the library comes first')
class Many(unittest.TestCase):
    def test_H05_acts_on_many_that_the_disk_does_not_take(self):
        """More than a page; who asks is told, and can ask again."""
        mx = self.enterContext(FakeMX(replies={'RCPT': '451 4.7.1 later'}))
        lab = self.enterContext(Lab(mx, {'queue.retry': '1h'}))
        many = 1010
        lab.submit('a@b.example', ['x@far.example'], count=many)
        lab.wait(lambda: lab.control(verb='groups')['deferred'] == many, 30)

        def act(*words):
            return subprocess.run([BIN / 'mailstead', '--state', lab.state,
                                   '--json', 'queue', *words, '--sender',
                                   'a@b.example'],
                                  capture_output=True, text=True)

        def counts():
            answer = lab.control(verb='groups')
            return answer['deferred'], answer['held']
        lab.faults.add('link', errno.EIO, '/hold/', times=3)
        done = act('hold')
        self.assertEqual((done.returncode, done.stdout), (3, ''))
        self.assertIn('the disk did not take all of it', done.stderr)
        self.assertEqual(counts(), (3, many - 3))
        lab.faults.clear()
        self.assertEqual(json.loads(act('hold').stdout)['done'], many)
        self.assertEqual(counts(), (0, many))
        lab.faults.add('unlink', errno.EIO, '/hold/', times=1)
        self.assertEqual(act('delete').returncode, 3)
        lab.wait_empty()

    def test_resume_reads_only_what_was_suspended(self):
        mx = self.enterContext(FakeMX(replies={'RCPT': '451 4.7.1 later'}))
        lab = self.enterContext(Lab(mx, {'queue.retry': '1h'}))
        many = 200
        lab.submit('a@b.example', ['x@far.example'], count=many)
        lab.wait_log('event=defer ', count=many)
        lab.set('queue.suspended', 'remote')

        def is_suspended():
            lab.submit('late@b.example', ['x@far.example'])
            return 'suspended' in str(lab.control(verb='list', sender='late@b.example'))
        lab.wait(is_suspended, 10, 'suspension')
        lab.wait(lambda: lab.control(verb='statistics')['active'] == 0)
        reads = lab.faults.watch('open', '/deferred/')
        mx.script({})
        lab.set('queue.suspended', 'no')
        lab.wait(lambda: mx.messages)
        self.assertLess(lab.faults.passed(reads), many)


class Clock(unittest.TestCase):
    def setUp(self):
        self.mx = self.enterContext(FakeMX(replies={'RCPT': '451 4.7.1 later'}))
        self.lab = self.enterContext(Lab(self.mx))

    def attempts(self):
        return self.lab.log().count('event=defer ')

    def tries_again(self, when):
        before = self.attempts()
        self.lab.wait(lambda: self.attempts() > before, 10,
                      'an attempt ' + when)

    def test_G14_clock_jumps_stall_and_expire_nothing(self):
        lab = self.lab
        lab.send('tag-0', ['x@far.example'])
        self.tries_again('before any jump')
        for jump in (DAY, 0, -DAY, 0, YEARS):
            lab.faults.clock(jump)
            self.tries_again('after the clock went to %d' % jump)
        self.assertFalse(lab.seen)  # no warning that it takes long
        for jump in (YEARS, DAY, -DAY):
            lab.faults.clock(0)
            self.tries_again('between')
            for _ in range(2):  # the second start sees what the first wrote
                lab.stop()
                lab.faults.clock(jump)
                lab.revive()
                self.tries_again('of a start at %d' % jump)
        self.assertNotIn('event=expire', lab.log())
        self.mx.script({})
        lab.wait_log('event=sent ')
        self.assertEqual(len(self.mx.messages), 1)

    def test_I10_stopped_for_days_between_prepared_and_delivered(self):
        """What is tidied out of tmp/ meanwhile was not delivered."""
        lab = self.lab
        supervisor = lab.process
        supervisor.send_signal(signal.SIGSTOP)
        self.addCleanup(supervisor.kill)
        rule = lab.faults.add('rename', 0, '/bob/new/')
        self.assertTrue(lab.send('tag-1', [BOB]))
        lab.wait(lambda: lab.faults.hits(rule))
        lab.faults.clear()
        supervisor.kill()
        supervisor.wait()
        self.assertEqual(lab.seen, [])
        lab.faults.clock(3 * DAY)
        lab.revive()
        lab.wait(lambda: lab.seen)
        self.assertEqual(lab.seen, [(BOB, 'tag-1', False)])


@unittest.skipIf(os.environ.get('MAILSTEAD_SAN'), 'the library comes first')
class Mailbox(unittest.TestCase):
    def setUp(self):
        self.mx = self.enterContext(FakeMX())
        self.lab = self.enterContext(Lab(self.mx))
        self.box = self.lab.state / 'mail/example.org/admin'

    def names(self):
        return [p.name for d in ('new', 'cur') if (self.box / d).is_dir()
                for p in (self.box / d).iterdir()]

    def kill(self):
        """The runner, at once; returns where its marks are."""
        lab = self.lab
        worker = lab.worker()
        with open('/proc/%d/maps' % worker) as f:
            marks = re.search(r'/dev/shm/mailstead-\S+', f.read())[0]
        for pid in (lab.process.pid, worker):
            os.kill(pid, signal.SIGKILL)
        lab.process.wait()
        lab.wait(lambda: not os.path.exists('/proc/%d' % worker))
        return marks

    def ask(self, **request):
        try:
            return self.lab.control(**request)
        except OSError:
            return {}  # it is starting

    def power_cut(self):
        """As after one: all names durable, no marks in memory."""
        os.unlink(self.kill())

    def test_I6_each_mailbox_is_read_once(self):
        """100 messages delivered but not settled, 100 not yet, 3000 others."""
        lab, old, many = self.lab, 100, 3000
        lab.faults.add('write', errno.EIO, 'settled.log')
        ids = lab.submit('a@b.example', ['admin@example.org'], count=old)
        lab.wait(lambda: len(self.names()) == old)
        for name in self.names()[::2]:
            os.rename(self.box / 'new' / name, self.box / 'cur' / (name + ':2,F'))
        for i in range(many):
            (self.box / 'cur' / ('%d.other.host:2,RS' % i)).touch()
        self.power_cut()
        ids += lab.submit('a@b.example', ['admin@example.org'], count=100)
        lab.faults.clear()
        reads = lab.faults.watch('getdents', '/admin/cur/')
        lab.revive()
        lab.wait(lambda: len(self.names()) >= many + len(ids))
        lab.wait_empty()
        self.assertEqual(sorted(n[:26] for n in self.names()
                                if 'other' not in n), sorted(ids))
        self.assertGreater(lab.faults.passed(reads), 0)
        self.assertLess(lab.faults.passed(reads), 40)

    def test_H07_killed_while_the_mailboxes_cannot_be_flushed(self):
        """The marks of the dead are not believed: what is not in its mailbox
        any more (the file system lost it) is delivered again, what is there is
        written anew, what was sent elsewhere is not sent again."""
        lab = self.lab
        # the files themselves are flushed, their names are not
        rule = lab.faults.add('sync', errno.EIO, 'state/mail/', skip=2)
        text = 'Subject: tag-1\n\nthe end\n'
        lab.submit('a@b.example', ['admin@example.org', BOB, 'x@far.example'],
                   text)
        lab.wait(lambda: lab.faults.hits(rule) > 2)
        lab.wait(lambda: lab.seen and self.mx.messages)
        path, = (self.box / 'new').iterdir()
        before = path.stat().st_ino
        self.kill()
        lab.faults.clear()
        lab.revive()
        lab.wait(lambda: len(lab.seen) == 2)
        lab.wait_empty()
        self.assertNotEqual(path.stat().st_ino, before)
        self.assertTrue(path.read_text().endswith(text))
        self.assertEqual(len(self.names()), 1)
        self.assertEqual(len(self.mx.messages), 1)

    def test_I05_reported_once_although_the_report_is_gone(self):
        """Its message waits for another recipient and cannot be put off;
        nothing of the report is left when the third runner looks at it."""
        lab = self.lab
        lab.set('queue.retry', '1h')
        self.mx.replies = {'RCPT': '451 4.3.0 later'}
        message, = lab.submit(BOB, ['no@far.example', 'later@far.example'],
                              'Subject: tag-1\n\nthe end\n')
        lab.wait(lambda: list((lab.state / 'spool/deferred').iterdir()))
        self.mx.replies = {'RCPT': lambda to: '550 5.1.1 no' if '<no@' in to
                           else '451 4.3.0 later'}
        rule = lab.faults.add('create', errno.EIO, '/deferred/')
        lab.retry()
        lab.wait(lambda: lab.seen and lab.faults.hits(rule))
        report = re.search(r' (\S+) event=accept .* report=', lab.log())[1]

        def is_gone(message):
            try:
                return lab.is_gone(message)
            except OSError:
                return False
        self.kill()
        segment = lab.state / 'spool/journal/queue-runner-0.seg'
        self.assertTrue(segment.exists())
        lab.revive()
        lab.wait(lambda: not segment.exists() and is_gone(report))
        self.kill()
        lab.faults.clear()
        self.mx.replies = {}
        lab.revive()
        lab.wait(lambda: is_gone(message))
        self.assertEqual(len(lab.seen), 1)
        self.assertEqual(len(self.mx.messages), 1)

    def test_I05_killed_between_report_and_mark(self):
        """Another recipient fails afterwards: the second report is of that
        one alone."""
        lab = self.lab
        lab.set('queue.retry', '1h')
        self.mx.replies = {'RCPT': lambda to: '550 5.1.1 no' if '<no@' in to
                           else '451 4.3.0 later'}
        lab.submit(BOB, ['no@far.example'])  # makes the segment
        lab.wait(lambda: lab.seen)
        rule = lab.faults.add('write', 0, 'queue-runner.ctl', times=1)
        lab.submit(BOB, ['no@far.example', 'later@far.example'])
        lab.wait(lambda: lab.faults.hits(rule))
        lab.faults.clear()
        self.mx.replies = {'RCPT': '550 5.1.1 no'}
        lab.wait(lambda: len(lab.seen) >= 3)
        lab.wait_empty()
        self.assertEqual(len(lab.seen), 3)
        self.assertEqual(re.findall('report=failure .*recipients=(.)', lab.log()),
                         ['1', '1'])

    def test_I04_held_while_only_the_marks_know(self):
        lab = self.lab
        lab.set('queue.retry', '1h')
        self.mx.replies = {'RCPT': lambda to: '451 4.3.0 later'
                           if '<later@' in to else '250 2.1.5 ok'}
        rule = lab.faults.add('create', errno.EIO, '/deferred/')
        message, = lab.submit(BOB, [EVE, 'x@far.example', 'later@far.example'],
                              'Subject: tag-1\n\nthe end\n')
        lab.wait(lambda: lab.faults.hits(rule) and lab.seen)
        self.kill()
        lab.set('queue.suspended', 'all')
        lab.faults.clear()
        self.mx.replies = {}
        lab.revive()
        lab.wait(lambda: self.ask(verb='hold', ids=[message]).get('done'))
        self.assertEqual(len(self.mx.messages), 1)
        lab.set('queue.suspended', 'no')
        self.assertEqual(lab.control(verb='release', ids=[message])['done'], 1)
        lab.wait_empty()
        self.assertEqual(sorted(m['rcpts'] for m in self.mx.messages),
                         [['TO:<later@far.example>'], ['TO:<x@far.example>']])
        self.assertEqual(len(lab.seen), 1)

    def test_I04_stopped_while_only_the_marks_know(self):
        """Killed, then stopped in good order, then the power goes."""
        lab = self.lab
        lab.set('queue.retry', '1h')
        self.mx.replies = {'RCPT': lambda to: '451 4.3.0 later'
                           if '<later@' in to else '250 2.1.5 ok'}
        rule = lab.faults.add('create', errno.EIO, '/deferred/')
        lab.submit(BOB, ['x@far.example', 'later@far.example'])
        lab.wait(lambda: lab.faults.hits(rule))
        marks = self.kill()
        lab.faults.clear()
        self.mx.replies = {'BANNER': HANG}
        seen = self.mx.connections
        lab.revive()
        lab.wait(lambda: self.mx.connections > seen)
        lab.process.terminate()
        lab.process.wait()
        os.unlink(marks)
        self.mx.replies = {}
        lab.revive()
        lab.wait(lambda: self.ask(verb='statistics'))
        lab.wait_empty()
        self.assertEqual(sorted(m['rcpts'] for m in self.mx.messages),
                         [['TO:<later@far.example>'], ['TO:<x@far.example>']])

    def test_F15_killed_before_the_answer_to_the_dot_is_said(self):
        lab = self.lab
        self.mx.replies = {'DOT': HANG}
        lab.submit(BOB, ['x@far.example'])
        lab.wait(lambda: self.mx.seen)
        self.kill()
        self.mx.replies = {}
        lab.revive()
        lab.wait_log('event=defer .*twice=possible')
        lab.wait_empty()
        self.assertEqual(len(self.mx.messages), 1)

    def status(self):
        return subprocess.run([BIN / 'mailstead', '--state', self.lab.state, 'status'],
                              capture_output=True, text=True).stdout

    def test_H07_failed_flush_of_the_mailboxes(self):
        """Nothing more is delivered, what was is written anew; then it goes on,
        with what was put off for that as well."""
        lab = self.lab
        lab.set('queue.retry', '1h')
        for n, error in enumerate((errno.EIO, errno.ENOSPC)):
            lab.faults.clear()
            # the file itself is flushed, its name is not
            rule = lab.faults.add('sync', error, 'state/mail/', skip=1)
            first, = lab.submit('a@b.example', ['admin@example.org'])
            lab.wait(lambda: lab.faults.hits(rule) > 2)
            path, = (self.box / 'new').iterdir()
            if n > 0:
                path = path.rename(self.box / 'cur' / (path.name + ':2,F'))
            before = path.stat().st_ino
            lab.wait(lambda: 'fails to flush' in self.status())
            second, = lab.submit('a@b.example', ['admin@example.org'])
            lab.wait_log('event=defer .*cannot be flushed', count=n + 1)
            self.assertFalse(lab.is_gone(first))
            self.assertEqual(len(self.names()), 1)
            lab.faults.clear()
            lab.wait_empty()
            self.assertEqual(sorted(m[:26] for m in self.names()), [first, second])
            self.assertNotEqual(path.stat().st_ino, before)
            self.assertTrue(path.read_text().endswith('Subject: test\n\nhello\n'))
            self.assertNotIn('fails to flush', self.status())
            self.assertEqual(list((self.box / 'tmp').iterdir()), [])
            for name in self.names():
                for d in ('new', 'cur'):
                    (self.box / d / name).unlink(missing_ok=True)
            self.assertEqual(lab.log().count('deliveries wait'), n + 1)
            self.assertEqual(lab.log().count('flushing works again'), n + 1)


if __name__ == '__main__':
    unittest.main()
