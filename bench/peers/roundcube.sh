#!/bin/bash
# Roundcube as Debian ships it, with SQLite, php-fpm and nginx, on port 2780 in
# front of Dovecot's IMAP.  It runs in Dovecot's cgroup, so that one figure is
# the CPU time of both; stopping Dovecot stops it too.   usage: roundcube.sh start
# shellcheck source=bench/peers/common.sh
. "$(dirname "$0")/common.sh"
D=$BENCH_STATE/dovecot/roundcube
php=(php8.2-{cli,common,fpm,intl,mbstring,opcache,sqlite3,xml} php-common)
pear=(php-{auth-sasl,getallheaders,guzzlehttp-{guzzle,promises,psr7}}
	php-{mail-mime,masterminds-html5,net-{sieve,smtp,socket},pear}
	php-{psr-http-{client,factory,message},symfony-deprecation-contracts})
PEER_TREE=$("$BENCH_HOME/../packaging/unpack.sh" roundcube nginx \
    roundcube-core roundcube-sqlite3 "${php[@]}" "${pear[@]}") || exit 1
export PEER_TREE

config() {
	rm -rf "$D"
	mkdir -p "$D"/{config,db,temp,logs,sessions,nginx}
	cp -a "$PEER_TREE/var/lib/roundcube" "$D/www"
	cp "$PEER_TREE"/etc/roundcube/{defaults.inc,mimetypes}.php "$D/config/"
	cat >"$D/config/config.inc.php" <<-CF
		<?php
		\$config = [];
		\$config['db_dsnw'] = 'sqlite:///$D/db/roundcube.db?mode=0640';
		\$config['imap_host'] = '127.0.0.1:2143';
		\$config['smtp_host'] = '127.0.0.1:2587';
		\$config['temp_dir'] = '$D/temp';
		\$config['log_dir'] = '$D/logs';
		\$config['plugins'] = [];
		\$config['skin'] = 'elastic';
		\$config['enable_spellcheck'] = false;
	CF
	# the modules' files say by name what is to be loaded
	cat "$PEER_TREE/usr/lib/php/8.2/php.ini-production" \
	    "$PEER_TREE"/usr/share/php8.2-*/*/*.ini >"$D/php.ini"
	cat >"$D/fpm.conf" <<-CF
		[global]
		pid = $D/fpm.pid
		error_log = $D/logs/fpm
		[www]
		user = vmail
		group = vmail
		listen = 127.0.0.1:2789
		pm = static
		pm.max_children = 5
		env[ROUNDCUBE_CONFIG_DIR] = $D/config
		php_admin_value[session.save_path] = $D/sessions
	CF
	cat >"$D/nginx.conf" <<-CF
		pid $D/nginx/pid;
		error_log $D/logs/nginx;
		worker_processes 1;
		user root;
		events { }
		http {
			access_log off;
			client_body_temp_path $D/nginx/body;
			fastcgi_temp_path $D/nginx/fastcgi;
			proxy_temp_path $D/nginx/proxy;
			uwsgi_temp_path $D/nginx/uwsgi;
			scgi_temp_path $D/nginx/scgi;
			server {
				listen 127.0.0.1:2780;
				location / {
					fastcgi_pass 127.0.0.1:2789;
					fastcgi_param SCRIPT_FILENAME $D/www/public_html/index.php;
					fastcgi_param SCRIPT_NAME /index.php;
					fastcgi_param REQUEST_METHOD \$request_method;
					fastcgi_param REQUEST_URI \$request_uri;
					fastcgi_param QUERY_STRING \$query_string;
					fastcgi_param SERVER_PROTOCOL \$server_protocol;
					fastcgi_param SERVER_NAME localhost;
					fastcgi_param SERVER_PORT \$server_port;
					fastcgi_param CONTENT_TYPE \$content_type;
					fastcgi_param CONTENT_LENGTH \$content_length;
					fastcgi_param REMOTE_ADDR \$remote_addr;
				}
			}
		}
	CF
	chown -R "$VMAIL:$VMAIL" "$D"/{db,temp,logs,sessions}
	chmod 755 "$BENCH_STATE/dovecot" "$D"
}

case $1 in
start)
	config
	in_cg dovecot php-fpm8.2 -c "$D/php.ini" -y "$D/fpm.conf"
	in_cg dovecot nginx -e stderr -c "$D/nginx.conf"
	wait_port 2789 && wait_port 2780
	;;
*)
	echo "usage: $0 start" >&2
	exit 2
	;;
esac
