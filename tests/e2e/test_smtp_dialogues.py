"""Every file of dialogues/smtp, each on a connection of its own."""

import base64
import re
import unittest
from pathlib import Path

from lib import dialogue
from lib.server import PASSWORD, Server

FILES = Path(__file__).parent / "dialogues" / "smtp"


class Dialogues(unittest.TestCase):
    """A test a file, named by the threat rows its comments speak of."""

    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        cls.addClassCleanup(cls.server.close)
        cls.server.user("alice@example.org")
        cls.server.user("bob@example.org")
        cls.server.cli("domain", "add", "other.test")
        cls.server.user("bob@other.test")
        cls.server.start()

    def play(self, path):
        plain = base64.b64encode(
            b"\0alice@example.org\0" + PASSWORD.encode()).decode()
        dialogue.play(path, self.server.host, self.server.port, "smtp",
                      {"plain": plain})


for FILE in sorted(FILES.glob("*.txt")):
    ROWS = re.findall(r"\b[A-D]\d\d\b", FILE.read_text())
    setattr(Dialogues, "_".join(["test", *dict.fromkeys(ROWS), FILE.stem]),
            lambda self, file=FILE: self.play(file))


if __name__ == "__main__":
    unittest.main()
