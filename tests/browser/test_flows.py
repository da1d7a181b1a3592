"""What a reader and a writer do in webmail, in Chromium behind nginx, with and
without JavaScript: no console error, no violation of the policy, no request to
anybody else; also by keyboard alone, and after a session ended."""

# timeout: 600

import unittest

from stage import Stage


class Flows(Stage):
    def test_with_script(self):
        self.play("flows.mjs", script=True)

    def test_without_script(self):
        self.play("flows.mjs", script=False)

    def test_actions(self):
        for script, width, height, dark in ((True, 1440, 900, False),
                                            (False, 320, 640, True)):
            with self.subTest(script=script, width=width):
                self.play("actions.mjs", script=script, width=width,
                          height=height, dark=dark)


if __name__ == "__main__":
    unittest.main()
