"""The copy of a mailbox's listing in cache/pop: when it is made and believed."""

import os
import struct
import sys
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from lib.server import ServerTest  # noqa: E402
from test_pop3 import Client  # noqa: E402

COUNT = 1200
HEADER = struct.Struct("=8sII3Q")
KEY_SIZE = 64
CRC_TABLE = []
for byte in range(256):
    for _ in range(8):
        byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
    CRC_TABLE.append(byte)


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = CRC_TABLE[(crc ^ byte) & 255] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


class Copy:
    """A copy, taken apart."""

    def __init__(self, data):
        (self.magic, self.sum, self.has_sizes, self.count, self.names_len,
         self.total) = HEADER.unpack_from(data)
        self.key = data[HEADER.size:HEADER.size + KEY_SIZE]
        self.body = data[HEADER.size + KEY_SIZE:]

    def pack(self):
        """With a true checksum, whatever else was changed."""
        rest = struct.pack("=I3Q", self.has_sizes, self.count, self.names_len,
                           self.total) + self.key + self.body
        return self.magic + struct.pack("=I", crc32c(rest)) + rest


class Cache(ServerTest):
    settings = {"auth.plaintext_networks": "127.0.0.0/8"}

    def make_box(self, user, foreign=False):
        self.address = f"{user}@example.org"
        self.s.user(self.address)
        self.box = self.s.mailbox(self.address)
        for sub in ("new", "cur", "tmp"):
            (self.box / sub).mkdir(parents=True)
        for i in range(COUNT):
            name = f"{1700000000 + i}.c.host"
            if not foreign or i % 2:
                name += ",S=4,W=5"
            (self.box / "cur" / name).write_bytes(b"abc\n")
        self.copy = self.s.state / "cache/pop/example.org" / user

    def see(self):
        """What a session is shown: STAT and the unique ids."""
        c = Client(self.s, self.address)
        stat = c.ask("STAT")
        sizes, ids = c.listing("LIST"), c.listing("UIDL")
        self.assertTrue(c.ask("QUIT").startswith("+OK"))
        c.close()
        self.assertEqual(stat.split()[1:], [str(len(ids)),
                                            str(sum(map(int, sizes)))])
        return ids

    def make_copy(self):
        time.sleep(2.1)  # the rule: what changed less than 2 s ago is read
        before = self.see()
        self.assertTrue(self.copy.is_file())
        self.assertEqual(list(self.copy.parent.glob("*~")), [])
        return before

    def test_believed_while_nothing_changes(self):
        self.make_box("still")
        self.see()
        self.assertFalse(self.copy.exists(), "kept of a fresh directory")
        truth = self.make_copy()
        good = self.copy.read_bytes()
        self.assertEqual(Copy(good).pack(), good)

        # a copy that lies shows that it is what a session is made from
        lie = Copy(good)
        first = lie.body.index(b"\0") + 1
        lie.body = lie.body[first:]
        lie.names_len -= first
        lie.count -= 1
        lie.total -= 5
        self.copy.write_bytes(lie.pack())
        self.assertEqual(self.see(), truth[1:])

        # deliveries and deletions are seen at once, and the next copy is true
        (self.box / "new" / "1800000000.n.host,S=4,W=5").write_bytes(b"new\n")
        self.assertEqual(self.see(), truth + ["1800000000.n.host"])
        c = Client(self.s, self.address)
        c.ask("DELE 1")
        c.ask("QUIT")
        self.assertEqual(self.see(), truth[1:] + ["1800000000.n.host"])
        self.assertEqual(self.make_copy(), truth[1:] + ["1800000000.n.host"])
        self.assertEqual(self.see(), truth[1:] + ["1800000000.n.host"])

    def test_sizes_of_foreign_names(self):
        self.make_box("foreign", foreign=True)
        truth = self.make_copy()
        (self.box / "mailstead-sizes").unlink()
        self.assertEqual(self.see(), truth)
        self.assertFalse((self.box / "mailstead-sizes").exists())

    def test_spoiled_copies_are_not_believed(self):
        self.make_box("spoiled")
        truth = self.make_copy()
        good = self.copy.read_bytes()

        def changed(**fields):
            copy = Copy(good)
            for name, value in fields.items():
                setattr(copy, name, value)
            return copy.pack()

        body = Copy(good).body
        spoiled = [
            b"", b"\0" * 4096, good[:-1], good + b"\0", good[:60],
            good[:20] + b"\xff" + good[21:], good[:-5] + b"x" + good[-4:],
            changed(magic=b"MSLIST2\n"), changed(count=2 ** 63),
            changed(count=COUNT - 1), changed(count=COUNT + 1),
            changed(names_len=2 ** 64 - 1), changed(has_sizes=1),
            changed(key=b"\0" * KEY_SIZE),
            changed(body=b"../../x" + body[7:]),
            changed(body=b".hidden" + body[7:]),
            changed(body=body[:5] + b"\0\0" + body[7:]),
            changed(body=body[:-1] + b"x"),
        ]
        for number, data in enumerate(spoiled):
            with self.subTest(number=number):
                self.copy.write_bytes(data)
                self.assertEqual(self.see(), truth)
                # and a good one stands there again
                self.assertEqual(self.copy.read_bytes(), good)
        self.copy.unlink()
        self.copy.symlink_to("/etc/passwd")
        self.assertEqual(self.see(), truth)
        self.copy.unlink()
        os.mkfifo(self.copy)
        self.assertEqual(self.see(), truth)


if __name__ == "__main__":
    unittest.main()
