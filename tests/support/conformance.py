"""The behaviour matrix: sentences, what was expected, what was observed; as a table for people and as a document.

The document is made from the code and from a run, and says the same after each run that observed the same: whatever
differs from run to run (counts of requests, names of Pods) goes to the printed table only.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import pytest
from rich.table import Table
from rich.text import Text

Level = Literal["Required", "Optional"]
Result = Literal["pass", "FAIL", "skipped", "not run"]


class Clause(NamedTuple):
    """Where a behaviour is written down."""

    title: str
    url: str


KARMADA = Clause("Karmada: Multi-cluster Service", "https://karmada.io/docs/userguide/service/multi-cluster-service")
KARMADA_API = Clause(
    "Karmada API: MultiClusterService",
    "https://karmada.io/docs/reference/karmada-api/networking-resources/multi-cluster-service-v1alpha1",
)
KARMADA_FAILOVER = Clause(
    "Karmada: what happens to a cluster that is not ready", "https://karmada.io/docs/userguide/failover/"
)
KEP_1645 = Clause(
    "KEP-1645: Multi-Cluster Services API",
    "https://github.com/kubernetes/enhancements/tree/master/keps/sig-multicluster/1645-multi-cluster-services-api",
)
KEP_1669 = Clause(
    "KEP-1669: Proxy Terminating Endpoints",
    "https://github.com/kubernetes/enhancements/tree/master/keps/sig-network/1669-proxy-terminating-endpoints",
)
KUBERNETES_DNS = Clause(
    "Kubernetes DNS-based service discovery", "https://github.com/kubernetes/dns/blob/master/docs/specification.md"
)
KUBERNETES_SERVICE = Clause("Kubernetes: Service", "https://kubernetes.io/docs/concepts/services-networking/service/")
KUBERNETES_DUAL_STACK = Clause(
    "Kubernetes: IPv4/IPv6 dual-stack", "https://kubernetes.io/docs/concepts/services-networking/dual-stack/"
)
LEADER_ELECTION = Clause("Kubernetes: Leases", "https://kubernetes.io/docs/concepts/architecture/leases/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """One row: a sentence that is true or not.

    Attributes:
        sentence: what a user can rely on.
        level: "Required" by the clause, or "Optional": we promise more than the clause asks for.
        clause: where it is written down.
    """

    sentence: str
    level: Level
    clause: Clause


def behaviour(sentence: str, *, level: Level, clause: Clause) -> pytest.MarkDecorator:
    """Mark a test as the proof of a behaviour."""
    return pytest.mark.behaviour(Behaviour(sentence=sentence, level=level, clause=clause))


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was looked at.

    Attributes:
        what: was looked at.
        expected: in words that do not change from run to run.
        observed: the same, as it was seen.
        passed: whether that is enough.
        measured: details of this very run, for the printed table only.
    """

    what: str
    expected: str
    observed: str
    passed: bool
    measured: str = ""

    def __str__(self) -> str:
        measured = f" ({self.measured})" if self.measured else ""
        return f"{self.what}: expected {self.expected}; observed {self.observed}{measured}"


NOTHING = Check(what="", expected="", observed="", passed=False)


@dataclass(slots=True)
class Row:
    """A behaviour and what has been seen of it."""

    chapter: str
    behaviour: Behaviour
    checks: list[Check] = field(default_factory=list)
    result: Result = "not run"
    reason: str = ""


class Report:
    """All rows of a run.

    Args:
        chapters: headings by the name of the test module, in the order of the document.
    """

    def __init__(self, chapters: Mapping[str, str]) -> None:
        self._chapters = chapters
        self._rows: dict[str, Row] = {}
        self.complete = True
        self.versions: dict[str, str] = {}

    def row(self, test: str, module: str, behaviour: Behaviour) -> Row:
        """The row of a test; a new one if there is none yet."""
        return self._rows.setdefault(test, Row(chapter=self._chapters[module], behaviour=behaviour))

    def find(self, test: str) -> Row | None:
        """The row of a test, if it has one."""
        return self._rows.get(test)

    @property
    def writable(self) -> bool:
        """Whether the document may be written: everything was run, nothing was skipped."""
        finished = all(row.result in ("pass", "FAIL") for row in self._rows.values())
        return self.complete and finished and bool(self._rows)

    def chapters(self) -> Iterator[tuple[str, list[Row]]]:
        """Headings with their rows, in order; headings without rows are left out."""
        for heading in self._chapters.values():
            if rows := [row for row in self._rows.values() if row.chapter == heading]:
                yield heading, rows

    def table(self) -> Table:
        """What is printed at the end of a run: what was tried."""
        table = Table(title="Behaviour matrix", title_justify="left")
        table.add_column("behaviour", ratio=5)
        table.add_column("looked at", ratio=4)
        table.add_column("expected", ratio=4)
        table.add_column("observed", ratio=4)
        table.add_column("result", no_wrap=True)
        for heading, rows in self.chapters():
            tried = [row for row in rows if row.result != "not run"]
            if tried:
                table.add_row(Text(heading.upper(), style="bold"), end_section=True)
            for row in tried:
                first = f"{row.behaviour.sentence} ({row.behaviour.level})", row.result
                for number, check in enumerate(row.checks or [NOTHING]):
                    sentence, result = ("", "") if number else first
                    observed = f"{check.observed} ({check.measured})" if check.measured else check.observed
                    last = number >= len(row.checks) - 1
                    cells = sentence, check.what, check.expected, observed or row.reason, result
                    table.add_row(*map(Text, cells), end_section=last)
        return table

    def markdown(self) -> str:
        """The document."""
        rows = list(self._rows.values())
        passed = sum(row.result == "pass" for row in rows)
        return "\n".join(
            [
                "# Conformance",
                "",
                "What a user of a multi-cluster service can rely on, and what was seen when it was tried: real API"
                " servers, controllers,",
                "kube-proxy (nftables) and CoreDNS, Pods in network namespaces, and the installed"
                " `mcs-controller-manager` with the rights of its",
                "manifests. Unless a row says otherwise, the client is a Pod of `member2` and the Pods that answer are"
                " in `member1`.",
                "",
                "Made by `pytest tests/e2e`; do not edit. *Required*: the clause asks for it. *Optional*: it leaves it"
                " open, we promise it.",
                "A client loop opens a new connection for each request, after resolving the name anew; the counts of a"
                " run are printed at its end.",
                "",
                f"**{passed} of {len(rows)} behaviours hold**, with "
                + ", ".join(f"{name} {version}" for name, version in self.versions.items())
                + ".",
                "",
                *self._sections(),
            ]
        )

    def _sections(self) -> Iterator[str]:
        for heading, rows in self.chapters():
            yield f"## {heading}"
            yield ""
            yield "| behaviour | level | clause | looked at | expected | observed | result |"
            yield "|---|---|---|---|---|---|---|"
            for row in rows:
                clause = row.behaviour.clause
                begin = [row.behaviour.sentence, row.behaviour.level, f"[{clause.title}]({clause.url})"]
                result = row.result if row.result == "pass" else f"**{row.result}**"
                for number, check in enumerate(row.checks or [NOTHING]):
                    seen = [check.what, check.expected, check.observed]
                    yield _line([*["", "", ""], *seen, ""] if number else [*begin, *seen, result])
            yield ""


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
