"""Certificates: one CA for each plane, and the certificates that it signs.

Keys are ECDSA P-256: made in a millisecond and cheap for every handshake. The extensions are those that OpenSSL's
strict mode (the default of newer Python versions) asks for.
"""

from __future__ import annotations

import datetime
import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from collections.abc import Sequence

LIFETIME = datetime.timedelta(days=365)
CLOCK_SLACK = datetime.timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPair:
    """A private key and, unless it only signs tokens, the certificate that goes with it. Both PEM."""

    key_pem: bytes
    certificate_pem: bytes = b""


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def token_signing_key() -> tuple[bytes, bytes]:
    """A new key for service-account tokens: (private PEM, public PEM)."""
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return _key_pem(key), public


class Authority:
    """A certificate authority that lives as long as this object.

    Args:
        name: its common name; shows up in error messages about a wrong CA, so let it say whose it is.
        issuer: who signs it, which makes it an intermediate one; None for one that signs itself.
    """

    def __init__(self, name: str, *, issuer: Authority | None = None) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        public = self._key.public_key()
        signer = issuer._key if issuer is not None else self._key
        self._certificate: x509.Certificate = (
            _builder(subject, issuer._certificate.subject if issuer is not None else subject, public)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
            .sign(signer, hashes.SHA256())
        )

    @property
    def certificate_pem(self) -> bytes:
        """The certificate of the CA itself."""
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    def server(self, *names: str) -> KeyPair:
        """A server certificate for these host names and IP addresses."""
        return self._issue(names[0], (), names, [ExtendedKeyUsageOID.SERVER_AUTH])

    def client(self, common_name: str, organizations: Sequence[str] = ()) -> KeyPair:
        """A client certificate: ``common_name`` is the user to Kubernetes, ``organizations`` are its groups."""
        return self._issue(common_name, organizations, (), [ExtendedKeyUsageOID.CLIENT_AUTH])

    def peer(self, *names: str) -> KeyPair:
        """A certificate for client and server authentication, as members of an etcd cluster use."""
        return self._issue(names[0], (), names, [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])

    def _issue(
        self, common_name: str, organizations: Sequence[str], names: Sequence[str], usages: list[x509.ObjectIdentifier]
    ) -> KeyPair:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name(
            [
                *(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization) for organization in organizations),
                x509.NameAttribute(NameOID.COMMON_NAME, common_name),
            ]
        )
        issuer_key = self._key.public_key()
        builder = (
            _builder(subject, self._certificate.subject, key.public_key())
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False)
        )
        if names:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False
            )
        certificate = builder.sign(self._key, hashes.SHA256())
        return KeyPair(key_pem=_key_pem(key), certificate_pem=certificate.public_bytes(serialization.Encoding.PEM))


def _builder(subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SLACK)
        .not_valid_after(now + LIFETIME)
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
