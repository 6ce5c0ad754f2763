"""Which controllers `--controllers` names."""

import pytest

from mcs_controller.controllers import CONTROLLERS, STANDALONE, ControllerSet, InvalidControllers
from mcs_controller.features import MULTI_CLUSTER_SERVICE

GATED = {"multiclusterservice", "endpointsliceCollect", "endpointsliceDispatch"}
PATH = GATED | {"serviceExport", "endpointSlice", "serviceImport"}
ALONE = {info.key for info in CONTROLLERS if info.standalone}


def test_keys_and_gate_of_the_service_path_are_karmadas():
    assert {info.key for info in CONTROLLERS if info.gate == MULTI_CLUSTER_SERVICE} == GATED
    assert {"cluster", "clusterStatus", "namespace", "binding", "execution"} <= ALONE
    assert not ALONE & PATH


def test_the_export_path_is_on_by_default_and_needs_no_gate():
    assert {info.key for info in CONTROLLERS if info.gate is None and not info.standalone} == PATH - GATED


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("*", PATH, id="everything that is on by default"),
        pytest.param("endpointsliceCollect", {"endpointsliceCollect"}, id="without a star only what is named"),
        pytest.param("*,-endpointsliceCollect", PATH - {"endpointsliceCollect"}, id="one off"),
        pytest.param("-endpointsliceCollect,*", PATH - {"endpointsliceCollect"}, id="the order of the star is nothing"),
        pytest.param("*,binding", PATH | {"binding"}, id="one that is off by default"),
        pytest.param("*,standalone", PATH | ALONE, id="all that stand alone"),
        pytest.param("standalone", ALONE, id="only these"),
        pytest.param("*,-standalone", PATH, id="none of these"),
        pytest.param("-execution,standalone", ALONE - {"execution"}, id="the first mention wins, off"),
        pytest.param("standalone,-execution", ALONE, id="the first mention wins, on"),
        pytest.param("binding,-binding", {"binding"}, id="on before off"),
        pytest.param("-binding,binding", set(), id="off before on"),
        pytest.param(" * , -multiclusterservice ,, ", PATH - {"multiclusterservice"}, id="spaces and empty items"),
    ],
)
def test_the_list_is_read_as_karmada_reads_it(text: str, expected: set[str]):
    found = ControllerSet.parse(text)
    assert found.enabled == expected
    assert all(key in found for key in expected)
    assert "no such thing" not in found


@pytest.mark.parametrize("text", ["nope", "*,-nope", "Multiclusterservice", "-*", "*,**", "--binding"])
def test_an_unknown_name_is_refused_and_the_known_ones_are_listed(text: str):
    with pytest.raises(InvalidControllers) as caught:
        ControllerSet.parse(text)
    message = str(caught.value)
    assert "unknown controller" in message
    assert all(info.key in message for info in CONTROLLERS)
    assert STANDALONE in message
