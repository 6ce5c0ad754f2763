"""Drawings of services: every route is in them, and text of others stays text."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from mcs_controller.mcsctl.chain import Endpoints, Route, ServiceRow
from mcs_controller.mcsctl.graph import _tree, mermaid, svg

HOSTILE = '"]; <script>alert(1)</script> & [red]\x1b'


def row(**routes: str) -> ServiceRow:
    """A service of providers and consumers `a_b`, with the state of each route."""
    pairs = {tuple(each.split("_")): state for each, state in routes.items()}
    return ServiceRow(
        namespace="shop",
        name="web",
        providers=sorted({provider for provider, _ in pairs}),
        consumers=sorted({consumer for _, consumer in pairs}),
        routes=[
            Route(
                provider=provider,
                consumer=consumer,
                offered=Endpoints(2, 2),
                delivered=Endpoints(1, 2),
                tier="",
                state=state,
                collected=None,
                dispatched=None,
            )
            for (provider, consumer), state in pairs.items()
        ],
        changed=None,
    )


ROWS = [row(a_b="ok", a_c=HOSTILE), row(b_a="ok")]


def test_mermaid_has_an_arrow_for_each_route():
    lines = list(mermaid(ROWS))
    assert '    s0p0 -->|"1/2"| s0c0' in lines
    (dotted,) = [line for line in lines if "-.->" in line]
    assert dotted == '    s0p0 -.->|"1/2 #quot;]; #lt;script#gt;alert(1)#lt;/script#gt; #amp; [red] "| s0c1'


def test_svg_is_well_formed_and_has_a_line_for_each_route():
    tree = ElementTree.fromstring("\n".join(svg(ROWS)))
    names = [each.tag.rpartition("}")[2] for each in tree.iter()]
    assert names.count("line") == 3
    assert "script" not in names
    assert "shop/web" in [each.text for each in tree.iter()]


def test_tree_in_a_pipe_has_no_colours(capsys: pytest.CaptureFixture[str]):
    _tree(ROWS[:1])
    lines = capsys.readouterr().out.splitlines()
    assert [line.strip("│├└─ ") for line in lines[:3]] == ["shop/web", "a", "→ b 1/2"]
    assert "\x1b" not in "".join(lines)
