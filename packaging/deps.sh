#!/bin/sh
# deps.sh: make sure that every package of packaging/debian-packages is there.
# Silent and fast when it is; as root it installs what is missing, otherwise
# it says what to run and fails.
set -eu
cd "$(dirname "$0")"

wanted=$(sed 's/#.*//' debian-packages | xargs)
# shellcheck disable=SC2086 # a list of names
have=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' $wanted \
    2>/dev/null | sed -n 's/^installed //p' | xargs) || true
missing=
for package in $wanted; do
	case " $have " in
	*" $package "*) ;;
	*) missing="$missing $package" ;;
	esac
done
[ -n "$missing" ] || exit 0

# what is there under another name: Node.js of other sources brings its npm
provided=$(dpkg-query -W -f '${db:Status-Status} ${Provides}\n' |
    sed -n 's/^installed //p' | tr -d ',' | xargs)
really=
for package in $missing; do
	case " $provided " in
	*" $package "*) ;;
	*) really="$really $package" ;;
	esac
done
missing=$really
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -ne 0 ]; then
	echo "Packages are missing.  Run once:" >&2
	echo "  sudo apt-get update && sudo apt-get install -y" \
	    "--no-install-recommends$missing" >&2
	exit 1
fi
export DEBIAN_FRONTEND=noninteractive
apt-get -q update
# shellcheck disable=SC2086
apt-get -q install -y --no-install-recommends $missing
