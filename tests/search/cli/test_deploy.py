"""``deploy kubernetes``: what Kubernetes's own schemas say of the manifest, and what must not be in it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.search.cli.conftest import Cli

GIVEN = ["deploy", "kubernetes", "digits", "--image", "registry/image:1", "--files", "s3://bucket/studies"]


def documents(text: str) -> list[dict[str, Any]]:
    """Return the manifest's documents, each valid against the schema of its kind."""
    kubernetes_validate = pytest.importorskip("kubernetes_validate", reason="uv sync installs it")
    import yaml

    found = list(yaml.safe_load_all(text))
    for document in found:
        kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)
    return found


def test_the_manifest_is_valid_and_runs_the_study(rankfront: Cli) -> None:
    code, out, err = rankfront(*GIVEN, "--workers", "8", "--gpus", "1", "--", "--trials", "200", "--budget", "a$(b)'\"")
    assert (code, err) == (0, "")
    service, database, job = documents(out)
    assert service["metadata"]["name"] == database["spec"]["serviceName"] == "digits-postgres"
    assert (job["spec"]["completions"], job["spec"]["parallelism"]) == (8, 8)
    pod = job["spec"]["template"]["spec"]["containers"][0]
    assert pod["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert pod["command"][:4] == ["rankfront", "run", "digits", "--storage"]
    assert pod["command"][4] == "postgresql+psycopg://rankfront@digits-postgres/rankfront"
    assert pod["command"][-4:] == ["--trials", "200", "--budget", "a$$(b)'\""]


def test_a_database_elsewhere_is_not_made(rankfront: Cli) -> None:
    url = "postgresql+psycopg://me@database.example.com/studies"
    code, out, _ = rankfront(*GIVEN[:2], "/app/My Net.py", *GIVEN[3:], "--storage", url)
    (job,) = documents(out)
    command = job["spec"]["template"]["spec"]["containers"][0]["command"]
    assert code == 0 and command[2] == "/app/My Net.py" and command[4] == url
    assert job["metadata"]["name"].startswith("my-net-")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["deploy", "nomad", "digits"], "platform must be kubernetes, but got 'nomad'"),
        (["deploy", "kubernetes", "digits"], "image must be a container image with rankfront: --image IMAGE"),
        ([*GIVEN[:5]], "files must say where pods share the study's files"),
        ([*GIVEN[:6], "s3://me:secret@bucket"], "files must hold no user, password or option: put the store's own"),
        ([*GIVEN, "--storage", "postgresql+psycopg://me:secret@host/db"], "storage must hold no password: put it into"),
        ([*GIVEN, "--storage", "postgresql+psycopg://host/db?password=secret"], "storage must hold no password"),
        ([*GIVEN, "--storage", "sqlite:///study.db"], "storage must be a database that all machines reach: "),
        ([*GIVEN, "--workers", "0"], "workers must be 1 or more, but got 0"),
        ([*GIVEN, "--memory", "much"], "memory must be an amount such as 2 or 4Gi, but got 'much'"),
    ],
)
def test_what_cannot_be_is_told_without_a_secret(rankfront: Cli, arguments: list[str], said: str) -> None:
    code, out, err = rankfront(*arguments)
    assert (code, out) == (2, "") and said in err and "secret" not in err
