"""Compare objects of two worlds field by field, whatever names, ids and times their servers made up.

What is generated is replaced by what it stands for before anything is compared: the uid of the Service becomes
``<uid of Service nginx>`` wherever it occurs, so a wrong reference shows as a difference and a mere other uid does not.
"""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

Object = dict[str, Any]

DIRECTORY = Path(__file__).parents[1] / "golden"

ABSENT = "<absent>"
_TIME = re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
_SERVER_FIELDS = ("creationTimestamp", "managedFields", "resourceVersion", "uid")


def load(file: str) -> list[Object]:
    """The objects of a golden file."""
    content = json.loads((DIRECTORY / file).read_text())
    objects: list[Object] = content["items"] if content["kind"] == "List" else [content]
    return objects


def normalised(world: Mapping[str, Object], aliases: Mapping[str, str]) -> dict[str, Object]:
    """The objects without what only servers set, and with every generated string replaced.

    Args:
        world: objects, each under the name by which the other world has its counterpart.
        aliases: what each generated string stands for; longer ones are replaced first.
    """
    ordered = sorted(aliases.items(), key=lambda item: -len(item[0]))

    def replaced(value: Any) -> Any:
        if isinstance(value, str):
            for generated, meaning in ordered:
                value = value.replace(generated, meaning)
            return _TIME.sub("<time>", value)
        if isinstance(value, list):
            return [replaced(each) for each in value]
        if isinstance(value, dict):
            return {replaced(key): replaced(each) for key, each in value.items()}
        return value

    result = {}
    for name, obj in world.items():
        metadata = {key: value for key, value in obj["metadata"].items() if key not in _SERVER_FIELDS}
        result[name] = replaced({**obj, "metadata": metadata})
    return result


def differences(golden: Mapping[str, Object], ours: Mapping[str, Object]) -> dict[str, tuple[Any, Any]]:
    """(golden, ours) by ``<object>: <path>``; a value that one side does not have is :data:`ABSENT`."""
    result: dict[str, tuple[Any, Any]] = {}
    for name in sorted(golden.keys() | ours.keys()):
        _compare(name + ":", golden.get(name, ABSENT), ours.get(name, ABSENT), result)
    return result


def _compare(path: str, golden: Any, ours: Any, into: dict[str, tuple[Any, Any]]) -> None:
    if isinstance(golden, dict) and isinstance(ours, dict):
        for key in sorted(golden.keys() | ours.keys()):
            _compare(f"{path} {key}", golden.get(key, ABSENT), ours.get(key, ABSENT), into)
    elif isinstance(golden, list) and isinstance(ours, list) and len(golden) == len(ours):
        for index, (left, right) in enumerate(zip(golden, ours, strict=True)):
            _compare(f"{path} {index}", left, right, into)
    elif golden != ours:
        into[path] = (golden, ours)


def told(found: Mapping[str, tuple[Any, Any]], paths: Iterable[str]) -> str:
    """Differences for people."""
    return "\n".join(f"{path}\n   golden {found[path][0]!r}\n   ours   {found[path][1]!r}" for path in sorted(paths))
