"""Every file of dialogues/smtp, each on a connection of its own."""

import base64
import unittest
from pathlib import Path

from lib import dialogue
from lib.server import PASSWORD, Server

FILES = Path(__file__).parent / "dialogues" / "smtp"


class Dialogues(unittest.TestCase):
    def test_all(self):
        plain = base64.b64encode(
            b"\0alice@example.org\0" + PASSWORD.encode()).decode()
        server = Server()
        server.user("alice@example.org")
        server.user("bob@example.org")
        server.cli("domain", "add", "other.test")
        server.user("bob@other.test")
        with server:
            for path in sorted(FILES.glob("*.txt")):
                with self.subTest(path.stem):
                    dialogue.play(path, server.host, server.port, "smtp",
                                  {"plain": plain})


if __name__ == "__main__":
    unittest.main()
