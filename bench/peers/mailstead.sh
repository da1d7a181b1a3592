#!/bin/bash
# Mailstead as a target: its own state below $BENCH_STATE/mailstead, users
# u000..u099@bench.test, ports + 2600.   usage: mailstead.sh start|stop
# MAILSTEAD_BUILD: build folder (default build/gcc); MAILSTEAD_SET: settings as
# "name=value ..." put in before the start.
# shellcheck source=bench/peers/common.sh
. "$(dirname "$0")/common.sh"
NAME=mailstead
D=$BENCH_STATE/$NAME
BIN_DIR=${MAILSTEAD_BUILD:-$BENCH_HOME/../build/gcc}/bin

ms() { "$BIN_DIR/mailstead" --state "$D/state" "$@"; }

make_state() {
	local u
	mkdir -p "$D"
	echo "$BENCH_PASSWORD" | ms init --hostname mx.bench.test \
	    --domain bench.test --admin admin@bench.test \
	    --listen 127.0.0.1 --port-offset 2600
	tls_certificate
	# for clients that name no host, too: as the peers have it
	ms tls install default "$BENCH_STATE"/tls/{cert,key}.pem
	for u in $(users) box100000 box1000000; do
		echo "$BENCH_PASSWORD" | ms user add "$u@bench.test"
		mkdir -p "$D/state/mail/bench.test/$u"/{tmp,new,cur}
	done
	ms set auth.plaintext_networks 127.0.0.0/8
	ms set relay.mode addresses
	ms set relay.trusted 127.0.0.0/8
	ms set dns.servers 127.0.0.1
	ms set remote.allow_loopback yes
}

case $1 in
start)
	[ -d "$D/state" ] || make_state
	for pair in $MAILSTEAD_SET; do
		ms set "${pair%%=*}" "${pair#*=}"
	done
	in_cg "$NAME" setsid "$BIN_DIR/mailstead" --state "$D/state" run \
	    >/dev/null 2>&1 &
	wait_port 2625 && ms wait --for ready --timeout 30
	;;
stop)
	stop_cg "$NAME"
	;;
*)
	echo "usage: $0 start|stop" >&2
	exit 2
	;;
esac
