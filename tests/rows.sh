#!/bin/bash
# rows.sh: check that each threat row of these groups has a test by its name:
# a test's function, or a comment in a file of tests/e2e/dialogues.
# test_I01_to_I06 is a test of the rows between, too.
set -euo pipefail
cd "$(dirname "$0")"

# group and its number of rows
groups="A:18 B:19 C:12 D:18 E:15 F:22 G:17 H:18 I:10 J:15 K:16 L:18 M:16 N:11 O:10"
# D17: MTA-STS and DANE come later, E04 to E06 with autoresponders
elsewhere=" D17 E04 E05 E06 "

words=$({
	grep -rhoE '^ *def test_\w+' --include='*.py' e2e
	grep -rhoE '^\w+\(void \*\*' --include='*.c' unit
	grep -rhE '^#' e2e/dialogues
} | tr a-p A-P)
named=$({
	grep -oE '\b_?[A-P][0-9]{2}|_[A-P][0-9]{2}' <<<"$words" | tr -d _
	grep -oE '[A-P][0-9]{2}_tO_[A-P][0-9]{2}' <<<"$words" |
		while IFS=_ read -r from _ to; do
			seq -f "${from%??}%02g" "${from#?}" "${to#?}"
		done
} | sort -u)

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
