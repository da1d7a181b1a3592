"""A FastCGI client: one request by one connection, as a web server sends it.

    browser = Browser(socket_path)        # keeps cookies
    page = browser.get("/webmail/login")
    page = browser.post("/webmail/login", {"user": ...}, page)
"""

import html
import re
import socket
import struct
from urllib.parse import urlencode

BEGIN, END, PARAMS, STDIN, STDOUT = 1, 3, 4, 5, 6
RESPONDER = 1


def record(kind, data=b""):
    return struct.pack(">BBHHBx", 1, kind, 1, len(data), 0) + data


BEGIN_ONE = record(BEGIN, struct.pack(">HB5x", RESPONDER, 0))


def stream(kind, data):
    pieces = [data[i:i + 65000] for i in range(0, len(data), 65000)]
    return b"".join(record(kind, p) for p in pieces) + record(kind)


def pair(name, value):
    name, value = name.encode(), value.encode()
    sizes = b""
    for text in (name, value):
        sizes += (bytes([len(text)]) if len(text) < 128 else
                  struct.pack(">I", len(text) | 0x80000000))
    return sizes + name + value


class Page:
    def __init__(self, raw):
        if not raw:
            raise ConnectionError("an empty answer")
        head, _, self.body = raw.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        self.headers = [line.split(": ", 1) for line in lines]
        self.status = int(self.header("Status").split()[0])

    def header(self, name):
        for key, value in self.headers:
            if key.lower() == name.lower():
                return value
        return None

    @property
    def text(self):
        return self.body.decode()

    def hidden(self, name):
        found = re.search(r'name="%s" value="([^"]*)"' % name, self.text)
        return html.unescape(found.group(1)) if found else None


def request(path, params, body=b"", timeout=30):
    """The answer's bytes, without FastCGI around them."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
        s.settimeout(timeout)
        s.connect(str(path))
        s.sendall(BEGIN_ONE +
                  stream(PARAMS, b"".join(pair(k, v)
                                          for k, v in params.items())) +
                  stream(STDIN, body))
        raw = b""
        while True:
            data = s.recv(65536)
            if not data:
                break
            raw += data
    out = b""
    while len(raw) >= 8:
        _, kind, _, size, padding = struct.unpack(">BBHHBx", raw[:8])
        if kind == STDOUT:
            out += raw[8:8 + size]
        raw = raw[8 + size + padding:]
    return out


class Browser:
    def __init__(self, path, **more):
        self.path = path
        self.more = more
        self.cookies = {}

    def ask(self, method, uri, body=b"", **more):
        params = {"REQUEST_METHOD": method, "REQUEST_URI": uri,
                  "REMOTE_ADDR": "127.0.0.1", "HTTP_HOST": "127.0.0.1:2080",
                  "SERVER_PROTOCOL": "HTTP/1.1",
                  "CONTENT_LENGTH": str(len(body))}
        if self.cookies:
            params["HTTP_COOKIE"] = "; ".join(
                f"{k}={v}" for k, v in self.cookies.items())
        params.update(self.more)
        params.update(more)
        page = Page(request(self.path, params, body))
        for key, value in page.headers:
            if key == "Set-Cookie":
                name, _, rest = value.partition("=")
                self.cookies[name] = rest.split(";")[0]
                if "Max-Age=0" in value:
                    del self.cookies[name]
        return page

    def get(self, uri, **more):
        return self.ask("GET", uri, **more)

    def post(self, uri, fields, page=None, **more):
        """`page`: whose form it is; its token is sent with the fields."""
        if page is not None:
            fields = dict(fields, csrf=page.hidden("csrf"))
        return self.ask("POST", uri, urlencode(fields, doseq=True).encode(),
                        CONTENT_TYPE="application/x-www-form-urlencoded",
                        **more)

    def upload(self, uri, fields, files, page=None, **more):
        """As post(), with files: [(field, name, type, bytes)]."""
        if page is not None:
            fields = dict(fields, csrf=page.hidden("csrf"))
        edge = "----edge-of-the-form"
        parts = [f'--{edge}\r\nContent-Disposition: form-data; '
                 f'name="{k}"\r\n\r\n{v}\r\n'.encode()
                 for k, all in fields.items()
                 for v in (all if isinstance(all, list) else [all])]
        for field, name, kind, data in files:
            parts.append(f'--{edge}\r\nContent-Disposition: form-data; '
                         f'name="{field}"; filename="{name}"\r\n'
                         f'Content-Type: {kind}\r\n\r\n'.encode() + data +
                         b"\r\n")
        body = b"".join(parts) + f"--{edge}--\r\n".encode()
        return self.ask("POST", uri, body,
                        CONTENT_TYPE=f"multipart/form-data; boundary={edge}",
                        **more)

    def follow(self, page):
        """The page a redirect leads to."""
        return self.get(page.header("Location"))

    def sign_in(self, user, password, base="/webmail", back="/m/inbox"):
        form = self.get(base + "/login")
        page = self.post(base + "/login", {"user": user, "pass": password,
                                           "back": back}, form)
        if page.status != 303:
            raise AssertionError(page.text)
        return self

    def send_at_once(self, undo="0"):
        """Nothing waits to be taken back."""
        page = self.get("/webmail/settings/writing")
        page = self.post("/webmail/settings/writing", {"undo": undo}, page)
        if page.status != 303:
            raise AssertionError(page.text)
        return self


class Letter:
    """The page a message is written on, as a browser without script."""

    def __init__(self, browser, query=""):
        self.b = browser
        self.page = browser.follow(browser.get("/webmail/compose" + query))

    @property
    def uri(self):
        return re.search(r'action="([^"]+/d/[^"]+)"', self.page.text).group(1)

    def fields(self):
        """What the form has now."""
        text = self.page.text
        found = {n: html.unescape(v) for n, v in re.findall(
            r'<input(?! type="checkbox"(?![^>]* checked))'
            r'[^>]*name="(?!csrf|file|when|take)([a-z_]+)"[^>]*?'
            r'value="([^"]*)"', text)}
        area = re.search(r'<textarea[^>]*name="text"[^>]*>\n?(.*?)</textarea>',
                         text, re.S)
        found["text"] = html.unescape(area.group(1))
        chosen = re.search(r'<option value="([^"]*)" selected', text)
        found["from"] = html.unescape(chosen.group(1)) if chosen else ""
        return found

    def takes(self):
        """The files of another message that wait to come along."""
        return re.findall(r'name="take" value="([^"]+)"', self.page.text)

    def post(self, do, files=(), **changes):
        """Press a button; the answer, whose page stays here if it is one."""
        fields = dict(self.fields(), **changes)
        fields["do"] = do
        answer = self.b.upload(self.uri, fields, files, self.page)
        if answer.status == 303 and "/d/" in answer.header("Location"):
            self.page = self.b.follow(answer)
        elif 'action="' in answer.text and "/d/" in answer.text:
            self.page = answer
        return answer
