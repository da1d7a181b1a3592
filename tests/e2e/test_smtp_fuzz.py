"""Whole sessions of broken bytes: nothing crashes, nothing hangs, and a fresh
transaction works afterwards."""

import os
import random
import socket
import unittest

from smtp_case import PLAIN, SmtpCase

SEED = (b"EHLO client.example\r\nMAIL FROM:<a@remote.test> SIZE=100 "
        b"BODY=8BITMIME RET=HDRS ENVID=x+2By\r\n"
        b"RCPT TO:<bob@example.org> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;b@c\r\n"
        b"DATA\r\n", b"Received: x\r\nSubject: =?utf-8?q?x?=\r\n y\r\n"
        b"From: \"a,b\" <c@d>\r\n\r\nbody\r\n..dot\r\n.\r\n",
        b"RSET\r\nVRFY x\r\nNOOP\r\nAUTH PLAIN " + PLAIN.encode() +
        b"\r\nSTARTTLS\r\nQUIT\r\n")
PIECES = (b"\r\n", b"\n", b"\r", b".", b"\0", b"<", b">", b"\"", b"\\", b"@",
          b"\r\n.\r\n", b"MAIL FROM:", b"RCPT TO:<bob@example.org>\r\n",
          b"DATA\r\n", b"\xff", b"=", b"+", b" ", b"A" * 3000, b":" * 300)


def mutate(rng, data):
    data = bytearray(data)
    for _ in range(rng.randrange(6)):
        at = rng.randrange(len(data) + 1)
        kind = rng.randrange(4)
        if kind == 0:
            data[at:at] = rng.choice(PIECES)
        elif kind == 1:
            del data[at:at + rng.randrange(1, 20)]
        elif kind == 2 and at < len(data):
            data[at] = rng.randrange(256)
        else:
            piece = data[at:at + 30]
            data[at:at] = piece
    return bytes(data)


class Fuzz(SmtpCase):
    def test_broken_sessions(self):
        seed = int.from_bytes(os.urandom(4), "big")
        rng = random.Random(seed)
        workers = self.server.workers("mtad")
        count = 150 if os.environ.get("MAILSTEAD_SAN") else 600
        for i in range(count):
            c = self.connect(rng.choice(["smtp", "smtp", "submission"]), 10)
            try:
                for part in SEED:
                    c.send(mutate(rng, part))
                    c.sock.settimeout(rng.choice([0.001, 0.01]))
                    try:
                        c.sock.recv(65536)
                    except TimeoutError:
                        pass
                c.sock.shutdown(socket.SHUT_WR)
                c.sock.settimeout(10)
                while c.sock.recv(65536):
                    pass
            except TimeoutError:
                self.fail(f"hangs: seed {seed}, session {i}")
            except OSError:
                pass
            c.close()
        self.assertEqual(self.server.workers("mtad"), workers, seed)
        self.assert_sequel()


if __name__ == "__main__":
    unittest.main()
