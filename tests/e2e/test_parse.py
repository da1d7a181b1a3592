"""mailstead-parse: what it makes of messages, bombs, and its jail."""

import array
import base64
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from lib.server import BIN, SLOW, Server, wait_until  # noqa: E402

# figures of threats.md rule 7; a sanitizer's shadow says nothing about memory
BOMB_SECONDS = 0.2 if SLOW == 1 else 3  # of CPU
MEMORY_KB = 32 * 1024
# charsets, RFC 2047, flowed, attachments, embedded, odd names
SAMPLE = b"""From: =?iso-8859-1?Q?J=F8rn_=D8?= <jorn@example.org>
To: "Smith, Ann" <ann@example.org>, team: bob@example.org, eve@example.org;
Subject: =?utf-8?B?UmU6IOKCrA==?= and\x07 more
Date: Fri, 20 Nov 2026 10:00:00 +0100
Message-ID: <one@example.org>
References: <a@x> <b@x>
 <c@x>
In-Reply-To: <c@x>
List-Id: Team <team.example.org>
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="outer"

preamble
--outer
Content-Type: multipart/alternative; boundary="inner"

--inner
Content-Type: text/plain; charset=iso-8859-1; format=flowed
Content-Transfer-Encoding: 8bit

Bl\xe5b\xe6r is a long paragraph that goes 
on here.
> quoted 
> too
--inner
Content-Type: text/html; charset=windows-1251
Content-Transfer-Encoding: quoted-printable

<p onclick=3D"x()">=CF=F0=E8=E2=E5=F2<script>alert(1)</script>
<img src=3D"cid:pic@x"><img src=3D"https://evil.example/p.png"></p>
--inner--
--outer
Content-Type: image/png; name="../../a\xe2\x80\xaegnp.exe"
Content-Disposition: attachment
Content-ID: <pic@x>
Content-Transfer-Encoding: base64

iVBORw0KGgo=
--outer
Content-Type: message/rfc822

Subject: inner one
Content-Type: text/plain

inner text
--outer--
"""


class Refused(Exception):
    pass


class Parser:
    """The daemon alone, and questions to it as mime.c asks them."""

    def __init__(self):
        self.server = Server()
        self.process = subprocess.Popen(
            [str(BIN / "mailstead-parse"), "--state", str(self.server.state)],
            stderr=subprocess.DEVNULL)
        self.path = str(self.server.state / "run" / "parse.sock")
        wait_until(self.listens, what="parse.sock")

    def listens(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
            return s.connect_ex(self.path) == 0

    def close(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20 * SLOW)
        self.server.close()

    def workers(self):
        out = subprocess.run(["ps", "-o", "pid=", "--ppid",
                              str(self.process.pid)],
                             capture_output=True, text=True, check=True)
        return [int(p) for p in out.stdout.split()]

    def peak_kb(self):
        """The largest resident set any worker ever had."""
        peaks = []
        for pid in self.workers():
            text = Path(f"/proc/{pid}/status").read_text()
            peaks.append(int(re.search(r"VmHWM:\s+(\d+)", text).group(1)))
        return max(peaks)

    def cpu_seconds(self):
        """Of all workers together: what a busy machine does not stretch."""
        ticks = 0
        for pid in self.workers():
            text = Path(f"/proc/{pid}/stat").read_text()
            ticks += sum(map(int, text.rpartition(")")[2].split()[11:13]))
        return ticks / os.sysconf("SC_CLK_TCK")

    def ask(self, message, **job):
        """(what precedes data, data, answer)"""
        with tempfile.TemporaryFile() as f, \
                socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
            f.write(message)
            f.flush()
            f.seek(0)
            s.settimeout(30 * SLOW)
            s.connect(self.path)
            s.sendmsg([json.dumps(job).encode()],
                      [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                        array.array("i", [f.fileno()]))])
            begin, data, text = None, b"", b""
            while True:
                packet = s.recv(65536)
                if not packet:
                    raise ConnectionError("it died")
                tag, packet = packet[:1], packet[1:]
                if tag == b"B":
                    begin = json.loads(packet)
                elif tag == b"D":
                    data += packet
                elif tag == b"J":
                    text += packet
                elif tag == b"F":
                    raise Refused(packet.decode())
                elif tag == b"E":
                    text += packet
                    return begin, data, json.loads(text)


def bombs():
    """(name, message): each broke some mail software once."""
    head = b"From: a@example.org\nSubject: bomb\n"
    mixed = b"MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n"

    def nested(n):
        out = [head]
        for i in range(n):
            out.append(b"Content-Type: multipart/mixed; boundary=b%d\n\n"
                       b"--b%d\n" % (i, i))
        return b"".join(out) + b"Content-Type: text/plain\n\nx\n"

    for n in (10, 100, 1000, 20000):
        yield f"K01 multipart {n} deep", nested(n)
    for n in (50, 1000, 50000):
        yield f"K01 rfc822 {n} deep", \
            head + b"Content-Type: message/rfc822\n\n" * n + b"x\n"
    yield "K01 digest", head + b"Content-Type: multipart/digest; " \
        b"boundary=b\n\n" + b"--b\n\nSubject: x\n\nx\n" * 30000
    for n in (999, 5000, 200000):
        yield f"K02 {n} empty parts", head + mixed + b"--b\n\n" * n
        yield f"K02 {n} small parts", head + mixed + \
            b"--b\nContent-Type: text/plain\n\na\nb\nc\nd\ne\n" * n
    yield "K03 200000 fields", head + b"X: y\n" * 200000 + b"\nx\n"
    yield "K03 fields in parts", head + mixed + \
        (b"--b\n" + b"X: y\n" * 1900 + b"\nx\n\n\n\n\n") * 300
    yield "K03 one long field", head + b"X: " + b"y" * 20000000 + b"\n\nx\n"
    yield "K03 folds", head + b"X: a\n" + b" y\n" * 1200000 + b"\nx\n"
    yield "K04 addresses", head + b"To: " + b"a@b.c," * 500000 + b"\n\nx\n"
    yield "K04 many small To", head + b"To: a@b.c,d@e.f\n" * 100000 + b"\nx\n"
    for n in (100, 1000, 60000, 200000):
        yield f"K04 groups {n}", head + b"To: " + b"g:" * n + b"\n\nx\n"
        yield f"K04 folded groups {n}", \
            head + b"To: " + b"g:\n " * n + b"\n\nx\n"
    yield "K04 groups in rfc822", head + b"Content-Type: message/rfc822\n\n" \
        b"Cc: " + b"a:b:c:d:e:\n " * 50000 + b"\n\nx\n"
    yield "K04 comments", head + b"To: " + b"(" * 200000 + b"\n\nx\n"
    yield "K04 comment pairs", head + b"To: " + b"(a)" * 20000 + b"\n\nx\n"
    yield "K05 parameters", head + b"Content-Type: text/plain" + \
        b"; a=b" * 100000 + b"\n\nx\n"
    yield "K05 continuations", head + b"Content-Type: text/plain" + b"".join(
        b"; name*%d*=a" % i for i in range(50000)) + b"\n\nx\n"
    yield "K05 long name", head + b"Content-Type: text/plain; " + \
        b"n" * 71 + b"=\xe5\xe4\xf6\n\nx\n"
    yield "K05 gaps", head + b"Content-Type: text/plain; name*0=a; " \
        b"name*9=b; name*0*=utf-8''c; name=d\n\nx\n"
    for size in (0, 71, 2000):
        mark = b"b" * size
        yield f"K06 boundary of {size}", head + \
            b'Content-Type: multipart/mixed; boundary="' + mark + \
            b'"\n\n--' + mark + b"\n\nx\n--" + mark + b"--\n"
    for kind in (b"multipart/mixed; boundary = b",
                 b"multipart/mixed; boundary*0=b",
                 b"multipart/mixed; boundary*=utf-8''b",
                 b"(x)multipart(y)/(z)mixed (a) ; (b) boundary (c) = (d) b",
                 b"multipart/digest; Boundary=b"):
        name = kind.decode()
        yield f"K06 {name}", head + b"Content-Type: " + kind + \
            b"\n\n" + b"--b\n\n" * 200000
        yield f"K06 fields {name}", head + b"Content-Type : " + kind + \
            b"\n\n" + (b"--b\n" + b"X: y\n" * 1000 + b"\n") * 300
    yield "K07 rfc822 in disguise", \
        head + b"Content-Type: (c)message (d) / (e)\n rfc822\n\n" * 20000
    yield "K07 rfc822 after junk", \
        head + b"junk\nContent-Type: message/rfc822\n\n" * 20000
    yield "K07 fields after junk", head + b"\x01junk\n" + \
        b"To: g:g:g:g:g:g:g:\n" * 100000
    yield "K06 dashes", head + b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (i, i)
        for i in range(90)) + b"\n" + b"--\n" * 1000000
    yield "K07 two types", head + b"Content-Type: text/plain\n" \
        b"Content-Type: text/html\nContent-Transfer-Encoding: base64, " \
        b"7bit\n\n<script>\n"
    yield "K08 base64 lines of one", head + \
        b"Content-Type: text/plain\nContent-Transfer-Encoding: base64\n\n" + \
        b"Q\n" * 2000000
    yield "K08 quoted-printable", head + \
        b"Content-Type: text/plain\nContent-Transfer-Encoding: " \
        b"quoted-printable\n\n" + b"=G1=\r" * 500000
    yield "K09 encoded words", head + \
        b"Subject: " + b"=?utf-8?q?a?= " * 200000 + b"\n\nx\n"
    yield "K10 utf-7", head + b"Content-Type: text/html; charset=utf-7\n\n" + \
        b"+ADw-script+AD4-" * 100000
    yield "K10 bad bytes", head + b"Content-Type: text/plain; " \
        b"charset=iso-2022-jp\n\n" + b"\x1b$B\xff\xfe" * 200000
    yield "K11 uuencode", head + b"\nbegin 644 x\n" + b"M" * 1000000
    yield "K15 references", head + b"References: " + \
        b"<a@b>\n " * 100000 + b"\n\nx\n"
    html = b"Content-Type: text/html\n\n"
    yield "L18 divs", head + html + b"<div>" * 200000
    yield "L18 tables", head + html + b"<table><tr><td>" * 60000
    yield "L18 attributes", head + html + b"<p " + b"a=b " * 200000 + b">"
    yield "L18 many tags with attributes", head + html + \
        (b"<p " + b"".join(b"a%d=b " % i for i in range(60)) + b">") * 4000
    yield "L18 unclosed comment", head + html + b"<!--" * 400000
    yield "L18 entities", head + html + b"&" * 1000000
    yield "L18 less-than", head + html + b"<" * 1000000
    yield "L18 quotes", head + html + b"<a href='" * 200000
    yield "L18 end tags", head + html + b"<b><i><u>" * 80 + b"</p>" * 300000
    yield "K16 empty", b""
    yield "K16 NULs", b"\0" * 1000000
    yield "K16 no header", b"\n" * 1000000


class Jobs(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.p = Parser()

    @classmethod
    def tearDownClass(cls):
        cls.p.close()

    def test_summary(self):
        _, text, s = self.p.ask(SAMPLE, job="summary")
        self.assertEqual(s["from"], [{"name": "Jørn Ø",
                                      "address": "jorn@example.org"}])
        self.assertEqual([a["address"] for a in s["to"]], [
            "ann@example.org", "bob@example.org", "eve@example.org"])
        self.assertEqual(s["to"][0]["name"], "Smith, Ann")
        self.assertEqual(s["subject"], "Re: € and more")
        self.assertEqual(s["message_id"], "one@example.org")
        self.assertEqual(s["references"], ["a@x", "b@x", "c@x"])
        self.assertEqual(s["in_reply_to"], "c@x")
        self.assertEqual(s["list_id"], "team.example.org")
        self.assertEqual(s["date"], 1795165200000)
        self.assertTrue(s["has_attachments"])
        self.assertEqual(s["size"], len(SAMPLE))
        self.assertTrue(s["snippet"].startswith(
            "Blåbær is a long paragraph that goes on here."), s["snippet"])
        self.assertNotIn("quoted", s["snippet"])
        self.assertIn(b"quoted too", text)
        self.assertNotIn("broken", s)

    def test_many_references(self):
        """The first stays: it is what a whole conversation has."""
        _, _, s = self.p.ask(b"From: a@b.example\nReferences: " + b"\n ".join(
            b"<%d@x>" % i for i in range(130)) + b"\n\nx\n", job="summary")
        self.assertEqual(s["references"], ["0@x"] + [
            f"{i}@x" for i in range(31, 130)])

    def test_texts_of_two_parts(self):
        _, text, s = self.p.ask(
            b"Content-Type: multipart/mixed; boundary=b\n\n--b\n\none\n--b\n"
            b"Content-Type: text/html\n\n<i>three</i>\n--b\n\ntwo\n--b--\n",
            job="summary")
        self.assertEqual(s["snippet"], "one two")
        self.assertEqual(text.split(), [b"one", b"two"])

    def test_structure(self):
        _, _, s = self.p.ask(SAMPLE, job="structure")
        self.assertEqual(
            [(p["path"], p["type"], p["depth"]) for p in s["parts"]],
            [("1", "multipart/mixed", 0),
             ("1.1", "multipart/alternative", 1),
             ("1.1.1", "text/plain", 2), ("1.1.2", "text/html", 2),
             ("1.2", "image/png", 1), ("1.3", "message/rfc822", 1),
             ("1.3.1", "text/plain", 2)])
        png = s["parts"][4]
        self.assertEqual(png["name"], "agnp.exe")
        self.assertEqual(png["cid"], "pic@x")
        self.assertEqual(png["disposition"], "attachment")
        self.assertEqual(png["encoding"], "base64")
        self.assertTrue(s["parts"][2]["flowed"])
        self.assertEqual(s["parts"][5]["name"], "inner one.eml")
        self.assertEqual(s["parts"][5]["size"], len("inner text"))

    def test_view(self):
        _, _, s = self.p.ask(SAMPLE, job="view")
        self.assertEqual([b["kind"] for b in s["bodies"]], ["html"])
        self.assertEqual(
            [p["role"] for p in s["parts"]],
            ["", "", "", "text", "file", "file", ""])
        self.assertTrue(s["remote_pictures"])
        self.assertEqual(s["subject"], "Re: € and more")
        _, _, s = self.p.ask(SAMPLE, job="view", prefer_plain=True)
        self.assertEqual([b["kind"] for b in s["bodies"]], ["text"])
        self.assertIn("Blåbær", s["bodies"][0]["text"])
        self.assertFalse(s["remote_pictures"])
        # HTML alone as its text; pieces in order; an embedded message's
        # text is not ours; pictures of the HTML are not listed
        piece = b"\n--b\nContent-Type: "
        raw = b"Content-Type: multipart/mixed; boundary=b\n" + \
            piece + b"multipart/related; boundary=c\n\n--c\n" \
            b"Content-Type: text/html\n\n<p>one<img src=cid:p>\n--c\n" \
            b"Content-Type: image/png\nContent-ID: <p>\n\nx\n--c--\n" + \
            piece + b"message/rfc822\n\nContent-Type: text/html\n\ninner" + \
            piece + b"text/plain\n\nfooter\n--b--\n"
        _, _, s = self.p.ask(raw, job="view")
        self.assertEqual([(b["kind"], b["path"]) for b in s["bodies"]],
                         [("html", "1.1.1"), ("text", "1.3")])
        self.assertEqual([p["role"] for p in s["parts"]],
                         ["", "", "text", "picture", "file", "", "text"])
        _, _, s = self.p.ask(raw, job="view", prefer_plain=True)
        self.assertEqual([b["text"].strip() for b in s["bodies"]],
                         ["one", "footer"])
        self.assertEqual(s["parts"][3]["role"], "file")
        self.assertFalse(s["truncated"])

    def test_report(self):
        raw = b"Content-Type: multipart/report; boundary=b;" \
            b" report-type=delivery-status\n\n--b\n\nwords\n--b\n" \
            b"Content-Type: message/delivery-status\n\n" \
            b"Reporting-MTA: dns; a.example\n\n" \
            b"Final-Recipient: rfc822; bob@example.net\n" \
            b"Action: failed\nStatus: 5.1.1\n" \
            b"Diagnostic-Code: smtp; 550 5.1.1\n No <b>such</b> user\n\n" \
            b"Final-Recipient: rfc822;carl@example.net\n" \
            b"Action: delayed\n--b--\n"
        _, _, s = self.p.ask(raw, job="view")
        self.assertEqual(s["report"], [
            {"address": "bob@example.net", "action": "failed",
             "status": "5.1.1", "reply": "550 5.1.1 No <b>such</b> user"},
            {"address": "carl@example.net", "action": "delayed"}])

    def test_part(self):
        begin, data, _ = self.p.ask(SAMPLE, job="part", path="1.2")
        self.assertEqual(data, b"\x89PNG\r\n\x1a\n")
        self.assertEqual(begin["type"], "image/png")
        _, data, _ = self.p.ask(SAMPLE, job="part", path="1.3")
        self.assertTrue(data.startswith(b"Subject: inner one\n"), data)
        self.assertIn(b"inner text", data)
        for path in ("1", "1.1", "9", "", "1.2.1", "x" * 1000):
            with self.assertRaises(Refused):
                self.p.ask(SAMPLE, job="part", path=path)

    def test_large_part(self):
        body = os.urandom(20 * 1024 * 1024)
        _, data, _ = self.p.ask(
            b"Content-Type: application/octet-stream\n"
            b"Content-Transfer-Encoding: base64\n\n" +
            base64.encodebytes(body), job="part", path="1")
        self.assertEqual(data, body)

    def test_text(self):
        _, data, info = self.p.ask(SAMPLE, job="text", path="1.1.1")
        self.assertEqual(data.decode(), "Blåbær is a long paragraph that "
                         "goes on here.\n> quoted too\n")
        self.assertTrue(info["flowed"])

    def test_charsets(self):
        for charset in ("utf-8", "iso-8859-2", "koi8-r", "gb2312", "big5",
                        "shift_jis", "euc-jp", "iso-2022-jp", "euc-kr",
                        "windows-1256", "windows-1255", "utf-16", "ibm866"):
            text = {"koi8-r": "Привет", "ibm866": "Привет", "gb2312": "你好",
                    "big5": "你好", "shift_jis": "こんにちは",
                    "euc-jp": "こんにちは", "iso-2022-jp": "こんにちは",
                    "euc-kr": "안녕", "windows-1256": "سلام",
                    "windows-1255": "שלום"}.get(charset, "Čau")
            raw = f"Content-Type: text/plain; charset={charset}\n" \
                "Content-Transfer-Encoding: base64\n\n".encode() + \
                base64.encodebytes(text.encode(charset))
            _, data, _ = self.p.ask(raw, job="text", path="1")
            self.assertEqual(data.decode().strip(), text, charset)
            subject = "Subject: =?%s?B?%s?=\n\nx" % (
                charset, base64.b64encode(text.encode(charset)).decode())
            _, _, s = self.p.ask(subject.encode(), job="summary")
            self.assertEqual(s["subject"], text, charset)

    def test_html(self):
        _, data, info = self.p.ask(SAMPLE, job="html", path="1.1.2",
                                   cid_prefix="/webmail/v/1/cid/")
        html = data.decode()
        self.assertIn("Привет", html)
        self.assertIn('src="/webmail/v/1/cid/pic%40x"', html)
        self.assertIn('data-remote="https://evil.example/p.png"', html)
        for bad in ("script", "onclick", "alert", 'src="http'):
            self.assertNotIn(bad, html)
        self.assertEqual(info["blocked_pictures"], 1)
        _, data, info = self.p.ask(SAMPLE, job="html", path="1.1.2",
                                   remote_pictures=True)
        self.assertIn('src="https://evil.example/p.png"', data.decode())
        self.assertEqual(info["blocked_pictures"], 0)
        with self.assertRaises(Refused):
            self.p.ask(SAMPLE, job="html", path="1.1.1")

    def test_headers(self):
        _, _, s = self.p.ask(SAMPLE, job="headers", path="")
        fields = dict(s["fields"])
        self.assertEqual(fields["Subject"], "Re: € and more")
        self.assertEqual(fields["References"], "<a@x> <b@x> <c@x>")
        _, _, s = self.p.ask(SAMPLE, job="headers", path="1.3")
        self.assertEqual(s["fields"][0], ["Subject", "inner one"])

    def test_jail(self):
        for pid in self.p.workers():
            status = Path(f"/proc/{pid}/status").read_text()
            self.assertRegex(status, r"NoNewPrivs:\s+1")
            self.assertRegex(status, r"Seccomp:\s+2")
            limits = Path(f"/proc/{pid}/limits").read_text()
            if SLOW == 1:
                self.assertNotRegex(limits, r"address space\s+unlimited")
            open_files = [os.readlink(f"/proc/{pid}/fd/{fd}")
                          for fd in os.listdir(f"/proc/{pid}/fd")]
            self.assertFalse([f for f in open_files if f.endswith(".db")])

    def test_not_a_job(self):
        for job in ({}, {"job": "open"}, {"job": 7}):
            with self.assertRaises(Refused):
                self.p.ask(SAMPLE, **job)


class Bombs(unittest.TestCase):
    """K01 to K16, L18: in time, in memory, and no process dies."""

    @classmethod
    def setUpClass(cls):
        cls.p = Parser()
        cls.workers = cls.p.workers()
        cls.bombs = list(bombs())

    @classmethod
    def tearDownClass(cls):
        cls.p.close()
        del cls.bombs

    def survive(self, row, seconds=BOMB_SECONDS):
        thrown = [b for b in self.bombs if b[0].startswith(row + " ")]
        self.assertTrue(thrown)
        slow = []
        for name, message in thrown:
            for job in ("summary", "structure", "html", "view"):
                started = self.p.cpu_seconds()
                try:
                    self.p.ask(message, job=job, path="1")
                except Refused:
                    pass
                except ConnectionError:
                    self.fail(f"{name}: {job}: it died")
                took = self.p.cpu_seconds() - started
                if took > seconds:
                    slow.append((name, job, round(took, 3)))
            self.assertEqual(self.p.workers(), self.workers, name)
        self.assertEqual(slow, [])
        if SLOW == 1:
            self.assertLess(self.p.peak_kb(), MEMORY_KB)

    def test_K01_nesting(self):
        self.survive("K01")

    def test_K02_empty_parts(self):
        self.survive("K02")

    def test_K03_headers(self):
        self.survive("K03")

    def test_K04_addresses(self):
        self.survive("K04")

    def test_K05_parameters(self):
        self.survive("K05")

    def test_K06_boundaries(self):
        self.survive("K06")

    def test_K07_types(self):
        self.survive("K07")

    def test_K08_encodings(self):
        self.survive("K08")

    def test_K09_encoded_words(self):
        self.survive("K09")

    def test_K10_charsets(self):
        self.survive("K10")

    def test_K11_what_is_not_taken_apart(self):
        self.survive("K11")

    def test_K15_references(self):
        self.survive("K15")

    def test_K16_nothing_in_it(self):
        self.survive("K16")

    def test_L18_large_html(self):
        """Its limit is one second a megabyte."""
        self.survive("L18", BOMB_SECONDS * 5)

    def test_K04_broken_is_still_listed(self):
        message = b"From: Ann <ann@example.org>\nSubject: =?utf-8?q?h=C3" \
            b"=A9?=\nTo: " + b"g:" * 5000 + b"\n\nx\n"
        _, _, s = self.p.ask(message, job="summary")
        self.assertIn("broken", s)
        self.assertEqual(s["subject"], "hé")
        self.assertEqual(s["from"][0]["address"], "ann@example.org")
        _, data, _ = self.p.ask(message, job="part", path="1")
        self.assertEqual(data, message)


if __name__ == "__main__":
    unittest.main()
