# SPDX-License-Identifier: GPL-2.0-or-later
"""A scratch root in which rpm installs with scriptlets: this machine's own /usr below, whatever is written above it.

In a mount namespace of its own, so nothing of this machine changes; systemctl there works on files alone, as it does
while an image is built.
"""

import os
import subprocess
from pathlib import Path

ENTER = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--mount"]

# $1 is an empty folder: root is the scratch root, written and etc what was written below its /usr and its /etc.
MAKE = """
set -e
mount -t tmpfs none "$1"
cd "$1"
mkdir -p root/usr root/etc root/var/lib root/run root/dev root/proc written work
for name in bin lib lib64 sbin; do [ ! -L /$name ] || ln -s usr/$name root/$name; done
mount -t overlay none -o lowerdir=/usr,upperdir=written,workdir=work root/usr
cp /etc/passwd /etc/group /etc/ld.so.cache root/etc
mount --rbind /dev root/dev
# The package alone: rpm's database here knows of no other, and Fedora's rpm makes the users of sysusers.d by itself.
rpm_() { rpm --root="$PWD/root" --dbpath=/var/lib/rpm --nodeps --define '__systemd_sysusers %{nil}' "$@"; }
links() { find root/etc/systemd -type l -printf '%P -> %l\\n' | sort; }
files() {
    { find written ! -type d -printf '/usr/%P\\n'; find root/etc -type f; } | sort
}
"""


def run(folder: Path, script: str) -> str:
    """Run lines of sh in a new scratch root in `folder`, and return what they print. Raises CalledProcessError."""
    command = [*ENTER, "sh", "-c", MAKE + script, "sh", str(folder)]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=120).stdout
