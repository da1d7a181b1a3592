"""A reference model of SMTP as Mailstead speaks it, and the comparison of the
server with it over random command sequences.

    smtp_model.py [--sequences N] [--seed S]

The model knows nothing of the server's code: a state, a transition per
command, and which class of reply each must get.  A sequence is up to LENGTH
commands, half of them sent pipelined; errors are injected by the commands
themselves (bad syntax, unknown users, wrong states, bad end-of-data, too big
messages).  Any difference prints the sequence and how to repeat it.
"""

import argparse
import random
import sys

from lib.dialogue import Connection
from lib.server import Server

LENGTH = 40
MAX_BYTES = 5000
MAX_RECIPIENTS = 4
# What may be in a message; (text on the wire, code of the reply)
BODIES = [
    ("Subject: x\r\n\r\nhello\r\n.\r\n", 250),
    (".\r\n", 250),
    ("no header\r\n..\r\n.\r\n", 250),
    ("Subject: x\r\n\r\n" + ("y" * 70 + "\r\n") * 100 + ".\r\n", 552),
    ("a\n.\nMAIL FROM:<b@remote.test>\r\n.\r\n", 550),
    ("a\r\n.\r.\r\n\r\n.\r\n", 550),
    ("a\0b\r\n.\r\n", 550),
    ("Received: x\r\n" * 51 + "\r\nx\r\n.\r\n", 554),
    ("Delivered-To: bob@example.org\r\n\r\n.\r\n", None),
]


class Model:
    """The state of a session, and what it must answer."""

    def __init__(self):
        self.greeted = False
        self.reset()
        self.open = True

    def reset(self):
        self.sender = False
        self.recipients = []

    # each returns the code the server must give

    def ehlo(self, good):
        if not good:
            return 501
        self.greeted = True
        self.reset()
        return 250

    def mail(self, outcome):
        if not self.greeted or self.sender:
            return 503
        if outcome == 250:
            self.sender = True
        return outcome

    def rcpt(self, address, outcome):
        if not self.sender:
            return 503
        if outcome == 501 and address is None:
            return 501
        if len(self.recipients) >= MAX_RECIPIENTS:
            return 452
        if outcome == 250 and address not in self.recipients:
            self.recipients.append(address)
        return outcome

    def data(self):
        if not self.recipients:
            return 503
        return 354

    def message(self, code):
        if code is None:  # the loop check, for a single recipient
            code = 554 if self.recipients == ["bob@example.org"] else 250
        self.reset()
        return code

    def rset(self, good):
        if not good:
            return 501
        self.reset()
        return 250

    def quit(self):
        self.open = False
        return 221


# (weight, line, how the model takes it)
COMMANDS = [
    (6, "EHLO client.example", lambda m: m.ehlo(True)),
    (2, "HELO x", lambda m: m.ehlo(True)),
    (1, "EHLO a b", lambda m: m.ehlo(False)),
    (1, "HELO", lambda m: m.ehlo(False)),
    (16, "MAIL FROM:<a@remote.test>", lambda m: m.mail(250)),
    (2, "mail from: <> body=8bitmime", lambda m: m.mail(250)),
    (1, "MAIL FROM:<a@remote.test> SIZE=4000", lambda m: m.mail(250)),
    (1, "MAIL FROM:<a@remote.test> SIZE=5001", lambda m: m.mail(552)),
    (1, "MAIL FROM:<a@remote.test> SIZE=x", lambda m: m.mail(501)),
    (1, "MAIL FROM:<a@remote.test> WHAT=1", lambda m: m.mail(555)),
    (1, "MAIL FROM:a@remote.test", lambda m: m.mail(501)),
    (1, "MAIL FROM:<jö@remote.test>", lambda m: m.mail(553)),
    (1, "MAIL FROM:<jö@remote.test> SMTPUTF8", lambda m: m.mail(250)),
    (16, "RCPT TO:<bob@example.org>",
     lambda m: m.rcpt("bob@example.org", 250)),
    (3, "RCPT TO:<BOB@EXAMPLE.ORG>",
     lambda m: m.rcpt("bob@example.org", 250)),
    (4, "RCPT TO:<alice@example.org> NOTIFY=NEVER",
     lambda m: m.rcpt("alice@example.org", 250)),
    (2, "RCPT TO:<admin@example.org>",
     lambda m: m.rcpt("admin@example.org", 250)),
    (2, "RCPT TO:<postmaster@example.org>",
     lambda m: m.rcpt("postmaster@example.org", 250)),
    (2, "RCPT TO:<abuse@example.org>",
     lambda m: m.rcpt("abuse@example.org", 250)),
    (2, "RCPT TO:<nobody@example.org>", lambda m: m.rcpt("x", 550)),
    (2, "RCPT TO:<z@elsewhere.test>", lambda m: m.rcpt("x", 550)),
    (1, "RCPT TO:<bob@>", lambda m: m.rcpt("x", 501)),
    (1, "RCPT FROM:<bob@example.org>", lambda m: m.rcpt(None, 501)),
    (1, "RCPT TO:<bob@example.org> NOTIFY=NO", lambda m: m.rcpt("x", 501)),
    (3, "RSET", lambda m: m.rset(True)),
    (1, "RSET x", lambda m: m.rset(False)),
    (1, "NOOP", lambda m: 250),
    (1, "VRFY bob", lambda m: 252),
    (1, "VRFY jö", lambda m: 252),
    (1, "EXPN list", lambda m: 502),
    (1, "HELP", lambda m: 214),
    (1, "BDAT 5 LAST", lambda m: 500),
    (1, "NO\tOP", lambda m: 501),
    (1, "", lambda m: 500),
    (1, "x" * 3000, lambda m: 500),
    (1, "STARTTLS now", lambda m: 501 if not m.sender else 503),
    (1, "AUTH PLAIN AAAA",
     lambda m: 502 if m.greeted and not m.sender else 503),
    (1, "DATA x", lambda m: 501 if m.recipients else 503),
    (1, "QUIT", lambda m: m.quit()),
    (16, "DATA", None),
]
WEIGHTS = [weight for weight, _, _ in COMMANDS]


def sequence(rng):
    """A random list of (line, take) and for DATA also a body."""
    steps = []
    if rng.random() < 0.9:
        steps.append((COMMANDS[0][1], COMMANDS[0][2], None))
    for _ in range(rng.randrange(1, LENGTH)):
        _, line, take = rng.choices(COMMANDS, WEIGHTS)[0]
        steps.append((line, take, rng.choice(BODIES)))
    return steps


class Difference(Exception):
    """The server and the model disagree."""


def compare(connection, said, want, line):
    code, text = connection.reply()
    said.append((line, want, text))
    if code != want:
        raise Difference(f"{line[:60]!r}: expected {want}, got {text!r}")


def run_one(server, rng):
    """Play one sequence; returns how many messages were accepted."""
    connection = Connection(server.host, server.port["smtp"])
    model, accepted, said = Model(), 0, []
    waiting = []  # pipelined: (line, code) to be read yet

    def catch_up():
        while waiting:
            line, want = waiting.pop(0)
            compare(connection, said, want, line)

    try:
        compare(connection, said, 220, "")
        pipelined = rng.random() < 0.5
        for line, take, body in sequence(rng):
            if take is None:
                catch_up()
                want = model.data()
                connection.send(b"DATA\r\n")
                compare(connection, said, want, line)
                if want != 354:
                    continue
                want = model.message(body[1])
                connection.send(body[0].encode("latin-1"))
                compare(connection, said, want, body[0])
                accepted += want == 250
                continue
            # DATA ends a pipelined group, RFC 2920 3.1
            ends_group = line.startswith("DATA") or not pipelined
            want = take(model)
            connection.send(line.encode() + b"\r\n")
            waiting.append((line, want))
            if ends_group or not model.open:
                catch_up()
            if not model.open:
                if not connection.at_end():
                    raise Difference("open after QUIT")
                break
        catch_up()
        return accepted
    except Difference as e:
        story = "\n".join(f"  C: {line[:70]!r}\n  S: {text} (model: {want})"
                          for line, want, text in said)
        raise Difference(f"{e}\n{story}") from None
    finally:
        connection.close()


def make_server():
    server = Server(settings={
        "message.max_bytes": MAX_BYTES,
        "session.max_recipients": MAX_RECIPIENTS,
        "service.queue-runner.enabled": "no",
    })
    server.user("alice@example.org")
    server.user("bob@example.org")
    return server


def run(server, count, seed):
    """`count` sequences; returns the number of accepted messages."""
    accepted = 0
    for i in range(count):
        try:
            accepted += run_one(server, random.Random(f"{seed}/{i}"))
        except Difference as e:
            raise Difference(f"seed {seed}, sequence {i}: {e}") from None
    return accepted


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--sequences", type=int, default=100000)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    with make_server() as server:
        accepted = run(server, args.sequences, args.seed)
        logged = server.log("mtad").count(" event=accept ")
    print(f"{args.sequences} sequences, no difference, "
          f"{accepted} messages accepted, {logged} in the log")
    return 0 if accepted == logged else 1


if __name__ == "__main__":
    sys.exit(main())
