"""Reads an HTML document as strictly as nobody else does: each element closed, in order, by hand."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "input", "br"}


@dataclass
class Node:
    """An element.

    Attributes:
        children: elements and texts, in order.
    """

    tag: str
    attributes: dict[str, str | None]
    children: list[Node | str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All text in it, with runs of white space as one."""
        return " ".join(self._raw().split())

    def _raw(self) -> str:
        return "".join(one if isinstance(one, str) else one._raw() for one in self.children)

    def all(self, tag: str = "") -> list[Node]:
        """Elements below it, in order; of this tag, if it is named."""
        found: list[Node] = []
        for child in self.children:
            if isinstance(child, Node):
                found += [child] if tag in ("", child.tag) else []
                found += child.all(tag)
        return found

    def shape(self) -> list[tuple[str, list[str]]]:
        """Its elements with the names of their attributes, without any text."""
        return [(one.tag, sorted(one.attributes)) for one in self.all()]


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Node("document", {})
        self.open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), f"attributes twice: {tag} {attrs}"
        node = Node(tag, dict(attrs))
        self.open[-1].children.append(node)
        if tag not in VOID:
            self.open.append(node)

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1].tag == tag, f"</{tag}> closes <{self.open[-1].tag}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")


def read_html(text: str) -> Node:
    """The document. Raises AssertionError for elements that are closed in another order, or not at all."""
    reader = _Reader()
    reader.feed(text)
    reader.close()
    assert [one.tag for one in reader.open] == ["document"], "not all elements are closed"
    return reader.root
