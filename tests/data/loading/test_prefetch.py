"""Reading ahead keeps the order, hands errors on at their item, and counts the waiting."""

import threading
import time

import pytest

from polysense.data.loading import prefetch as ahead
from polysense.data.loading.prefetch import Prefetcher
from polysense.errors import PolysenseError


@pytest.mark.parametrize("depth", [0, 1, 4])
def test_items_come_in_order_whatever_takes_longest(depth):
    def make(number):
        time.sleep(0.01 * (number % 3 == 0))
        return number * 2

    with Prefetcher(make, iter(range(10)), depth) as items:
        assert list(items) == [2 * number for number in range(10)]


def test_items_are_made_before_they_are_asked_for_but_not_more_than_the_depth():
    made, fourth = [], threading.Event()

    def make(number):
        made.append(number)
        if number == 3:
            fourth.set()
        return number

    with Prefetcher(make, iter(range(100)), 3) as items:
        assert next(items) == 0
        assert fourth.wait(10)
        time.sleep(0.05)
        assert sorted(made) == [0, 1, 2, 3]


def test_an_error_is_raised_at_its_item():
    def make(number):
        if number == 2:
            raise PolysenseError("file 2 is damaged")
        return number

    with Prefetcher(make, iter(range(5)), 4) as items:
        assert [next(items), next(items)] == [0, 1]
        with pytest.raises(PolysenseError, match="file 2"):
            next(items)


def test_waiting_is_counted_and_work_in_between_is_not(monkeypatch):
    clock = [0.0]  # our own, since a loaded machine makes everybody wait
    monkeypatch.setattr(ahead.time, "monotonic", lambda: clock[0])

    def slow(number):
        clock[0] += 2.0
        return number

    with Prefetcher(slow, iter(range(3)), 0) as items:
        for number in items:
            assert items.waited == 2.0 * (number + 1)
            clock[0] += 100.0  # a step
