"""The way to the control plane: whatever is wrong with a kubeconfig, its secrets are in nobody's sight."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import signal
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
import yaml

from testbed.controller import installed_binary
from testbed.ports import free_ports
from tests.integration.security.canaries import (
    Canaries,
    echo_page,
    echo_reason,
    echo_status,
    redirect,
    refuse_token,
    server,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.integration.security.canaries import Answer

    Plant = Callable[[str], str]

CLOSED = "http://127.0.0.1:1"
START_SECONDS = 120.0
AT_ONCE = 8
RUN_SECONDS = 15.0
"""How long it may go on after its first complaint."""
Object = dict[str, Any]


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def pem(kind: str, inside: str) -> str:
    return f"-----BEGIN {kind}-----\n{b64(inside)}\n-----END {kind}-----\n"


def kubeconfig(cluster: Object, user: Object) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "a",
        "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
        "clusters": [{"name": "a", "cluster": {"server": CLOSED, **cluster}}],
        "users": [{"name": "a", "user": user}],
    }


def plugin(plant: Plant, script: str) -> Object:
    """A credential plugin that is a shell script; the secrets come by its environment and its arguments."""
    return {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": "sh",
            "args": ["-c", script, "sh", plant("plugin's argument")],
            "env": [{"name": "SECRET", "value": plant("plugin's environment")}],
            "interactiveMode": "Never",
        }
    }


def credential(**status: str) -> str:
    answer = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}
    return f"echo {json.dumps(json.dumps(answer))}"


# What is in the kubeconfig; `{port}` stands for the server that answers as the second says.
CASES: dict[str, tuple[Callable[[Plant], Object], Answer | None]] = {
    "token that is refused": (
        lambda p: kubeconfig({"server": "http://127.0.0.1:{port}"}, {"token": p("token")}),
        refuse_token,
    ),
    "token that is quoted in a Status": (
        lambda p: kubeconfig({"server": "http://127.0.0.1:{port}"}, {"token": p("token")}),
        echo_status,
    ),
    "token that is quoted on a page": (
        lambda p: kubeconfig({"server": "http://127.0.0.1:{port}"}, {"token": p("token")}),
        echo_page,
    ),
    "token that is quoted in a redirect": (
        lambda p: kubeconfig({"server": "http://127.0.0.1:{port}"}, {"token": p("token")}),
        redirect,
    ),
    "token for a server that is not there": (lambda p: kubeconfig({}, {"token": p("token")}), None),
    "token with a control character": (lambda p: kubeconfig({}, {"token": p("token") + "\n\x01x"}), None),
    "token that is a list": (lambda p: kubeconfig({}, {"token": [p("token")]}), None),
    "user that is a list": (lambda p: kubeconfig({}, {}) | {"users": [{"name": "a", "user": [p("user")]}]}, None),
    "users without name": (lambda p: kubeconfig({}, {}) | {"users": [{"user": {"token": p("token")}}]}, None),
    "two users without name": (
        lambda p: kubeconfig({}, {}) | {"users": [{"user": {"token": p(f"token {number}")}} for number in "12"]},
        None,
    ),
    "name and password": (
        lambda p: kubeconfig({"server": "http://127.0.0.1:{port}"}, {"username": "a", "password": p("password")}),
        refuse_token,
    ),
    "key that is none": (
        lambda p: kubeconfig(
            {"server": "https://127.0.0.1:1"},
            {
                "client-certificate-data": b64(pem("CERTIFICATE", p("certificate"))),
                "client-key-data": b64(pem("PRIVATE KEY", p("key"))),
            },
        ),
        None,
    ),
    "key that is not base64": (
        lambda p: kubeconfig({}, {"client-certificate-data": "YQ==", "client-key-data": "!" + p("key")}),
        None,
    ),
    "CA with a key in it": (
        lambda p: kubeconfig(
            {
                "server": "https://127.0.0.1:1",
                "certificate-authority-data": b64(pem("CERTIFICATE", "a") + pem("PRIVATE KEY", p("CA's key"))),
            },
            {"token": p("token")},
        ),
        None,
    ),
    "server with a password": (
        lambda p: kubeconfig({"server": f"http://a:{p('password')}@127.0.0.1:{{port}}"}, {"token": p("token")}),
        refuse_token,
    ),
    "TLS server with a password and no CA": (
        lambda p: kubeconfig(
            {"server": f"https://a:{p('password')}@127.0.0.1:1", "certificate-authority-data": "YQ=="}, {}
        ),
        None,
    ),
    "server that is no URL": (
        lambda p: kubeconfig({"server": f"https://a:{p('password')}@[127.0.0.1"}, {"token": p("token")}),
        None,
    ),
    "server with a query": (
        lambda p: kubeconfig({"server": f"http://127.0.0.1:1/?key={p('query')}"}, {"token": p("token")}),
        None,
    ),
    "proxy that is not there": (
        lambda p: kubeconfig({"proxy-url": f"http://a:{p('proxy')}@127.0.0.1:2"}, {"token": p("token")}),
        None,
    ),
    "proxy that quotes": (
        lambda p: kubeconfig(
            {"server": "https://127.0.0.1:1", "proxy-url": f"http://a:{p('proxy')}@127.0.0.1:{{port}}"},
            {"token": p("token")},
        ),
        echo_reason,
    ),
    "proxy that is no URL": (
        lambda p: kubeconfig({"proxy-url": f"http://a:{p('proxy')}@[127.0.0.1"}, {"token": p("token")}),
        None,
    ),
    "proxy of another kind": (
        lambda p: kubeconfig({"proxy-url": f"ftp://a:{p('proxy')}@127.0.0.1:2"}, {"token": p("token")}),
        None,
    ),
    "SOCKS proxy that is not there": (
        lambda p: kubeconfig({"proxy-url": f"socks5://a:{p('proxy')}@127.0.0.1:2"}, {"token": p("token")}),
        None,
    ),
    "SOCKS proxy without port": (
        lambda p: kubeconfig({"proxy-url": f"socks5://a:{p('proxy')}@127.0.0.1:x"}, {"token": p("token")}),
        None,
    ),
    "plugin that fails": (lambda p: kubeconfig({}, plugin(p, f"echo {p('answer')}; exit 1")), None),
    "plugin that says nonsense": (lambda p: kubeconfig({}, plugin(p, f"echo token {p('answer')}")), None),
    "plugin that answers something else": (
        lambda p: kubeconfig({}, plugin(p, f'echo \'{{"kind": "{p("answer")}"}}\'')),
        None,
    ),
    "plugin of another version": (
        lambda p: kubeconfig({}, plugin(p, credential(token=p("token")).replace("/v1", "/v1beta1"))),
        None,
    ),
    "plugin whose token is refused": (
        lambda p: kubeconfig({"server": "http://127.0.0.1:{port}"}, plugin(p, credential(token=p("token")))),
        refuse_token,
    ),
    "plugin whose key is none": (
        lambda p: kubeconfig(
            {"server": "https://127.0.0.1:1"},
            plugin(p, credential(clientCertificateData=p("certificate"), clientKeyData=p("key"))),
        ),
        None,
    ),
    "plugin with arguments that are none": (
        lambda p: kubeconfig(
            {},
            {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "sh", "args": p("argument")}},
        ),
        None,
    ),
    "plugin that is not there": (
        lambda p: kubeconfig(
            {},
            {
                "exec": {
                    "apiVersion": "client.authentication.k8s.io/v1",
                    "command": "/nowhere/plugin",
                    "env": [{"name": "SECRET", "value": p("environment")}],
                }
            },
        ),
        None,
    ),
}


async def output_of(config: Path, scratch: Path, *, log_format: str) -> tuple[int | None, str]:
    """The binary's exit code and all it says, at the highest verbosity; it is stopped once it has tried a few times."""
    metrics, health = free_ports(2)
    process = await asyncio.create_subprocess_exec(
        str(installed_binary()),
        f"--kubeconfig={config}",
        "--feature-gates=MultiClusterService=true",
        "--controllers=*,standalone",
        f"--metrics-bind-address=127.0.0.1:{metrics}",
        f"--health-probe-bind-address=127.0.0.1:{health}",
        "--v=10",
        f"--logging-format={log_format}",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={"PATH": os.environ["PATH"], "HOME": str(scratch), "TMPDIR": str(scratch), "PYTHONASYNCIODEBUG": "1"},
    )
    assert process.stdout is not None
    said, complaints = b"", 0
    try:
        async with asyncio.timeout(START_SECONDS) as limit:
            async for line in process.stdout:
                said += line
                # A few complaints are enough: by then it has gone the way that matters.
                complains = any(word in line.lower() for word in (b"error", b"fail", b"cannot"))
                if complains and not complaints:
                    limit.reschedule(asyncio.get_running_loop().time() + RUN_SECONDS)
                complaints += complains
                if complaints > 3 and process.returncode is None:
                    with contextlib.suppress(ProcessLookupError):
                        process.send_signal(signal.SIGTERM)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        said += await process.stdout.read()
    return await process.wait(), said.decode("utf-8", "replace")


@dataclass(frozen=True)
class Outcome:
    """What the binary did with a kubeconfig in `folder`."""

    folder: Path
    canaries: Canaries
    code: int | None
    said: str


async def outcome_of(case: str, folder: Path, turns: asyncio.Semaphore) -> Outcome:
    make, answer = CASES[case]
    canaries = Canaries()
    async with turns, AsyncExitStack() as stack:
        port = await stack.enter_async_context(server(answer)) if answer is not None else 0
        (folder / "scratch").mkdir()
        (folder / "config").write_text(yaml.safe_dump(make(canaries.plant)).replace("{port}", str(port)))
        log_format = "text" if len(case) % 2 else "json"
        code, said = await output_of(folder / "config", folder / "scratch", log_format=log_format)
        return Outcome(folder, canaries, code, said)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """Of all cases, many at a time: mostly they wait for the next complaint."""
    turns = asyncio.Semaphore(AT_ONCE)
    found = await asyncio.gather(*(outcome_of(case, tmp_path_factory.mktemp("case"), turns) for case in CASES))
    return dict(zip(CASES, found, strict=True))


@pytest.mark.parametrize("case", CASES)
def test_secrets_of_a_kubeconfig_are_not_told(outcomes, case):
    outcome = outcomes[case]
    scratch = outcome.folder / "scratch"
    left = {str(path): path.read_text("latin-1") for path in scratch.rglob("*") if path.is_file()}
    told = f"it said nothing of what is wrong (exit code {outcome.code}): {outcome.said}"
    assert str(outcome.folder / "config") in outcome.said or "127.0.0.1" in outcome.said, told
    assert outcome.canaries.found_in({"output": outcome.said, **left}) == []


async def test_secrets_of_a_kubeconfig_that_is_no_yaml_are_not_told(tmp_path):
    canaries = Canaries()
    config = tmp_path / "config"
    (tmp_path / "scratch").mkdir()
    config.write_text(f'users:\n- name: a\n  user:\n    token: "{canaries.plant("token")}\n')
    code, said = await output_of(config, tmp_path / "scratch", log_format="text")
    assert code == 2
    assert canaries.found_in({"output": said}) == []


async def test_a_told_secret_would_be_found():
    canaries = Canaries()
    secret = canaries.plant("token")
    texts = {
        "plain": f"x{secret}x",
        **{f"base64 {i}": base64.b64encode(b"abc"[:i] + secret.encode() + b"z").decode() for i in range(4)},
        "hex": secret.encode().hex(),
        "none": "canary",
    }
    found = {each.partition(" in ")[2].partition(":")[0] for each in canaries.found_in(texts)}
    assert found == texts.keys() - {"none"}
