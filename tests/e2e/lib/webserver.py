"""Debian's web servers, unpacked and unprivileged, in front of a Server.

    with WebServer(server, "nginx") as web:
        urllib.request.urlopen(web.url + "/webmail/login")

Each is set up with the file of packaging/ an administrator would include; only
its paths are made those of the test's state directory.
"""

import socket
import subprocess
import tempfile
from pathlib import Path

from .server import BIN, ROOT, free_port, wait_until

KINDS = ("nginx", "apache-proxy_fcgi", "apache-fcgid", "lighttpd")
PACKAGES = {"nginx": ["nginx"], "lighttpd": ["lighttpd"],
            "apache": ["apache2-bin", "libapache2-mod-fcgid", "libapr1",
                       "libaprutil1"]}

NGINX = """daemon off;
master_process off;
pid {top}/pid;
error_log stderr;
events {{ }}
http {{
	access_log off;
	client_body_temp_path {top}/body;
	fastcgi_temp_path {top}/fastcgi;
	proxy_temp_path {top}/proxy;
	uwsgi_temp_path {top}/uwsgi;
	scgi_temp_path {top}/scgi;
	server {{
		listen 127.0.0.1:{port};
		include {top}/snippet.conf;
	}}
}}
"""
LIGHTTPD = """server.document-root = "{top}"
server.port = {port}
server.bind = "127.0.0.1"
server.upload-dirs = ( "{top}" )
include "{top}/snippet.conf"
"""
APACHE = """ServerRoot {top}
ServerName 127.0.0.1
PidFile {top}/pid
DefaultRuntimeDir {top}
ErrorLog {top}/error.log
Listen 127.0.0.1:{port}
DocumentRoot {top}/docs
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
{loads}
<IfModule mod_fcgid.c>
	FcgidIPCDir {top}
	FcgidProcessTableFile {top}/table
</IfModule>
Include {top}/snippet.conf
"""


class WebServer:
    def __init__(self, server, kind="nginx"):
        self.kind = kind
        self.top = Path(tempfile.mkdtemp(prefix=f"{kind}-", dir=server.top))
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        snippet = (ROOT / "packaging" / f"{kind}.conf").read_text()
        (self.top / "snippet.conf").write_text(
            snippet.replace("/var/lib/mailstead", str(server.state))
            .replace("/usr/bin/mailstead", str(BIN / "mailstead")))
        (self.top / "docs").mkdir()
        self.process = None

    def command(self):
        name = self.kind.partition("-")[0]
        root = Path(subprocess.run(
            [ROOT / "packaging/unpack.sh", name, *PACKAGES[name]],
            capture_output=True, text=True, check=True).stdout.strip())
        conf = self.top / "server.conf"
        values = {"top": self.top, "port": self.port}
        if name == "nginx":
            conf.write_text(NGINX.format(**values))
            return [root / "usr/sbin/nginx", "-e", "stderr", "-p", self.top,
                    "-c", conf]
        if name == "lighttpd":
            conf.write_text(LIGHTTPD.format(**values))
            return [root / "usr/sbin/lighttpd", "-D", "-m",
                    root / "usr/lib/lighttpd", "-f", conf]
        modules = root / "usr/lib/apache2/modules"
        names = ("fcgid",) if self.kind == "apache-fcgid" else (
            "proxy", "proxy_fcgi", "buffer", "env")
        loads = "\n".join(f"LoadModule {n}_module {modules}/mod_{n}.so"
                          for n in names)
        conf.write_text(APACHE.format(loads=loads, modules=modules, **values))
        return ["env", "LD_LIBRARY_PATH=%s" % next(
            (root / "usr/lib").glob("*-linux-gnu")),
                root / "usr/sbin/apache2", "-D", "FOREGROUND", "-f", conf]

    def __enter__(self):
        with open(self.top / "output", "wb") as out:
            self.process = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stdout=out,
                stderr=out)
        try:
            wait_until(self.answers, 20, f"{self.kind} to answer")
        except AssertionError:
            self.stop()
            raise AssertionError((self.top / "output").read_text() +
                                 self.errors())
        return self

    def errors(self):
        log = self.top / "error.log"
        return log.read_text() if log.exists() else ""

    def answers(self):
        if self.process.poll() is not None:
            raise AssertionError("it has ended")
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self):
        self.process.terminate()
        self.process.wait(30)

    def __exit__(self, *exc):
        self.stop()
