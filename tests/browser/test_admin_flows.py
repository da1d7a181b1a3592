"""What the server's administrator does in a real browser, behind a real nginx:
wide and light with script, narrow and dark without."""

# timeout: 600

import unittest

from stage import Stage, wait_until


class AdminFlows(Stage):
    @classmethod
    def fill(cls):
        cls.s.cli("list", "add", "news@example.org", "ann@example.org")
        cls.s.set("ban.failures", 1)
        wait_until(lambda: cls.s.json(
            "ban", "check", "127.0.0.7")["limit"] == 1)
        for source in ("127.0.0.7", "127.0.0.8"):
            # one wrong password, which is one too many
            cls.s.pop3_login("ann@example.org", source, "wrong")

    def test_wide(self):
        self.play("admin_flows.mjs", script=True, width=1440, height=900,
                  dark=False, banned="127.0.0.7")

    def test_narrow(self):
        self.play("admin_flows.mjs", script=False, width=320, height=640,
                  dark=True, banned="127.0.0.8")


if __name__ == "__main__":
    unittest.main()
