#!/bin/bash
# Measure the spool on a journalled ext4 of its own: a loop-mounted file, as
# the machine's file system may have no journal.  As root; without root it
# measures in the temporary directory and says so.
#
#   bench/spoolbench.sh BUILD [SECONDS]
set -euo pipefail
build=${1:?usage: bench/spoolbench.sh BUILD [SECONDS]}
seconds=${2:-5}
work=$(mktemp -d)
mounted=

clean() {
	[ -z "$mounted" ] || umount "$work/mnt"
	rm -rf "$work"
}
trap clean EXIT

mkdir "$work/mnt"
if [ "$(id -u)" = 0 ]; then
	truncate -s 2G "$work/disk"
	mkfs.ext4 -q -F -E lazy_itable_init=0,lazy_journal_init=0 \
	    "$work/disk"
	mount -o loop,noatime "$work/disk" "$work/mnt"
	mounted=yes
	echo "file system: ext4 with journal on a loop device"
else
	echo "file system: $(stat -f -c %T "$work") (no root, no loop device)"
fi
for threads in 1 10 50; do
	"$build/bench/spoolbench" "$work/mnt/spool" "$threads" "$seconds"
done
