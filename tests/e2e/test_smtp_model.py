"""B01 to B09: the server against the reference model, a short run.

The long one is smtp_model.py by itself (100,000 sequences by default).
"""

import os
import unittest

import smtp_model


class Sequences(unittest.TestCase):
    def test_B01_random_sequences(self):
        count = 150 if os.environ.get("MAILSTEAD_SAN") else 600
        seed = int.from_bytes(os.urandom(4), "big")
        with smtp_model.make_server() as server:
            accepted = smtp_model.run(server, count, seed)
            logged = server.log("mtad").count(" event=accept ")
        self.assertEqual(accepted, logged)
        self.assertGreater(accepted, count // 10)


if __name__ == "__main__":
    unittest.main()
