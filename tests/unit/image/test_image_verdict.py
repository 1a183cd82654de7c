# SPDX-License-Identifier: GPL-2.0-or-later
"""The verdict: a false "stale" reloads for nothing, a false "current" loses a dump."""

from dataclasses import replace

from kdumphpd.image.elfcorehdr import ElfCoreHdr
from kdumphpd.image.errors import Cause
from kdumphpd.image.fdt import CpuNode, Fdt
from kdumphpd.image.kimage import Segment
from kdumphpd.image.machine import Cpu
from kdumphpd.image.ranges import Range
from kdumphpd.image.verdict import ImageState, Verdict, judge
from tests.unit.image.machines import DIMM, GIB, IMAGE, LOADS, LOW, MACHINE, MIB, RESERVED, with_loads, with_ram

CURRENT = Verdict(ImageState.CURRENT)


# Current: none of these may cause a reload.


def test_a_file_load_without_the_first_mib_is_current() -> None:
    assert judge(IMAGE, MACHINE) == CURRENT


def test_a_kexec_load_with_the_first_mib_backed_up_and_a_text_mapping_is_current() -> None:
    text = Range(0x100_0000, 0x1FF_FFFF)
    assert judge(with_loads(Range(0x1000, 0x9FBFF), text, *LOADS), MACHINE) == CURRENT
    assert judge(with_loads(Range(0, 0xFFFF), *LOADS), with_ram(Range(0, 2 * GIB - 1))) == CURRENT


def test_a_reservation_that_only_the_kernel_variable_tells_of_is_no_missing_memory() -> None:
    assert judge(IMAGE, replace(MACHINE, reserved=())) == CURRENT


def test_a_reservation_in_cma_may_be_described_or_not() -> None:
    cma = Range(0x4000_0000, 0x4FFF_FFFF)
    machine = replace(MACHINE, reserved=(RESERVED, cma))
    without = with_loads(LOADS[0], Range(LOADS[1].start, cma.start - 1), Range(cma.end + 1, LOADS[1].end))
    assert judge(without, machine) == CURRENT
    assert judge(IMAGE, machine) == CURRENT


def test_less_than_a_page_missing_is_rounding() -> None:
    """Kernels before 5.8 excluded the first MiB with one byte too many, and firmware ends RAM in mid-page."""
    assert judge(with_loads(Range(MIB + 1, LOADS[0].end), LOADS[1]), MACHINE) == CURRENT
    machine = with_ram(LOW[0], Range(MIB, 2 * GIB + 4094))
    assert judge(IMAGE, machine) == CURRENT


def test_memory_that_is_plugged_but_offline_need_not_be_described() -> None:
    assert judge(IMAGE, with_ram(*LOW, DIMM, offline=(DIMM,))) == CURRENT


def test_memory_that_is_offline_but_described_is_not_gone() -> None:
    assert judge(with_loads(*LOADS, DIMM), with_ram(*LOW, DIMM, offline=(DIMM,))) == CURRENT


def test_a_firmware_area_outside_of_system_ram_is_not_gone_memory() -> None:
    rtas = Range(3 * GIB, 3 * GIB + 48 * MIB - 1)
    assert judge(with_loads(*LOADS, rtas), MACHINE) == CURRENT


def test_ranges_may_be_cut_differently_than_the_resources() -> None:
    halves = (Range(LOADS[1].start, GIB - 1), Range(GIB, LOADS[1].end))
    assert (
        judge(with_loads(LOADS[0], *halves), with_ram(LOW[0], Range(MIB, GIB - 1), Range(GIB, 2 * GIB - 1)))
        == CURRENT
    )


def test_memory_hidden_by_a_gart_is_left_out_rightly() -> None:
    gart = Range(0x6000_0000, 0x63FF_FFFF)
    image = with_loads(LOADS[0], Range(LOADS[1].start, gart.start - 1), Range(gart.end + 1, LOADS[1].end))
    assert judge(image, replace(MACHINE, gart=(gart,))) == CURRENT


def test_notes_of_possible_cpus_are_harmless_and_a_cpu_without_a_note_file_needs_none() -> None:
    image = replace(IMAGE, elfcorehdr=ElfCoreHdr((0x3000, 0x3200, 0x3400, 0x3600, 0x9000), LOADS))
    assert judge(image, replace(MACHINE, cpus=(*MACHINE.cpus, Cpu(7, None, None)))) == CURRENT


# Stale: each of these would cost a dump, or a part of it.


def test_added_memory_is_missing_exactly() -> None:
    assert judge(IMAGE, with_ram(*LOW, DIMM)) == Verdict(ImageState.STALE, missing=(DIMM,))


def test_the_online_part_of_added_memory_is_missing() -> None:
    offline = Range(DIMM.start, DIMM.start + 128 * MIB - 1)
    verdict = judge(IMAGE, with_ram(*LOW, DIMM, offline=(offline,)))
    assert verdict.missing == (Range(offline.end + 1, DIMM.end),)


def test_a_single_page_missing_is_missing() -> None:
    page = Range(GIB, GIB + 4095)
    image = with_loads(LOADS[0], Range(LOADS[1].start, page.start - 1), Range(page.end + 1, LOADS[1].end))
    assert judge(image, MACHINE).missing == (page,)


def test_removed_memory_is_gone_exactly() -> None:
    assert judge(with_loads(*LOADS, DIMM), MACHINE) == Verdict(ImageState.STALE, gone=(DIMM,))


def test_one_removed_block_of_many_is_gone() -> None:
    block = Range(DIMM.start, DIMM.start + 128 * MIB - 1)
    verdict = judge(with_loads(*LOADS, DIMM), with_ram(*LOW, Range(block.end + 1, DIMM.end)))
    assert verdict == Verdict(ImageState.STALE, gone=(block,))


def test_an_elfcorehdr_without_any_memory_lacks_all_of_it() -> None:
    assert judge(with_loads(), MACHINE).missing == LOADS


def test_memory_just_above_the_first_mib_counts() -> None:
    missing = Range(MIB, 2 * MIB - 1)
    assert judge(with_loads(Range(2 * MIB, LOADS[0].end), LOADS[1]), MACHINE).missing == (missing,)


def test_an_online_cpu_without_a_note_is_named() -> None:
    machine = replace(MACHINE, cpus=(*MACHINE.cpus, Cpu(2, 0x3400, None)))
    assert judge(IMAGE, machine) == Verdict(ImageState.STALE, cpus_without_note=(2,))


FDT = Fdt(4096, 100, (CpuNode("PowerPC,POWER9@0", (0, 1, 2, 3), 700),))
POWER = replace(MACHINE, cpus=(Cpu(0, 0x3000, 0), Cpu(1, 0x3200, 1)))


def test_every_thread_of_a_core_in_the_fdt_can_boot() -> None:
    assert judge(replace(IMAGE, fdt=FDT), POWER) == CURRENT


def test_a_cpu_that_is_not_in_the_fdt_is_named_by_its_number() -> None:
    machine = replace(POWER, cpus=(Cpu(0, 0x3000, 0), Cpu(1, 0x3200, 8)))
    assert judge(replace(IMAGE, fdt=FDT), machine) == Verdict(ImageState.STALE, cpus_not_in_fdt=(1,))


def test_an_image_that_lost_its_fdt_can_boot_on_no_cpu() -> None:
    assert judge(IMAGE, POWER).cpus_not_in_fdt == (0, 1)
    assert judge(replace(IMAGE, fdt=replace(FDT, cpus=())), POWER).cpus_not_in_fdt == (0, 1)


def test_an_fdt_where_the_machine_has_no_hardware_ids_is_not_asked() -> None:
    assert judge(replace(IMAGE, fdt=replace(FDT, cpus=())), MACHINE) == CURRENT


def test_without_an_elfcorehdr_there_is_no_telling() -> None:
    verdict = judge(replace(IMAGE, elfcorehdr=None), MACHINE)
    assert (verdict.state, verdict.reason) == (ImageState.UNREADABLE, Cause.NO_ELFCOREHDR)


# What makes an image that describes the machine unsafe, or one that seems right wrong.


def test_an_image_whose_capture_kernel_could_take_hot_added_memory_is_unsafe() -> None:
    dimms = replace(MACHINE, memory_hotplug=True)
    verdict = judge(replace(IMAGE, command_line="root=/dev/vda nr_cpus=1"), dimms)
    assert verdict.state is ImageState.UNSAFE
    assert "acpi_no_memhotplug is missing" in verdict.sentence()
    for safe in ("a acpi_no_memhotplug", "acpi=off", "memhp_default_state=offline b"):
        assert judge(replace(IMAGE, command_line=safe), dimms) == CURRENT
    assert judge(replace(IMAGE, command_line="x -- acpi_no_memhotplug"), dimms).state is ImageState.UNSAFE


def test_without_memory_hotplug_or_a_known_command_line_nothing_is_called_unsafe() -> None:
    assert judge(replace(IMAGE, command_line="root=/dev/vda"), MACHINE) == CURRENT
    assert judge(IMAGE, replace(MACHINE, memory_hotplug=True)) == CURRENT


def test_an_image_that_is_stale_and_unsafe_is_stale_and_says_both() -> None:
    verdict = judge(replace(IMAGE, command_line=""), replace(with_ram(*LOW, DIMM), memory_hotplug=True))
    assert verdict.state is ImageState.STALE
    assert "missing from the elfcorehdr" in verdict.sentence()
    assert "acpi_no_memhotplug" in verdict.sentence()


def test_s390_has_nothing_to_describe() -> None:
    verdict = judge(replace(IMAGE, elfcorehdr=None, machine=22), MACHINE)
    assert verdict.state is ImageState.CURRENT
    assert "builds the elfcorehdr itself" in verdict.sentence()


def test_an_elfcorehdr_that_outgrows_what_the_fdt_reserves_is_stale() -> None:
    segment = Segment(RESERVED.start, MIB, 1024)
    reserved = (Range(RESERVED.start, RESERVED.start + 0x3FF),)
    described = ElfCoreHdr((0x3000, 0x3200, 0x9000), LOADS, size=0x400)
    image = replace(
        IMAGE, elfcorehdr=described, elfcorehdr_segment=segment, fdt=Fdt(100, 0, (), reserved=reserved), machine=21
    )
    assert judge(image, MACHINE) == CURRENT
    assert not image.updatable
    grown = replace(image, elfcorehdr=replace(described, size=0x438))
    assert judge(grown, MACHINE).state is ImageState.STALE
    assert "56 bytes of the elfcorehdr not reserved in the FDT" in judge(grown, MACHINE).sentence()
    whole = Fdt(100, 0, (), reserved=(segment.range,))
    assert judge(replace(grown, fdt=whole), MACHINE) == CURRENT


def test_an_fdt_that_reserves_only_what_the_firmware_wants_says_nothing_of_the_elfcorehdr() -> None:
    """As on arm64: spin tables and the like come with the board's tree, the elfcorehdr is in /chosen."""
    image = replace(
        IMAGE,
        elfcorehdr=replace(ElfCoreHdr((0x3000, 0x3200, 0x9000), LOADS), size=0x400),
        elfcorehdr_segment=Segment(RESERVED.start, MIB, 1024),
        fdt=Fdt(100, 0, (), reserved=(Range(0, 0xFFF),)),
    )
    assert judge(image, MACHINE) == CURRENT
    assert image.updatable


def test_a_backup_that_the_elfcorehdr_no_longer_points_to_is_stale_on_powerpc_alone() -> None:
    lost = ElfCoreHdr((0x3000, 0x3200, 0x9000), (Range(0, 0xFFFF), *LOADS), backup=0)
    kept = replace(lost, backup=RESERVED.start + 0x1000)
    assert judge(replace(IMAGE, elfcorehdr=lost, machine=21), MACHINE).backup_lost
    assert judge(replace(IMAGE, elfcorehdr=kept, machine=21), MACHINE) == CURRENT
    assert judge(replace(IMAGE, elfcorehdr=lost, machine=62), MACHINE) == CURRENT
