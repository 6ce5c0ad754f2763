from __future__ import annotations

import copy
from typing import Any

import pytest

from mcs_controller.mcsctl.karmada import MANAGER, switch

OFF = "-serviceExport,-endpointSlice,-serviceImport"
GATE = "MultiClusterService"


def manager(*command: str, args: list[str] | None = None) -> dict[str, Any]:
    container = {"name": MANAGER[1], "command": list(command)} | ({"args": args} if args is not None else {})
    containers = [{"name": "sidecar", "args": ["--controllers=*"]}, container]
    return {"spec": {"template": {"spec": {"containers": containers}}}}


def flags(deployment: dict[str, Any]) -> list[str]:
    sidecar, container = deployment["spec"]["template"]["spec"]["containers"]
    assert sidecar == {"name": "sidecar", "args": ["--controllers=*"]}
    return [*container.get("command", []), *container.get("args", [])]


def patched(deployment: dict[str, Any], patch: list[dict[str, Any]]) -> dict[str, Any]:
    """As an API server does it; the integration tests have a real one."""
    result = copy.deepcopy(deployment)
    for one in patch:
        *parents, last = one["path"].split("/")[1:]
        at: Any = result
        for each in parents:
            at = at[int(each)] if isinstance(at, list) else at[each]
        if one["op"] == "test":
            assert at[int(last)] == one["value"]
        elif one["op"] == "add" and isinstance(at, list):
            assert last == "-"
            at.append(one["value"])
        else:
            at[int(last) if isinstance(at, list) else last] = one["value"]
    return result


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (manager("k", "--v=2"), ["k", "--v=2", f"--controllers=*,{OFF}"]),
        (manager("k"), ["k", f"--controllers=*,{OFF}"]),
        (manager("k", "--controllers=*"), ["k", f"--controllers=*,{OFF}"]),
        (manager("k", "--controllers", "*,-foo"), ["k", "--controllers", f"*,-foo,{OFF}"]),
        (manager("k", args=["--controllers=*,-serviceExport"]), ["k", f"--controllers=*,{OFF}"]),
        (manager("k", "--controllers=foo", "--controllers=*"), ["k", f"--controllers=foo,{OFF}", "--controllers=*"]),
        # The first mention wins.
        (manager("k", f"--controllers=*,serviceExport,{OFF}"), ["k", f"--controllers=*,{OFF}"]),
        # The last one wins.
        (
            manager("k", f"--controllers={OFF}", f"--feature-gates=A=true,{GATE}=false,{GATE}=true"),
            ["k", f"--controllers={OFF}", f"--feature-gates=A=true,{GATE}=false"],
        ),
        (
            manager("k", "--controllers=foo", "--feature-gates=AllAlpha=true"),
            ["k", "--controllers=foo", f"--feature-gates=AllAlpha=true,{GATE}=false"],
        ),
    ],
)
def test_karmadas_own_controllers_are_switched_off_flag_by_flag(before, after):
    result = patched(before, switch(before, on=False))
    assert flags(result) == after
    assert switch(result, on=False) == []


@pytest.mark.parametrize(
    "deployment",
    [
        manager("k", f"--controllers=*,{OFF}"),
        manager("k", f"--controllers={OFF}", "--controllers=*", f"--feature-gates={GATE}=false"),
        manager("k", "--controllers=cluster", f"--feature-gates=AllAlpha=true,{GATE}=false"),
    ],
)
def test_nothing_is_to_be_switched_off_where_they_are_off(deployment):
    assert switch(deployment, on=False) == []


@pytest.mark.parametrize(
    "command", [["--controllers=*,-foo", f"--feature-gates={GATE}=true"], ["--controllers=foo,serviceExport"], []]
)
def test_they_are_on_again_after_the_way_back(command):
    off = manager("k", *command)
    off = patched(off, switch(off, on=False))
    on = patched(off, switch(off, on=True))
    assert switch(on, on=True) == []
    assert f"{GATE}=true" in ",".join(flags(on))
    assert not any(each in ",".join(flags(on)) for each in OFF.split(","))


def test_a_manager_without_any_flag_gets_both():
    bare = {"spec": {"template": {"spec": {"containers": [{"name": MANAGER[1]}]}}}}
    off = patched(bare, switch(bare, on=False))
    on = patched(off, switch(off, on=True))
    (container,) = on["spec"]["template"]["spec"]["containers"]
    assert container["args"] == ["--controllers=*", f"--feature-gates={GATE}=true"]
