"""Requests that come from elsewhere than a watch."""

import pytest

from mcs_controller.runtime.channel import Channel


def test_requests_go_to_the_controller_that_takes_them():
    channel, taken = Channel[str](), list[str]()
    channel.connect(taken.append)
    channel.send("a")
    assert taken == ["a"]


def test_a_request_that_nobody_takes_is_a_defect():
    with pytest.raises(RuntimeError, match="no controller takes a"):
        Channel[str]().send("a")


def test_one_controller_takes_all():
    channel = Channel[str]()
    channel.connect(lambda _: None)
    with pytest.raises(RuntimeError):
        channel.connect(lambda _: None)
