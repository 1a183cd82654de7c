# SPDX-License-Identifier: GPL-2.0-or-later
"""Telling one loaded image from the next."""

from kdumphpd.image.btf import Struct, extract
from kdumphpd.image.elf import ByteOrder
from kdumphpd.image.layout import OF_A_LOAD

SIZE = 8  # bytes of a digest, 16 hexadecimal digits


def identity(pointer: int, kimage: bytes, layout: Struct, byteorder: ByteOrder, *content: bytes) -> str:
    """Return 16 hexadecimal digits that stay the same while the kernel updates the image, and change with a load.

    pointer and kimage: where struct kimage is, and its bytes. content: parts of the image that a load may fill in
    again and no update touches (x86 boot parameters, /chosen of an FDT).

    How reliable: it never changes by an update of the kernel, which leaves every member in OF_A_LOAD alone
    (hp_action, elfcorehdr_index and elfcorehdr_updated are not among them). Two loads of the same files differ
    - after kexec_load: by the user addresses in segment[].buf, which address space randomization draws for each
      kexec process; the same addresses twice are as good as impossible unless it is switched off
      (kernel.randomize_va_space=0);
    - after kexec_file_load: by the random seed that the kernel puts into the boot parameters (x86 since 6.0,
      68b8e9713c8e) or into the FDT's /chosen. Older x86 kernels leave the stale buffer addresses of the load
      (segment[].kbuf) and struct kimage's own address, and both may repeat, for a load frees the old image first.
    So a different identity is always another image; the same one is the same image but for those last cases.
    """
    members = [extract(kimage, byteorder, layout.fields[name]) for name in OF_A_LOAD if name in layout.fields]
    return digest(repr((pointer, members)).encode(), *content)


def digest(*parts: bytes) -> str:
    """Return 16 hexadecimal digits for a sequence of bytes. Against accidents, not against attackers."""
    import hashlib  # it loads OpenSSL, which whoever only needs the parsers can do without

    state = hashlib.blake2b(digest_size=SIZE)
    for part in parts:
        state.update(len(part).to_bytes(8, "big") + part)
    return state.hexdigest()
