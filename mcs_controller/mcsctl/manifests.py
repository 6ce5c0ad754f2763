"""The manifests of this release, which the wheel and a checkout have alike."""

from __future__ import annotations

import os
import shutil
import subprocess
from importlib.resources import as_file, files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click
import yaml

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.resources.abc import Traversable

_CHECKOUT = Path(__file__).parents[2]
_RENDER_SECONDS = 60.0


def member_manifests(*, standalone: bool) -> Sequence[dict[str, Any]]:
    """What a member gets: the rights to read what it provides and, stand-alone, to write what it consumes."""
    names = ["rbac.yaml", *(["standalone.yaml"] if standalone else [])]
    return [one for name in names for one in yaml.safe_load_all((_folder() / "member" / name).read_text()) if one]


def rendered(folders: Sequence[str], *, components: Sequence[str] = (), image: str = "") -> list[dict[str, Any]]:
    """Folders of manifests/ as one Kustomization renders them.

    By `kubectl kustomize`, which everybody has who installs: what is applied is what `kubectl apply -k` would apply.

    Args:
        folders: bases and overlays, by their paths in manifests/.
        components: of manifests/components.
        image: in place of the one that the Deployments name; empty leaves that.

    Raises:
        click.ClickException: there is no kubectl, or it cannot render them.
    """
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        raise click.ClickException("kubectl is needed to render the manifests, and is not in PATH")
    with as_file(_folder()) as manifests, TemporaryDirectory(prefix="mcsctl-") as directory:
        here = Path(directory).resolve()  # kustomize takes relative paths only, and resolves links first
        root = os.path.relpath(manifests.resolve(), here)
        kustomization: dict[str, Any] = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "resources": [f"{root}/{one}" for one in folders],
            "components": [f"{root}/components/{one}" for one in components],
            "images": [_image(image)] if image else [],
        }
        (here / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
        try:
            done = subprocess.run(
                [kubectl, "kustomize", str(here)], capture_output=True, text=True, timeout=_RENDER_SECONDS
            )
        except subprocess.TimeoutExpired as error:
            raise click.ClickException(f"kubectl cannot render the manifests: {error}") from error
    if done.returncode:
        raise click.ClickException(f"kubectl cannot render the manifests: {done.stderr}")
    return [one for one in yaml.safe_load_all(done.stdout) if one]


def _image(image: str) -> dict[str, str]:
    name, _, digest = image.partition("@")
    if digest:
        return {"name": "mcs-controller-manager", "newName": name, "digest": digest}
    repository, colon, tag = name.rpartition(":")
    if not colon or "/" in tag:  # a port of the registry
        raise click.UsageError(f"--image {image!r} has neither a tag nor a digest")
    return {"name": "mcs-controller-manager", "newName": repository, "newTag": tag}


def _folder() -> Traversable:
    packaged = files("mcs_controller") / "manifests"
    return packaged if packaged.is_dir() else _CHECKOUT / "manifests"


def manifests_folder() -> str:
    """Where they are, for commands that are pasted: below the working directory relative to it."""
    path = Path(str(_folder()))
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
