"""What is wrong with a MultiClusterService as it is stored (contract 5.2), told by the field that its user wrote.

Admission refuses all of this (docs/admission.md), where there is any: rules in the definition, policies, or Karmada's
webhook. An object from before them is still there, and a control plane may have none. The controller then tells what is
wrong in a condition. The words are the webhook's; the rules' numbers are those of docs/admission.md. Rules 2 and 10 to
13 are missing: the API server has them for every kind, or they compare with what was before, or are about the status.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from mcs_controller.domain import well_known as wk
from mcs_controller.domain.reserved import RESERVED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from mcs_controller.api.multiclusterservice import MultiClusterService
    from mcs_controller.domain.reserved import ReservedObjects

_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_LABEL_1035: Final = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_TYPES: Final = ("CrossCluster", "LoadBalancer")
_LABEL_LENGTH: Final = 63
_CLUSTER_NAME_LENGTH: Final = 48

# The texts of k8s.io/apimachinery/pkg/util/validation.
_NO_LABEL: Final = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    "an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
_NO_LABEL_1035: Final = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is "
    "'[a-z]([-a-z0-9]*[a-z0-9])?')"
)


@dataclass(frozen=True, slots=True)
class ValidationError:
    """One thing that is wrong.

    Attributes:
        path: of the field, with the index of an item: ``spec.ports[1].name``.
        message: what is wrong with it.
        stops: whether nothing can be done for the service until it is mended. Of all the others, only what they
            are about is left out.
        releases: whether what was done for it before is undone.
    """

    path: str
    message: str
    stops: bool = False
    releases: bool = False

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


class _Named(msgspec.Struct):
    name: str = ""


class _Port(_Named):
    port: int = 0


class _Spec(msgspec.Struct, rename="camel"):
    ports: list[_Port] | None = None
    provider_clusters: list[_Named] | None = None
    consumer_clusters: list[_Named] | None = None


class _Wire(msgspec.Struct):
    spec: _Spec


_decoder = msgspec.json.Decoder(_Wire)


def faults(mcs: MultiClusterService, reserved: ReservedObjects = RESERVED) -> tuple[ValidationError, ...]:
    """All of them, in the webhook's order: equal objects have equal faults.

    The webhook lets everybody's own Services pass (`reserved`); they come first.
    """
    spec = _decoder.decode(mcs.raw).spec
    return (
        *_reserved(mcs, reserved),
        *_name(mcs.metadata.name),
        *_ports(spec.ports or ()),
        *_types(mcs.types),
        *_clusters("spec.providerClusters", spec.provider_clusters or ()),
        *_clusters("spec.consumerClusters", spec.consumer_clusters or ()),
    )


def _reserved(mcs: MultiClusterService, reserved: ReservedObjects) -> Iterator[ValidationError]:
    problem = reserved.problem(wk.SERVICE_KIND, mcs.metadata.namespace, mcs.metadata.name)
    if problem is not None:
        yield ValidationError("metadata.name", _invalid(mcs.metadata.name, problem), stops=True, releases=True)


def _name(name: str) -> Iterator[ValidationError]:
    """Rule 1."""
    for problem in _label_problems(name, _LABEL_1035, _NO_LABEL_1035):
        yield ValidationError("metadata.name", _invalid(name, problem))


def _ports(ports: Sequence[_Port]) -> Iterator[ValidationError]:
    """Rules 3 to 5."""
    seen: set[str] = set()
    for index, port in enumerate(ports):
        path = f"spec.ports[{index}]"
        if port.name:
            for problem in _label_problems(port.name, _LABEL, _NO_LABEL):
                yield ValidationError(f"{path}.name", _invalid(port.name, problem))
            if port.name in seen:
                yield ValidationError(f"{path}.name", f'Duplicate value: "{port.name}"')
            seen.add(port.name)
        if not 1 <= port.port <= 65535:
            yield ValidationError(f"{path}.port", f"Invalid value: {port.port}: must be between 1 and 65535, inclusive")


def _types(types: Sequence[str]) -> Iterator[ValidationError]:
    """Rules 6 and 7."""
    for index, kind in enumerate(types):
        if kind not in _TYPES:
            yield ValidationError(f"spec.types[{index}]", _invalid(kind, "ExposureType Error"), stops=True)
    if len(set(types)) > 1:
        told = ",".join(f'"{kind}"' for kind in types)
        problem = "MultiClusterService types should not contain more than one type"
        yield ValidationError("spec.types", f"Invalid value: [{told}]: {problem}", stops=True)


def _clusters(path: str, clusters: Iterable[_Named]) -> Iterator[ValidationError]:
    """Rules 8 and 9. One fault a name, as in Karmada's cluster validation."""
    for index, cluster in enumerate(clusters):
        problem = _cluster_problem(cluster.name)
        if problem is not None:
            yield ValidationError(f"{path}[{index}].name", _invalid(cluster.name, problem))


def _cluster_problem(name: str) -> str | None:
    if not name:
        return "must be not empty"
    if len(name) > _CLUSTER_NAME_LENGTH:
        return f"must be no more than {_CLUSTER_NAME_LENGTH} characters"
    return next(_label_problems(name, _LABEL, _NO_LABEL), None)


def _label_problems(text: str, pattern: re.Pattern[str], otherwise: str) -> Iterator[str]:
    """As Kubernetes' IsDNS1123Label and IsDNS1035Label."""
    if len(text) > _LABEL_LENGTH:
        yield f"must be no more than {_LABEL_LENGTH} characters"
    if not pattern.fullmatch(text):
        dotted = pattern is _LABEL and all(_LABEL.fullmatch(part) for part in text.split("."))
        yield "must not contain dots" if dotted else otherwise


def _invalid(value: str, problem: str) -> str:
    return f'Invalid value: "{value}": {problem}'
