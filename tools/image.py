"""``make image``: the controller as an OCI image, made without a daemon.

Two steps. *Fetching* takes Debian packages (mmdebstrap verifies them by the archive's key) and the wheels of
``requirements/runtime.txt`` (pip verifies them by their hashes). *Assembling* is a pure function of these files, of the
project's own wheel and of the time and name of the last commit: two of them are equal bit for bit. Nothing of a package
is run, so there is neither a shell nor a package manager in the image, and no root is needed.

The image has two layers: interpreter and libraries, and our own code. File times are 0, so that a layer with the same
content is the same layer.
"""

from __future__ import annotations

import configparser
import email
import gzip
import hashlib
import io
import json
import os
import platform
import posixpath
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import uuid
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import quote

import click
from packaging.requirements import Requirement

from mcs_controller import __version__
from tools.build import exclusively
from tools.components import cache_root
from tools.licences import licence_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from importlib.metadata import PackageMetadata

ROOT: Final = Path(__file__).resolve().parent.parent
LOCK: Final = ROOT / "requirements" / "runtime.txt"
NAME: Final = "mcs-controller-manager"
USER: Final = 65532

RELEASE: Final = ("trixie", "13")
PYTHON: Final = "3.13"
GLIBC: Final = 41
"""The minor version of that release's, which says what wheels can be used."""

PACKAGES: Final = ("python3-minimal", f"libpython{PYTHON}-stdlib", "ca-certificates")
"""These and what they depend on are fetched; what is taken of them is :data:`KEPT`."""

_LIBRARY: Final = r"usr/lib/[^/]+/lib[^/]+\.so[^/]*"
KEPT: Final = {
    "python3-minimal": r"usr/bin/python3",
    f"python{PYTHON}-minimal": rf"usr/bin/python{PYTHON}",
    f"libpython{PYTHON}-minimal": rf"usr/lib/python{PYTHON}/.*",
    f"libpython{PYTHON}-stdlib": rf"usr/lib/python{PYTHON}/.*",
    "libc6": r"usr/lib64/.*|usr/lib/[^/]+/(ld-linux-.*|lib(c|m|dl|pthread|rt|util|resolv|nss_(dns|files))\.so.*)",
    "gcc-14-base": "",  # has the copyright file of libgcc-s1
    "libgcc-s1": _LIBRARY,
    "libssl3t64": _LIBRARY,
    "libzstd1": _LIBRARY,
    "zlib1g": _LIBRARY,
    "libexpat1": _LIBRARY,
    "libffi8": _LIBRARY,
    "libbz2-1.0": _LIBRARY,
    "liblzma5": _LIBRARY,
    "ca-certificates": r"usr/share/ca-certificates/mozilla/.*",
}
"""What is taken of which Debian package, beside its copyright file. Of their other dependencies nothing is."""

# Parts of the standard library without a use in a server, and those that need libraries which are not there.
_UNUSED: Final = re.compile(
    rf"usr/lib/python{re.escape(PYTHON)}/("
    r"(test|idlelib|ensurepip|venv|pydoc_data|tkinter|turtledemo|sqlite3|curses|dbm|_pyrepl|unittest|xmlrpc)/|"
    r"(turtle|doctest|pydoc|pdb|sitecustomize)\.py|EXTERNALLY-MANAGED|"
    r"lib-dynload/(.*test|xx|_sqlite3|_curses|_dbm|_gdbm|_uuid|readline|_codecs_))"
)
# Of wheels: sources in C, stubs, tests and what installers read; and of kubernetes-asyncio everything but what reads
# kubeconfigs, as informers/client/config.py imports nothing else (40 MB).
_UNUSED_IN_WHEELS: Final = re.compile(
    r".*\.(pyi|pyx|pxd|c|h)|.*_test\.py|.*_testcapi\..*|[^/]*\.(md|toml)|LICENSE|.*\.dist-info/RECORD|"
    r"kubernetes_asyncio/(?!__init__\.py|config/).*"
)
SITE: Final = f"usr/local/lib/python{PYTHON}/dist-packages"


class ImageError(Exception):
    """The image cannot be made; the text has the next step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file of the image, or a symbolic link if ``link`` is not empty. All belong to root."""

    data: bytes = b""
    executable: bool = False
    link: str = ""


Tree = dict[str, File]


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What an image is made of.

    Attributes:
        debs: a folder with Debian packages.
        wheels: a folder with wheels.
        layers: a folder where the layer that is made of both is kept for the next time; None: it is not kept.
    """

    debs: Path
    wheels: Path
    layers: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """A finished image.

    Attributes:
        archive: an OCI image layout as a tar file, which ``docker load`` takes too.
        sbom: what it holds, as CycloneDX.
        digest: of its manifest, ``sha256:…``.
        unpacked: bytes of its files.
        packed: bytes of its compressed layers.
    """

    archive: Path
    sbom: Path
    digest: str
    unpacked: int
    packed: int


# --- fetching ---------------------------------------------------------------------------------------------------------


def fetch(folder: Path, *, mirror: str = "") -> Inputs:
    """Download all inputs into a folder that is there and empty.

    Args:
        folder: where to.
        mirror: of Debian, a snapshot for instance; empty: the usual ones, with security updates.

    Raises:
        ImageError: a program is missing, or something cannot be downloaded or verified.
    """
    mmdebstrap = _mmdebstrap()
    copy = f"copy-out /var/cache/apt/archives {folder}"
    wanted = [mmdebstrap, "--quiet", "--variant=extract", "--format=null", f"--extract-hook={copy}"]
    run(
        [*wanted, f"--include={','.join(PACKAGES)}", RELEASE[0], "/dev/null", *([mirror] if mirror else [])],
        "see docs/image.md, “What it needs”",
    )
    (folder / "archives").rename(folder / "debs")
    shutil.rmtree(folder / "debs" / "partial", ignore_errors=True)
    lock = folder / "lock.txt"
    lock.write_text(lock_for_image(LOCK.read_text()))
    machine = platform.machine()
    platforms = [f"--platform=manylinux_2_{minor}_{machine}" for minor in range(5, GLIBC + 1)]
    platforms += [f"--platform=manylinux{year}_{machine}" for year in ("1", "2010", "2014")]
    target = [f"--python-version={PYTHON}", "--implementation=cp", *platforms]
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    checked = ["--require-hashes", "--only-binary=:all:", f"--requirement={lock}", f"--dest={folder / 'wheels'}"]
    run([*pip, *target, *checked], "the wheels of requirements/runtime.txt are needed")
    return Inputs(debs=folder / "debs", wheels=folder / "wheels")


def cached(*, environ: Mapping[str, str] = os.environ) -> Inputs:
    """The inputs of an earlier call with the same lock and packages, downloaded only if there are none.

    For tests. An image that somebody uses is made of what :func:`fetch` gets today, with today's security updates.
    """
    facts = json.dumps([RELEASE, PYTHON, PACKAGES, LOCK.read_text(), platform.machine()])
    target = cache_root(environ).with_name("image") / hashlib.sha256(facts.encode()).hexdigest()[:10]
    target.parent.mkdir(parents=True, exist_ok=True)
    with exclusively(target.with_name(f".{target.name}.lock"), lambda _: None):
        if not target.exists():
            with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
                fetched = Path(scratch) / "inputs"
                fetched.mkdir()
                fetch(fetched)
                fetched.rename(target)
    return Inputs(debs=target / "debs", wheels=target / "wheels", layers=target)


def lock_for_image(lock: str) -> str:
    """The entries of a lock that the image's Python needs, whichever Python asks."""
    versions = {"python_version": PYTHON, "python_full_version": f"{PYTHON}.0"}
    entries = re.findall(r"^[A-Za-z0-9](?:.*\\\n)*.*", lock, re.MULTILINE)
    requirements = [(Requirement(entry.partition("\\\n")[0]), entry) for entry in entries]
    return "".join(f"{entry}\n" for one, entry in requirements if one.marker is None or one.marker.evaluate(versions))


def _mmdebstrap() -> str:
    if found := shutil.which("mmdebstrap"):
        return found
    if os.geteuid() == 0 and shutil.which("apt-get"):
        print("installing the Debian package mmdebstrap, which makes images ...", file=sys.stderr, flush=True)
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        run(["apt-get", "update", "-qq"], "", env=quiet)
        run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", "mmdebstrap"], "", env=quiet)
        if found := shutil.which("mmdebstrap"):
            return found
    raise ImageError(
        "mmdebstrap is missing: `sudo apt-get install mmdebstrap` (Debian, Ubuntu), or make the image with"
        " `docker build --file Containerfile .`"
    )


def run(argv: Sequence[str], advice: str, *, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> str:
    """What a command writes to standard output.

    Raises:
        ImageError: it cannot be run, or fails; the text ends with `advice` and what it said.
    """
    try:
        done = subprocess.run(
            argv, check=False, capture_output=True, text=True, env=env, cwd=cwd, stdin=subprocess.DEVNULL
        )
    except OSError as error:
        raise ImageError(f"cannot run {argv[0]}: {error}; {advice}") from error
    if done.returncode != 0:
        tail = "\n".join((done.stderr or done.stdout).splitlines()[-15:])
        raise ImageError(f"`{' '.join(argv[:4])} …` ended with {done.returncode}; {advice}\n{tail}")
    return done.stdout


# --- the files --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A Debian package of which the image has files, or a Python one.

    Attributes:
        name: as its own world calls it.
        version: likewise.
        kind: ``deb`` or ``pypi``, as in a package URL.
        sha256: of the file that was downloaded.
        architecture: of a Debian package, else empty.
        licence: an SPDX expression; empty: see its copyright file.
    """

    name: str
    version: str
    kind: str
    sha256: str
    architecture: str = ""
    licence: str = ""

    @property
    def purl(self) -> str:
        """Its package URL."""
        if self.kind == "pypi":
            return f"pkg:pypi/{self.name}@{quote(self.version)}"
        qualifiers = f"arch={self.architecture}&distro=debian-{RELEASE[1]}"
        return f"pkg:deb/debian/{quote(self.name)}@{quote(self.version)}?{qualifiers}"


def base_files(inputs: Inputs) -> tuple[Tree, list[Package]]:
    """Interpreter, libraries and authorities: everything but our own code, and what was taken from."""
    tree: Tree = {
        "lib64": File(link="usr/lib64"),
        "etc/passwd": File(
            data=f"root:x:0:0::/:/nonexistent\nnonroot:x:{USER}:{USER}::/:/nonexistent\n".encode(),
        ),
        "etc/group": File(data=f"root:x:0:\nnonroot:x:{USER}:\n".encode()),
        "etc/nsswitch.conf": File(data=b"passwd: files\ngroup: files\nhosts: files dns\n"),
        # Read by scanners, which then find the packages in status.d.
        "etc/os-release": File(
            data='PRETTY_NAME="Debian GNU/Linux {1} ({0})"\nID=debian\nVERSION_ID="{1}"\nVERSION_CODENAME={0}\n'.format(
                *RELEASE
            ).encode()
        ),
        # Where OpenSSL looks.
        "usr/lib/ssl/cert.pem": File(link="/etc/ssl/certs/ca-certificates.crt"),
    }
    packages = []
    for deb in sorted(inputs.debs.glob("*.deb")):
        control = run(["dpkg-deb", "--field", str(deb)], "install dpkg")
        fields = email.message_from_string(control)
        if (kept := KEPT.get(name := fields["Package"])) is None:
            continue
        wanted = re.compile(rf"(?:{kept}|usr/share/doc/{re.escape(name)}(/copyright)?)")
        content = subprocess.run(["dpkg-deb", "--fsys-tarfile", str(deb)], check=True, capture_output=True).stdout
        tree |= {
            path: file
            for path, file in _files_of(content)
            if wanted.fullmatch(path) and not _UNUSED.match(path) and not path.endswith(".pyc")
        }
        tree[f"var/lib/dpkg/status.d/{name}"] = File(data=control.encode())
        packages.append(
            Package(
                name=name,
                version=fields["Version"],
                kind="deb",
                sha256=hashlib.sha256(deb.read_bytes()).hexdigest(),
                architecture=fields["Architecture"],
            )
        )
    if lacking := KEPT.keys() - {each.name for each in packages}:
        raise ImageError(f"Debian {RELEASE[0]} has not got {', '.join(sorted(lacking))}: mend KEPT in tools/image.py")
    # What update-ca-certificates does.
    mozilla = sorted(path for path in tree if path.startswith("usr/share/ca-certificates/"))
    bundle = b"".join(tree.pop(path).data for path in mozilla)
    tree["etc/ssl/certs/ca-certificates.crt"] = File(data=bundle)
    for wheel in sorted(inputs.wheels.glob("*.whl")):
        files, package = wheel_files(wheel)
        tree |= files
        packages.append(package)
    return tree, packages


def _files_of(content: bytes) -> Iterator[tuple[str, File]]:
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        for member in archive:
            path = posixpath.normpath(member.name)
            if member.issym():
                yield path, File(link=member.linkname)
            elif member.isfile() or member.islnk():
                source = archive.extractfile(member)
                assert source is not None
                yield path, File(data=source.read(), executable=bool(member.mode & 0o100) and not path.endswith(".py"))


def wheel_files(wheel: Path) -> tuple[Tree, Package]:
    """What a wheel installs, without its scripts, and what it is."""
    tree: Tree = {}
    with zipfile.ZipFile(wheel) as archive:
        for path in archive.namelist():
            place = re.sub(r"^[^/]+\.data/(purelib|platlib)/", "", path)
            if path.endswith("/") or ".data/" in place or _UNUSED_IN_WHEELS.fullmatch(place):
                continue
            tree[f"{SITE}/{place}"] = File(data=archive.read(path))
            if place.endswith(".dist-info/METADATA"):
                about = email.message_from_bytes(archive.read(path))
    name = re.sub(r"[-_.]+", "-", about["Name"]).lower()
    licence = licence_of(name, cast("PackageMetadata", about))
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    return tree, Package(name=name, version=about["Version"], kind="pypi", sha256=digest, licence=licence)


def own_files(epoch: int) -> Tree:
    """Our own wheel, and its commands."""
    with tempfile.TemporaryDirectory() as scratch:
        build = [sys.executable, "-m", "hatchling", "build", "--target=wheel", f"--directory={scratch}"]
        run(build, "run `make setup`", cwd=ROOT, env={**os.environ, "SOURCE_DATE_EPOCH": str(epoch)})
        (wheel,) = Path(scratch).glob("*.whl")
        tree, _ = wheel_files(wheel)
    scripts = configparser.ConfigParser()
    (entry_points,) = (file.data for path, file in tree.items() if path.endswith(".dist-info/entry_points.txt"))
    scripts.read_string(entry_points.decode())
    for script, target in scripts["console_scripts"].items():
        module, _, function = target.partition(":")
        # -I: neither the environment nor the working directory changes what is imported.
        text = f"#!/usr/bin/python3 -I\nimport sys\nfrom {module} import {function}\nsys.exit({function}())\n"
        tree[f"usr/local/bin/{script}"] = File(data=text.encode(), executable=True)
    return tree


def write(tree: Tree, root: Path) -> None:
    """Write files into a folder, as whoever we are."""
    for path, file in sorted(tree.items()):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        if file.link:
            (root / path).symlink_to(file.link)
        else:
            (root / path).write_bytes(file.data)
            (root / path).chmod(0o755 if file.executable else 0o644)


def interpreter(root: Path) -> tuple[list[str], dict[str, str]]:
    """The command and the environment for the Python of an image in a folder, run in place: no root is needed."""
    loader = next((root / "usr/lib64").glob("ld-linux-*"), None) or next((root / "usr/lib").glob("ld-linux-*"))
    libraries = ":".join(str(each) for each in sorted((root / "usr/lib").glob("*-linux-gnu")))
    python = str(root / f"usr/bin/python{PYTHON}")
    environ = {"PYTHONHOME": str(root / "usr"), "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
    return [str(loader), "--library-path", libraries, python, "-S"], environ


def compiled(tree: Tree, base: Tree) -> Tree:
    """The byte code of all modules of a tree, made by the interpreter of the base.

    It is never checked against the source: both are read-only, and times are 0.
    """
    modules = {path: file for path, file in tree.items() if path.endswith(".py")}
    with tempfile.TemporaryDirectory() as scratch:
        python, code = Path(scratch, "python"), Path(scratch, "code")
        write(base, python)
        write(modules, code)
        argv, environ = interpreter(python)
        options = ["-q", "-j1", "--invalidation-mode=unchecked-hash", f"-s{code}", "-p/"]
        run([*argv, "-m", "compileall", *options, str(code)], "a module does not compile", env=environ)
        made = {str(path.relative_to(code)): File(data=path.read_bytes()) for path in code.rglob("*.pyc")}
    if len(made) != len(modules):
        raise ImageError(f"{len(modules)} modules, of which {len(made)} were compiled")
    return made


# --- the image --------------------------------------------------------------------------------------------------------


def tar(tree: Mapping[str, File | None]) -> bytes:
    """A tar file of a tree, with its folders; nothing in it depends on anything but the tree. None is a folder."""
    folders = {str(each): None for path in tree for each in Path(path).parents if str(each) != "."}
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for path, file in sorted({**folders, **tree}.items()):
            entry = tarfile.TarInfo(path)
            entry.mode = 0o755
            if file is None:
                entry.type = tarfile.DIRTYPE
                archive.addfile(entry)
            elif file.link:
                entry.type, entry.linkname, entry.mode = tarfile.SYMTYPE, file.link, 0o777
                archive.addfile(entry)
            else:
                entry.size, entry.mode = len(file.data), 0o755 if file.executable else 0o644
                archive.addfile(entry, io.BytesIO(file.data))
    return output.getvalue()


def base_layer(base: Tree, layers: Path | None) -> bytes:
    """The compressed layer of a base with its byte code, which takes ten seconds to make.

    Args:
        base: see :func:`base_files`.
        layers: a folder where it is looked for, and kept.
    """
    if layers is None:
        return gzip.compress(tar(base | compiled(base, base)), 6, mtime=0)
    kept = layers / f"{hashlib.sha256(tar(base) + Path(__file__).read_bytes()).hexdigest()[:16]}.tar.gz"
    if not kept.exists():
        with tempfile.TemporaryDirectory(dir=layers) as scratch:
            unfinished = Path(scratch, kept.name)
            unfinished.write_bytes(base_layer(base, None))
            unfinished.replace(kept)
    return kept.read_bytes()


def layout(layers: Sequence[tuple[bytes, str]], *, epoch: int, revision: str) -> tuple[Tree, str, int]:
    """An OCI image layout, the digest of its manifest, and the size of its compressed layers.

    Args:
        layers: compressed tar files, and what they hold; from the lowest on.
        epoch: when it was made, seconds since 1970.
        revision: the commit.
    """
    blobs: Tree = {}

    def blob(data: bytes, kind: str) -> dict[str, Any]:
        digest = hashlib.sha256(data).hexdigest()
        blobs[f"blobs/sha256/{digest}"] = File(data=data)
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": f"sha256:{digest}", "size": len(data)}

    def encoded(value: object) -> bytes:
        return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()

    architecture = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    created = datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    packed = [blob(each, "layer.v1.tar+gzip") for each, _ in layers]
    diff_ids = [f"sha256:{hashlib.sha256(gzip.decompress(each)).hexdigest()}" for each, _ in layers]
    labels = {
        "org.opencontainers.image.title": NAME,
        "org.opencontainers.image.description": "Multi-cluster services for Karmada control planes",
        "org.opencontainers.image.version": __version__,
        "org.opencontainers.image.revision": revision,
        "org.opencontainers.image.created": created,
        "org.opencontainers.image.licenses": "Apache-2.0",
    }
    config = {
        "created": created,
        "architecture": architecture,
        "os": "linux",
        "config": {
            "User": f"{USER}:{USER}",
            "Env": ["PATH=/usr/local/bin:/usr/bin"],
            "Cmd": [NAME],
            "WorkingDir": "/",
            "Labels": labels,
        },
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": [{"created": created, "created_by": "tools/image.py", "comment": what} for _, what in layers],
    }
    config_blob = blob(encoded(config), "config.v1+json")
    kind = "application/vnd.oci.image.manifest.v1+json"
    manifest = {
        "schemaVersion": 2,
        "mediaType": kind,
        "config": config_blob,
        "layers": packed,
        "annotations": labels,
    }
    reference = f"{NAME}:{__version__}"
    entry = blob(encoded(manifest), "manifest.v1+json") | {
        "platform": {"architecture": architecture, "os": "linux"},
        "annotations": {
            "org.opencontainers.image.ref.name": __version__,
            "io.containerd.image.name": f"docker.io/library/{reference}",
        },
    }
    index = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [entry]}
    names = {key: f"blobs/sha256/{each['digest'][7:]}" for key, each in enumerate([config_blob, *packed])}
    # For `docker load` of versions that do not know OCI layouts.
    loaded = [{"Config": names[0], "RepoTags": [reference], "Layers": [names[each + 1] for each in range(len(packed))]}]
    blobs |= {
        "oci-layout": File(data=encoded({"imageLayoutVersion": "1.0.0"})),
        "index.json": File(data=encoded(index)),
        "manifest.json": File(data=encoded(loaded)),
    }
    return blobs, entry["digest"], sum(each["size"] for each in packed)


def bill_of_materials(packages: Iterable[Package], *, digest: str, epoch: int) -> dict[str, Any]:
    """What the image holds, as CycloneDX 1.6."""
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, digest)}",
        "version": 1,
        "metadata": {
            "timestamp": datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": {
                "type": "container",
                "bom-ref": digest,
                "name": NAME,
                "version": __version__,
                "purl": f"pkg:oci/{NAME}@{quote(digest, safe='')}",
                "licenses": [{"expression": "Apache-2.0"}],
            },
        },
        "components": [
            {
                "type": "library",
                "bom-ref": each.purl,
                "name": each.name,
                "version": each.version,
                "purl": each.purl,
                "hashes": [{"alg": "SHA-256", "content": each.sha256}],
                **({"licenses": [{"expression": each.licence}]} if each.licence else {}),
            }
            for each in packages
        ],
    }


def last_commit() -> tuple[int, str]:
    """When it was made (``SOURCE_DATE_EPOCH`` wins), and its name, with ``-dirty`` if files differ from it.

    Raises:
        ImageError: neither a git checkout nor that variable.
    """
    git = ["git", "-C", str(ROOT)]
    if (ROOT / ".git").exists() and shutil.which("git"):
        epoch, revision = run([*git, "log", "-1", "--format=%ct %H"], "").split()
        dirty = "-dirty" if run([*git, "status", "--porcelain", "--untracked-files=no"], "") else ""
        return int(os.environ.get("SOURCE_DATE_EPOCH", epoch)), f"{revision}{dirty}"
    if given := os.environ.get("SOURCE_DATE_EPOCH"):
        return int(given), "unknown"
    raise ImageError("no git checkout: set SOURCE_DATE_EPOCH to the seconds since 1970 that the image shall be of")


def make(inputs: Inputs, output: Path) -> Image:
    """Assemble the image of this checkout.

    Args:
        inputs: what was fetched.
        output: a folder for the archive and the bill of materials, made if need be.

    Raises:
        ImageError: see there.
    """
    epoch, revision = last_commit()
    base, packages = base_files(inputs)
    own = own_files(epoch)
    own_layer = gzip.compress(tar(own | compiled(own, base)), 6, mtime=0)
    layers = (
        (base_layer(base, inputs.layers), f"Debian {RELEASE[0]}: Python {PYTHON} and libraries"),
        (own_layer, f"{NAME} {__version__}"),
    )
    blobs, digest, packed = layout(layers, epoch=epoch, revision=revision)
    output.mkdir(parents=True, exist_ok=True)
    archive, sbom = output / f"{NAME}-{__version__}.tar", output / "sbom.cdx.json"
    bill = bill_of_materials(packages, digest=digest, epoch=epoch)
    for path, data in ((archive, tar(blobs)), (sbom, json.dumps(bill, indent=2).encode())):
        unfinished = path.with_name(f".{path.name}")
        unfinished.write_bytes(data)
        unfinished.replace(path)
    unpacked = sum(_size(layer) for layer, _ in layers)
    return Image(archive=archive, sbom=sbom, digest=digest, unpacked=unpacked, packed=packed)


def _size(layer: bytes) -> int:
    with tarfile.open(fileobj=io.BytesIO(layer)) as archive:
        return sum(member.size for member in archive)


def unpack(archive: Path, root: Path) -> dict[str, Any]:
    """Write the files of an image into a folder, as a container's runtime does it; its configuration."""
    with tarfile.open(archive) as image:

        def read(path: str) -> bytes:
            source = image.extractfile(path)
            assert source is not None
            return source.read()

        def blob(descriptor: dict[str, Any]) -> bytes:
            data = read(f"blobs/{descriptor['digest'].replace(':', '/')}")
            if hashlib.sha256(data).hexdigest() != descriptor["digest"][7:]:
                raise ImageError(f"{archive} is damaged: {descriptor['digest']}")
            return data

        manifest = json.loads(blob(json.loads(read("index.json"))["manifests"][0]))
        for each in manifest["layers"]:
            with tarfile.open(fileobj=io.BytesIO(blob(each))) as layer:
                layer.extractall(root, filter="fully_trusted")
        return dict(json.loads(blob(manifest["config"])))


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--output", type=click.Path(path_type=Path), default=ROOT / "build" / "image", help="Where to write.")
@click.option("--mirror", default="", help="A mirror or a snapshot of Debian's archive (default: the usual ones).")
@click.option("--cached", "from_cache", is_flag=True, help="Use what an earlier build downloaded. For tests.")
def main(output: Path, mirror: str, from_cache: bool) -> None:
    """Make the image of this checkout, and say what it is."""
    try:
        with downloads(mirror, from_cache=from_cache) as inputs:
            image = make(inputs, output)
    except ImageError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{image.archive}\n{NAME}:{__version__} {image.digest}")
    click.echo(f"{image.unpacked / 1e6:.1f} MB of files, {image.packed / 1e6:.1f} MB compressed; {image.sbom}")


@contextmanager
def downloads(mirror: str, *, from_cache: bool) -> Iterator[Inputs]:
    """What an image is made of, as long as the block lasts."""
    if from_cache:
        yield cached()
        return
    with tempfile.TemporaryDirectory() as folder:
        yield fetch(Path(folder), mirror=mirror)


if __name__ == "__main__":
    main()
