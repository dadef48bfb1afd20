"""What a worker sends to its supervisor, and when."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from rankfront.search.parallel.channel import INTERVAL_S, Channel

Sent = list[list[Any]]


@pytest.fixture
def sent() -> Sent:
    return []


@pytest.fixture
def channel(sent: Sent) -> Channel:
    return Channel(lambda line: sent.append(json.loads(line)))


@pytest.fixture
def pass_time(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    now = 0.0

    def later(seconds: float) -> None:
        nonlocal now
        now += seconds

    monkeypatch.setattr("time.monotonic", lambda: now)
    return later


def test_nothing_is_sent_before_trials_can_begin(channel: Channel, sent: Sent) -> None:
    channel.say("dense model: …")
    channel("decomposing", 1, 2)
    assert sent == []
    channel.ready()
    channel.say("a\nb")
    channel.say_once("topic", "c")
    channel.say_once("topic", "")
    channel.finish("decomposing")
    assert sent == [["ready"], ["say", "a\nb"], ["once", "topic", "c"], ["finish", "decomposing"]]


def test_an_error_is_always_sent(channel: Channel, sent: Sent) -> None:
    channel.fail("the disk is full")
    assert sent == [["error", "the disk is full"]]


def test_how_far_it_is_is_sent_now_and_then(channel: Channel, sent: Sent, pass_time: Callable[[float], None]) -> None:
    channel.ready()
    for done in range(1, 101):
        channel("[1/4] trial 0", done, 100)
        pass_time(INTERVAL_S / 10)
    assert 5 < len(sent) < 20 and sent[1] == ["work", "[1/4] trial 0", 1, 100]
    assert sent[-1] == ["work", "[1/4] trial 0", 100, 100]
