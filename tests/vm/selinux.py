# SPDX-License-Identifier: GPL-2.0-or-later
"""What makes a guest one with SELinux in force: Debian's policy, which Fedora's descends from too, and labels."""

# The policy with its headers, for our own module is compiled in the guest, and what labels and loads.
PACKAGES = ("selinux-policy-default", "selinux-policy-dev", "selinux-utils", "policycoreutils", "checkpolicy", "make")

# In a boot without SELinux: a system without labels does not come up under a policy that is enforced. Labels are kept
# in the file system whether or not somebody asks for them; what is mounted elsewhere gets its own when it is mounted.
RELABEL = """
set -e
setfiles -F -e /proc -e /sys -e /run -e /dev /etc/selinux/default/contexts/files/file_contexts /
sync
"""

# The policy's own domain for kexec, as it is in Debian 13, can not load what kdump-tools has it load: kexec sees no
# addresses in /proc/iomem and may read neither /var/lib nor /proc/kallsyms. An administrator of such a machine has to
# add that, or has no image in the first place. With our module nothing of ours runs in that domain.
KDUMP = """\
(allow kdump_t self (capability (sys_admin)))
(allow kdump_t var_lib_t (dir (search getattr)))
(allow kdump_t var_lib_t (file (open read getattr map)))
(allow kdump_t var_lib_t (lnk_file (read getattr)))
(allow kdump_t system_map_t (file (open read getattr)))
(allow kdump_t tmpfs_t (file (read write getattr map)))
"""
LOCAL = "usr/local/share/kdump_local.cil"
CUSTOMIZE = f'chroot "$1" semodule --noreload --install /{LOCAL}'

FILES = {
    # What systemd reads before it loads a policy.
    "etc/selinux/config": "SELINUX=enforcing\nSELINUXTYPE=default\n",
    LOCAL: KDUMP,
    # What the tests run is run as an administrator who has logged in would run it.
    "etc/systemd/system/guest-agent.service.d/selinux.conf": (
        "[Service]\nSELinuxContext=unconfined_u:unconfined_r:unconfined_t:s0\n"
    ),
}
