"""Dovecot's imap over a Maildir, unpacked and never installed.

It speaks IMAP on a pipe as an ordinary user, without a master process.  Its
paths are compiled in, so it runs in a mount namespace of its own where the
unpacked packages lie over /usr, and in a second user namespace because it
refuses to be root.
"""

import functools
import imaplib
import os
import shlex
import subprocess
import unittest

from lib.server import ROOT

PACKAGES = ("dovecot-core", "dovecot-imapd", "libexttextcat-2.0-0", "libwrap0",
            "liblua5.4-0")
CONFIG = """
mail_location = maildir:{box}
base_dir = {top}/run
state_dir = {top}/run
ssl = no
log_path = {top}/dovecot.log
mail_uid = 1000
mail_gid = 1000
first_valid_uid = 1000
first_valid_gid = 1000
mail_privileged_group =
default_internal_user = root
default_login_user = root
default_internal_group = root
stats_writer_socket_path =
"""
ENTER = """mount -t overlay -o lowerdir={tree}/usr:/usr overlay /usr &&
exec unshare -U --map-user=1000 --map-group=1000 "$@" """


@functools.cache
def command():
    """What comes before a program of Dovecot; skips the test without it."""
    try:
        tree = subprocess.run(
            [ROOT / "packaging/unpack.sh", "dovecot-imap", *PACKAGES],
            check=True, capture_output=True, text=True, timeout=120
        ).stdout.strip()
        words = ["unshare", "-rm", "sh", "-c", ENTER.format(tree=tree), "sh"]
        subprocess.run([*words, "/usr/lib/dovecot/imap", "-h"], timeout=20,
                       capture_output=True, check=False)
        subprocess.run([*words, "/usr/bin/doveconf", "-d"], timeout=20,
                       capture_output=True, check=True)
    except (subprocess.SubprocessError, OSError) as e:
        raise unittest.SkipTest(f"Dovecot cannot run here: {e}") from e
    return words


def imap(box, top):
    """A signed-in imaplib session over the Maildir `box`."""
    words = command()
    config = top / "dovecot.conf"
    config.write_text(CONFIG.format(box=box, top=top))
    os.environ.setdefault("USER", "test")
    os.environ.setdefault("HOME", str(top))
    line = shlex.join(
        [*words, "/usr/lib/dovecot/imap", "-c", str(config)])
    return imaplib.IMAP4_stream("exec " + line)
