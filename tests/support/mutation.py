"""Finds whoever changes cached objects (client-go: mutation_detector.go).

detector = MutationDetector()
informer.add_handler(lambda event: detector.remember(event.object))
...
detector.check()
"""

import msgspec

from informers.meta import KubeObject, key_of


class MutationDetector:
    """Remembers objects as they were."""

    def __init__(self) -> None:
        self._seen: list[tuple[KubeObject, bytes]] = []

    def remember(self, obj: KubeObject) -> None:
        """Watch over one object from now on."""
        self._seen.append((obj, msgspec.json.encode(obj)))

    def check(self) -> None:
        """Raises AssertionError if an object is not what it was."""
        for obj, before in self._seen:
            after = msgspec.json.encode(obj)
            assert after == before, (
                f"cached object {key_of(obj)} was changed: {before.decode()} became {after.decode()}"
            )
