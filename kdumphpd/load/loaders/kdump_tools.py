# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's and Ubuntu's kdump-tools.

`kdump-config load` and `reload` stop where an image is loaded, but `kdump-config test` says which command they would
run, in a shell's quoting, and kdump-config evals it. The command that it wrote down at its last load
($KDUMP_COREDIR/kexec_cmd) may be of another boot, of another configuration or of anybody who can write there.
"""

from kdumphpd import use_kdump
from kdumphpd.load.loaders import Loader
from kdumphpd.load.recording import CANNOT_BE_ASKED, Recipe

KDUMP_CONFIG = "/usr/sbin/kdump-config"
DEFAULTS = f"/{use_kdump.DEFAULTS}"
INITRD = "/var/lib/kdump/initrd.img"  # a link to that of the running kernel

# It prints a command with USE_KDUMP=0 too, and exits with 0.
ASK = f"""
said=$({KDUMP_CONFIG} test 2>&1)
status=$?
printf '%s\\n' "$said"
if [ $status -ne 0 ]; then
	case $said in *Usage:*) exit {CANNOT_BE_ASKED} ;; *) exit 1 ;; esac
fi
case "$(printf '%s\\n' "$said" | sed -n 's/^USE_KDUMP:[[:space:]]*//p')" in
'' | 0) echo 'USE_KDUMP is not set or 0 in {DEFAULTS}: kdump-tools is switched off'; exit 1 ;;
esac
command=$(printf '%s\\n' "$said" | sed '1,/^kexec command to be used:/d')
# Without its initrd, which `load` would build, `test` names a command that loads none.
if [ -L {INITRD} ] && [ ! -e {INITRD} ]; then command="$command --initrd={INITRD}"; fi
case $command in *kexec*) eval "$command" ;; *) echo 'kdump-config test names no kexec command'; exit 1 ;; esac
"""

LOADER = Loader(
    program=KDUMP_CONFIG,
    units=("kdump-tools.service",),
    recipe=Recipe(
        argv=("/bin/sh", "-c", ASK),
        name="kdump-config test",
        # As its unit has it: what an unquoted line there means is known to systemd alone.
        properties=(f"EnvironmentFile=-{DEFAULTS}",),
        inputs=(DEFAULTS, KDUMP_CONFIG, "/var/lib/kdump/vmlinuz", INITRD),
    ),
    reload=(KDUMP_CONFIG, "reload"),
    load=(KDUMP_CONFIG, "load"),
    unload=(KDUMP_CONFIG, "unload"),
)
