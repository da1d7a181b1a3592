#!/usr/bin/python3
"""Run everything a change must pass.

    tests/run.py --build build/gcc [--san address|thread] [--only PATTERN]

Items: the include check, every unit test program, every fuzz target over its
corpus, every tests/e2e/test_*.py and tests/browser/test_*.py.  Two run at a
time, each in its own process group, with a time limit (a file test_x.py may
raise its own with a line "# timeout: SECONDS").  One line an item, the output
of what failed, with the servers' own words (tests/e2e/lib/report.py), and last
"N passed, N failed", counting single tests.  A report of a sanitizer is a
failure.

End-to-end tests find the programs through MAILSTEAD_BUILD and the sanitizer
through MAILSTEAD_SAN.
"""

import argparse
import concurrent.futures
import fnmatch
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
TIMEOUT = 300
# After its time is up a file of tests may still say where it was.
LAST_WORDS_S = 30
# Most items wait for servers, and the long ones come first.
AT_ONCE = 2
ORDER = ('browser', 'e2e', 'layers', 'rows', 'rfc', 'unit', 'fuzz')


class Item:
    """One program to run, and how its output tells what it counted."""

    def __init__(self, name, command, count, timeout=TIMEOUT):
        self.name = name
        self.command = [str(word) for word in command]
        self.count = count
        self.timeout = timeout


def count_one(_output):
    return 1, 0, 0


def count_cmocka(output):
    """(ran, failed, skipped) of a cmocka program, all groups summed."""
    ran = sum(map(int, re.findall(r'^\[=+\] .*?(\d+) test\(s\) run', output, re.M)))
    failed = sum(map(int, re.findall(r'^\[ +FAILED +\] .*?(\d+) test\(s\), listed', output, re.M)))
    skipped = sum(map(int, re.findall(r'^\[ +SKIPPED +\] .*?(\d+) test\(s\), listed', output, re.M)))
    return max(ran, 1), failed, skipped


def count_unittest(output):
    """(ran, failed, skipped) from the summary of unittest."""
    ran = re.findall(r'^Ran (\d+) tests? in', output, re.M)
    failed = sum(map(int, re.findall(
        r'(?:failures|errors|unexpected successes)=(\d+)', output.rpartition('\nRan ')[2])))
    skipped = sum(map(int, re.findall(r'skipped=(\d+)', output.rpartition('\nRan ')[2])))
    return (int(ran[-1]) if ran else 1), failed, skipped


def own_timeout(path):
    found = re.search(r'^# timeout: (\d+)$', path.read_text(), re.M)
    return int(found.group(1)) if found else TIMEOUT


def all_items(build):
    yield Item('layers', [ROOT / 'tests/layers.sh'], count_one)
    yield Item('rows', [ROOT / 'tests/rows.sh'], count_one)
    yield Item('rfc', [ROOT / 'tests/rfc/check.sh'], count_one)
    for source in sorted(ROOT.glob('tests/unit/test_*.c')):
        yield Item('unit/' + source.stem, [build / 'tests' / source.stem], count_cmocka)
    for source in sorted(ROOT.glob('tests/fuzz/fuzz_*.c')):
        corpus = ROOT / 'tests/fuzz/corpus' / source.stem
        yield Item('fuzz/' + source.stem, [build / 'fuzz' / source.stem, corpus], count_one)
    for folder in ('e2e', 'browser'):
        for path in sorted((ROOT / 'tests' / folder).glob('test_*.py')):
            yield Item(f'{folder}/{path.stem}',
                       [sys.executable, '-B', '-m', 'lib.report', path.stem],
                       count_unittest, own_timeout(path))


def environment(args):
    env = dict(os.environ)
    env['MAILSTEAD_BUILD'] = str(args.build)
    env['MAILSTEAD_SAN'] = args.san
    env['PYTHONPATH'] = f"{ROOT / 'tests/e2e'}:{ROOT / 'tests/browser'}"
    env['LC_ALL'] = 'C.UTF-8'
    env.setdefault('UBSAN_OPTIONS', 'print_stacktrace=1')
    env.setdefault('TSAN_OPTIONS',
                   f'second_deadlock_stack=1 suppressions={ROOT / "tests/tsan.supp"}')
    return env


def kill_group(pid):
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def run(item, env):
    """Run one item; (seconds, passed, failed, skipped, output)."""
    started = time.monotonic()
    note = ''
    # a file, because a pipe would wait for a daemon that was left behind
    with tempfile.TemporaryFile() as out:
        try:
            process = subprocess.Popen(item.command, cwd=ROOT, env=env, stdout=out,
                                       stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                                       start_new_session=True)
        except OSError as error:
            return 0.0, 0, 1, 0, f'{error}\n'
        try:
            status = process.wait(item.timeout)
        except subprocess.TimeoutExpired:
            status = -1
            note = f'\nstopped after {item.timeout} s\n'
            if item.count is count_unittest:
                process.send_signal(signal.SIGUSR1)
                try:
                    process.wait(LAST_WORDS_S)
                except subprocess.TimeoutExpired:
                    pass
        finally:
            kill_group(process.pid)
            process.wait()
        out.seek(0)
        output = out.read().decode('utf-8', 'replace') + note
    if status < 0 and not note:
        output += f'\nended by {signal.Signals(-status).name}\n'
    ran, failed, skipped = item.count(output)
    if status != 0 or re.search('Sanitizer: |: runtime error: ', output):
        failed = max(failed, 1)
    return time.monotonic() - started, max(ran - failed - skipped, 0), failed, skipped, output


def main():
    parser = argparse.ArgumentParser(description='Run the checks.')
    parser.add_argument('--build', type=lambda p: pathlib.Path(p).resolve(), required=True)
    parser.add_argument('--san', default='')
    parser.add_argument('--only', metavar='PATTERN', help='items whose name contains or matches this')
    args = parser.parse_args()
    if tempfile.gettempdir().startswith('/dev/shm'):
        parser.error('the sandboxes allow /dev/shm: tests there prove less; set another TMPDIR')
    env = environment(args)
    items = [item for item in all_items(args.build)
             if not args.only or args.only in item.name or fnmatch.fnmatch(item.name, args.only)]
    items.sort(key=lambda item: ORDER.index(item.name.partition('/')[0]))
    totals = [0, 0, 0]
    printing = threading.Lock()

    def run_and_print(item):
        seconds, passed, failed, skipped, output = run(item, env)
        with printing:
            for i, n in enumerate((passed, failed, skipped)):
                totals[i] += n
            verdict = 'FAILED' if failed else 'ok'
            extra = f', {skipped} skipped' if skipped else ''
            print(f'{verdict:6} {seconds:6.1f} s  {item.name} ({passed} passed{extra})', flush=True)
            if failed:
                print(output.rstrip('\n'), flush=True)

    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        for done in [pool.submit(run_and_print, item) for item in items]:
            done.result()
    passed, failed, skipped = totals
    print(f'{passed} passed, {failed} failed' + (f', {skipped} skipped' if skipped else ''))
    return 1 if failed or not items else 0


if __name__ == '__main__':
    sys.exit(main())
