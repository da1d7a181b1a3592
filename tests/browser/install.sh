#!/bin/bash
# install.sh: put what package-lock.json names below build/npm, once; prints
# that folder.  No scripts of packages run, no browser is downloaded.
set -euo pipefail
cd "$(dirname "$0")/../.."
target=$PWD/build/npm
mkdir -p "$target"
exec 9>"$target/.lock"
flock 9
if ! cmp -s tests/browser/package-lock.json "$target/.installed"; then
	cp tests/browser/package.json tests/browser/package-lock.json "$target/"
	(cd "$target" && npm ci --ignore-scripts --no-audit --no-fund >&2)
	cp tests/browser/package-lock.json "$target/.installed"
fi
echo "$target"
