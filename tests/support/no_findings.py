"""What `mcsctl doctor` says of a service that works: nothing, or what it was told to expect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mcs_controller.diagnosis.findings import Severity
from mcs_controller.mcsctl.access import AccessOptions
from mcs_controller.mcsctl.doctor import run as run_doctor
from testbed import NotYet, wait_for

if TYPE_CHECKING:
    from collections.abc import Collection

    from testbed import Bed

BESIDE: Final = ("MCS023",)
"""Where a fake Karmada writes to the members with rights of an administrator: the tokens of Clusters have fewer."""


def kubeconfig_of(bed: Bed) -> str:
    """Of an administrator of all planes, each with a context that is called like it."""
    return ":".join(str(plane.access.kubeconfig) for plane in (bed.host, *bed.members.values()))


async def no_findings(bed: Bed, namespace: str, service: str, timeout: float, *, but: Collection[str] = ()) -> None:
    """Wait until there are none. Before that there may be changes in progress, and nothing that is called an error.

    Args:
        bed: where to look.
        namespace: of the service.
        service: its name.
        timeout: seconds.
        but: codes of what is wrong with it on purpose.
    """
    options = AccessOptions(kubeconfig=kubeconfig_of(bed), context="karmada")

    async def probe() -> bool:
        findings = (await run_doctor(options, (namespace, service))).findings
        worse = [one for one in findings if one.severity > Severity.INFO and one.code not in but]
        told = [(one.severity.name, one.code, one.problem, one.evidence) for one in worse]
        assert Severity.ERROR not in [one.severity for one in worse], f"a false alarm: {told}"
        if worse:
            raise NotYet(f"{told}")
        return True

    await wait_for(f"a diagnosis of {namespace}/{service} without findings", probe, timeout)
