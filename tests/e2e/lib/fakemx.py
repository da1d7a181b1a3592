"""A scripted mail exchanger for tests, on 127.0.0.1 and any port.

    with FakeMX() as mx:                      # behaves well
        mx.port
        mx.messages                           # what it took, byte for byte

    FakeMX(replies={'RCPT': ['250 ok', '550 5.1.1 no']})   # one after the other
    FakeMX(replies={'DOT': '451 4.3.0 later'})

A reply is for BANNER, EHLO, HELO, STARTTLS, AUTH, MAIL, RCPT, DATA, DOT, RSET,
NOOP, QUIT, and is one of

    'text'            that line, or lines: '250-a\\r\\n250 b'
    b'bytes'          exactly these bytes
    DROP              the connection is closed
    HANG              nothing, until the client goes away
    Delay(s, reply)   later
    Drip(s, reply)    a byte every s seconds
    Endless(bytes)    these bytes again and again until the client goes away
    Reset(reply)      the reply, then the connection is closed
    [reply, ...]      one after the other; the last one repeats
    callable(arg)     of the command's argument, giving one of the above

drop_after=N closes the connection after N bytes from the client; it may be a
function that gives N for each new connection.  The list
`extensions` is what EHLO offers.  Each message is a dict: helo, mail, rcpts,
data (dots still doubled, the final dot included), tls, auth.
"""

import base64
import socket
import ssl
import threading
import time

DROP = object()
HANG = object()
DEFAULTS = {'BANNER': '220 mx.test ESMTP', 'HELO': '250 mx.test',
            'STARTTLS': '220 2.0.0 go', 'AUTH': '235 2.7.0 ok',
            'MAIL': '250 2.1.0 ok', 'RCPT': '250 2.1.5 ok', 'DATA': '354 go',
            'DOT': '250 2.0.0 taken', 'RSET': '250 2.0.0 ok',
            'NOOP': '250 2.0.0 ok', 'QUIT': '221 2.0.0 bye'}
EXTENSIONS = ('PIPELINING', 'SIZE 104857600', '8BITMIME', 'SMTPUTF8', 'DSN')


class Delay:
    def __init__(self, seconds, reply):
        self.seconds, self.reply = seconds, reply


class Drip(Delay):
    pass


class Endless:
    def __init__(self, data):
        self.data = data


class Reset:
    def __init__(self, reply):
        self.reply = reply


class Gone(Exception):
    pass


class Session(threading.Thread):
    def __init__(self, mx, sock):
        super().__init__(daemon=True)
        self.mx, self.sock = mx, sock
        self.buffer = b''
        self.received = 0
        self.limit = mx.drop_after() if callable(mx.drop_after) else mx.drop_after
        self.tls = False
        self.auth = None
        self.reset()
        self.helo = None

    def reset(self):
        self.mail, self.rcpts = None, []

    def run(self):
        try:
            if self.mx.wrapped:
                self.start_tls()
            self.say('BANNER', '')
            while True:
                self.command(self.line())
        except (Gone, OSError):
            pass
        finally:
            self.mx.live.discard(self)
            self.sock.close()

    def fill(self):
        room = 65536 if self.limit is None else self.limit - self.received
        data = self.sock.recv(min(65536, room)) if room > 0 else b''
        if not data:
            raise Gone
        self.received += len(data)
        self.buffer += data

    def line(self):
        while b'\n' not in self.buffer:
            self.fill()
        line, _, self.buffer = self.buffer.partition(b'\n')
        line += b'\n'
        self.mx.lines.append(line)
        return line.rstrip(b'\r\n').decode('utf-8', 'surrogateescape')

    def send(self, reply):
        if reply is DROP:
            raise Gone
        if reply is HANG:
            while self.sock.recv(65536):
                pass
            raise Gone
        if isinstance(reply, Drip):
            for byte in self.raw(reply.reply):
                self.sock.sendall(bytes([byte]))
                time.sleep(reply.seconds)
            return
        if isinstance(reply, Delay):
            time.sleep(reply.seconds)
            self.send(reply.reply)
            return
        if isinstance(reply, Endless):
            while True:
                self.sock.sendall(reply.data)
        if isinstance(reply, Reset):
            self.send(reply.reply)
            raise Gone
        self.sock.sendall(self.raw(reply))

    @staticmethod
    def raw(reply):
        return reply if isinstance(reply, bytes) else (reply + '\r\n').encode()

    def say(self, verb, arg):
        """Send the reply; True if it was a good one."""
        reply = self.mx.reply(verb, arg)
        self.send(reply)
        return isinstance(reply, str) and reply[:1] in '23'

    def start_tls(self):
        self.sock = self.mx.tls.wrap_socket(self.sock, server_side=True)
        self.tls = True
        self.buffer = b''

    def command(self, line):
        verb, _, arg = line.partition(' ')
        verb = verb.upper()
        handler = getattr(self, 'do_' + verb.lower(), None)
        if handler is not None:
            handler(arg)
        elif verb in DEFAULTS:
            self.say(verb, arg)
        else:
            self.send('500 5.5.1 what?')
        if verb == 'QUIT':
            raise Gone

    def do_ehlo(self, arg):
        self.helo = arg
        self.reset()
        if 'EHLO' in self.mx.replies:
            self.say('EHLO', arg)
            return
        words = list(self.mx.extensions)
        if self.mx.tls and not self.tls:
            words.append('STARTTLS')
        lines = ['mx.test'] + words
        self.send('\r\n'.join('250%s%s' % ('-' if i + 1 < len(lines) else ' ', w)
                              for i, w in enumerate(lines)))

    def do_helo(self, arg):
        self.helo = arg
        self.say('HELO', arg)

    def do_starttls(self, arg):
        if self.say('STARTTLS', arg):
            self.start_tls()

    def do_auth(self, arg):
        if arg.upper().startswith('PLAIN '):
            self.auth = base64.b64decode(arg[6:]).split(b'\0')[1:]
        elif arg.upper() == 'LOGIN':
            self.send('334 VXNlcm5hbWU6')
            user = base64.b64decode(self.line())
            self.send('334 UGFzc3dvcmQ6')
            self.auth = [user, base64.b64decode(self.line())]
        self.say('AUTH', arg)

    def do_mail(self, arg):
        if self.say('MAIL', arg):
            self.mail = arg

    def do_rcpt(self, arg):
        if self.mail is None and 'RCPT' not in self.mx.replies:
            self.send('503 5.5.1 no MAIL')
        elif self.say('RCPT', arg):
            self.rcpts.append(arg)

    def do_data(self, arg):
        if not self.rcpts and 'DATA' not in self.mx.replies:
            self.send('554 5.5.1 no valid recipients')
        elif self.say('DATA', arg):
            self.text()

    def text(self):
        while not self.buffer.startswith(b'.\r\n') and \
                b'\r\n.\r\n' not in self.buffer:
            self.fill()
        if self.buffer.startswith(b'.\r\n'):
            end = 3
        else:
            end = self.buffer.index(b'\r\n.\r\n') + 5
        data, self.buffer = self.buffer[:end], self.buffer[end:]
        message = {'helo': self.helo, 'mail': self.mail, 'rcpts': self.rcpts,
                   'data': data, 'tls': self.tls, 'auth': self.auth,
                   'time': time.monotonic()}
        self.mx.seen.append(message)
        self.reset()
        reply = self.mx.reply('DOT', data)
        inner = getattr(reply, 'reply', reply)
        if isinstance(inner, str) and inner[:1] == '2':
            self.mx.messages.append(message)
        self.send(reply)


class FakeMX:
    def __init__(self, replies=None, extensions=EXTENSIONS, drop_after=None,
                 tls=None, wrapped=False, port=0, host='127.0.0.1'):
        self.replies = dict(replies or {})
        self.extensions = extensions
        self.drop_after = drop_after
        self.tls, self.wrapped = tls, wrapped
        self.messages = []  # taken with a 2xx to the final dot
        self.seen = []      # everything that came up to a final dot
        self.lines = []     # every command line, with its end
        self.connections = 0
        self.turns = {}
        self.live = set()
        self.lock = threading.Lock()
        self.listener = socket.create_server((host, port), backlog=256)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections += 1
            session = Session(self, sock)
            self.live.add(session)
            session.start()

    def reply(self, verb, arg):
        with self.lock:
            reply = self.replies.get(verb, DEFAULTS.get(verb))
            if isinstance(reply, list):
                turn = self.turns.get(verb, 0)
                self.turns[verb] = turn + 1
                reply = reply[min(turn, len(reply) - 1)]
        if callable(reply):
            reply = reply(arg)
        return reply

    def script(self, replies, drop_after=None):
        """Start anew: other replies, nothing recorded, no connection."""
        with self.lock:
            self.replies, self.turns = dict(replies), {}
            self.drop_after = drop_after
            self.messages, self.seen, self.lines = [], [], []
            for session in list(self.live):
                try:
                    session.sock.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


def make_tls(cert, key):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context
