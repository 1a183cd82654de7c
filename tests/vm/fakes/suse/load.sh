#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Stands for openSUSE's load.sh in a guest: its options, settings, files and exit codes, the rule that it leaves in
# /run, and the seconds that all this takes. The loads are real.
set -u

kernel=/var/lib/kdump/kernel
initrd=/var/lib/kdump/initrd
KEXEC_OPTIONS=
KDUMP_COMMANDLINE=
KDUMP_FADUMP=false
SETUP=8 # seconds
# shellcheck source=/dev/null # in a guest
. /etc/sysconfig/kdump

for option; do
	case $option in
	--update | --shrink) ;; # nothing to build, and nothing to give back
	*)
		echo "Unknown option: $option" >&2
		exit 1
		;;
	esac
done

if [ "$KDUMP_FADUMP" = true ]; then
	echo "fadump is not enabled in the kernel."
	exit 5
fi
test -f "$initrd" || exit 6
test -f "$kernel" || exit 6

sleep "$SETUP" # works its command line out

# shellcheck disable=SC2086 # a list of words
kexec -p "$kernel" --append="$KDUMP_COMMANDLINE" --initrd="$initrd" $KEXEC_OPTIONS
result=$?
if [ "$result" -ne 0 ]; then
	echo "kexec failed." >&2
	exit "$result"
fi
logger -t load.sh "loaded kdump kernel"
echo 1 >/proc/sys/kernel/panic_on_oops
mkdir -p /run/udev/rules.d
cp /usr/lib/kdump/70-kdump.rules /run/udev/rules.d/70-kdump.rules
exit 0
