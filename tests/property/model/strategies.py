# SPDX-License-Identifier: GPL-2.0-or-later
"""Which machines there are, and what can happen on them."""

from hypothesis import strategies as st

from kdumphpd.config import Config, ReloadConfig, Verify, VerifyConfig
from tests.property.model.kernel import BLOCKS, Kind
from tests.property.model.surroundings import KEXEC_FAULTS, Distribution

KINDS = st.builds(
    Kind,
    updates=st.sampled_from([True, True, False]),
    leaves_removed=st.booleans(),
    readable=st.booleans(),
    memory_hotplug=st.booleans(),
)
CONFIGS = st.builds(
    lambda updatable, image: Config(reload=ReloadConfig(make_updatable=updatable), verify=VerifyConfig(image=image)),
    st.booleans(),
    st.sampled_from([Verify.ALWAYS, Verify.ALWAYS, Verify.IN_DOUBT, Verify.NEVER]),
)
# Ubuntu's and Debian's loaders leave an image that is not updatable and not safe, Fedora's one that is both.
DISTRIBUTIONS = st.builds(
    Distribution,
    updatable=st.booleans(),
    safe=st.booleans(),
    misses=st.sampled_from([frozenset(), frozenset(), frozenset(BLOCKS)]),
)
SECONDS = st.sampled_from([0.3, 1.5, 5.0, 5.0, 40.0])
MOSTLY = st.sampled_from([True, True, True, False])
MOMENTS = st.integers(1, 16)  # an operation of the helper
FAULTS = st.sampled_from(
    [
        ("silent", True),
        *(("kexec", fault) for fault in KEXEC_FAULTS),
        ("not_recorded", True),
        ("not_ready", True),
        ("unwritable", True),
        ("disabled", True),
        ("no_loader", True),
        ("bad_configuration", True),
        ("stuck", True),
        ("unreadable", True),
    ]
)

BY_THE_OPERATOR = ("start_unit", "stop_unit", "load_by_hand", "unload_by_hand")
