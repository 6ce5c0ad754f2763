"""Whatever a server sends, what comes out is what was decoded, or one of the library's own errors."""

import asyncio
import contextlib
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings

from informers.client.config import load_kubeconfig
from informers.client.nesting import cut
from informers.client.wire import TooDeep, decode_bookmark, decode_event, decode_identity, decode_kind, decode_page
from informers.discovery import Malformed, parse_resources, parse_root, parse_served, parse_version
from informers.errors import ConfigError, KubeError, from_response, from_watch_status
from informers.resource import Resource
from informers.watch.watcher import Failed, Line, ListRequest, Page, Watcher
from mcs_controller.api import resources
from tests.support.adversarial import mutated
from tests.support.builders import collected_work, slice_
from tests.support.scale import SCALE

ALWAYS_THE_SAME = settings(
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=120 * SCALE,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)

EVENTS = [
    *({"type": kind, "object": slice_()} for kind in ("ADDED", "MODIFIED", "DELETED")),
    {"type": "ADDED", "object": collected_work("m1")},
    {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "9", "annotations": {"k8s.io/initial": "true"}}}},
    {
        "type": "ERROR",
        "object": {
            "kind": "Status",
            "reason": "Expired",
            "message": "m",
            "code": 410,
            "details": {"retryAfterSeconds": 3, "causes": [{"reason": "NamespaceTerminating"}]},
        },
    },
]
PAGES = [{"kind": "List", "metadata": {"resourceVersion": "5", "continue": "c"}, "items": [slice_(), slice_("b")]}]


@ALWAYS_THE_SAME
@given(mutated(EVENTS))
def test_watch_events(case: tuple[int, bytes]) -> None:
    line = case[1]
    for resource in (resources.ENDPOINTSLICES, resources.WORKS, resources.SERVICES):
        for listed in (True, False):
            watcher: Watcher[Any] = Watcher(resource)
            if listed:
                while isinstance(watcher.request(), ListRequest):
                    watcher.step(Page(decode_page(resource, b'{"metadata":{"resourceVersion":"1"},"items":[]}')))
            watcher.request()
            for _ in range(2):
                try:
                    step = watcher.step(Line(line))
                except TooDeep:
                    step = watcher.step(Line(asyncio.run(cut(line)), was_cut=True))
                assert step.error is None or isinstance(step.error, KubeError)
    try:
        kind, obj = decode_event(line)
        decode_identity(obj)
        decode_bookmark(obj)
        assert isinstance(kind, str)
    except KubeError:
        pass
    assert isinstance(from_watch_status(line), KubeError)
    assert isinstance(from_response(409, line, {"retry-after": "1e9", "date": "x"}), KubeError)
    assert isinstance(decode_kind(line), str)


@ALWAYS_THE_SAME
@given(mutated(PAGES))
def test_pages(case: tuple[int, bytes]) -> None:
    kinds: tuple[Resource[Any], ...] = (resources.ENDPOINTSLICES, resources.SERVICES, resources.WORKS)
    for resource in kinds:
        try:
            try:
                page = decode_page(resource, case[1])
            except TooDeep:
                page = decode_page(resource, asyncio.run(cut(case[1])), was_cut=True)
        except KubeError as error:
            Watcher(resource).step(Failed(error))
            continue
        Watcher(resource).step(Page(page))


ROOTS = [
    {
        "kind": "APIGroupDiscoveryList",
        "items": [
            {
                "metadata": {"name": "apps"},
                "versions": [
                    {
                        "version": "v1",
                        "freshness": "Current",
                        "resources": [{"resource": "deployments", "responseKind": {"kind": "Deployment"}}],
                    }
                ],
            }
        ],
    },
    {"kind": "APIVersions", "versions": ["v1"]},
    {"kind": "APIGroupList", "groups": [{"versions": [{"groupVersion": "apps/v1"}]}]},
    {
        "kind": "APIResourceList",
        "resources": [{"name": "pods", "kind": "Pod", "namespaced": True, "verbs": ["get", "list", "watch", "patch"]}],
    },
    {"gitVersion": "v1.37.2"},
]


@ALWAYS_THE_SAME
@given(mutated(ROOTS))
def test_discovery(case: tuple[int, bytes]) -> None:
    for parse in (parse_root, parse_resources, parse_served, parse_version):
        with contextlib.suppress(Malformed):
            parse(case[1])


KUBECONFIG = {
    "apiVersion": "v1",
    "kind": "Config",
    "current-context": "a",
    "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
    "clusters": [{"name": "a", "cluster": {"server": "https://a:6443", "certificate-authority-data": "eA=="}}],
    "users": [
        {"name": "a", "user": {"token": "SECRET-TOKEN-12345678", "client-certificate-data": "eA=="}},
        {"name": "b", "user": {"username": "u", "password": "SECRET-PASSWORD"}},
    ],
}


@settings(ALWAYS_THE_SAME, max_examples=40 * SCALE)
@given(case=mutated([KUBECONFIG]))
async def test_kubeconfigs(case: tuple[int, bytes], tmp_path: Path) -> None:
    if len(case[1]) > 5000:
        return  # YAML is slow, and a kubeconfig is no stranger's: what is long or deep is not tried
    path = tmp_path / "config"
    path.write_bytes(case[1])
    try:
        await load_kubeconfig(str(path))
    except ConfigError as error:
        told = str(error)
    else:
        told = ""
    assert "SECRET-" not in told
