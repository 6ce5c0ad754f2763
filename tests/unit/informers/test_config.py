"""Kubeconfigs, service accounts and tokens."""

import asyncio
import base64
import json
import os
import ssl
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from informers.client.client import ApiClient
from informers.client.config import (
    CachedToken,
    ClientConfig,
    StaticToken,
    contexts_that_can_be_tried,
    load_incluster,
    load_kubeconfig,
)
from informers.errors import ConfigError
from testbed.certificates import Authority
from tests.support.clock import FakeClock, settle

CA = Authority("test-ca")
CLIENT = CA.client("somebody")
EXEC_API = "client.authentication.k8s.io/v1"


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def kubeconfig(
    directory: Path, *, name: str = "config", cluster: dict[str, Any] | None = None, user: dict[str, Any] | None = None
) -> Path:
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": "https://api:6443/"} | (cluster or {})}],
        "users": [{"name": "u", "user": user or {}}],
        "contexts": [{"name": "main", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "main",
    }
    path = directory / name
    path.write_text(yaml.safe_dump(content))
    return path


async def token_of(config: ClientConfig) -> str | None:
    assert config.token_source is not None
    return await config.token_source.token()


class TestKubeconfig:
    async def test_embedded_certificates(self, tmp_path: Path) -> None:
        path = kubeconfig(
            tmp_path,
            cluster={"certificate-authority-data": b64(CA.certificate_pem), "tls-server-name": "kubernetes"},
            user={"client-certificate-data": b64(CLIENT.certificate_pem), "client-key-data": b64(CLIENT.key_pem)},
        )
        before = temporary_files()
        for _ in range(2):  # kubernetes-asyncio has a cache of temporary files that must not get in the way
            config = await load_kubeconfig(str(path))
            assert config == ClientConfig(
                server="https://api:6443",
                ca_pem=CA.certificate_pem,
                client_cert_pem=CLIENT.certificate_pem,
                client_key_pem=CLIENT.key_pem,
                tls_server_name="kubernetes",
            )
        assert not [new for new in temporary_files() - before if holds_key(new)]

    async def test_what_was_parsed_serves_other_calls_as_the_file_does(self, tmp_path: Path) -> None:
        path = kubeconfig(
            tmp_path,
            cluster={"certificate-authority-data": b64(CA.certificate_pem)},
            user={"client-certificate-data": b64(CLIENT.certificate_pem), "client-key-data": b64(CLIENT.key_pem)},
        )
        parsed: dict[str, Any] = {}
        read = await load_kubeconfig(str(path), parsed=parsed)
        path.unlink()
        assert [await load_kubeconfig(str(path), context, parsed=parsed) for context in (None, "main")] == [read, read]
        assert read.client_key_pem == CLIENT.key_pem

    async def test_files_are_relative_to_the_kubeconfig(self, tmp_path: Path) -> None:
        (tmp_path / "ca.crt").write_bytes(CA.certificate_pem)
        (tmp_path / "c.crt").write_bytes(CLIENT.certificate_pem)
        (tmp_path / "c.key").write_bytes(CLIENT.key_pem)
        path = kubeconfig(
            tmp_path,
            cluster={"certificate-authority": "ca.crt"},
            user={"client-certificate": "c.crt", "client-key": str(tmp_path / "c.key")},
        )
        config = await load_kubeconfig(str(path))
        assert (config.ca_pem, config.ca_file) == (CA.certificate_pem, tmp_path / "ca.crt")
        assert (config.client_cert_pem, config.client_key_pem) == (CLIENT.certificate_pem, CLIENT.key_pem)

    async def test_token_insecure_and_proxy(self, tmp_path: Path) -> None:
        path = kubeconfig(
            tmp_path,
            cluster={"insecure-skip-tls-verify": True, "proxy-url": "socks5://proxy:1080"},
            user={"token": "secret"},
        )
        config = await load_kubeconfig(str(path))
        assert config.insecure_skip_tls_verify
        assert config.proxy_url == "socks5://proxy:1080"
        assert await token_of(config) == "secret"
        assert "secret" not in repr(config)

    async def test_token_file_is_read_again_when_five_minutes_old_or_refused(self, tmp_path: Path) -> None:
        token = tmp_path / "token"
        token.write_text("one\n")
        clock = FakeClock()
        config = await load_kubeconfig(str(kubeconfig(tmp_path, user={"tokenFile": "token"})), clock=clock)
        assert await token_of(config) == "one"
        token.write_text("two")
        await clock.advance(299)
        assert await token_of(config) == "one"
        await clock.advance(1)
        assert await token_of(config) == "two"
        token.write_text("three")
        assert config.token_source is not None
        config.token_source.invalidate()
        assert await token_of(config) == "three"

    async def test_exec_plugin_gives_the_token(self, tmp_path: Path) -> None:
        plugin = {
            "apiVersion": EXEC_API,
            "command": "sh",
            "args": [
                "-c",
                'echo "{\\"apiVersion\\":\\"client.authentication.k8s.io/v1\\",\\"kind\\":\\"ExecCredential\\",'
                '\\"status\\":{\\"token\\":\\"from-$WHO\\"}}"',
            ],
            "env": [{"name": "WHO", "value": "plugin"}],
        }
        config = await load_kubeconfig(str(kubeconfig(tmp_path, user={"exec": plugin})))
        assert await token_of(config) == "from-plugin"

    async def test_exec_plugin_is_run_again_when_its_token_is_refused(self, tmp_path: Path) -> None:
        credential = {"apiVersion": EXEC_API, "kind": "ExecCredential"}
        answer = tmp_path / "answer"
        answer.write_text(json.dumps(credential | {"status": {"token": "one"}}))
        plugin = {"apiVersion": credential["apiVersion"], "command": "cat", "args": [str(answer)]}
        config = await load_kubeconfig(str(kubeconfig(tmp_path, user={"exec": plugin})), clock=FakeClock())
        assert await token_of(config) == "one"
        answer.write_text(json.dumps(credential | {"status": {"token": "two"}}))
        assert await token_of(config) == "one"
        assert config.token_source is not None
        config.token_source.invalidate()
        assert await token_of(config) == "two"

    async def test_exec_plugin_that_fails_is_named_with_its_words(self, tmp_path: Path) -> None:
        plugin = {"apiVersion": EXEC_API, "command": "sh", "args": ["-c", "echo log in first >&2; exit 3"]}
        path = kubeconfig(tmp_path, user={"exec": plugin})
        with pytest.raises(ConfigError, match=r"config.*process returned 3\. log in first"):
            await load_kubeconfig(str(path))

    @pytest.mark.parametrize("command", ["./bin/plugin", "bin/plugin"])
    async def test_exec_plugin_with_a_path_is_looked_for_beside_the_kubeconfig(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
    ) -> None:
        monkeypatch.chdir("/")
        answer = {"apiVersion": EXEC_API, "kind": "ExecCredential", "status": {"token": "t"}}
        script = tmp_path / "bin" / "plugin"
        script.parent.mkdir()
        script.write_text(f"#!/bin/sh\necho '{json.dumps(answer)}'\n")
        script.chmod(0o755)
        path = kubeconfig(tmp_path, user={"exec": {"apiVersion": EXEC_API, "command": command}})
        assert await token_of(await load_kubeconfig(str(path))) == "t"

    @pytest.mark.parametrize(
        ("command", "args", "words"),
        [
            ("no-such-plugin", [], r"exec plugin no-such-plugin: .*No such file"),
            ("./no-such-plugin", [], r"exec plugin /\S*/no-such-plugin: .*No such file"),
            ("sh", ["-c", "exit 3"], r"exec plugin sh: .*process returned 3"),
            ("echo", ["no JSON"], r"exec plugin echo: .*failed to decode process output"),
            ("echo", ["{}"], r"exec plugin echo: .*missing key 'apiVersion'"),
        ],
        ids=["not-in-the-path", "not-beside", "fails", "talks", "says-nothing"],
    )
    async def test_exec_plugin_is_named_with_what_is_wrong(
        self, tmp_path: Path, command: str, args: list[str], words: str
    ) -> None:
        plugin = {"apiVersion": EXEC_API, "command": command, "args": args}
        with pytest.raises(ConfigError, match=words):
            await load_kubeconfig(str(kubeconfig(tmp_path, user={"exec": plugin})))

    async def test_context_is_chosen(self, tmp_path: Path) -> None:
        path = kubeconfig(tmp_path)
        content = yaml.safe_load(path.read_text())
        content["clusters"].append({"name": "d", "cluster": {"server": "https://other:6443"}})
        content["contexts"].append({"name": "other", "context": {"cluster": "d"}})
        path.write_text(yaml.safe_dump(content))
        assert (await load_kubeconfig(str(path), "other")).server == "https://other:6443"
        assert (await load_kubeconfig(str(path))).server == "https://api:6443"

    async def test_environment_and_several_files(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "sub").mkdir()
        (tmp_path / "sub" / "ca.crt").write_bytes(CA.certificate_pem)
        second = kubeconfig(tmp_path / "sub", cluster={"certificate-authority": "ca.crt"})
        first = tmp_path / "first"
        first.write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "Config", "current-context": "main"}))
        monkeypatch.setenv("KUBECONFIG", f"{first}:{second}")
        config = await load_kubeconfig(None)
        assert (config.server, config.ca_pem) == ("https://api:6443", CA.certificate_pem)

    @pytest.mark.parametrize(
        ("content", "complaint"),
        [
            (None, "no such file"),
            ("", "no kubeconfig, or empty"),
            ("[1, 2]", "no kubeconfig, or empty"),
            ("a: b: c", "ScannerError"),
            ("kind: Config\nclusters: []\nusers: []\ncontexts: []\n", "current-context"),
            ("current-context: x\nclusters: []\nusers: []\ncontexts: []\n", "name x"),
            ("current-context: x\ncontexts: [{name: x, context: {cluster: c}}]\n", "name c"),
            (
                "current-context: x\ncontexts: [{name: x, context: {cluster: c}}]\n"
                "clusters: [{name: c, cluster: {insecure-skip-tls-verify: true}}]\n",
                "no server",
            ),
            (
                "current-context: x\ncontexts: [{name: x, context: {cluster: c}}]\n"
                "clusters: [{name: c, cluster: {server: 'https://a', certificate-authority: /nowhere/ca.crt}}]\n",
                "/nowhere/ca.crt",
            ),
            (
                "current-context: x\ncontexts: [{name: x, context: {cluster: c}}]\n"
                "clusters: [{name: c, cluster: {server: 'https://a', certificate-authority-data: '%%%'}}]\n",
                "certificate-authority-data is not base64",
            ),
            (
                "current-context: x\ncontexts: [{name: x, context: {cluster: c, user: u}}]\n"
                "clusters: [{name: c, cluster: {server: 'https://a'}}]\n"
                "users: [{name: u, user: {username: me, password: passw0rd}}]\n",
                "Basic authentication is not supported",
            ),
        ],
    )
    async def test_bad_kubeconfig_is_refused_with_its_name_and_the_cause(
        self, tmp_path: Path, content: str | None, complaint: str
    ) -> None:
        path = tmp_path / "bad"
        if content is not None:
            path.write_text(content)
        with pytest.raises(ConfigError, match=complaint) as caught:
            await load_kubeconfig(str(path))
        assert f"kubeconfig {path}" in str(caught.value)
        assert "passw0rd" not in str(caught.value)

    async def test_a_file_whose_secrets_cannot_be_told_is_not_quoted(self, tmp_path: Path) -> None:
        path = tmp_path / "bad"
        path.write_text(f"current-context: {'9' * 5000}\nusers: [{{name: a, user: {{token: passw0rd}}}}]")
        with pytest.raises(ConfigError, match="cannot be read as a kubeconfig") as caught:
            await load_kubeconfig(str(path))
        assert "passw0rd" not in str(caught.value)

    async def test_context_asked_for_is_named_in_the_complaint(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="context nowhere"):
            await load_kubeconfig(str(kubeconfig(tmp_path)), "nowhere")


class TestInCluster:
    def account(self, directory: Path) -> Path:
        (directory / "token").write_text("one")
        (directory / "ca.crt").write_bytes(CA.certificate_pem)
        return directory

    async def test_server_authority_and_rotating_token(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
        clock = FakeClock()
        config = load_incluster(service_account=self.account(tmp_path), clock=clock)
        assert (config.server, config.ca_pem) == ("https://[fd00::1]:443", CA.certificate_pem)
        assert config.ca_file == tmp_path / "ca.crt"
        assert await token_of(config) == "one"
        (tmp_path / "token").write_text("two\n")
        await clock.advance(60)
        assert await token_of(config) == "two"
        (tmp_path / "token").unlink()
        await clock.advance(60)
        with pytest.raises(ConfigError, match="service account token"):
            await token_of(config)

    def test_outside_of_a_pod_it_says_so(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
        with pytest.raises(ConfigError, match="in-cluster configuration: Service host/port is not set"):
            load_incluster(service_account=self.account(tmp_path))


class TestCachedToken:
    async def test_callers_at_the_same_time_share_one_fetch(self) -> None:
        fetches = 0
        gate = asyncio.Event()

        async def fetch() -> str:
            nonlocal fetches
            fetches += 1
            await gate.wait()
            return "t"

        source = CachedToken(fetch, clock=FakeClock())
        callers = [asyncio.ensure_future(source.token()) for _ in range(5)]
        await settle()
        gate.set()
        assert await asyncio.gather(*callers) == ["t"] * 5
        assert fetches == 1

    async def test_token_invalidated_while_being_fetched_is_not_kept(self) -> None:
        tokens = iter(["one", "two"])
        gate = asyncio.Event()

        async def fetch() -> str:
            token = next(tokens)
            await gate.wait()
            return token

        source = CachedToken(fetch, clock=FakeClock())
        first = asyncio.ensure_future(source.token())
        await settle()
        source.invalidate()
        gate.set()
        assert await first == "one"
        assert await source.token() == "two"

    async def test_failed_fetch_is_tried_again(self) -> None:
        outcomes: list[Any] = [ConfigError("no"), "t"]

        async def fetch() -> str:
            outcome = outcomes.pop(0)
            if isinstance(outcome, Exception):
                raise outcome
            return str(outcome)

        source = CachedToken(fetch, clock=FakeClock())
        with pytest.raises(ConfigError, match="no"):
            await source.token()
        assert await source.token() == "t"

    async def test_age_counts_from_before_the_fetch(self) -> None:
        clock = FakeClock()
        tokens = iter(["one", "two"])

        async def slow() -> str:
            await clock.sleep(100)
            return next(tokens)

        source = CachedToken(slow, clock=clock)
        first = asyncio.ensure_future(source.token())
        await clock.advance(100)
        assert await first == "one"
        await clock.advance(200)
        second = asyncio.ensure_future(source.token())
        await clock.advance(100)
        assert await second == "two"


class TestClientOptions:
    def client(self, **options: Any) -> ApiClient:
        config = ClientConfig(**({"server": "https://api:6443"} | options))
        return ApiClient(config, clock=FakeClock(), user_agent="tests")

    @pytest.mark.parametrize(
        "server",
        [
            "",
            "api:6443",
            "ftp://api",
            "https://",
            "https://api:99999",
            "https://api:x",
            "https://api?x=1",
            "https://a..b",
        ],
    )
    def test_server_that_is_no_url_is_refused(self, server: str) -> None:
        with pytest.raises(ConfigError, match="server"):
            self.client(server=server)

    @pytest.mark.parametrize("ca", [b"garbage", b"\xff\xfe", b"-----BEGIN CERTIFICATE-----\nAAAA\n"])
    def test_authority_that_is_no_certificate_is_refused(self, ca: bytes) -> None:
        with pytest.raises(ConfigError, match="TLS material for https://api:6443"):
            self.client(ca_pem=ca)

    def test_key_that_does_not_fit_is_refused_without_being_quoted(self) -> None:
        other = CA.client("other")
        with pytest.raises(ConfigError, match="TLS material") as caught:
            self.client(client_cert_pem=CLIENT.certificate_pem, client_key_pem=other.key_pem)
        assert other.key_pem.decode() not in str(caught.value)

    def test_certificates_are_checked_unless_told_otherwise(self) -> None:
        context = self.client()._transport._tls
        assert context is not None
        assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
        context = self.client(insecure_skip_tls_verify=True)._transport._tls
        assert context is not None
        assert (context.verify_mode, context.check_hostname) == (ssl.CERT_NONE, False)

    def test_only_the_given_authority_is_trusted(self) -> None:
        context = self.client(ca_pem=CA.certificate_pem)._transport._tls
        assert context is not None
        assert len(context.get_ca_certs()) == 1

    def test_secrets_are_in_no_repr(self) -> None:
        config = ClientConfig(
            server="https://api:6443",
            client_key_pem=b"KEY",
            token_source=StaticToken("TOKEN"),
            proxy_url="http://user:PASSWORD@proxy",
            proxy_headers={"Proxy-Authorization": ["HEADER"]},
        )
        for secret in ("KEY", "TOKEN", "PASSWORD", "HEADER"):
            assert secret not in repr(config)


async def test_contexts_that_can_be_tried_ask_nobody_and_lead_to_different_clusters(tmp_path: Path):
    path = kubeconfig(tmp_path)
    config = yaml.safe_load(path.read_text())
    config["users"] += [{"name": "asks", "user": {"exec": {"command": "browser"}}}, {"name": "empty"}]
    contexts = {"again": ("c", "u"), "asking": ("d", "asks"), "other": ("d", "empty"), "nobody": ("e", "gone")}
    config["contexts"] += [
        {"name": name, "context": {"cluster": cluster, "user": user}} for name, (cluster, user) in contexts.items()
    ]
    config["contexts"].append({"name": "odd"})
    path.write_text(yaml.safe_dump(config))
    parsed: dict[str, Any] = {}
    await load_kubeconfig(str(path), parsed=parsed)
    assert contexts_that_can_be_tried(parsed) == ["main", "other"]


def temporary_files() -> set[Path]:
    return set(Path(tempfile.gettempdir()).iterdir())


def holds_key(path: Path) -> bool:
    try:
        return b"PRIVATE KEY" in path.read_bytes() and path.stat().st_uid == os.getuid()
    except OSError:
        return False


def test_no_model_of_kubernetes_is_imported_and_whoever_wants_them_gets_them(tmp_path):
    """The models cost 40 MB and half of the time until a process is ready."""
    path = kubeconfig(tmp_path, user={"token": "abc"})
    code = f"""
import asyncio, sys
from informers.client.config import load_kubeconfig
config = asyncio.run(load_kubeconfig({str(path)!r}))
assert not [name for name in sys.modules if name.startswith("kubernetes_asyncio")]
import kubernetes_asyncio
assert kubernetes_asyncio.client.V1Pod and kubernetes_asyncio.config.load_kube_config
again = asyncio.run(load_kubeconfig({str(path)!r}))
assert again.server == config.server
"""
    subprocess.run([sys.executable, "-c", code], check=True)
