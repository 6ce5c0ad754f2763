"""What people get wrong: each is one line, an exit code of its own meaning, and no traceback."""

from __future__ import annotations

import asyncio
import socket

import pytest
import yaml

from testbed import karmada
from tests.integration.mcsctl.calls import run
from tests.support.no_findings import kubeconfig_of

pytestmark = pytest.mark.asyncio(loop_scope="session")

VERBS = (("doctor",), ("token", "renew", "member1"), ("unjoin", "member1", "--yes"), ("bundle", "-o", "/dev/null"))


def with_server(bed, path, server: str, **user: str) -> str:
    """The control plane's kubeconfig with another address or user."""
    config = yaml.safe_load(bed.host.access.kubeconfig.read_text())
    if server:
        config["clusters"][0]["cluster"]["server"] = server
    if user:
        config["users"][0]["user"] = user
    path.write_text(yaml.safe_dump(config))
    return str(path)


async def all_say(kubeconfig: str, codes: set[int], words: str = "") -> None:
    """Each command ends so."""
    answers = await asyncio.gather(*(run("--timeout", "2", *verb, kubeconfig=kubeconfig) for verb in VERBS))
    for verb, answer in zip(VERBS, answers, strict=True):
        assert answer.code in codes, f"{verb}: {answer}"
        assert words in answer.out + answer.err, f"{verb}: {answer}"


async def test_kubeconfigs_that_cannot_be_used(doctors_bed, tmp_path):
    await all_say(str(tmp_path / "missing"), {2}, "missing")
    (tmp_path / "broken").write_text("{[")
    await all_say(str(tmp_path / "broken"), {2}, "broken")
    bed, _ = doctors_bed
    answer = await run("--context", "nobody", "doctor", kubeconfig=str(bed.host.access.kubeconfig))
    assert answer.code == 2
    assert "nobody" in answer.err


async def test_a_control_plane_that_does_not_answer(doctors_bed, tmp_path):
    bed, _ = doctors_bed
    await all_say(with_server(bed, tmp_path / "away", "https://127.0.0.1:1"), {0, 1, 3})
    silent = socket.create_server(("127.0.0.1", 0))  # accepts, and says nothing
    with silent:
        port = silent.getsockname()[1]
        await all_say(with_server(bed, tmp_path / "hangs", f"https://127.0.0.1:{port}"), {0, 1, 3})


async def test_somebody_without_rights(doctors_bed, tmp_path):
    bed, _ = doctors_bed
    token = await karmada.request_token(bed.host, "default", "default")
    await all_say(with_server(bed, tmp_path / "nobody", "", token=token), {0, 1, 3})
    refused = await run(
        "--context",
        "karmada",
        "join",
        "x",
        "--cluster-context",
        "member1",
        kubeconfig=":".join([str(tmp_path / "nobody"), str(bed.members["member1"].access.kubeconfig)]),
    )
    assert refused.code == 1
    assert "403" in refused.err


async def test_wrong_flags():
    for args in (("doctr",), ("join", "x"), ("token", "renew"), ("token", "renew", "x", "--duration", "soon")):
        answer = await run(*args)
        assert answer.code == 2
        assert "Usage: mcsctl" in answer.err


async def test_a_bundle_that_cannot_be_written(doctors_bed, tmp_path):
    bed, _ = doctors_bed
    answer = await run("bundle", "-o", str(tmp_path / "no" / "file"), kubeconfig=kubeconfig_of(bed))
    assert answer.code == 1
    assert str(tmp_path / "no" / "file") in answer.err
