"""What an API server of this Kubernetes version thinks of an endpoint's address, as (addressType, address)."""

from typing import Final

ACCEPTED: Final = [
    *(("IPv4", one) for one in ("192.0.2.1", "10.0.0.1", "0.0.0.1", "239.1.2.3", "224.0.1.1", "255.255.255.255")),
    *(("IPv4", one) for one in ("100.100.100.200", "168.63.129.16", "169.253.255.255", "169.255.0.0", "240.0.0.1")),
    *(("IPv6", one) for one in ("2001:db8::1", "::2", "::102:304", "fd00:ec2::254", "64:ff9b::a9fe:a9fe", "ff05::1")),
    *(("IPv6", one) for one in ("fe7f::1", "fec0::1", "2001:db8:0:1:1:1:1:1", "2001:0:0:1::1", "1:2:3:4:5:6:7:8")),
    *(("FQDN", one) for one in ("example.com", "example.com.", "metadata.google.internal", "1.2.3.4", "a.b")),
    ("FQDN", ".".join(["a" * 63] * 3 + ["b" * 61])),
]

_IPV4: Final = {
    "unspecified": ["0.0.0.0"],
    "loopback": ["127.0.0.1", "127.255.255.255"],
    "link-local": ["169.254.169.254", "169.254.0.0", "169.254.255.255"],
    "link-local multicast": ["224.0.0.1", "224.0.0.255"],
    "not an IPv4 address": [
        *(
            "",
            "example.com",
            "10.0.0",
            "10.0.0.256",
            "10.0.0.1/32",
            " 10.0.0.1",
            "10.0.0.1 ",
            "10.0.0.1\n",
            "10.0.0.1.",
        ),
        *("010.0.0.1", "10.0.0.01", "0x0a.0.0.1", "167772161", "::1", "2001:db8::1", "::ffff:10.0.0.1", "١٠.0.0.1"),
        *("10.0.0.1:80", "-1.0.0.1", "10.0.0.1\x00", "a" * 10_000, "10.0.0.1."),
    ],
}
_IPV6: Final = {
    "unspecified": ["::", "0:0:0:0:0:0:0:0"],
    "loopback": ["::1"],
    "link-local": ["fe80::1", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff"],
    "link-local multicast": ["ff02::1", "ff12::1", "fff2::1"],
    "an IPv4 address written as IPv6": ["::ffff:10.0.0.1", "::ffff:a00:1"],
    "not an IPv6 address in canonical form": [
        *("", "10.0.0.1", "2001:DB8::1", "2001:db8:0:0:0:0:0:1", "2001:0db8::1", "2001:db8::1/128", "[2001:db8::1]"),
        *("::10.0.0.1", "fe80::1%eth0", "2001:db8::1%1", ":::", "1::2::3", "2001:db8::g", "1:2:3:4:5:6:7::8"),
    ],
}
_FQDN: Final = {
    "not a fully qualified domain name": [
        *("", "localhost", "localhost.", ".", "a..b", "Example.com", "a_b.com", "-a.com", "a-.com", "*.example.com"),
        *("a" * 64 + ".com", ".".join(["a" * 63] * 4), "a.b\n", "a b.c", "2001:db8::1", "ä.com"),
    ]
}

REFUSED: Final = [
    (family, address, why)
    for family, reasons in (("IPv4", _IPV4), ("IPv6", _IPV6), ("FQDN", _FQDN))
    for why, addresses in reasons.items()
    for address in addresses
]
"""With the words that we have for it."""
