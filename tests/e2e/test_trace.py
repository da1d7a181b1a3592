"""`mailstead trace`: a message's story by id, address and Message-ID."""

import smtplib
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from lib.server import Server  # noqa: E402


class Trace(unittest.TestCase):
    def test_a_story(self):
        with Server() as s:
            s.user("bob@example.org")
            with smtplib.SMTP(s.host, s.port["smtp"], timeout=30) as c:
                c.ehlo("client.example")
                c.mail("stranger@elsewhere.example")
                c.rcpt("bob@example.org")
                answer = c.data(b"Message-ID: <one@elsewhere.example>\r\n"
                                b"Subject: x\r\n\r\nx\r\n")[1].decode()
            ident = answer.split()[-1]
            s.wait_messages("bob@example.org", 1)
            s.wait_log("queue-runner", f"{ident} event=deliver")
            story = s.json("trace", ident)
            self.assertEqual(story["id"], ident)
            self.assertEqual(story["message_id"], "one@elsewhere.example")
            events = [e["event"] for e in story["events"]]
            self.assertEqual(events, ["connect", "accept", "deliver"])
            for e in story["events"]:
                self.assertRegex(e["time"], r"^\d{4}-\d\d-\d\dT[\d:.]+Z$")
                self.assertIn(e["program"], ("mtad", "queue-runner"))
                self.assertFalse([k for k in e if "-" in k], "snake_case")
            self.assertEqual(story["events"][1]["message_id"],
                             story["message_id"])
            for what in ("stranger@elsewhere.example",
                         "<one@elsewhere.example>"):
                self.assertEqual([t["id"] for t in s.json("trace", what)],
                                 [ident])
            hour = story["events"][0]["time"][:13]
            self.assertTrue(s.json("trace", "one@elsewhere.example",
                                   "--hour", hour))
            for hour, code in (("2026-01-01T00", 1), ("noon", 2)):
                p = s.run_cli("trace", "one@elsewhere.example", "--hour", hour)
                self.assertEqual(p.returncode, code)
            p = s.run_cli("trace", "nobody@nowhere.example")
            self.assertEqual(p.returncode, 1)
            # one that came in for half an hour
            slow = "01KJAAQ6G0" + "0" * 16  # made at 2026-02-25T12:00:00Z
            day = "2026-02-25"
            (s.state / f"log/mtad/{day}.log").write_text(
                f"{day}T11:59:00.000Z S1 - event=connect\n"
                f"{day}T12:30:00.000Z S1 {slow} event=accept recipients=2"
                " size=1 helo=7 user=-\n")
            (s.state / f"log/queue-runner/{day}.log").write_text(
                f"{day}T12:30:01.000Z - {slow} event=deliver\n")
            events = s.json("trace", slow)["events"]
            self.assertEqual([e["event"] for e in events],
                             ["connect", "accept", "deliver"])
            # what counts is a number, what only looks like one is none
            self.assertEqual(
                {k: events[1].get(k) for k in
                 ("recipients", "size", "helo", "user")},
                {"recipients": 2, "size": 1, "helo": "7", "user": None})
            self.assertIn("recipients=2 size=1 helo=7",
                          s.cli("trace", slow))


if __name__ == "__main__":
    unittest.main()
