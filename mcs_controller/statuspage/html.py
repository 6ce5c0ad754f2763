"""The status page as HTML: one document without scripts and without anything from elsewhere.

Text becomes HTML in `element` alone, which escapes whatever was not made by it.
"""

from __future__ import annotations

import base64
import hashlib
import html
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import urlencode

from informers.metrics import STALE_SECONDS
from mcs_controller.statuspage.model import MAX_SERVICES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from mcs_controller.statuspage.model import (
        CacheView,
        ClusterView,
        ConditionView,
        ErrorView,
        FlowView,
        Listing,
        Overview,
        ProcessView,
        Query,
        ServicesView,
        ServiceView,
    )

_STYLE: Final = (Path(__file__).parent / "style.css").read_text(encoding="utf-8")

POLICY: Final = (
    "default-src 'none'; "
    f"style-src 'sha256-{base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()}'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""Content-Security-Policy: the one style sheet, and a form that asks for this page."""

_SECTIONS: Final = {
    "services": "Services",
    "flows": "Flows",
    "clusters": "Clusters",
    "caches": "Caches",
    "errors": "Warnings and errors",
}

_NONE: Final = "–"


_SPACES: Final = "\n\t\u2009"


class Markup(str):
    """HTML that is safe as it is."""

    __slots__ = ()


Content: TypeAlias = "str | int | Iterable[Content]"

_VOID: Final = frozenset({"meta", "input", "br"})


def element(tag: str, *content: Content, **attributes: str | bool | int) -> Markup:
    """An element. Text is escaped, and what is not printable shown as Python writes it.

    Args:
        tag: its name.
        content: text, numbers, elements, and lists of them.
        attributes: by name; `class_` without its underscore, `aria_label` with a hyphen. True is an attribute without
            value, False is none.
    """
    names = ((name.rstrip("_").replace("_", "-"), value) for name, value in attributes.items())
    said = "".join(
        f" {name}" if value is True else f' {name}="{_escaped(str(value))}"'
        for name, value in names
        if value is not False
    )
    return Markup(f"<{tag}{said}>" if tag in _VOID else f"<{tag}{said}>{_joined(content)}</{tag}>")


def _joined(content: Content) -> str:
    if isinstance(content, Markup):
        return content
    if isinstance(content, str | int):
        return _escaped(str(content))
    return "".join(_joined(one) for one in content)


def _escaped(text: str) -> str:
    if not text.isprintable():  # marks that turn the direction of writing are not printable, either
        text = "".join(each if each.isprintable() or each in _SPACES else repr(each)[1:-1] for each in text)
    return html.escape(text)


def render(page: Overview) -> str:
    """The document."""
    process = page.process
    title = f"{process.name} status"
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("title", title),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", name="robots", content="noindex"),
        Markup(f"<style>{_STYLE}</style>"),
    )
    links = [element("li", element("a", name, href=f"#{key}")) for key, name in _SECTIONS.items()]
    body = element(
        "body",
        element("a", "Skip to the services", class_="skip", href="#services"),
        _header(process),
        element("nav", element("ul", links), aria_label="Sections"),
        element(
            "main",
            _summary(page),
            _services(page),
            _flows(page.flows),
            _clusters(page.clusters),
            _caches(page.caches),
            _errors(page.errors),
        ),
        element(
            "footer",
            element(
                "p",
                "As of ",
                _time(page.at),
                f" UTC in process {process.identity or process.name}. Read from caches: "
                "nothing was asked of an API server. ",
                element("a", "The same as JSON", href=_link(page.query, output="json")),
                ".",
            ),
        ),
    )
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"


def _header(process: ProcessView) -> Markup:
    role = f"Agent of cluster {process.agent_of}" if process.agent_of else "Controllers of the control plane"
    leader = _badge("ok", "Leader") if process.leads else _badge("idle", "Standby")
    others = [("Led by", process.leader or "nobody, as far as is known")] if not process.leads else []
    facts = [
        ("Version", process.version),
        ("Running for", duration(process.uptime)),
        *others,
        ("Identity", process.identity or "no leader election"),
    ]
    gates = [
        element(
            "li", gate.name, " ", element("b", "on" if gate.enabled else "off"), class_="on" if gate.enabled else "off"
        )
        for gate in process.gates
    ]
    return element(
        "header",
        element("div", element("h1", process.name), leader, class_="title"),
        element("p", role, class_="muted"),
        element("dl", [element("div", element("dt", name), element("dd", value)) for name, value in facts]),
        element(
            "details",
            element("summary", "Feature gates and controllers"),
            element("ul", gates, class_="gates", aria_label="Feature gates"),
            element("p", "Controllers: ", ", ".join(process.controllers) or "none"),
        ),
    )


def _summary(page: Overview) -> Markup:
    services, caches = page.services, page.caches.shown
    states = services.states if services is not None else {}
    bad = sum(number for state, number in states.items() if state not in ("ready", "not served"))
    troubled = sum(not _is_well(one) for one in page.clusters.shown)
    clusters = len(page.clusters.shown) + page.clusters.more
    stale = sum(one.is_stale for one in caches)
    ages = [one.age for one in caches if one.age is not None]
    errors = len(page.errors.shown) + page.errors.more
    tiles = [
        (
            "Services",
            str(services.total) if services is not None else _NONE,
            ("bad", f"{bad} not ready")
            if bad
            else ("ok", "all ready")
            if services and services.total
            else ("idle", "none"),
        ),
        (
            "Clusters",
            str(clusters),
            ("bad", f"{_at_least(troubled, page.clusters)} in trouble")
            if troubled
            else ("ok", "all ready")
            if clusters
            else ("idle", "none"),
        ),
        (
            "Oldest cache",
            duration(max(ages)) if ages else _NONE,
            ("bad", f"{_at_least(stale, page.caches)} stale")
            if stale
            else ("ok", "all fresh")
            if caches
            else ("idle", "none"),
        ),
        ("Warnings", str(errors), ("warn", "see below") if errors else ("ok", "none")),
    ]
    return element(
        "section",
        element("h2", "Summary", id="summary", class_="hidden"),
        element(
            "dl",
            [
                element("div", element("dt", name), element("dd", element("span", number, class_="big"), _badge(*said)))
                for name, number, said in tiles
            ],
            class_="tiles",
        ),
        aria_labelledby="summary",
    )


def _at_least(bad: int, listing: Listing[Any]) -> str:
    """How many are bad of a list that has these first: of those that are not shown nothing is known."""
    return f"{bad} or more" if listing.more and bad == len(listing.shown) else str(bad)


def _section(key: str, *content: Content) -> Markup:
    return element("section", element("h2", _SECTIONS[key], id=key, tabindex="-1"), content, aria_labelledby=key)


def _table(caption: str, columns: Sequence[tuple[str, bool]], *bodies: Markup) -> Markup:
    """`columns` are names, and whether there are numbers in them."""
    cells = [element("th", name, scope="col", class_="number" if number else False) for name, number in columns]
    table = element("table", element("caption", caption), element("thead", element("tr", cells)), bodies)
    # What is scrolled has to be reached with the keyboard.
    return element("div", table, class_="scroll", role="region", aria_label=caption, tabindex="0")


def _services(page: Overview) -> Markup:
    found = page.services
    if found is None:
        return _section("services", element("p", f"This process serves no MultiClusterService: {page.unserved}."))
    query = page.query
    form = element(
        "form",
        element(
            "label",
            "Namespace ",
            element("input", name="namespace", value=query.namespace, size="18", autocomplete="off"),
        ),
        element(
            "label",
            element("input", type="checkbox", name="not-ready", value="true", checked=query.not_ready),
            " Only those not ready",
            class_="check",
        ),
        element("button", "Show", type="submit"),
        element("a", "Show all", href="?") if query.namespace or query.not_ready else "",
        method="get",
        role="search",
        aria_label="Filter the services",
    )
    said = ", ".join(f"{number} {state}" for state, number in found.states.items())
    counts = element("p", f"{_many(found.total, 'MultiClusterService')}{f': {said}' if said else ''}.", class_="muted")
    if not found.shown:
        what = "There is no MultiClusterService." if not found.total else "No MultiClusterService is as asked for."
        return _section("services", form, counts, element("p", what))
    first = (found.page - 1) * MAX_SERVICES + 1
    caption = f"Services {first} to {first + len(found.shown) - 1} of {found.matching}, with the endpoints of each pair"
    columns = [("Provider → consumer", False), ("Wanted", True), ("Ready", True), ("Delivered", True)]
    table = _table(caption, columns, *(_service(one) for one in found.shown))
    return _section("services", form, counts, table, _pager(found, query))


_STATES: Final = {
    "ready": ("ok", "Ready"),
    "not ready": ("bad", "Not ready"),
    "pending": ("warn", "Pending"),
    "deleting": ("warn", "Deleting"),
    "not served": ("idle", "Not served"),
    "unknown": ("warn", "Unknown"),
}


def _service(service: ServiceView) -> Markup:
    heading = element(
        "tr",
        element(
            "th",
            element(
                "div",
                element("span", f"{service.namespace}/", class_="muted"),
                service.name,
                " ",
                _badge(*_STATES[service.state]),
                class_="name",
            ),
            element("div", _sides(service), class_="muted sides") if service.state != "not served" else "",
            element("ul", [_condition(one) for one in service.conditions], class_="conditions")
            if service.conditions
            else "",
            scope="rowgroup",
            colspan=4,
        ),
        class_="group",
    )
    rows = [
        element(
            "tr",
            element("th", _way(pair.provider, pair.consumer), scope="row", class_="way"),
            _number(pair.wanted),
            _number(pair.ready),
            _number(pair.delivered, lacking=not pair.is_complete),
        )
        for pair in service.pairs.shown
    ]
    if not rows:
        text = (
            "Types other than CrossCluster are for others." if service.state == "not served" else "No pair of clusters."
        )
        rows = [element("tr", element("td", text, colspan=4, class_="muted"))]
    if service.pairs.more:
        rows.append(element("tr", element("td", f"{service.pairs.more} more pairs", colspan=4, class_="muted")))
    return element("tbody", heading, rows)


def _sides(service: ServiceView) -> str:
    return f"from {_names(service.providers)} to {_names(service.consumers)}"


def _names(names: Listing[str]) -> str:
    text = ", ".join(names.shown) or "no cluster"
    return f"{text} and {names.more} more" if names.more else text


def _condition(condition: ConditionView) -> Markup:
    well = condition.status == "True"
    reason = f": {condition.reason}" if condition.reason and condition.reason != condition.type else ""
    # A message of success that only says so is not worth its room.
    message = condition.message if not well or "Skipped" in condition.message else ""
    return element(
        "li",
        _badge(
            "ok" if well else "bad" if condition.status == "False" else "warn", f"{condition.type}={condition.status}"
        ),
        element("span", f"{reason.removeprefix(': ')} " if not well and reason else "", class_="reason"),
        element("span", message, class_="message") if message else "",
        element("span", " since ", _time(condition.since), class_="muted since")
        if condition.since and not well
        else "",
    )


def _pager(found: ServicesView, query: Query) -> Content:
    if found.pages == 1:
        return ""
    return element(
        "nav",
        element("a", "Previous page", href=_link(query, found.page - 1), rel="prev") if found.page > 1 else "",
        element("span", f"Page {found.page} of {found.pages}"),
        element("a", "Next page", href=_link(query, found.page + 1), rel="next") if found.page < found.pages else "",
        class_="pager",
        aria_label="Pages of services",
    )


def _link(query: Query, page: int | None = None, **more: str) -> str:
    parameters = {"namespace": query.namespace} if query.namespace else {}
    parameters |= {"not-ready": "true"} if query.not_ready else {}
    page = page if page is not None else query.page
    parameters |= {"page": str(page)} if page > 1 else {}
    return f"?{urlencode(parameters | more, errors='backslashreplace')}"


def _flows(flows: Listing[FlowView]) -> Markup:
    if not flows.shown:
        return _section("flows", element("p", "No endpoints go from a cluster to another one."))
    rows = [
        element(
            "tr",
            element("th", _way(flow.provider, flow.consumer), scope="row", class_="way"),
            _number(flow.services),
            _number(flow.wanted),
            _number(flow.ready),
            _number(flow.delivered, lacking=flow.delivered < flow.ready),
            _age(flow.age),
        )
        for flow in flows.shown
    ]
    columns = [
        ("Provider → consumer", False),
        ("Services", True),
        ("Wanted", True),
        ("Ready", True),
        ("Delivered", True),
    ]
    table = _table(
        "Endpoints of the services above, together", [*columns, ("Slices confirmed", True)], element("tbody", rows)
    )
    return _section("flows", table, _more(flows))


def _is_well(cluster: ClusterView) -> bool:
    return cluster.state == "ready" and not cluster.stale


def _clusters(clusters: Listing[ClusterView]) -> Markup:
    if not clusters.shown:
        return _section("clusters", element("p", "No Cluster is known here."))
    rows = [
        element(
            "tr",
            element("th", cluster.name, scope="row"),
            element(
                "td",
                _badge(*_STATES[cluster.state]),
                element("div", ": ".join(filter(None, (cluster.reason, cluster.message))), class_="message")
                if cluster.state != "ready"
                else "",
            ),
            element("td", cluster.mode),
            element("td", cluster.version or _NONE),
            element("td", "yes" if cluster.connected else "no"),
            _age(cluster.age, stale=cluster.stale),
        )
        for cluster in clusters.shown
    ]
    columns = [("Cluster", False), ("State", False), ("Mode", False), ("Kubernetes", False), ("Connected", False)]
    table = _table("Member clusters", [*columns, ("Oldest cache", True)], element("tbody", rows))
    return _section("clusters", table, _more(clusters))


def _caches(caches: Listing[CacheView]) -> Markup:
    if not caches.shown:
        return _section("caches", element("p", "Nothing is watched."))
    groups = groupby(caches.shown, key=lambda one: (one.is_stale, one.cluster))
    bodies = [element("tbody", _cache_rows(cluster or "control plane", list(rows))) for (_, cluster), rows in groups]
    columns = [("Cluster", False), ("Kind", False), ("Objects", True), ("Memory", True), ("Confirmed", True)]
    table = _table("What is cached of each kind, and when it was last known to be right", columns, *bodies)
    note = element(
        "p",
        f"A cache that was not confirmed for more than {STALE_SECONDS:g} s is stale.",
        class_="muted",
    )
    return _section("caches", note, table, _more(caches))


def _cache_rows(cluster: str, caches: Sequence[CacheView]) -> Iterator[Markup]:
    for place, cache in enumerate(caches):
        first = element("th", cluster, scope="rowgroup", rowspan=len(caches)) if not place else ""
        yield element(
            "tr",
            first,
            element("td", cache.resource),
            _number(cache.objects),
            element("td", size(cache.bytes), class_="number"),
            _age(cache.age, stale=cache.is_stale, none="never"),
        )


def _errors(errors: Listing[ErrorView]) -> Markup:
    if not errors.shown:
        return _section("errors", element("p", "None since the process began."))
    rows = [
        element(
            "tr",
            element("td", _time(error.last), class_="when"),
            element("td", _badge("warn" if error.level == "warning" else "bad", error.level.capitalize())),
            element("td", element("div", error.message), element("code", error.fields) if error.fields else ""),
            _number(error.times),
        )
        for error in errors.shown
    ]
    columns = [("Last (UTC)", False), ("Level", False), ("What", False), ("Times", True)]
    return _section("errors", _table("The latest of the log", columns, element("tbody", rows)), _more(errors))


def _more(listing: Listing[Any]) -> Content:
    return element("p", f"{listing.more} more are not shown.", class_="muted") if listing.more else ""


_MARKS: Final = {"ok": "✓", "bad": "✕", "warn": "!", "idle": "–"}


def _badge(kind: str, text: str) -> Markup:
    """A state, by a mark and a word, and only then by colour."""
    return element(
        "span", element("span", _MARKS[kind], aria_hidden="true", class_="mark"), text, class_=f"badge {kind}"
    )


def _way(provider: str, consumer: str) -> list[Content]:
    return [
        provider,
        element("span", " → ", class_="arrow", aria_hidden="true"),
        element("span", " to ", class_="hidden"),
        consumer,
    ]


def _number(number: int, *, lacking: bool = False) -> Markup:
    text = f"{number:,}".replace(",", "\u2009")  # thin spaces group the digits
    return element("td", _badge("bad", text) if lacking else text, class_="number")


def _age(age: float | None, *, stale: bool | None = None, none: str = _NONE) -> Markup:
    text = f"{duration(age)} ago" if age is not None else none
    old = stale if stale is not None else age is not None and age > STALE_SECONDS
    return element("td", _badge("bad", f"{text}, stale") if old else text, class_="number")


def _time(moment: str) -> Markup:
    return element("time", moment.partition(".")[0].removesuffix("Z").replace("T", " "), datetime=moment)


def _many(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """Rounded to what people need: "0.4 s", "12 s", "5 min", "3 h", "12 d"."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    for unit, length, until in (("s", 1, 120), ("min", 60, 7200), ("h", 3600, 172_800)):
        if seconds < until:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds / 86_400:.0f} d"


def size(number: int) -> str:
    """Bytes, in KiB or MiB; a dash for none, which nobody counts."""
    if not number:
        return _NONE
    return f"{number / 1024:.0f} KiB" if number < 1 << 20 else f"{number / (1 << 20):.1f} MiB"
