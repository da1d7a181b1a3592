#!/bin/bash
# usage: run-webmail.sh [BUILD]    a list and three kinds of search in a mailbox
# of MESSAGES (100,000) against Roundcube on Dovecot, as Debian ships them: the
# same messages (hard links), each behind an nginx of its own, warm caches.
cd "$(dirname "$0")" || exit 1
export MAILSTEAD_BUILD=${1:+$(realpath "../$1")}
# shellcheck source=bench/peers/common.sh
. peers/common.sh
[ -n "$KEEP" ] || trap ./down.sh EXIT
./up.sh dovecot mailstead && peers/roundcube.sh start || exit 1
results=$BENCH_STATE/webmail.json
: >"$results"
box=box100000

# our nginx: the file an administrator would include, its paths made ours
our_nginx() {
	local dir=$BENCH_STATE/mailstead/nginx
	PEER_TREE=$(../packaging/unpack.sh nginx nginx) || return
	export PEER_TREE
	mkdir -p "$dir"
	sed "s:/var/lib/mailstead:$BENCH_STATE/mailstead/state:" \
	    ../packaging/nginx.conf >"$dir/snippet.conf"
	cat >"$dir/nginx.conf" <<-CF
		pid $dir/pid;
		worker_processes 1;
		user root;
		events { }
		http {
			access_log off;
			client_body_temp_path $dir/body;
			fastcgi_temp_path $dir/fastcgi;
			proxy_temp_path $dir/proxy;
			uwsgi_temp_path $dir/uwsgi;
			scgi_temp_path $dir/scgi;
			server {
				listen 127.0.0.1:2790;
				include $dir/snippet.conf;
			}
		}
	CF
	in_cg mailstead nginx -e stderr -c "$dir/nginx.conf"
	wait_port 2790
}

# row SERVER KIND N
row() {
	local load=roundcube at=2780 password=secret before out
	[ "$1" = dovecot ] || {
		load=mailstead at=2790 password=$BENCH_PASSWORD
	}
	before=$(cpu "$1")
	out=$(ns /usr/bin/python3 tools/webload.py $load \
	    http://127.0.0.1:$at "$box@bench.test" "$password" "$2" "$3" \
	    </dev/null) || return
	result "$1" "web $2" "$before" "$out" | tee -a "$results" |
	    cut -c1-150 >&2
}

our_nginx || exit 1
rm -rf "${OUR_MAIL:?}/$box" "${BENCH_STATE:?}/dovecot/mail/$box"
tools/webload.py fill "$OUR_MAIL/$box" "${MESSAGES:-100000}" || exit 1
mkdir -p "$BENCH_STATE/dovecot/mail/$box"
cp -al "$OUR_MAIL/$box" "$BENCH_STATE/dovecot/mail/$box/Maildir"
chown -R "$VMAIL:$VMAIL" "$BENCH_STATE/dovecot/mail/$box"
sleep 3 # directories changed less than two seconds ago are read again

# the indexes and the caches of headers are made first, by both
for server in dovecot mailstead; do
	row $server list 3
	row $server subject 3
done
ms_index=$BENCH_STATE/mailstead/state/cache/index/bench.test/$box.db
for _ in $(seq 600); do
	/usr/bin/python3 - "$ms_index" <<-'PY' && break
		import sqlite3, sys
		db = sqlite3.connect(sys.argv[1])
		sys.exit(db.execute(
		    "SELECT sum(missing) FROM folders").fetchone()[0] != 0)
	PY
	sleep 1
done
: >"$results"
for _ in $(seq "${RUNS:-3}"); do
	for server in dovecot mailstead; do
		row $server list 20
		row $server subject 10
		row $server text 2
		row $server rare 2
	done
done
./report.py "$results"
