"""Which addresses a provider may give its endpoints.

A provider says itself which addresses its Services have, and a consumer's Pods connect to them. So every address is
checked before it leaves the control plane:

* One that API servers refuse (ValidateEndpointSlice of kube-apiserver 1.37, which is stricter than those before it) is
  left out alone: the consumer's server would refuse the whole slice.
* One that is suspicious is named, and left out only with `--drop-suspicious-endpoints`: multicast and reserved ranges,
  metadata services of clouds, `--suspicious-endpoint-ranges`, and the ranges of other members (`--member-ranges`).

Where Pods and Services of a cluster are is said by flags alone. What a member itself says of that proves nothing.
"""

from __future__ import annotations

import enum
import re
from bisect import bisect_right
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_network
from socket import AF_INET, AF_INET6, inet_ntop, inet_pton
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from mcs_controller.domain.conditions import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from mcs_controller.api.common import JsonObject

Network = IPv4Network | IPv6Network

_MAX_ADDRESSES: Final = 100
"""Of one endpoint."""

_MAX_NAME: Final = 253

_MAX_EXAMPLE: Final = 64
"""Characters of an address that people are shown: it may be any text."""

_DOMAIN: Final = re.compile(r"(?!-)[-a-z0-9]{1,63}(?<!-)(?:\.(?!-)[-a-z0-9]{1,63}(?<!-))+\.?")


class Kind(enum.IntEnum):
    """Why addresses of a range are not as others, the worst first."""

    REFUSED = 0
    """API servers take no such endpoint."""
    SPECIAL = 1
    """No Pod or Service has such an address, whoever says so."""
    SUSPICIOUS = 2
    """A flag says so."""
    MEMBER = 3
    """A flag says that a member's Pods or Services are there."""


class Range(NamedTuple):
    """Addresses that are not as others; `owner` is the member of those of kind MEMBER."""

    kind: Kind
    why: str
    network: Network
    owner: str = ""


class Finding(NamedTuple):
    """What is to be said of the addresses of a slice, or of several.

    Attributes:
        left_out: whether they were left out, or are only suspicious.
        total: how many.
        worst: what is wrong with the worst.
        example: one of those.
        why: the same in words.
    """

    left_out: bool
    total: int
    worst: Kind
    example: str
    why: str


def _built_in(kind: Kind, why: str, *networks: str) -> tuple[Range, ...]:
    return tuple(Range(kind, why, ip_network(one)) for one in networks)


_BUILT_IN: Final = (
    *_built_in(Kind.REFUSED, "unspecified", "0.0.0.0/32", "::/128"),
    *_built_in(Kind.REFUSED, "loopback", "127.0.0.0/8", "::1/128"),
    *_built_in(Kind.REFUSED, "link-local", "169.254.0.0/16", "fe80::/10"),
    *_built_in(Kind.REFUSED, "link-local multicast", "224.0.0.0/24", *(f"ff{flags:x}2::/16" for flags in range(16))),
    *_built_in(Kind.REFUSED, "an IPv4 address written as IPv6", "::ffff:0:0/96"),
    *_built_in(Kind.SPECIAL, "multicast", "224.0.0.0/4", "ff00::/8"),
    *_built_in(Kind.SPECIAL, "reserved", "0.0.0.0/8", "240.0.0.0/4"),
    # Those of AWS, Google, Azure, Alibaba and Oracle that are not link-local.
    *_built_in(
        Kind.SPECIAL,
        "metadata service",
        *("fd00:ec2::254/128", "fd20:ce::254/128", "168.63.129.16/32", "100.100.100.200/32", "192.0.0.192/32"),
    ),
)


class _Place(NamedTuple):
    """Where an address is, if that is not just anywhere: the worst of its ranges, and whom it belongs to."""

    worst: Range
    owners: frozenset[str] = frozenset()

    @classmethod
    def of(cls, ranges: Sequence[Range]) -> _Place | None:
        """The place that is in these ranges.

        Its own ranges excuse a provider, except from what no flag says. So a wide range may be called suspicious, and
        the members' own ones in it are not.
        """
        if not ranges:
            return None
        worst = min(ranges)
        owners = {one.owner for one in ranges if one.owner and worst.kind > Kind.SPECIAL}
        return cls(worst, frozenset(owners))


class _Problem(NamedTuple):
    """Of one address."""

    left_out: bool
    kind: Kind
    example: str
    why: str


def _refused(why: str) -> _Place:
    return _Place(Range(Kind.REFUSED, why, IPv6Network("::/0")))


_NOT_IPV4: Final = _refused("not an IPv4 address")
_NOT_IPV6: Final = _refused("not an IPv6 address in canonical form")
_NOT_A_DOMAIN: Final = _refused("not a fully qualified domain name")
_TOO_MANY: Final = _refused(f"an endpoint has at most {_MAX_ADDRESSES} addresses")


class _Table:
    """The places of all addresses of one family. Looking one up takes a bisection."""

    def __init__(self, ranges: Sequence[Range], length: int) -> None:
        """`length` is that of an address, in bytes."""
        bounds = {bound for one in ranges for bound in (int(one.network[0]), int(one.network[-1]) + 1)}
        starts = sorted(one for one in bounds | {0} if one < 1 << 8 * length)
        self._starts = [one.to_bytes(length) for one in starts]
        self._places = [
            _Place.of([one for one in ranges if int(one.network[0]) <= start <= int(one.network[-1])])
            for start in starts
        ]

    def __getitem__(self, packed: bytes) -> _Place | None:
        return self._places[bisect_right(self._starts, packed) - 1]


class AddressRules:
    """What is thought of the addresses of each provider."""

    def __init__(self, ranges: Iterable[Range] = (), *, drop_suspicious: bool = False) -> None:
        """`ranges` are those that flags tell of; the built-in ones are always among them."""
        known = (*_BUILT_IN, *ranges)
        self._ipv4 = _Table([one for one in known if one.network.version == 4], 4)
        self._ipv6 = _Table([one for one in known if one.network.version == 6], 16)
        self._drop_suspicious = drop_suspicious
        self._place: dict[str, Callable[[Any], _Place | None]] = {
            "IPv4": self._place_of_ipv4,
            "IPv6": self._place_of_ipv6,
            "FQDN": _place_of_domain,
        }
        """By the slice's addressType. Of others nothing is known, and API servers refuse their slices."""

    def restrict(self, provider: str, content: JsonObject) -> tuple[Finding, ...]:
        """Take out of a provider's slice the addresses that do not leave it, and endpoints that have none left.

        Returns what is to be said of that, and of the suspicious ones that stay: one finding for each at most.
        """
        endpoints: Sequence[JsonObject] = content.get("endpoints") or ()
        place_of = self._place.get(str(content.get("addressType")))
        if place_of is None:
            return ()
        found: list[_Problem] = []
        kept: list[JsonObject] = []
        for one in endpoints:
            addresses = one.get("addresses")
            if not isinstance(addresses, list) or not addresses:
                continue
            odd = [place for place in map(place_of, addresses) if place is not None and provider not in place.owners]
            if not odd and len(addresses) <= _MAX_ADDRESSES:  # as nearly all
                kept.append(one)
                continue
            left = [
                address
                for number, address in enumerate(addresses)
                if not self._is_left_out(
                    address, place_of(address) if number < _MAX_ADDRESSES else _TOO_MANY, provider, found
                )
            ]
            if left:
                kept.append(one | {"addresses": left})
        if len(kept) < len(endpoints) or any(one.left_out for one in found):
            content["endpoints"] = kept
        return _findings(found)

    def _is_left_out(self, address: Any, place: _Place | None, provider: str, found: list[_Problem]) -> bool:
        """Whether the address does not leave the slice. What is to be said of it is added to `found`."""
        if place is None or provider in place.owners:
            return False
        left_out = self._drop_suspicious or place.worst.kind is Kind.REFUSED
        found.append(_Problem(left_out, place.worst.kind, printable(str(address)[:_MAX_EXAMPLE]), place.worst.why))
        return left_out

    def _place_of_ipv4(self, address: Any) -> _Place | None:
        try:
            return self._ipv4[inet_pton(AF_INET, address)]
        except (OSError, ValueError, TypeError):
            return _NOT_IPV4

    def _place_of_ipv6(self, address: Any) -> _Place | None:
        try:
            packed = inet_pton(AF_INET6, address)
        except (OSError, ValueError, TypeError):
            return _NOT_IPV6
        place = self._ipv6[packed]
        if place is not None and place.worst.kind is Kind.REFUSED:
            return place
        # The C library writes ::1.2.3.4 where Go writes ::102:304; the slower one knows how Go does it.
        canonical = "." not in address and (
            inet_ntop(AF_INET6, packed) == address or str(IPv6Address(packed)) == address
        )
        return place if canonical else _NOT_IPV6


def parse_suspicious(items: Iterable[str]) -> list[Range]:
    """Ranges that a flag calls suspicious, each a CIDR. Raises ValueError, naming the item that is none."""
    return [Range(Kind.SUSPICIOUS, f"in the suspicious range {one}", _network(one)) for one in items]


def parse_member_ranges(items: Iterable[str]) -> list[Range]:
    """Ranges of members, each member=CIDR. Raises ValueError, naming the item that is none."""
    found = []
    for item in items:
        member, equals, network = item.partition("=")
        if not (member and equals):
            raise ValueError(f"{item!r} is not member=CIDR, such as member1=10.0.0.0/16")
        found.append(Range(Kind.MEMBER, f"in {network}, a range of {member}", _network(network), member))
    return found


def _network(text: str) -> Network:
    try:
        return ip_network(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is not a CIDR, such as 10.0.0.0/16: {error}") from error


def _place_of_domain(address: Any) -> _Place | None:
    valid = isinstance(address, str) and len(address.removesuffix(".")) <= _MAX_NAME and _DOMAIN.fullmatch(address)
    return None if valid else _NOT_A_DOMAIN


def _findings(found: Sequence[_Problem]) -> tuple[Finding, ...]:
    """One of those left out, and one of those that are only named; the worst is the example."""
    findings = []
    for left_out in (True, False):
        those = [one for one in found if one.left_out is left_out]
        if those:
            worst = min(those)
            findings.append(Finding(left_out, len(those), worst.kind, worst.example, worst.why))
    return tuple(findings)


ADDRESS_RULES: Final = AddressRules()
"""Those that need no flags."""
