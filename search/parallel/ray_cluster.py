"""Workers on the nodes of a Ray cluster: an implementation of `place.Place`.

An actor starts the same process on its node as `Child` does here, and passes on what that says. The process ends with
its actor, and the actor with its node or with the supervisor. Ray chooses the node by the CPUs and GPUs that a worker
asks for; where no node has them free, the worker waits for one.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

# In a process that `uv run` began Ray would send the current folder, data and all, to every node, and make an
# environment there. Workers here use the nodes' own; who wants the other sets the variable to 1.
os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")

import ray
from ray.exceptions import ActorDiedError, ActorUnavailableError, RayError

from ...objectives.boundary import sentence
from ...objectives.errors import RankfrontError
from .events import Event
from .handle import Events
from .ray_host import Host
from .shares import environment_of

NODE = "the loss of its node"

PAUSE_S = 1.0
"""Between two tries to reach an actor."""

REACH_S = 10.0
"""How long the cluster's head may take to answer."""

GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""How a connection to Ray, which speaks HTTP/2, begins; a server answers it at once."""

OWN = ("num_cpus", "num_gpus", "memory")
"""Resources that Ray itself knows; others are the cluster's."""


@contextlib.contextmanager
def connected(address: str) -> Iterator[None]:
    """Connect this process to a cluster, where it is not connected yet.

    Raises:
        RankfrontError: there is none at that address.
    """
    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    handler = signal.getsignal(signal.SIGTERM)
    try:
        _reach(address)
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:  # Ray raises ConnectionError, ValueError, RuntimeError …
        raise RankfrontError(
            f"address must be that of a Ray cluster that runs, but {address} is none ({sentence(error)}): `ray start "
            "--head` begins one, `ray start --address=HOST:6379` on other machines joins them to it"
        ) from error
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, handler)  # Ray's own would end this process before its workers are stopped
    try:
        yield
    finally:
        ray.shutdown()


def _reach(address: str) -> None:
    """Raise `OSError` where nothing answers at HOST:PORT, which Ray itself finds out after minutes."""
    host, _, port = address.rpartition("/")[2].rpartition(":")
    if port.isdecimal():
        with socket.create_connection((host, int(port)), REACH_S) as connection:
            connection.sendall(GREETING)
            connection.recv(1)


class RayCluster:
    """Starts workers on the cluster that this process is connected to.

    Args:
        code: the Python statements that each worker runs.
        resources: what each worker asks Ray for: `OWN`, or one of the cluster's own.
    """

    def __init__(self, code: str, resources: Mapping[str, float]) -> None:
        self._code = code
        gpus = resources.get("num_gpus", 1 if ray.cluster_resources().get("GPU") else 0)
        self._resources = {"num_cpus": 1, **resources, "num_gpus": gpus}

    @property
    def device(self) -> str:
        """What workers compute on: ``cuda`` or ``cpu``."""
        return "cuda" if self._resources["num_gpus"] else "cpu"

    def room(self) -> int:
        """Return how many workers the cluster's nodes have room for, those that are busy included."""
        names = {"num_cpus": "CPU", "num_gpus": "GPU"}
        asked = {names.get(name, name): amount for name, amount in self._resources.items() if amount}
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        return max(1, sum(int(min(node.get(name, 0) // amount for name, amount in asked.items())) for node in nodes))

    def shown(self, count: int) -> str:
        """Return what each worker asks for."""
        return ", ".join(f"{name} {amount:g}" for name, amount in self._resources.items() if amount)

    def start(self, number: int, count: int, job: bytes, events: Events) -> RayActor:
        """Start a worker on any node."""
        own = {name: amount for name, amount in self._resources.items() if name in OWN}
        others = {name: amount for name, amount in self._resources.items() if name not in OWN}
        environment = environment_of(max(1, int(self._resources["num_cpus"])))
        # Several methods at once: `events` waits, and may be asked again where its answer was lost.
        options = {**own, "resources": others, "max_concurrency": 8, "max_restarts": 0}
        actor = ray.remote(Host).options(**options).remote(list(sys.path))
        return RayActor(number, actor, (number, self._code, job, environment), events)


class RayActor:
    """A worker on a node, as its supervisor sees it.

    Args:
        number: the worker's, from 1.
        actor: a `Host`.
        begin: what its `begin` is called with.
        events: takes what the worker says; how it ended comes last.
    """

    def __init__(self, number: int, actor: Any, begin: tuple[object, ...], events: Events) -> None:
        self.number = number
        self._actor, self._events = actor, events
        self._begun = False
        threading.Thread(target=self._relay, args=(begin,), daemon=True).start()

    def stop(self) -> None:
        """Ask it to end; one that waits for a node ends at once."""
        if self._begun:
            self._actor.stop.remote()
        else:
            self.kill()

    def kill(self) -> None:
        """End it at once."""
        with contextlib.suppress(RayError):
            ray.kill(self._actor)

    def _relay(self, begin: tuple[object, ...]) -> None:
        """Pass on what the worker says, and how it ended."""
        seen, kind = 0, None
        try:
            self._answer(self._actor.begin, *begin)
            self._begun = True
            while kind != Event.EXIT:
                for event in self._answer(self._actor.events, seen):
                    seen, kind = seen + 1, event[0]
                    self._events.put((self, event))
            self.kill()
        except Exception as error:
            # Of its process's own death the actor would have told. An actor that cannot be made dies by an error that
            # the next one would meet, too.
            if isinstance(error, ActorDiedError) and "creation task" not in str(error):
                self._events.put((self, [Event.LOST, NODE]))
            else:
                said = " ".join(str(error).split())[-500:]
                self._events.put((self, [Event.ERROR, f"Ray must be able to run a worker, but failed: {said}"]))
                self._events.put((self, [Event.EXIT, "an error of Ray"]))

    def _answer(self, method: Any, *arguments: object) -> Any:
        """Return what the actor answers; one that cannot be reached is asked until it can, or is known to be dead."""
        while True:
            try:
                return ray.get(method.remote(*arguments))
            except ActorUnavailableError:
                time.sleep(PAUSE_S)
