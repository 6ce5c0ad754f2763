"""Which versions `mcsctl upgrade` goes between."""

from __future__ import annotations

import pytest

from mcs_controller.mcsctl.upgrade import version_skew


@pytest.mark.parametrize(
    ("installed", "new", "reason"),
    [
        ("0.1.0", "0.1.0", ""),
        ("0.1.0", "0.2.3", ""),
        ("0.2.1", "0.2.0", "newer"),
        ("0.10.0", "0.9.0", "newer"),
        ("0.1.0", "0.3.0", "more than one minor version"),
        ("0.9.0", "1.0.0", ""),
        ("", "0.2.0", ""),
    ],
)
def test_an_upgrade_goes_up_and_no_more_than_one_minor_version(installed, new, reason):
    skew = version_skew(installed, new)
    assert reason in skew
    assert bool(skew) is bool(reason)
