"""Every page of webmail in Chromium: axe-core finds nothing, no sideways
scroll, no console error, no violation of the policy, in light and dark, at 320,
768 and 1440 px, with and without JavaScript."""

# timeout: 600

import unittest

from stage import Stage


class Pages(Stage):
    def test_pages(self):
        self.play("pages.mjs", pages=[
            "/webmail/login", "/webmail/m/inbox", "/webmail/m/sent",
            "/webmail/compose", "/webmail/contacts", "/webmail/contacts/new",
            "/webmail/contacts/import", "/webmail/settings/sessions",
            "/webmail/settings/labels", "/webmail/settings/program",
            "/webmail/search?q=letter", "/webmail/folders",
            "/webmail/nothing"])


if __name__ == "__main__":
    unittest.main()
