"""Access to API servers: address, CA and credentials of one user."""

from __future__ import annotations

import base64
import os
import ssl
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

import yaml

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterAccess:
    """Access to one API server as one user, by client certificate or by token.

    Attributes:
        name: the plane's name; the kubeconfig's context is called the same.
        server: base URL, ``https://127.0.0.1:<port>``.
        ca_pem: what the server's certificate is checked against.
        client_cert_pem: the user's certificate; empty if ``token`` is used.
        client_key_pem: its key.
        kubeconfig: a file that says the same, for everybody else.
        token: the user's bearer token; empty if a certificate is used.
    """

    name: str
    server: str
    ca_pem: bytes
    client_cert_pem: bytes
    client_key_pem: bytes
    kubeconfig: Path
    token: str = ""

    def ssl_context(self) -> ssl.SSLContext:
        """A new TLS context that trusts only this plane's CA and presents this user's certificate."""
        context = ssl.create_default_context(cadata=self.ca_pem.decode())
        if self.client_cert_pem:
            # OpenSSL takes a certificate chain from files only.
            with tempfile.NamedTemporaryFile(suffix=".pem") as both:
                both.write(self.client_cert_pem + b"\n" + self.client_key_pem)
                both.flush()
                context.load_cert_chain(both.name)
        return context

    def write_kubeconfig(self) -> Path:
        """Write :attr:`kubeconfig`, readable by the current user only."""
        user: dict[str, str] = (
            {"token": self.token}
            if self.token
            else {
                "client-certificate-data": base64.b64encode(self.client_cert_pem).decode(),
                "client-key-data": base64.b64encode(self.client_key_pem).decode(),
            }
        )
        ca = base64.b64encode(self.ca_pem).decode()
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": self.name, "cluster": {"server": self.server, "certificate-authority-data": ca}}],
            "users": [{"name": self.name, "user": user}],
            "contexts": [{"name": self.name, "context": {"cluster": self.name, "user": self.name}}],
            "current-context": self.name,
        }
        write_private(self.kubeconfig, yaml.safe_dump(content, sort_keys=False).encode())
        return self.kubeconfig


def write_private(path: Path, content: bytes) -> Path:
    """Replace a file atomically by one that only the current user can read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as handle:
        handle.write(content)
    scratch.replace(path)
    return path
