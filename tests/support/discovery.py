"""An API server that answers nothing but discovery."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from informers.client.transport import RawResponse

VERBS = ("create", "delete", "get", "list", "patch", "watch")


class DiscoveryClient:
    """Answers with `documents`, by path, or with the raw `answers`, which come first; 404 for any other path."""

    def __init__(self, documents: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
        self.documents = dict(documents)
        self.answers: dict[str, RawResponse] = {}
        self.asked: list[str] = []

    async def raw(self, method: str, path: str) -> RawResponse:
        assert method == "GET"
        self.asked.append(path)
        if path in self.answers:
            return self.answers[path]
        if path not in self.documents:
            return RawResponse(404, b"404 page not found", {})
        body = {"kind": "APIResourceList", "groupVersion": path, "resources": list(self.documents[path])}
        return RawResponse(200, msgspec.json.encode(body), {})
