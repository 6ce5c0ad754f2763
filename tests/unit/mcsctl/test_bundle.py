from __future__ import annotations

from mcs_controller.diagnosis import world as w


def test_what_could_not_be_read_is_named_with_its_namespace():
    snapshot = w.Snapshot()
    snapshot.add(w.PODS, [{"metadata": {"name": "a", "namespace": "shop"}}])
    snapshot.unseen(w.NODES, "403")
    snapshot.unseen(w.EVENTS, "404", "shop")
    snapshot.unseen(None, "timed out")
    assert dict(snapshot.unread()) == {"nodes": "403", "events shop": "404"}
    assert list(snapshot.everything()) == [(w.PODS, [{"metadata": {"name": "a", "namespace": "shop"}}])]
