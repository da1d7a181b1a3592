"""Protocol dialogues: files that read like the examples in the RFCs.

    # comment
    @ port submission        connect there instead of the default port
    @ tls                    TLS handshake now
    @ close                  the server closes the connection here
    @ shut                   we close our sending side
    C: text                  a line, sent with CRLF
    C-raw: a\\r\\nb\\x00       bytes, with Python's escapes, sent as they are
    S: 250 2.1.0             a line that begins so
    S: /^250[ -]SIZE \\d+$/   a line that the regular expression finds
    S...: 250                lines up to one that begins so, with a space
                             behind it: the end of a multi-line reply

{{name}} stands for a variable given by the test.  Consecutive C lines are sent
in one segment.  At the end of the file the connection is closed.
"""

import re
import socket
import ssl

TIMEOUT = 20


class Mismatch(AssertionError):
    """The server said something else."""


class Connection:
    """A socket that sends bytes and reads lines."""

    def __init__(self, host, port, timeout=TIMEOUT):
        self.sock = socket.create_connection((host, port), timeout)
        self.buffer = b""

    def close(self):
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data)

    def start_tls(self):
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self.sock = context.wrap_socket(self.sock)

    def fill(self):
        """Read more; False at the end of the stream."""
        try:
            data = self.sock.recv(65536)
        except (ConnectionResetError, ssl.SSLError):
            return False
        self.buffer += data
        return bool(data)

    def line(self):
        """A line without its CRLF, or None at the end of the stream."""
        while b"\n" not in self.buffer:
            if not self.fill():
                return None
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line.removesuffix(b"\r").decode("latin-1")

    def reply(self):
        """An SMTP reply: its code and its last line; (None, "") at the end."""
        while True:
            line = self.line()
            if line is None:
                return None, ""
            if line[3:4] != "-":
                return int(line[:3]), line

    def ask(self, text):
        """Send a line, return the code of the reply."""
        if isinstance(text, str):
            text = text.encode("utf-8")
        self.send(text + b"\r\n")
        return self.reply()[0]

    def at_end(self):
        """Is the stream at its end?  Waits."""
        return not self.buffer and not self.fill()


def fits(line, want):
    if want.startswith("/") and want.endswith("/") and len(want) > 1:
        return re.search(want[1:-1], line) is not None
    return line.startswith(want)


class Player:
    """One run of one file."""

    def __init__(self, path, host, ports, default_port, variables):
        self.path = path
        self.host, self.ports, self.port = host, ports, default_port
        self.variables = variables
        self.connection = None
        self.number = 0

    def fail(self, text):
        raise Mismatch(f"{self.path.name}:{self.number}: {text}")

    def connect(self):
        if self.connection is None:
            self.connection = Connection(self.host, self.ports[self.port])
        return self.connection

    def directive(self, words):
        if words[0] == "port":
            self.port = words[1]
        elif words[0] == "tls":
            self.connect().start_tls()
        elif words[0] == "shut":
            self.connect().sock.shutdown(socket.SHUT_WR)
        elif words[0] == "close":
            if not self.connect().at_end():
                self.fail(f"still open, said {self.connection.buffer!r}")
        else:
            self.fail(f"unknown directive {words[0]}")

    def expect(self, want):
        line = self.connect().line()
        if line is None or not fits(line, want):
            self.fail(f"expected {want!r}, got {line!r}")

    def expect_until(self, want):
        while True:
            line = self.connect().line()
            if line is None or not line.startswith(want):
                self.fail(f"expected {want!r}, got {line!r}")
            if line[len(want):len(want) + 1] != "-":
                return

    def play(self):
        pending = b""
        for self.number, text in enumerate(
                self.path.read_text().splitlines(), 1):
            for name, value in self.variables.items():
                text = text.replace("{{" + name + "}}", value)
            if not text.strip() or text.startswith("#"):
                continue
            kind, _, rest = text.partition(" ")
            if kind == "C:":
                pending += rest.encode() + b"\r\n"
                continue
            if kind == "C-raw:":
                pending += rest.encode("latin-1").decode(
                    "unicode_escape").encode("latin-1")
                continue
            if pending:
                self.connect().send(pending)
                pending = b""
            if kind == "@":
                self.directive(rest.split())
            elif kind == "S:":
                self.expect(rest)
            elif kind == "S...:":
                self.expect_until(rest)
            else:
                self.fail(f"cannot read {text!r}")
        if pending:
            self.connect().send(pending)


def play(path, host, ports, default_port, variables=None):
    """Play one file; raises Mismatch."""
    player = Player(path, host, ports, default_port, variables or {})
    try:
        player.play()
    finally:
        if player.connection is not None:
            player.connection.close()
