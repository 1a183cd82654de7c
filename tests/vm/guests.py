# SPDX-License-Identifier: GPL-2.0-or-later
"""The guests: which system, which kernel, on which machine. Data alone; build.py and qemu.py act on it."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Arch:
    """What QEMU and Debian call an architecture, and a machine of it that can hotplug CPUs and memory."""

    debian: str
    """Debian's name of it, as in `dpkg --print-architecture`."""
    uname: str
    """What `uname -m` says in the guest."""
    qemu: str
    machine: tuple[str, ...]
    """Machine type, CPUs and memory, as arguments of QEMU."""
    emulated: tuple[str, ...]
    """What QEMU needs in addition where it emulates the CPU."""
    console: str
    kernel_image: str
    """Beginning of the kernel's name in /boot."""
    kernel_package: str
    dimm_mib: int
    """Smallest DIMM that the guest's kernel can take, in MiB."""

    # What follows is no part of a root image, and of the machine's arguments anyhow: so not of an image's key.
    virtio: str = field(default="pci", repr=False)
    """The bus that virtio devices sit on, as QEMU's names of them end."""
    transport: tuple[str, ...] = field(default=(), repr=False)
    """Kernel modules that a root file system on it needs, where those that initrd.py takes anyway don't suffice."""
    kdump: bool = field(default=True, repr=False)
    """Whether Debian's kernel for it can load an image at all."""
    adds_cpus: bool = field(default=True, repr=False)
    """Whether QEMU can plug a CPU into the running machine."""
    memory: str | None = field(default="pc-dimm", repr=False)
    """The device that memory is plugged with; None where there is no memory hotplug. "virtio-mem": see VIRTIO_MEM."""


VIRTIO_MEM = "pluggable"
"""The one virtio-mem device of a machine that plugs its memory with it: it grows and shrinks, none is added."""

X86 = Arch(
    debian="amd64",
    uname="x86_64",
    qemu="qemu-system-x86_64",
    machine=(
        *("-machine", "q35"),
        *("-smp", "1,sockets=4,cores=1,threads=1,maxcpus=4"),
        *("-m", "1024M,slots=64,maxmem=16G"),
    ),
    # Debian's 6.12 and 7.3 count absent CPUs as possible only on a hypervisor that they know (6.1 does not
    # ask), and QEMU's emulation is none. VMware's they know by a serial number and an I/O port, which QEMU has.
    # rdrand saves the guest from waiting for entropy.
    emulated=(
        *("-machine", "vmport=on", "-smbios", "type=1,serial=VMware"),
        *("-cpu", "qemu64,hypervisor=off,rdrand=on"),
    ),
    console="ttyS0",
    kernel_image="vmlinuz-",
    kernel_package="linux-image-amd64",
    dimm_mib=128,
)

POWERPC = Arch(
    debian="ppc64el",
    uname="ppc64le",
    qemu="qemu-system-ppc64",
    machine=(
        *("-machine", "pseries"),
        *("-smp", "1,maxcpus=4"),
        *("-m", "2048M,slots=16,maxmem=8G"),
    ),
    # QEMU's emulation knows no remedy for Spectre and its kin, and refuses to start unless told to do without.
    emulated=(
        *("-machine", "cap-cfpc=broken,cap-sbbc=broken,cap-ibs=broken,cap-ccf-assist=off"),
        *("-cpu", "power9_v2.0"),
    ),
    console="hvc0",
    kernel_image="vmlinux-",
    kernel_package="linux-image-powerpc64le",
    dimm_mib=256,  # a logical memory block
)

# The firmware is UEFI's, and the kernel goes by its ACPI tables. Debian's has no ACPI_HOTPLUG_MEMORY: it does not see
# a DIMM.
ARM = Arch(
    debian="arm64",
    uname="aarch64",
    qemu="qemu-system-aarch64",
    machine=(
        *("-machine", "virt,gic-version=3", "-bios", "/usr/share/qemu-efi-aarch64/QEMU_EFI.fd"),
        *("-smp", "2"),
        *("-m", "1536M,maxmem=6G"),
        *("-object", f"memory-backend-ram,id={VIRTIO_MEM}-ram,size=2G"),
        *("-device", f"virtio-mem-pci,id={VIRTIO_MEM},memdev={VIRTIO_MEM}-ram,requested-size=0"),
    ),
    # Pointer authentication by the architecture's own algorithm takes longest of all that is emulated. makedumpfile
    # knows no addresses of 52 bits with pages of 4 KiB, which a kernel uses where it finds LPA2.
    emulated=("-cpu", "max,pauth-impdef=on,lpa2=off"),
    console="ttyAMA0",
    kernel_image="vmlinuz-",
    kernel_package="linux-image-arm64",
    dimm_mib=128,
    transport=("virtio_pci",),
    adds_cpus=False,
    memory="virtio-mem",
)

# Debian's kernels lack KEXEC and CRASH_DUMP (trixie), or CRASH_DUMP alone (bookworm), so there is no kdump on them.
S390X = Arch(
    debian="s390x",
    uname="s390x",
    qemu="qemu-system-s390x",
    machine=(
        *("-machine", "s390-ccw-virtio"),
        *("-smp", "1,maxcpus=4"),
        *("-m", "1536M"),
    ),
    emulated=("-cpu", "max"),
    console="ttyS0",
    kernel_image="vmlinuz-",
    kernel_package="linux-image-s390x",
    dimm_mib=0,
    virtio="ccw",
    kdump=False,
    memory=None,
)


@dataclass(frozen=True)
class Guest:
    """One row of the kernel matrix."""

    name: str
    suite: str
    """Debian's code name of the userland."""
    arch: Arch = X86
    backports: bool = False
    """Take the kernel from SUITE-backports."""
    crashkernel: str = "256M"
    # Not in repr(), which names the cached images: the others' are as they were.
    selinux: bool = field(default=False, repr=False)
    """With Debian's SELinux policy, labelled and enforcing (selinux.py)."""

    @property
    def kernel_package(self) -> str:
        """The kernel, as apt-get install takes it."""
        return f"{self.arch.kernel_package}/{self.suite}-backports" if self.backports else self.arch.kernel_package


GUESTS = {
    guest.name: guest
    for guest in (
        Guest("debian12", "bookworm"),  # 6.1: no crash_hotplug, kexec without --hotplug, systemd 252
        Guest("debian13", "trixie"),  # 6.12: crash_hotplug on x86
        Guest("debian13-backports", "trixie", backports=True),  # 7.3: /sys/kernel/kexec
        Guest("debian13-ppc64el", "trixie", POWERPC, crashkernel="512M"),  # 6.12 without kexec_file_load, an FDT
        Guest("debian12-arm64", "bookworm", ARM),  # 6.1: the kernel hides what it has loaded
        Guest("debian13-arm64", "trixie", ARM),  # 6.12 without crash_hotplug and kexec_file_load
        Guest("debian13-s390x", "trixie", S390X),  # 6.12 without kexec
        Guest("debian13-selinux", "trixie", selinux=True),  # as debian13, with SELinux in force
    )
}

REQUIRED = tuple(guest.name for guest in GUESTS.values() if guest.arch is X86)
"""What no run may do without."""

ROUTINE = tuple(name for name in REQUIRED if not GUESTS[name].selinux)
"""Where a scenario runs that does not say. PowerPC and SELinux have their own (test_powerpc.py, test_selinux.py)."""
