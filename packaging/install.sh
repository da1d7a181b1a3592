#!/bin/sh
# install.sh BUILD DESTDIR PREFIX: what `make install` does.
#
# Programs, manual pages, completion, systemd units (one a daemon, made from one
# template) and sysusers.  Makes no user, starts nothing and keeps an existing
# configuration; `mailstead init` makes the state directory.
set -eu
build=$1 dest=$2 prefix=$3
here=$(cd "$(dirname "$0")/.." && pwd)
libexec=$prefix/libexec/mailstead
units=$dest${prefix}/lib/systemd/system

install -d "$dest$prefix/bin" "$dest$prefix/sbin" "$dest$libexec" "$units" \
    "$dest$prefix/lib/sysusers.d" "$dest$prefix/share/bash-completion/completions" \
    "$dest$prefix/share/man/man1" "$dest$prefix/share/man/man5" \
    "$dest$prefix/share/man/man8" "$dest/etc/mailstead"

for program in "$build"/bin/*; do
	case $program in
	*/mailstead) install -m 755 "$program" "$dest$prefix/bin/" ;;
	*) install -m 755 "$program" "$dest$libexec/" ;;
	esac
done
install -m 755 "$here/packaging/acme-hook" "$dest$libexec/"
ln -sf ../bin/mailstead "$dest$prefix/sbin/sendmail"

for page in "$here"/*/*.[158]; do
	[ -f "$page" ] || continue
	install -m 644 "$page" "$dest$prefix/share/man/man${page##*.}/"
done
"$build/bin/mailstead" settings manual \
    > "$dest$prefix/share/man/man5/mailstead-settings.5"
install -m 644 "$here/mailstead/completion.bash" \
    "$dest$prefix/share/bash-completion/completions/mailstead"
install -m 644 "$here/packaging/sysusers.d/mailstead.conf" "$dest$prefix/lib/sysusers.d/"

unit() { # unit PROGRAM DESCRIPTION [CAPABILITY]
	[ -x "$build/bin/$1" ] || return 0
	after=mailstead-accountd.service
	[ "$1" != accountd ] || after=
	sed -e "s|@DESCRIPTION@|$2|" -e "s|@PROGRAM@|$1|" -e "s|@AFTER@|$after|" \
	    -e "s|@LIBEXEC@|$libexec|" -e "s|@CAPABILITY@|${3:-}|" \
	    "$here/packaging/systemd/mailstead-daemon.service.in" \
	    > "$units/mailstead-${1#mailstead-}.service"
}
unit accountd "accounts, logins and the directory"
unit mailstead-parse "message parser"
unit queue-runner "delivery"
unit mtad "SMTP server" " CAP_NET_BIND_SERVICE"
unit popd "POP3 server" " CAP_NET_BIND_SERVICE"
unit webmail-cgi "webmail"
unit admin-cgi "administration"

conf=$dest/etc/mailstead/mailstead.conf
[ -e "$conf" ] || cat > "$conf" <<CONF
; Where Mailstead's state is and as whom its programs run; everything else is
; a setting (mailstead settings list).
[mailstead]
state = /var/lib/mailstead

[users]
mta = mailstead-mta
queue = mailstead-queue
pop = mailstead-pop
auth = mailstead-auth
web = mailstead-web
admin = mailstead-admin
parse = mailstead-parse
CONF
