#!/bin/bash
# unpack.sh NAME PACKAGE...: download Debian packages and unpack them, without
# installing, under build/peers/NAME; prints that folder.  Done once: a second
# call with the same packages only prints.  The demo, the tests and the
# benchmark take nginx and the servers they compare with from here.
set -euo pipefail
cd "$(dirname "$0")/.."

[ $# -ge 2 ] || {
	echo "usage: $0 NAME PACKAGE..." >&2
	exit 2
}
name=$1
shift
root=$PWD/build/peers
target=$root/$name
mkdir -p "$root"
exec 9>"$root/$name.lock"
flock 9

if [ "$(cat "$target/.packages" 2>/dev/null)" = "$*" ]; then
	echo "$target"
	exit 0
fi
work=$(mktemp -d "$root/.$name.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir "$work/debs" "$work/tree"

# as root, apt would hand the download to a user who cannot write here
options=()
[ "$(id -u)" -ne 0 ] || options=(-o APT::Sandbox::User=root)
download() {
	(cd "$work/debs" && apt-get -q "${options[@]}" download "$@") >&2
}
if ! download "$@"; then
	[ "$(id -u)" -eq 0 ] || {
		echo "$0: cannot download; are the package lists up to date" \
		    "(sudo apt-get update)?" >&2
		exit 1
	}
	apt-get -q update >&2
	download "$@"
fi
for deb in "$work"/debs/*.deb; do
	dpkg -x "$deb" "$work/tree"
done
echo "$*" >"$work/tree/.packages"
chmod 755 "$work/tree"
rm -rf "$target"
mv "$work/tree" "$target"
echo "$target"
