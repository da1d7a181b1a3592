#!/bin/bash
# rows.sh: check that each threat row of these groups has a test by its name:
# a test's function, or a comment in a file of tests/e2e/dialogues.
set -euo pipefail
cd "$(dirname "$0")"

# group and its number of rows
groups="A:18 B:19 C:12 D:18 G:17 K:16 L:18 M:16"
# D17: MTA-STS and DANE come later; G15 is tests/soak.py, a day long
elsewhere=" D17 G15 "

named=$({
	grep -rhoE '^ *def test_\w+' --include='*.py' e2e
	grep -rhoE '^\w+\(void \*\*' --include='*.c' unit
	grep -rhE '^#' e2e/dialogues
} | tr a-p A-P | grep -oE '\b_?[A-P][0-9]{2}|_[A-P][0-9]{2}' | tr -d _ | sort -u)

missing=""
for group in $groups; do
	for number in $(seq -w 1 "${group#*:}"); do
		row=${group%:*}$number
		[[ $elsewhere == *" $row "* ]] && continue
		grep -qx "$row" <<<"$named" || missing+=" $row"
	done
done
if [ -n "$missing" ]; then
	echo "rows without a test of their name:$missing"
	exit 1
fi
