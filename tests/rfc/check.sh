#!/bin/sh
# check.sh: compare the sections named in the code ("RFC 5321 4.1.2") with
# tests/rfc/INDEX, both ways.
#
# INDEX has a line a section: RFC SECTION STATUS WORDS.  Status "implements"
# must be named somewhere in the code; "deviates" and "omits" say why and need
# not be.  A section that the code names must have a line.
cd "$(dirname "$0")/../.." || exit 1
named=$(git ls-files '*.c' '*.h' | grep -vE '^(tests|bench)/' | xargs cat |
	grep -oE 'RFC [0-9]{3,5} [0-9]+(\.[0-9]+)*' | sed 's/^RFC //' | sort -u)
listed=$(grep -E '^[0-9]' tests/rfc/INDEX | cut -d' ' -f1,2 | sort -u)
kept=$(grep -E '^[0-9]+ [0-9.]+ implements ' tests/rfc/INDEX | cut -d' ' -f1,2 | sort -u)
status=0
complain() { # complain TEXT LINES
	[ -z "$2" ] && return
	echo "$2" | sed "s|^|RFC |; s|\$|: $1|"
	status=1
}
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
echo "$named" > "$dir/named"
echo "$listed" > "$dir/listed"
echo "$kept" > "$dir/kept"
complain "named in the code, but not in tests/rfc/INDEX" \
    "$(comm -23 "$dir/named" "$dir/listed")"
complain "said to be implemented, but the code does not name it" \
    "$(comm -13 "$dir/named" "$dir/kept")"
exit $status
