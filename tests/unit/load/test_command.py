# SPDX-License-Identifier: GPL-2.0-or-later
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdumphpd.load.command import KexecCommand, parse


def command(line: str) -> KexecCommand:
    return parse(["/sbin/kexec", *line.split()])


def again(line: str, syscall: str = "-c", *, hotplug: bool = True, append: str = "") -> str:
    program, *words = command(line).argv(syscall, hotplug, append)
    assert program == "/sbin/kexec"
    return " ".join(words)


# --- taken apart ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "kernel", "initrd", "command_line"),
    [
        ("-p /k", "/k", None, ""),
        ("-p --initrd=/i --command-line=initrd=/x /k", "/k", "/i", "initrd=/x"),
        ("-p --ramdisk=/i /k", "/k", "/i", ""),
        ("-p --initrd=/a=b /k", "/k", "/a=b", ""),
        ("-p --initrd /i --append quiet /k", "/k", "/i", "quiet"),
        # openSUSE's load.sh puts the kernel first.
        ("-p /k --append=quiet --initrd=/i -a", "/k", "/i", "quiet"),
        ("/k -p", "/k", None, ""),
        # The last one counts, by whichever of its names.
        ("-p --append=a --command-line=b --initrd=/1 --ramdisk=/2 /k", "/k", "/2", "b"),
        # Beginnings of long options, as far as they are unambiguous.
        ("--load-pa --initr=/i --com=quiet /k", "/k", "/i", "quiet"),
        # Letters in a group; the last one takes the rest, or what follows.
        ("-psd /k", "/k", None, ""),
        ("-pt elf /k", "/k", None, ""),
        ("-ptelf /k", "/k", None, ""),
        ("-l -p /k", "/k", None, ""),
        # An argument may look like an option, or like a kernel.
        ("-p --append --initrd=/no /k", "/k", None, "--initrd=/no"),
        ("-p --mem-min 0x1000 --dtb /d --module /m /k", "/k", None, ""),
        ("-p -- /k --initrd=/no", "/k", None, ""),
        ("-p -", "-", None, ""),
    ],
)
def test_kernel_initrd_and_command_line_are_those_that_kexec_would_take(
    line: str, kernel: str, initrd: str | None, command_line: str
) -> None:
    found = command(line)
    assert found.kernel == Path(kernel)
    assert found.initrd == (Path(initrd) if initrd else None)
    assert found.command_line == command_line
    assert found.original == ("/sbin/kexec", *line.split())


def test_with_the_running_kernels_command_line_it_is_not_known() -> None:
    assert command("-p --reuse-cmdline /k").command_line is None
    assert command("-p --append=quiet --reuse-cmdline /k").command_line is None


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("-p -u", "`/sbin/kexec -p -u` unloads an image (--unload): it loads no kernel for a panic"),
        ("-pu", "unloads an image"),
        ("-e", "starts the loaded kernel"),
        ("-p -f /k", "reboots"),
        ("-p --status", "asks what is loaded"),
        ("-l /k", "lacks -p (--load-panic): it loads no kernel for a panic"),
        ("/k", "lacks -p"),
        ("-p", "`/sbin/kexec -p` names no kernel"),
        ("-p --initrd=/i", "names no kernel"),
        ("-p /k --initrd", "--initrd lacks its argument"),
        ("-pt", "-t lacks its argument"),
        ("-p --reset=1 /k", "--reset-vga takes no argument"),
        ("-p --nonsense /k", "kexec knows no option --nonsense"),
        ("-pZ /k", "kexec knows no option -Z"),
        ("-p --load /k --re", "--re may be --reuseinitrd or --reset-vga"),
    ],
)
def test_what_loads_no_kernel_for_a_panic_is_told_why(line: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=r"^`/sbin/kexec") as caught:
        command(line)
    assert sentence in str(caught.value)


# --- put together -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        "-p /k",
        "-p -a /k",
        "-c -p /k",
        "-p /k -s",
        "-ps /k",
        "--kexec-syscall-auto --hotplug -p /k",
        "-p --kexec-f /k",
    ],
)
def test_which_syscall_it_asked_for_does_not_matter(line: str) -> None:
    assert again(line) == "-c --hotplug -p /k"
    assert again(line, "-s", hotplug=False) == "-s -p /k"


def test_everything_else_stays_in_order() -> None:
    line = "-p -d --mem-max=0x1 --no-cma --module=/m --module=/n --initrd=/i --append=a=b /k --reuse-video-type"
    assert again(line) == f"-c --hotplug {line}"


def test_the_capture_kernels_own_command_line_is_left_as_it_is() -> None:
    argv = parse(["/sbin/kexec", "-p", "--command-line=-c -s --hotplug", "/k"]).argv("-c", True)
    assert argv == ["/sbin/kexec", "-c", "--hotplug", "-p", "--command-line=-c -s --hotplug", "/k"]


def test_something_is_appended_to_the_command_line_that_counts() -> None:
    assert again("-p --append=a --append=b /k", append="c d").endswith("-p --append=a --append=b c d /k")
    assert again("-p --command-line b /k", append="c").endswith("-p --command-line=b c /k")
    assert again("-p --append= /k", append="c").endswith("-p --append=c /k")


def test_where_there_is_none_it_is_the_command_line() -> None:
    assert again("-p /k", append="c") == "-c --hotplug --append=c -p /k"
    assert again("-p --reuse-cmdline /k", append="c") == "-c --hotplug --append=c -p --reuse-cmdline /k"


def test_a_kernel_that_looks_like_an_option_stays_one() -> None:
    assert again("-p -- --kernel") == "-c --hotplug -p -- --kernel"


WORDS = st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), min_size=1, max_size=12)
OPTIONS = st.one_of(
    st.sampled_from(["-s", "-c", "-a", "-d", "--hotplug", "--no-cma", "-ds", "--kexec-file", "-tbzImage"]).map(
        lambda option: [option]
    ),
    st.tuples(st.sampled_from(["--append", "--command-line", "--initrd", "--ramdisk", "--dtb"]), WORDS).map(list),
    st.tuples(st.sampled_from(["--append", "--com", "--initrd", "--ram", "--type"]), WORDS).map(
        lambda pair: ["=".join(pair)]
    ),
)


@given(st.lists(OPTIONS, max_size=6), WORDS, st.booleans(), WORDS, st.sampled_from(["-c", "-s"]), st.booleans())
def test_kernel_initrd_and_command_line_survive_being_taken_apart(
    options: list[list[str]], kernel: str, kernel_first: bool, append: str, syscall: str, hotplug: bool
) -> None:
    words = [word for option in options for word in option]
    operand = [f"/{kernel}"]
    given_ = parse(["kexec", "-p", *operand, *words] if kernel_first else ["kexec", *words, "-p", *operand])
    found = parse(given_.argv(syscall, hotplug))
    assert (found.kernel, found.initrd, found.command_line) == (given_.kernel, given_.initrd, given_.command_line)
    assert found.rest == given_.rest
    longer = parse(given_.argv(syscall, hotplug, append))
    assert (longer.kernel, longer.initrd) == (given_.kernel, given_.initrd)
    assert longer.command_line == (f"{given_.command_line} {append}" if given_.command_line else append)
