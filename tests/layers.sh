#!/bin/sh
# layers.sh: check that every #include points downwards, and that each foreign
# library is known to one place only.
#
# may_include is the architecture in one table: for each layer, the layers (or
# single headers) it may name.
cd "$(dirname "$0")/.." || exit 1

spool="queue/spool queue/envelope"
control="queue/control" # the runner's control socket, as its clients see it
sql="directory/sql" # the mailbox index is an SQLite file, and no directory
below="base net proc mail policy directory"

may_include() {
	case $1 in
	base)		echo "base" ;;
	net)		echo "base net" ;;
	proc)		echo "base net proc" ;;
	mail)		echo "base mail" ;;
	policy)		echo "base mail policy" ;;
	directory)	echo "base net mail directory" ;;
	gather)		echo "base net mail directory policy" ;;
	setup)		echo "base net proc mail directory" ;;
	mime)		echo "base net mail directory mime" ;;
	web)		echo "base net mail directory mime web" ;;
	maildir)	echo "base mail maildir $sql" ;;
	spool)		echo "base mail $spool" ;;
	accountd)	echo "$below accountd" ;;
	parse)		echo "base net proc mail mime directory parse" ;;
	queue)		echo "$below mime maildir queue" ;;
	mtad)		echo "$below $spool mtad" ;;
	popd)		echo "$below maildir popd" ;;
	webmail-cgi)	echo "$below mime web maildir $spool webmail-cgi" ;;
	admin-cgi)	echo "$below web $control queue/spool_stat admin-cgi" ;;
	mailstead)	echo "$below mime web maildir $spool $control mailstead" ;;
	esac
}

# The layer a file belongs to.  policy is pure; policy/gather fills its struct
# from the directory, for all that judge; directory/setup speaks of daemons.  The queue folder holds two: the spool library
# that others may use, and the runner, which nobody may.
layer_of() {
	case $1 in
	queue/spool* | queue/envelope*)	echo spool ;;
	common/policy/gather.* | common/policy/route.*)	echo gather ;;
	common/directory/setup.*)	echo setup ;;
	common/*)			echo "$1" | cut -d/ -f2 ;;
	*)				echo "$1" | cut -d/ -f1 ;;
	esac
}

# is_allowed INCLUDE LAYER: an entry with a slash is the beginning of a name;
# an include without one is a neighbour in the same folder
is_allowed() {
	case $1 in
	*/*) ;;
	*) return 0 ;;
	esac
	for allowed in $(may_include "$2"); do
		case $allowed in
		*/*)
			case $1 in "$allowed"*.h) return 0 ;; esac ;;
		*)
			case $1 in "$allowed"/*) return 0 ;; esac ;;
		esac
	done
	return 1
}

# Where a foreign header may be named (patterns); nothing = not restricted.
home_of() {
	case $1 in
	openssl/ssl.h)		echo "common/net/tls.c" ;;
	resolv.h | arpa/nameser.h)	echo "common/net/dns.c" ;;
	fcgiapp.h | fcgi_stdio.h | fcgi_config.h)	echo "common/web/fcgi.c" ;;
	gmime/* | glib.h | libxml/*)	echo "parse/*" ;;
	idn2.h | unicase.h | unictype.h | uninorm.h | unistr.h)	echo "common/mail/address.c" ;;
	sqlite3.h)		echo "*store*.c common/directory/sql.*" ;;
	gsasl.h)		echo "accountd/*" ;;
	seccomp.h | linux/seccomp.h | linux/landlock.h)	echo "common/proc/*" ;;
	esac
}

is_home() {
	[ -n "$2" ] || return 0
	set -f # the patterns are for case, not for files
	for home in $2; do
		# shellcheck disable=SC2254 # a pattern
		case $1 in $home) return 0 ;; esac
	done
	return 1
}

includes=$(grep -Hn '^#[ ]*include ["<]' common/*/*.[ch] accountd/*.[ch] \
    parse/*.[ch] maildir/*.[ch] queue/*.[ch] mtad/*.[ch] popd/*.[ch] \
    webmail-cgi/*.[ch] admin-cgi/*.[ch] mailstead/*.[ch] 2>/dev/null |
    sed 's/^\([^:]*\):[0-9]*:#[ ]*include \(["<]\)\([^">]*\)[">].*/\1 \2 \3/')

status=0
while read -r file kind include; do
	case $kind in
	'"')
		is_allowed "$include" "$(layer_of "$file")" || {
			echo "$file: may not include \"$include\""
			status=1
		} ;;
	'<')
		homes=$(home_of "$include")
		is_home "$file" "$homes" || {
			echo "$file: only $homes may include <$include>"
			status=1
		} ;;
	esac
done <<END
$includes
END
exit $status
