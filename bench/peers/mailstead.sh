#!/bin/bash
# Mailstead as a target: its own state below $BENCH_STATE/mailstead, users
# u000..u099@bench.test, ports + 2600.   usage: mailstead.sh start|stop
# MAILSTEAD_BUILD: build folder (default build/gcc); MAILSTEAD_SET: settings as
# "name=value ..." put in before the start.
. "$(dirname "$0")/common.sh"
NAME=mailstead
D=$BENCH_STATE/$NAME
BIN_DIR=${MAILSTEAD_BUILD:-$BENCH_HOME/../build/gcc}/bin
PASSWORD=bench-password

ms() { "$BIN_DIR/mailstead" --state "$D/state" "$@"; }

make_state() {
    mkdir -p "$D"
    echo "$PASSWORD" | ms init --hostname mx.bench.test --domain bench.test \
        --admin admin@bench.test --listen 127.0.0.1 --port-offset 2600
    for u in $(users); do
        echo "$PASSWORD" | ms user add "$u@bench.test"
    done
    ms set auth.plaintext_networks 127.0.0.0/8
    ms set relay.mode addresses
    ms set relay.trusted 127.0.0.0/8
    ms set dns.servers 127.0.0.1
    ms set remote.allow_loopback yes
    for u in $(users); do mkdir -p "$D/state/mail/bench.test/$u"/{tmp,new,cur}; done
}

case $1 in
start)
    ns_up
    [ -d "$D/state" ] || make_state
    for pair in $MAILSTEAD_SET; do ms set "${pair%%=*}" "${pair#*=}"; done
    in_cg "$NAME" setsid "$BIN_DIR/mailstead" --state "$D/state" run &
    wait_port 2625
    ms wait --for ready --timeout 30 ;;
stop)
    stop_cg "$NAME" ;;
*) echo "usage: $0 start|stop" >&2; exit 2 ;;
esac
