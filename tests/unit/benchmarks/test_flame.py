"""Profiles: stacks in, tables and a picture out."""

from __future__ import annotations

from xml.etree import ElementTree

from benchmarks.flame import WIDTH, flame_graph, kept, of_itself, parse, stacks_of, with_callees

LINES = [
    "main (mcs_controller/app.py:91);run (mcs_controller/app.py:120);patch (informers/client.py:10) 30",
    "main (mcs_controller/app.py:91);run (mcs_controller/app.py:121);patch (informers/client.py:12) 10",
    "main (mcs_controller/app.py:91);run (mcs_controller/app.py:120);run (mcs_controller/app.py:120) 20",
    "main (mcs_controller/app.py:91);write (/venv/lib/python3.11/site-packages/aiohttp/http_writer.py:5) 40",
    "main (mcs_controller/app.py:91);rare (informers/client.py:5) 1",
    "",
]
SVG = "{http://www.w3.org/2000/svg}"


def test_lines_of_one_function_count_together():
    stacks = parse(LINES)
    assert stacks["mcs_controller.app.main", "mcs_controller.app.run", "informers.client.patch"] == 40
    assert sum(stacks.values()) == 101


def test_modules_are_named_as_they_are_imported():
    assert "aiohttp.http_writer.write" in of_itself(parse(LINES))
    assert parse(["poll 3"]) == {("poll",): 3}


def test_own_samples_are_those_of_the_innermost_function():
    assert of_itself(parse(LINES)) == {
        "informers.client.patch": 40,
        "mcs_controller.app.run": 20,
        "aiohttp.http_writer.write": 40,
        "informers.client.rare": 1,
    }


def test_a_function_that_calls_itself_counts_once_a_sample():
    assert with_callees(parse(LINES))["mcs_controller.app.run"] == 60


def test_a_flame_graph_is_svg_whose_boxes_are_as_wide_as_their_share():
    root = ElementTree.fromstring(flame_graph('a "title" & more', parse(LINES)))
    titles = [each.text for each in root.iter(f"{SVG}title")]
    widths = dict(zip(titles, [float(each.attrib["width"]) for each in root.iter(f"{SVG}rect")], strict=True))
    assert abs(widths["mcs_controller.app.main (100.0 %)"] - WIDTH) < 1
    assert abs(widths["informers.client.patch (39.6 %)"] - 40 / 101 * WIDTH) < 1


def test_a_flame_graph_of_nothing_is_an_empty_picture():
    assert ElementTree.fromstring(flame_graph("nothing", {})).tag == f"{SVG}svg"


def test_a_kept_profile_has_the_same_stacks_but_for_the_rare_ones():
    stacks = parse(LINES)
    profile = kept("All", stacks, least=20)
    rare = {stack: count for stack, count in stacks.items() if count < 20}
    assert stacks_of(profile) == {stack: count for stack, count in stacks.items() if stack not in rare}
    assert sorted(profile.functions) == sorted(set(profile.functions))
    assert stacks_of(kept("All", stacks, least=1)) == stacks
