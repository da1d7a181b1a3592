#!/bin/sh
# demo.sh BUILD: make demo/ if it is not there, and run the whole server in the
# foreground on loopback, ports + 2000.  Ctrl-C stops it; the mail stays.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
bin=$here/$1/bin
demo=$here/demo
state=$demo/state
offset=2000
admin_password="harbour-lantern-demo"
user_password="violet-compass-demo"

ms() { "$bin/mailstead" --state "$state" "$@"; }

make_state() {
	mkdir -p "$demo"
	echo "$admin_password" | ms init --hostname mail.example.org \
	    --domain example.org --admin admin@example.org --port-offset $offset
	for user in ann bob; do
		echo "$user_password" | ms user add "$user@example.org"
	done
}

sample_mail() {
	ms submit -i -f ann@example.org bob@example.org <<-MAIL
	From: Ann <ann@example.org>
	To: Bob <bob@example.org>
	Subject: Welcome to Mailstead

	Hello Bob,

	this message went through the spool and the queue runner into your
	Maildir. Fetch it with any POP3 client, or read it in the browser.

	Ann
	MAIL
	ms submit -i -f bob@example.org ann@example.org <<-MAIL
	From: Bob <bob@example.org>
	To: Ann <ann@example.org>
	Subject: Lunch on Friday?

	Twelve o'clock at the harbour?
	MAIL
}

# The web server in front of webmail and administration: Debian's nginx, unpacked and not
# installed, as whoever runs the demo.
make_web() {
	web=$demo/nginx
	mkdir -p "$web"
	cat > "$web/nginx.conf" <<-CONF
	daemon off;
	master_process off;
	pid $web/pid;
	error_log stderr;
	events { }
	http {
		access_log off;
		client_body_temp_path $web/body;
		fastcgi_temp_path $web/fastcgi;
		proxy_temp_path $web/proxy;
		uwsgi_temp_path $web/uwsgi;
		scgi_temp_path $web/scgi;
		server {
			listen 127.0.0.1:2080;
			location = / { return 302 /webmail/; }
			include $web/mailstead.conf;
		}
	}
	CONF
	sed "s|unix:[^;]*/run/|unix:$state/run/|" "$here/packaging/nginx.conf" \
	    > "$web/mailstead.conf"
}

describe() {
	cat > "$demo/demo.json" <<-JSON
	{
	  "users": [
	    {"address": "admin@example.org", "password": "$admin_password", "role": "server-admin"},
	    {"address": "ann@example.org", "password": "$user_password", "role": "user"},
	    {"address": "bob@example.org", "password": "$user_password", "role": "user"}
	  ],
	  "ports": {"smtp": 2025, "submission": 2587, "submissions": 2465,
	            "pop3": 2110, "pop3s": 2995, "http": 2080},
	  "urls": {"webmail": "http://127.0.0.1:2080/webmail/",
	           "admin": "http://127.0.0.1:2080/admin/"}
	}
	JSON
	cat <<-TEXT

	Mailstead runs on 127.0.0.1 (and ::1):
	  Webmail http://127.0.0.1:2080/webmail/
	  Administration http://127.0.0.1:2080/admin/
	  SMTP 2025, submission 2587 (STARTTLS) and 2465 (TLS), POP3 2110 and 2995 (TLS)

	  user                password
	  ann@example.org     $user_password
	  bob@example.org     $user_password
	  admin@example.org   $admin_password

	Try, in another terminal:
	  swaks --server 127.0.0.1:2587 --tls --auth PLAIN --auth-user ann@example.org \\
	    --auth-password $user_password --from ann@example.org --to bob@example.org
	  curl -k pop3s://127.0.0.1:2995/1 -u bob@example.org:$user_password
	  $bin/mailstead --state $state status

	Ctrl-C stops it.
	TEXT
}

[ -e "$state/directory" ] || {
	make_state
	fresh=1
}
ms run > "$demo/run.out" &
run=$!
nginx=
trap 'kill "$run" $nginx 2>/dev/null || true' INT TERM
ms wait --for ready --timeout 60
[ -z "${fresh:-}" ] || sample_mail
if unpacked=$("$here/packaging/unpack.sh" nginx nginx 2> "$demo/unpack.log"); then
	make_web
	"$unpacked/usr/sbin/nginx" -e stderr -p "$web" -c "$web/nginx.conf" \
	    2> "$web/error.log" &
	nginx=$!
else
	echo "no nginx, so no web pages: see demo/unpack.log" >&2
fi
describe
while kill -0 "$run" 2>/dev/null; do
	wait "$run" || true
done
[ -z "$nginx" ] || kill "$nginx" 2>/dev/null || true
echo "Mailstead has stopped; its state stays in demo/."
