"""What a reader and a writer do in webmail, in Chromium behind nginx, with and
without JavaScript: no console error, no violation of the policy, no request to
anybody else; also by keyboard alone, and after a session ended."""

# timeout: 300

import unittest

from stage import Stage


class Flows(Stage):
    def test_with_script(self):
        self.play("flows.mjs", script=True)

    def test_without_script(self):
        self.play("flows.mjs", script=False)


if __name__ == "__main__":
    unittest.main()
