"""Audit lines become typed events."""

import json

import pytest

from testbed.audit import AuditEvent, AuditLog, parse

LINE = {
    "kind": "Event",
    "apiVersion": "audit.k8s.io/v1",
    "level": "Metadata",
    "auditID": "1",
    "stage": "ResponseComplete",
    "requestURI": "/apis/work.karmada.io/v1alpha1/namespaces/karmada-es-member1/works/nginx-1/status?fieldManager=x",
    "verb": "patch",
    "user": {"username": "system:serviceaccount:karmada-system:mcs-controller-manager", "groups": ["a"]},
    "sourceIPs": ["127.0.0.1"],
    "userAgent": "mcs-controller-manager",
    "objectRef": {
        "resource": "works",
        "namespace": "karmada-es-member1",
        "name": "nginx-1",
        "apiGroup": "work.karmada.io",
        "apiVersion": "v1alpha1",
        "subresource": "status",
    },
    "responseStatus": {"metadata": {}, "code": 200},
    "requestReceivedTimestamp": "2026-11-22T13:21:53.000001Z",
    "stageTimestamp": "2026-11-22T13:21:53.000002Z",
}


LATER = {"requestReceivedTimestamp": "2999-01-01T00:00:00.000000Z"}


def line(**changes: object) -> bytes:
    return json.dumps({**LINE, **changes}).encode() + b"\n"


def event_of(**changes: object) -> AuditEvent:
    event = parse(line(**changes))
    assert event is not None
    return event


def test_a_line_tells_who_did_what_to_which_object_and_how_it_ended():
    event = event_of()
    assert event.user == "system:serviceaccount:karmada-system:mcs-controller-manager"
    assert (event.verb, event.resource, event.subresource) == ("patch", "works", "status")
    assert (event.api_group, event.namespace, event.name) == ("work.karmada.io", "karmada-es-member1", "nginx-1")
    assert event.code == 200
    assert event.is_write


def test_a_line_of_another_stage_is_no_event():
    assert parse(line(stage="ResponseStarted")) is None


def test_a_request_for_no_resource_has_no_resource():
    event = event_of(objectRef=None, requestURI="/version", verb="get")
    assert (event.resource, event.name, event.uri) == ("", "", "/version")
    assert not event.is_write


@pytest.mark.parametrize(
    ("verb", "write"),
    [("get", False), ("list", False), ("watch", False), ("create", True), ("update", True), ("deletecollection", True)],
)
def test_verbs_that_ask_for_a_change_are_writes(verb, write):
    assert event_of(verb=verb).is_write is write


def test_a_mark_hides_what_came_before_and_sees_what_comes_later(tmp_path):
    path = tmp_path / "audit.log"
    path.write_bytes(line(verb="create"))
    log = AuditLog(path)
    mark = log.mark()
    assert list(mark.events()) == []
    with path.open("ab") as handle:
        handle.write(line(verb="delete", **LATER))
    assert [event.verb for event in mark.events()] == ["delete"]
    assert [event.verb for event in log.start().events()] == ["create", "delete"]


def test_a_request_that_arrived_before_the_mark_and_is_answered_later_does_not_count(tmp_path):
    path = tmp_path / "audit.log"
    path.touch()
    mark = AuditLog(path).mark()
    path.write_bytes(line(verb="patch"))
    assert list(mark.events()) == []


def test_a_line_that_is_still_being_written_is_left_for_later(tmp_path):
    path = tmp_path / "audit.log"
    path.write_bytes(line() + line()[:40])
    assert len(list(AuditLog(path).start().events())) == 1


@pytest.mark.parametrize("before", [0, 1, 2000])
def test_a_mark_set_while_a_line_is_being_written_sees_that_line_whole(tmp_path, before):
    path = tmp_path / "audit.log"
    create = line(verb="create", **LATER)
    half = len(create) // 2
    path.write_bytes(line(verb="get") * before + create[:half])
    mark = AuditLog(path).mark()
    assert list(mark.events()) == []
    with path.open("ab") as handle:
        handle.write(create[half:])
    assert [event.verb for event in mark.events()] == ["create"]
