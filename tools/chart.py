"""``make chart``: the Helm chart, made from ``manifests/``.

Each mode of the chart is an overlay as kustomize renders it, and each object is a template: with the values as they
are, it is the overlay's object. What is left out: the Namespace of the release, which ``helm --create-namespace``
makes. What is added: an annotation by which ``helm uninstall`` keeps the CustomResourceDefinitions and the Namespace of
the members' credentials. CustomResourceDefinitions are templates and not in ``crds/``, as Helm never upgrades what is
there, and would create it in each mode.
"""

from __future__ import annotations

import copy
import gzip
import json
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import click
import yaml

from mcs_controller import __version__
from tools import image
from tools.components import resolve

NAME: Final = "mcs-controller"
ARCHIVE: Final = f"{NAME}-{__version__}.tgz"
MANIFESTS: Final = image.ROOT / "manifests"
TEXTS: Final = image.ROOT / "tools" / "helm"
NAMESPACE: Final = "karmada-system"
"""Of the release: its name is in the manifests, and mcsctl looks there."""

CLUSTER: Final = "CLUSTER"
"""Stands for the name of a Pull cluster in the manifests."""

MODES: Final = [f"{each}/{side}" for each in ("standalone", "beside-karmada") for side in (
    "control-plane", *(["host"] if each == "beside-karmada" else []), "member", "agent/control-plane", "agent/member",
)]  # fmt: skip
"""The overlays; the first is the default."""

EXTRAS: Final = ("network-policy", "observability", "service-monitor", "admission", "admission/selection")
"""Bases of which each kind is enabled by a value."""

SWITCHES: Final = {
    "NetworkPolicy": "networkPolicy",
    "PodMonitor": "podMonitor",
    "ServiceMonitor": "serviceMonitor",
    "PrometheusRule": "prometheusRule",
    "ConfigMap": "dashboard",
    "ValidatingAdmissionPolicy": "admission",
    "ValidatingAdmissionPolicyBinding": "admission",
}
KEEP: Final = ("CustomResourceDefinition", "Namespace")

Object = dict[str, Any]
Snippet = Callable[[str], str]
"""Lines of a template, by their indentation."""

_TEXT: Final = {"type": "string"}
_OBJECT: Final = {"type": "object"}
_OBJECTS: Final = {"type": "array", "items": _OBJECT}
_TEXTS: Final = {"type": "object", "additionalProperties": _TEXT}
_SWITCH: Final = {"type": "boolean"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """One value of the chart.

    Attributes:
        name: of the key; a dot leads into an object.
        about: what it is, for values.yaml and the README.
        schema: as JSON Schema.
        default: where the manifests do not have one.
    """

    name: str
    about: str
    schema: Object
    default: Any = None


def values(deployment: Object) -> list[Value]:
    """The chart's values.

    Args:
        deployment: of the manifests, for the defaults.
    """
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    (verbosity,) = [flag for flag in container["command"] if flag.startswith("--v=")]
    monitors = [
        Value(name=f"{name}.{each}", about=about, schema=schema, default=default)
        for name, what in (
            ("podMonitor", "A PodMonitor, for the Prometheus Operator"),
            ("serviceMonitor", "A ServiceMonitor in its place; not both"),
            ("prometheusRule", "The alerts (docs/alerts.md)"),
            ("dashboard", "A ConfigMap with the dashboard, for the sidecar of Grafana's chart"),
        )
        for each, about, schema, default in (
            ("enabled", f"{what}.", _SWITCH, False),
            ("labels", "More labels, by which your Prometheus or Grafana selects it.", _TEXTS, {}),
        )
    ]
    return [
        Value(
            name="mode",
            about="What is installed: an overlay of manifests/overlays.",
            schema={"enum": MODES},
            default=MODES[0],
        ),
        Value(
            name="clusterName",
            about="Name of the Pull cluster, in the modes of an agent.",
            schema={"type": "string", "pattern": "^([a-z0-9]([-a-z0-9]*[a-z0-9])?)?$", "maxLength": 48},
            default="",
        ),
        Value(name="image.registry", about="Goes before the repository.", schema=_TEXT, default=""),
        Value(name="image.repository", about="Name of the image.", schema=_TEXT, default=image.NAME),
        Value(name="image.tag", about="Default: the chart's appVersion.", schema=_TEXT, default=""),
        Value(
            name="image.digest",
            about="sha256:..., in place of the tag.",
            schema={"type": "string", "pattern": "^(sha256:[0-9a-f]{64})?$"},
            default="",
        ),
        Value(
            name="image.pullPolicy",
            about="As in a Pod.",
            schema={"enum": ["Always", "IfNotPresent", "Never"]},
            default=container["imagePullPolicy"],
        ),
        Value(name="image.pullSecrets", about="As a Pod's imagePullSecrets.", schema=_OBJECTS, default=[]),
        Value(
            name="kubeconfigSecret",
            about="Beside Karmada: the Secret with a kubeconfig of the control plane, key karmada.config.",
            schema={"type": "string", "minLength": 1},
            default="mcs-controller-manager-config",
        ),
        Value(
            name="agentKubeconfigSecret",
            about="The same for an agent.",
            schema={"type": "string", "minLength": 1},
            default="mcs-controller-agent-config",
        ),
        Value(
            name="replicas",
            about="One leads, the others wait.",
            schema={"type": "integer", "minimum": 0},
            default=deployment["spec"]["replicas"],
        ),
        Value(
            name="featureGates",
            about="Name and true or false. In stand-alone modes MultiClusterService is true unless it is set here.",
            schema={"type": "object", "additionalProperties": _SWITCH},
            default={},
        ),
        Value(
            name="logLevel",
            about="The flag --v.",
            schema={"type": "integer", "minimum": 0},
            default=int(verbosity.removeprefix("--v=")),
        ),
        Value(name="extraArgs", about="More flags.", schema={"type": "array", "items": _TEXT}, default=[]),
        Value(name="resources", about="Of the container.", schema=_OBJECT, default=container["resources"]),
        Value(name="nodeSelector", about="Of the Pods.", schema=_TEXTS, default={}),
        Value(name="tolerations", about="Of the Pods.", schema=_OBJECTS, default=pod["tolerations"]),
        Value(
            name="affinity",
            about="Of the Pods. Default: on different nodes, where there are any.",
            schema=_OBJECT,
            default={},
        ),
        Value(
            name="priorityClassName",
            about="Default: a PriorityClass of the chart's own.",
            schema=_TEXT,
            default="",
        ),
        Value(
            name="crds.enabled",
            about="The CustomResourceDefinitions, stand-alone. They are upgraded with the chart; uninstall keeps them.",
            schema=_SWITCH,
            default=True,
        ),
        Value(
            name="admission.enabled",
            about="Validation where Karmada's webhook does not run, and of our annotations (docs/admission.md).",
            schema=_SWITCH,
            default=False,
        ),
        Value(
            name="networkPolicy.enabled", about="DNS, API servers, metrics and probes.", schema=_SWITCH, default=False
        ),
        Value(
            name="networkPolicy.apiServerPorts",
            about="TCP ports of the API servers of the control plane and the members.",
            schema={"type": "array", "items": {"type": "integer", "minimum": 1, "maximum": 65535}, "minItems": 1},
            default=[443, 5443, 6443],
        ),
        *monitors,
    ]


# --- templates


@dataclass(slots=True)
class Template:
    """An object as text, in which marks stand for what a template says."""

    _snippets: list[Snippet | str] = field(default_factory=list)

    def mark(self, snippet: Snippet | str) -> str:
        """A word that stands for lines, or for a text within one."""
        self._snippets.append(snippet)
        return f"MARK-{len(self._snippets) - 1}-"

    def text(self, one: Object) -> str:
        """The object's template, once its marks are replaced."""
        plain = yaml.safe_dump(one, sort_keys=False, width=1 << 20).replace("{{", '{{ "{{" }}')
        return "".join(map(self._line, plain.splitlines(keepends=True))).replace(
            CLUSTER, '{{ include "mcs-controller.cluster" . }}'
        )

    def _line(self, line: str) -> str:
        if (whole := _WHOLE.fullmatch(line)) and callable(snippet := self._snippets[int(whole["mark"])]):
            return snippet(whole["indent"])
        return _MARK.sub(lambda found: str(self._snippets[int(found["mark"])]), line)


_MARK: Final = re.compile(r"MARK-(?P<mark>\d+)-")
_WHOLE: Final = re.compile(rf"(?P<indent> *)(?:- )?(?:\w+: )?{_MARK.pattern}(?:: null)?\n")


def _block(key: str, value: str, otherwise: Any = None) -> Snippet:
    """A field with a list or an object as its value.

    Args:
        key: of the field.
        value: the name of the chart's value.
        otherwise: what the field is if that is empty; None leaves the field out.
    """

    def snippet(indent: str) -> str:
        lines = [
            f"{{{{- with .Values.{value} }}}}",
            f"{indent}{key}:",
            f"{indent}  {{{{- toYaml . | nindent {len(indent) + 2} }}}}",
        ]
        if otherwise is not None:
            plain = yaml.safe_dump({key: otherwise}, sort_keys=False).splitlines()
            lines += ["{{- else }}", *(f"{indent}{line}" for line in plain)]
        return "\n".join([*lines, "{{- end }}\n"])

    return snippet


def _gates(flag: str) -> Snippet:
    """The flag --feature-gates with those of the overlay and those of the values; nothing if there are none."""
    said = dict(pair.split("=") for pair in flag.split("=", 1)[1].split(",")) if flag else {}
    defaults = " ".join(f'"{name}" {on}' for name, on in said.items())

    def snippet(indent: str) -> str:
        return (
            f"{{{{- with mergeOverwrite (dict {defaults}) .Values.featureGates }}}}\n"
            f'{indent}- --feature-gates={{{{ include "mcs-controller.gates" . }}}}\n'
            "{{- end }}\n"
        )

    return snippet


def _extra_args(indent: str) -> str:
    return f"{{{{- range .Values.extraArgs }}}}\n{indent}- {{{{ . | quote }}}}\n{{{{- end }}}}\n"


def _deployment(one: Object, template: Template) -> None:
    pod = one["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    one["spec"]["replicas"] = template.mark("{{ .Values.replicas }}")
    gates = next((flag for flag in container["command"] if flag.startswith("--feature-gates=")), "")
    container["command"] = [
        *(
            f"--v={template.mark('{{ .Values.logLevel }}')}" if flag.startswith("--v=") else flag
            for flag in container["command"]
            if flag != gates
        ),
        template.mark(_gates(gates)),
        template.mark(_extra_args),
    ]
    container["image"] = template.mark('{{ include "mcs-controller.image" . | quote }}')
    container["imagePullPolicy"] = template.mark("{{ .Values.image.pullPolicy }}")
    container["resources"] = template.mark(_block("resources", "resources"))
    own = pod["priorityClassName"]
    pod["priorityClassName"] = template.mark(f"{{{{ .Values.priorityClassName | default {json.dumps(own)} | quote }}}}")
    pod["affinity"] = template.mark(_block("affinity", "affinity", pod["affinity"]))
    for key, value in (
        ("tolerations", "tolerations"),
        ("nodeSelector", "nodeSelector"),
        ("imagePullSecrets", "image.pullSecrets"),
    ):
        pod[key] = template.mark(_block(key, value))
    for volume in pod["volumes"]:
        if "secret" in volume:
            name = "agentKubeconfigSecret" if "agent" in volume["secret"]["secretName"] else "kubeconfigSecret"
            volume["secret"]["secretName"] = template.mark(f"{{{{ .Values.{name} | quote }}}}")


def _monitoring(one: Object, template: Template) -> None:
    def labels(indent: str) -> str:
        value = f".Values.{SWITCHES[one['kind']]}.labels"
        return f"{{{{- with {value} }}}}\n{indent}{{{{- toYaml . | nindent {len(indent)} }}}}\n{{{{- end }}}}\n"

    one["metadata"]["labels"][template.mark(labels)] = None


def _network_policy(one: Object, template: Template) -> None:
    def ports(indent: str) -> str:
        item = f"{indent}- port: {{{{ . }}}}\n{indent}  protocol: TCP\n"
        return f"{{{{- range .Values.networkPolicy.apiServerPorts }}}}\n{item}{{{{- end }}}}\n"

    one["spec"]["egress"][-1]["ports"] = [template.mark(ports)]


_CHANGES: Final[dict[str, Callable[[Object, Template], None]]] = {
    "Deployment": _deployment,
    "NetworkPolicy": _network_policy,
    **dict.fromkeys(("PodMonitor", "ServiceMonitor", "PrometheusRule", "ConfigMap"), _monitoring),
}


def template_of(one: Object, condition: str) -> str:
    """The template of an object, which is rendered under a condition."""
    template = Template()
    if one["kind"] in KEEP:
        one["metadata"].setdefault("annotations", {})["helm.sh/resource-policy"] = "keep"
    if change := _CHANGES.get(one["kind"]):
        change(one, template)
    return f"{{{{- if {condition} }}}}\n{template.text(one)}{{{{- end }}}}\n"


def rendered(folder: str) -> list[Object]:
    """What kustomize makes of a folder of ``manifests/``."""
    kubectl = resolve(["kubectl"])["kubectl"]
    text = image.run([str(kubectl), "kustomize", str(MANIFESTS / folder)], "see manifests/README.md")
    return [one for one in yaml.safe_load_all(text) if one]


def templates() -> tuple[dict[str, str], Object]:
    """The chart's templates by file name, and a Deployment of the manifests."""
    with ThreadPoolExecutor() as pool:
        modes = dict(zip(MODES, pool.map(rendered, [f"overlays/{mode}" for mode in MODES]), strict=True))
        extras = [one for found in pool.map(rendered, EXTRAS) for one in found]
    where: list[tuple[Object, list[str]]] = []
    for mode, objects in modes.items():
        for one in objects:
            if (one["kind"], one["metadata"]["name"]) == ("Namespace", NAMESPACE):
                continue
            same = next((found for other, found in where if other == one), None)
            if same is None:
                where.append((one, [mode]))
            else:
                same.append(mode)
    (deployment, *_) = [copy.deepcopy(one) for one, _ in where if one["kind"] == "Deployment"]
    made: dict[str, str] = {}
    conditioned = [(one, f".Values.{SWITCHES[one['kind']]}.enabled") for one in extras]
    for one, condition in [*((one, _condition(one, found)) for one, found in where), *conditioned]:
        name = f"templates/{one['kind']}-{one['metadata']['name']}.yaml".lower()
        made[name] = "---\n".join(filter(None, (made.get(name), template_of(one, condition))))
    return made, deployment


def _condition(one: Object, modes: Sequence[str]) -> str:
    there = f"has .Values.mode (list {' '.join(map(json.dumps, modes))})"
    more = {"CustomResourceDefinition": ".Values.crds.enabled", "PriorityClass": "(not .Values.priorityClassName)"}
    return f"and {more[one['kind']]} ({there})" if one["kind"] in more else there


# --- the chart


def files() -> dict[str, str]:
    """All files of the chart by name."""
    made, deployment = templates()
    all_values = values(deployment)
    about = {
        "apiVersion": "v2",
        "name": NAME,
        "description": "A multi-cluster service controller for Karmada control planes",
        "type": "application",
        "version": __version__,
        "appVersion": __version__,
        "keywords": ["karmada", "multi-cluster", "service-discovery"],
    }
    texts = {f"templates/{path.name}": path.read_text() for path in sorted(TEXTS.iterdir())}
    readme = texts.pop("templates/README.txt")
    rows = [f"| `{one.name}` | {one.about} | `{json.dumps(one.default)}` |" for one in all_values]
    table = "\n".join(["## Values", "", "| value | | default |", "|---|---|---|", *rows, ""])
    return {
        "Chart.yaml": yaml.safe_dump(about, sort_keys=False),
        "README.md": readme + table,
        "values.yaml": values_yaml(all_values),
        "values.schema.json": json.dumps(schema(all_values), indent=2) + "\n",
        **texts,
        **made,
    }


def values_yaml(all_values: Sequence[Value]) -> str:
    """The defaults, each below what it is."""
    lines: list[str] = []
    group = ""
    for one in all_values:
        head, _, leaf = one.name.rpartition(".")
        if head != group or not head:
            lines += ["", *([f"{head}:"] if head else [])]
        group, indent = head, "  " if head else ""
        plain = yaml.safe_dump({leaf: one.default}, sort_keys=False).splitlines()
        lines += [f"{indent}{line}" for line in (f"# {one.about}", *plain)]
    return "\n".join([*lines[1:], ""])


def schema(all_values: Sequence[Value]) -> Object:
    """What values there are, as JSON Schema: a wrong name is an error."""
    whole: Object = {"$schema": "https://json-schema.org/draft-07/schema#", "type": "object"}
    whole |= {"additionalProperties": False, "properties": {"global": _OBJECT}}
    for one in all_values:
        head, _, leaf = one.name.rpartition(".")
        empty = {"type": "object", "additionalProperties": False, "properties": {}}
        inner = whole["properties"].setdefault(head, empty) if head else whole
        inner["properties"][leaf] = {"description": one.about, **one.schema}
    return whole


def archive(content: Mapping[str, str]) -> bytes:
    """The chart in one file, as ``helm install`` takes it: equal for equal files."""
    tree = {f"{NAME}/{name}": image.File(data=text.encode()) for name, text in sorted(content.items())}
    return gzip.compress(image.tar(tree), mtime=0)


def make(output: Path) -> Path:
    """Write the chart and its archive into a folder; the path of the archive."""
    shutil.rmtree(output / NAME, ignore_errors=True)
    content = files()
    for name, text in content.items():
        path = output / NAME / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (output / ARCHIVE).write_bytes(archive(content))
    return output / ARCHIVE


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--output", type=click.Path(path_type=Path), default=image.ROOT / "build" / "chart", help="Where to write."
)
def main(output: Path) -> None:
    """Make the Helm chart of this checkout."""
    click.echo(make(output))


if __name__ == "__main__":
    main()
