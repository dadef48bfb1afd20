"""``deploy kubernetes``: a study with several workers as a manifest for a Kubernetes cluster.

Each pod runs the same ``rankfront run``, so the first begins the study and the others join it. No secret is in the
manifest: pods take them from a Secret, as environment variables.
"""

from __future__ import annotations

import importlib.resources
import re
from pathlib import Path
from typing import Annotated

import typer

from ...objectives.errors import RankfrontError
from ...objectives.given import text, whole
from ..storage.folder import folder_name
from .options import Debug, Study, whole_number

PLATFORM = "kubernetes"

TEMPLATE = "kubernetes.yaml.jinja"

QUANTITY = re.compile(r"\d+(\.\d+)?(m|[kMGTPE]i?)?")
"""How Kubernetes writes amounts."""


def deploy(
    platform: Annotated[str, typer.Argument(metavar=PLATFORM, help="Where to: kubernetes.")],
    study: Study,
    options: Annotated[
        list[str] | None, typer.Argument(metavar="[-- OPTIONS]", help="Options of `rankfront run`, after --.")
    ] = None,
    image: Annotated[
        str, typer.Option(metavar="IMAGE", help="A container image with rankfront, the study's file and its data.")
    ] = "",
    files: Annotated[str, typer.Option(metavar="URL", help="Where pods share files: s3://bucket/folder.")] = "",
    storage: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="A database on a server of yours [default: a PostgreSQL server is part of the manifest]"
        ),
    ] = None,
    workers: Annotated[int, typer.Option(metavar="K", help="How many pods.", parser=whole_number)] = 2,
    cpus: Annotated[str, typer.Option(metavar="AMOUNT", help="CPUs for each pod.")] = "1",
    memory: Annotated[str, typer.Option(metavar="AMOUNT", help="Memory for each pod.")] = "4Gi",
    gpus: Annotated[int, typer.Option(metavar="N", help="GPUs for each pod.", parser=whole_number)] = 0,
    debug: Debug = False,
) -> None:
    """Print a manifest: a study's workers as pods.

    For example `rankfront deploy kubernetes digits --image IMAGE --files s3://bucket -- --trials 200`, whose output
    `kubectl apply -f -` takes.
    """
    if platform != PLATFORM:
        raise RankfrontError(f"platform must be {PLATFORM}, but got {platform!r:.60}")
    typer.echo(
        manifest(
            study,
            options or [],
            image=image,
            files=files,
            storage=storage,
            workers=workers,
            cpus=cpus,
            memory=memory,
            gpus=gpus,
        )
    )


def manifest(
    study: str,
    options: list[str],
    *,
    image: str,
    files: str,
    storage: str | None,
    workers: int,
    cpus: str,
    memory: str,
    gpus: int,
) -> str:
    """Return the manifest: YAML documents that ``kubectl apply`` takes.

    Args:
        study: a ready study's name, or a Python file's path in the image.
        options: more options of ``rankfront run``.
        image: a container image.
        files: a URL that fsspec opens.
        storage: a URL of a database on a server; None for one in the same manifest.
        workers: how many pods.
        cpus: for each pod, as Kubernetes writes it.
        memory: for each pod, as Kubernetes writes it.
        gpus: for each pod.

    Raises:
        RankfrontError: something given cannot be, or holds a secret.
    """
    text("image", image, "a container image with rankfront: --image IMAGE")
    whole("workers", workers, least=1)
    whole("gpus", gpus, least=0)
    for name, amount in (("cpus", cpus), ("memory", memory)):
        if not QUANTITY.fullmatch(amount):
            raise RankfrontError(f"{name} must be an amount such as 2 or 4Gi, but got {amount!r:.60}")
    name = label(Path(study).stem)
    _check_files(files, name)
    postgres = f"{name}-postgres" if storage is None else None
    if storage is None:
        storage = f"postgresql+psycopg://rankfront@{postgres}/rankfront"
    _check_storage(storage, name)
    command = ["rankfront", "run", study, "--storage", storage, "--files", files, "--out", "/study", *options]
    gpu = {"nvidia.com/gpu": str(gpus)} if gpus else {}
    from jinja2 import Environment, StrictUndefined

    template = (importlib.resources.files(__package__ or "") / TEMPLATE).read_text(encoding="utf-8")
    return (
        Environment(undefined=StrictUndefined, autoescape=False)
        .from_string(template)
        .render(
            name=name,
            workers=workers,
            postgres=postgres,
            image=image,
            command=[word.replace("$(", "$$(") for word in command],  # which Kubernetes would replace
            requests={"cpu": cpus, "memory": memory, **gpu},
            limits={"memory": memory, **gpu},
        )
    )


def label(study: str) -> str:
    """Return a study's name as Kubernetes takes names: small letters, digits and hyphens, no longer than 50.

    >>> label("my_net"), label("Ünet"), label("digits")
    ('my-net-8e496b7b', 'net-5e3db6b2', 'digits')
    """
    plain = re.sub(r"[^a-z0-9]+", "-", study.lower()).strip("-")[:40].strip("-")
    return plain if plain == study else f"{plain or 'study'}-{folder_name('/' + study)[-8:]}"


def _check_files(files: str, name: str) -> None:
    from ..storage.remote_files import check_files, shown_files

    if not files:
        raise RankfrontError("files must say where pods share the study's files: --files s3://bucket/folder")
    check_files(files)
    if shown_files(files) != files:
        raise RankfrontError(
            "files must hold no user, password or option: put the store's own variables (AWS_ACCESS_KEY_ID …) into the "
            f"Secret {name}"
        )


def _check_storage(storage: str, name: str) -> None:
    from ..storage.database import MACHINES, check_url
    from ..storage.errors import shown_url, without_password
    from ..storage.server import server_of

    check_url(storage)
    if (server := server_of(storage)) is None:
        raise RankfrontError(f"storage must be {MACHINES}, but got {shown_url(storage)}")
    if without_password(storage)[1] is not None:
        raise RankfrontError(
            f"storage must hold no password: put it into the Secret {name} as {server.password_variable}"
        )
