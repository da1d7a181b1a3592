#!/bin/bash
# usage: syscalls.sh SERVER host:port MAILDIRS [messages] [size] [rcpts]
# System calls per message of a running server (strace attached to all of its
# processes while mail is delivered), the commonest first.
cd "$(dirname "$0")" || exit 1
# shellcheck source=bench/peers/common.sh
. peers/common.sh
server=$1 at=$2 root=$3 messages=${4:-400} size=${5:-4096} rcpts=${6:-1}
out=$(mktemp)
trap 'rm -f "$out"' EXIT
ns "$BENCH_BIN/smtpload" -h "$at" -m 5 -t 20 >/dev/null
sleep 1
mapfile -t pids < <(cg_pids "$server" | sed 's/^/-p/')
strace -qq -f -c -o "$out" "${pids[@]}" &
tracer=$!
sleep 1.5
ns "$BENCH_BIN/mdwatch" "$root" $((messages * rcpts)) 60 >/dev/null 2>&1 &
watcher=$!
sleep 0.3
ns "$BENCH_BIN/smtpload" -h "$at" -s "${SESSIONS:-8}" -m "$messages" \
    -l "$size" -r "$rcpts" -t 60 >/dev/null
wait $watcher
sleep 1
kill -INT $tracer
wait $tracer
awk -v m="$messages" '$4 ~ /^[0-9]+$/ { printf "%8.2f %s\n", $4 / m, $NF }' \
    "$out" | sort -rn | awk '$1 >= 0.01'
