# SPDX-License-Identifier: GPL-2.0-or-later
"""What goes into every guest's root image. Data alone; build.py makes the image of it."""

PACKAGES = (
    *("systemd", "systemd-sysv", "udev", "dbus", "kmod", "procps", "iproute2", "util-linux", "zstd"),
    "apt",
    *("kdump-tools", "kexec-tools", "makedumpfile", "initramfs-tools", "lz4"),
    *("python3", "python3-pyudev", "python3-systemd", "python3-pydantic", "python3-structlog"),
)

DISK_MIB = 2048  # sparse: room for some dumps in /var/crash

# What neither a boot nor a dump in QEMU needs. Less to unpack, to index and to copy.
EXCLUDED_SHARES = ("doc", "info", "lintian", "locale", "man")
EXCLUDED_DRIVERS = (
    *("ata", "gpu", "hwmon", "i2c", "iio", "infiniband", "input", "isdn", "md", "media", "mfd", "mtd"),
    *("net", "nvme", "platform", "scsi", "staging", "target", "usb", "watchdog"),
)
EXCLUDED = (
    *(f"/usr/share/{name}/*" for name in EXCLUDED_SHARES),
    *(f"*/lib/modules/*/kernel/drivers/{name}/*" for name in EXCLUDED_DRIVERS),
    *("*/lib/modules/*/kernel/arch/x86/kvm/*", "*/lib/modules/*/kernel/sound/*"),
)

# Boots are emulated, so every second of the host is many of the guest: nothing runs that no scenario needs.
MASKED = (
    *("apt-daily.timer", "apt-daily-upgrade.timer"),
    *("e2scrub_all.timer", "e2scrub_reap.service", "fstrim.timer", "dpkg-db-backup.timer"),
    *("systemd-tmpfiles-clean.timer", "getty.target", "systemd-logind.service", "systemd-binfmt.service"),
    *("systemd-update-utmp.service", "systemd-update-utmp-runlevel.service", "systemd-pstore.service"),
    *("proc-sys-fs-binfmt_misc.automount", "systemd-random-seed.service", "systemd-user-sessions.service"),
    *("systemd-ask-password-console.path", "systemd-ask-password-wall.path", "kexec-load.service"),
    *(f"modprobe@{module}.service" for module in ("dm_mod", "drm", "efi_pstore", "fuse", "loop")),
    *("dev-hugepages.mount", "dev-mqueue.mount", "sys-fs-fuse-connections.mount", "sys-kernel-tracing.mount"),
)

# MODULES=list holds for kdump-tools' own initrd, too: its hook only replaces MODULES=most.
FILES = {
    "etc/hostname": "guest\n",
    "etc/machine-id": "6b64756d706870640000000000000001\n",  # set, or systemd takes it for the first boot
    "etc/initramfs-tools/conf.d/guest": "MODULES=list\nCOMPRESS=lz4\nFSTYPE=ext4\n",
    "usr/share/initramfs-tools/modules.d/guest": "virtio_pci\nvirtio_blk\nvirtio_console\next4\n",
    "etc/systemd/system/guest-agent.service": """\
[Unit]
Description=Commands from the test suite
[Service]
ExecStart=python3 /usr/local/lib/guest_agent.py /dev/virtio-ports/agent
Restart=always
""",
    "etc/udev/rules.d/60-guest-agent.rules": """\
SUBSYSTEM=="virtio-ports", ATTR{name}=="agent", TAG+="systemd", ENV{SYSTEMD_WANTS}="guest-agent.service"
""",
}

# kdump-tools' kernel hook makes the capture initrd; dpkg may configure the kernel before the hook is there.
# Since trixie it declines in a chroot, where MODULES=dep would look at the wrong machine; ours is a list.
# kdump-config makes it again at boot unless it finds the sysctls that it was made for (latest_sysctls).
# The stamps tell systemd that /etc and /var are up to date (systemd-update-done.service).
CUSTOMIZE = """
chroot "$1" sh -e -c '
mkdir /run/no-chroot
ln -s /bin/false /run/no-chroot/ischroot
for version in $(linux-version list); do
    PATH=/run/no-chroot:$PATH /etc/kernel/postinst.d/kdump-tools "$version"
    test -s "/var/lib/kdump/initrd.img-$version"
    cp /etc/kdump/sysctl.conf "/var/lib/kdump/latest_sysctls-$version"
done
'
touch "$1/etc/.updated" "$1/var/.updated"
"""
