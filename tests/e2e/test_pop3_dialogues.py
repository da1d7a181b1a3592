"""Every file of dialogues/pop3, each on a connection of its own."""

import base64
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from lib import dialogue  # noqa: E402
from lib.server import PASSWORD, Server  # noqa: E402

FILES = Path(__file__).parent / "dialogues" / "pop3"
MESSAGES = [b"Subject: one\n\nHello.\n",
            b"Subject: dots\n\n.\n..two\na.b\nno end",
            b"",
            b"Subject: 8bit\n\n\xff\x00\xe4\nbare\rCR\n"]


def wire(data):
    """A message as it goes over the wire, before dots are stuffed."""
    end = b"" if not data or data.endswith(b"\n") else b"\r\n"
    return data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n") + end


def put(server, address, messages):
    """Messages straight into a mailbox, under foreign names; their names."""
    new = server.mailbox(address) / "new"
    for sub in ("new", "cur", "tmp"):
        (new.parent / sub).mkdir(parents=True, exist_ok=True)
    names = []
    for i, data in enumerate(messages):
        names.append(f"17000000{i:02}.M1P2_{i}.host")
        (new / names[-1]).write_bytes(data)
    return names


def b64(text):
    return base64.b64encode(text.encode()).decode()


class Dialogues(unittest.TestCase):
    def test_all(self):
        server = Server(settings={"auth.plaintext_networks": "127.0.0.0/8"})
        server.user("bob@example.org")
        server.user("busy@example.org")
        names = put(server, "bob@example.org", MESSAGES)
        sizes = [len(wire(m)) for m in MESSAGES]
        variables = {
            "password": PASSWORD,
            "plain": b64("\0bob@example.org\0" + PASSWORD),
            "wrong": b64("\0bob@example.org\0not this one"),
            "user64": b64("bob@example.org"),
            "password64": b64(PASSWORD),
            "total": str(sum(sizes)),
            "long": "x" * 4000,
        }
        for i, name in enumerate(names, 1):
            variables[f"uidl{i}"] = name
            variables[f"size{i}"] = str(sizes[i - 1])
        with server:
            holder = dialogue.Connection(server.host, server.port["pop3"])
            holder.line()
            for text in ("USER busy@example.org", "PASS " + PASSWORD):
                holder.send(text.encode() + b"\r\n")
                self.assertTrue(holder.line().startswith("+OK"))
            for path in sorted(FILES.glob("*.txt")):
                with self.subTest(path.stem):
                    dialogue.play(path, server.host, server.port, "pop3",
                                  variables)
            holder.close()


if __name__ == "__main__":
    unittest.main()
