"""What many tests need: small networks, small data, and the data beside the checkout where it is."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
import torch
from hypothesis import settings
from torch import Tensor, nn

from rankfront import FineTune, Result, Task, run
from tests.mysql import MySQLServer
from tests.postgres import Server, binaries

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

OPTIONAL = ("architectures",)
"""Marks of tests that need much time."""


# How long an example takes says how busy the machine is.
settings.register_profile("no clock", settings(), deadline=None)
settings.load_profile("no clock")

torch.manual_seed(0)  # of networks made while the tests are collected


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave optional groups out unless ``-m`` names them: a default ``-m`` would be lost with ``-m "not slow"``."""
    left_out = [group for group in OPTIONAL if group not in config.getoption("markexpr")]
    optional = [item for item in items if any(map(item.get_closest_marker, left_out))]
    config.hook.pytest_deselected(items=optional)
    items[:] = [item for item in items if item not in optional]


@pytest.fixture(autouse=True)
def same_every_time() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1 if "PYTEST_XDIST_WORKER" in os.environ else min(2, before))
    torch.manual_seed(0)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def mnist_root() -> Path:
    if not (SHARED_DATA / "MNIST" / "raw").is_dir():
        pytest.skip(f"MNIST is not in {SHARED_DATA.name}/ beside the checkout")
    return SHARED_DATA


@pytest.fixture
def imagenette_root() -> Path:
    if not (SHARED_DATA / "imagenette2-128" / "train").is_dir():
        pytest.skip(f"Imagenette is not in {SHARED_DATA.name}/ beside the checkout")
    return SHARED_DATA / "imagenette2-128"


@pytest.fixture
def wikitext_root() -> Path:
    if not (SHARED_DATA / "wikitext-2" / "valid.txt").is_file():
        pytest.skip(f"WikiText-2 is not in {SHARED_DATA.name}/ beside the checkout")
    return SHARED_DATA


on_all_servers = pytest.mark.parametrize("server", ["postgresql", "mysql"], indirect=True)
"""Marks tests of what every database's server does."""


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    """A PostgreSQL server, started at its first use. In CI its absence is a failure."""
    if (programs := binaries()) is None:
        give_up("PostgreSQL is not installed: apt-get install postgresql")
    server = Server(programs)
    yield server
    server.remove()


@pytest.fixture(scope="session")
def mysql() -> Iterator[MySQLServer]:
    """A MariaDB server, started at its first use. In CI its absence is a failure."""
    if not MySQLServer.is_installed():
        give_up("MariaDB is not installed: apt-get install mariadb-server-core")
    server = MySQLServer()
    yield server
    server.remove()


def give_up(reason: str) -> NoReturn:
    """Skip a test for what this machine lacks; in CI, fail."""
    (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Server | MySQLServer:
    """PostgreSQL's, where the test is not of `on_all_servers`."""
    return request.getfixturevalue(getattr(request, "param", "postgresql"))


@pytest.fixture
def database(server: Server | MySQLServer, request: pytest.FixtureRequest) -> str:
    """The URL of an empty database."""
    return database_for(request, server)


@pytest.fixture(params=["folder", "postgresql", "mysql"])
def storage(request: pytest.FixtureRequest) -> str | None:
    """The URL of an empty database; None: the study's folder has its own."""
    return None if request.param == "folder" else database_for(request, request.getfixturevalue(request.param))


def database_for(request: pytest.FixtureRequest, server: Server | MySQLServer) -> str:
    """Return the URL of an empty database, named by the test."""
    return server.new_database(hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:20])


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """The URL of a bucket on a server of this machine; all servers of one process have the same buckets."""
    import fsspec
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "me",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    bucket = hashlib.sha256(str(tmp_path).encode()).hexdigest()[:20]
    fsspec.get_filesystem_class("s3").clear_instance_cache()  # one of another server
    fsspec.filesystem("s3", skip_instance_cache=True).mkdir(bucket)
    yield f"s3://{bucket}/studies"
    server.stop()


def blobs(samples: int, seed: int, features: int = 12, classes: int = 4) -> tuple[Tensor, Tensor]:
    """Gaussian blobs around centres that are the same for every seed."""
    centres = 2 * torch.randn(classes, features, generator=torch.Generator().manual_seed(7))
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (samples,), generator=generator)
    return centres[labels] + torch.randn(samples, features, generator=generator), labels


def perceptron(seed: int = 0, features: int = 12, width: int = 16, classes: int = 4) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Linear(features, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, classes)
        )


def trained_perceptron() -> nn.Sequential:
    model = perceptron()
    x, y = blobs(400, 1)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    return model.eval()


@pytest.fixture(scope="session")
def dense() -> nn.Sequential:
    return trained_perceptron()


@pytest.fixture
def task(dense: nn.Sequential) -> Task:
    """A task whose trials take milliseconds."""
    return Task(
        dense,
        blobs(400, 1),
        blobs(200, 2),
        blobs(200, 3),
        name="blobs",
        finetune=FineTune(epochs=1, lr=1e-2, batch_size=100),
        calibration=200,
        trials=6,
    )


def go(task: Task, out: Path, **kwargs: Any) -> Result:
    return run(task, out=out, device="cpu", progress=False, **kwargs)


def dry_run(task: Task) -> list[str]:
    """Do a task's dry run; return its warnings."""
    from rankfront.objectives.dry_run import DryRun
    from rankfront.objectives.objective import Objective

    with tempfile.TemporaryDirectory() as folder:
        return DryRun.of(Objective(task, device=torch.device("cpu"))).run(Path(folder))
