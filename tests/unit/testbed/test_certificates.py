"""What the test bed's certificates say."""

import contextlib
import ssl

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from testbed.certificates import Authority


def load(pem: bytes) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem)


def test_a_client_certificate_carries_user_and_groups_as_kubernetes_reads_them():
    certificate = load(Authority("a-ca").client("jane", ["system:masters", "team"]).certificate_pem)
    assert [each.value for each in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)] == ["jane"]
    groups = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    assert [each.value for each in groups] == ["system:masters", "team"]


def test_a_certificate_is_verifiable_by_its_own_authority_only():
    ours, other = Authority("ours"), Authority("other")
    certificate = load(ours.server("localhost").certificate_pem)
    certificate.verify_directly_issued_by(load(ours.certificate_pem))
    with pytest.raises(ValueError, match="does not match certificate issuer"):
        certificate.verify_directly_issued_by(load(other.certificate_pem))


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
def test_server_certificates_pass_strict_verification(tmp_path, name):
    authority = Authority("plane-ca")
    pair = authority.server("localhost", "127.0.0.1")
    file = tmp_path / "pair.pem"
    file.write_bytes(pair.certificate_pem + pair.key_pem)
    client = ssl.create_default_context(cadata=authority.certificate_pem.decode())
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(file)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(to_client, to_server, server_hostname=name)
    theirs = server.wrap_bio(to_server, to_client, server_side=True)
    pending = [ours, theirs]
    while pending:
        for side in list(pending):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
                pending.remove(side)
    assert ours.version() == "TLSv1.3"
