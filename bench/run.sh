#!/bin/bash
# usage: run.sh BUILD    (make bench)
# One alternating run of mail in, end to end into growing Maildirs, against
# Postfix; prints the table and stops everything.  RUNS: how often (3); SCALE:
# size of a run (3000 messages).  KEEP=1 leaves the servers running.
cd "$(dirname "$0")" || exit 1
build=$(realpath "../${1:?usage: bench/run.sh BUILD}")
export MAILSTEAD_BUILD=$build
# shellcheck source=bench/peers/common.sh
. peers/common.sh
[ -n "$KEEP" ] || trap ./down.sh EXIT
./up.sh postfix mailstead || exit 1
results=$BENCH_STATE/deliver.json
: >"$results"
run() {
	local what=$1
	shift
	ns ./bench.py deliver --what "$what" --runs "${RUNS:-3}" \
	    --base "${SCALE:-3000}" "$@" \
	    -T "postfix=127.0.0.1:2525,$BENCH_STATE/postfix/mail,postfix" \
	    -T "mailstead=127.0.0.1:2625,$OUR_MAIL,mailstead" |
	    tee -a "$results" | cut -c1-160 >&2
}
run "deliver 50 sessions" --keep --sessions 50
run "deliver 50 sessions x10" --keep --sessions 50 --rcpts 10
run "deliver 1 session" --keep --sessions 1
run "deliver 1 MB" --keep --sessions 10 --size 1000000
run "deliver emptied" --emptying --sessions 50
# Postfix slows down senders that are faster than its queue unless told not to
./down.sh postfix
POSTFIX_EXTRA="in_flow_delay = 0" ./up.sh postfix || exit 1
run "deliver no delay" --keep --sessions 50
run "deliver no delay x10" --keep --sessions 50 --rcpts 10
./report.py "$results"
