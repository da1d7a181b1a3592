#!/bin/bash
# loopfs.sh up|down: a journalled ext4 in a file, mounted at $BENCH_STATE.
# Some machines' own file system has no journal, and then a flush costs
# something else than it does where mail servers live.
BENCH_STATE=${BENCH_STATE:-/var/tmp/mailbench}
IMAGE=$BENCH_STATE.img
case $1 in
up)
    mountpoint -q "$BENCH_STATE" && exit 0
    mkdir -p "$BENCH_STATE"
    [ -f "$IMAGE" ] || {
        truncate -s "${BENCH_FS_SIZE:-12G}" "$IMAGE"
        mkfs.ext4 -q -F -O has_journal -N 2000000 "$IMAGE"
    }
    mount -o loop "$IMAGE" "$BENCH_STATE" ;;
down)
    mountpoint -q "$BENCH_STATE" && umount "$BENCH_STATE"
    rm -f "$IMAGE" ;;
*) echo "usage: $0 up|down" >&2; exit 2 ;;
esac
