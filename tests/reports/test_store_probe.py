"""The probe of the store, with stores that answer when they are let."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from reports import store_probe
from reports.exceptions import StoreUnavailable
from reports.store_probe import StoreProbe


class Slow:
    """A store that is opened when `answers` is set, and then says `trouble`."""

    def __init__(self, trouble: str | None = None) -> None:
        self.answers, self.trouble, self.asked = threading.Event(), trouble, 0

    @contextmanager
    def reading(self) -> Iterator[Any]:
        self.asked += 1
        self.answers.wait()
        if self.trouble is not None:
            raise StoreUnavailable("busy", self.trouble)
        yield self

    def rows(self, sql: str, arguments: object = ()) -> list[dict[str, int]]:
        return [{"has": 1}]


async def test_a_store_that_does_not_answer_is_told_before_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_probe, "SOON_S", 0.05)
    store = Slow()
    probe = StoreProbe(store)
    try:
        for _ in range(3):
            assert "has not answered for" in str(await probe.reason())
        assert store.asked == 1  # nobody begins a second login beside one that waits
    finally:
        store.answers.set()
    monkeypatch.undo()
    assert await probe.reason() is None
    assert await probe.reason() is None
    assert store.asked == 2


async def test_the_trouble_of_a_store_is_its_reason() -> None:
    store = Slow("it does not answer")
    store.answers.set()
    assert await StoreProbe(store).reason() == "it does not answer"
