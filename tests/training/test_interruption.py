"""Signals become a mark between steps; one that is sent twice at once is one, a later one ends."""

import signal

import pytest

from polysense.training import interruption
from polysense.training.interruption import interruptible


@pytest.fixture(autouse=True)
def ctrl_c():
    """As at a terminal; what was started in the background of a script ignores Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_becomes_a_mark_and_the_handlers_come_back(number):
    before = signal.getsignal(number)
    with interruptible() as stopped:
        assert not stopped
        signal.raise_signal(number)
        assert stopped
        signal.raise_signal(number)  # sent on at once, as torchrun does
    assert signal.getsignal(number) is before


def test_a_later_signal_ends_the_program_as_usual(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(interruption.time, "monotonic", lambda: now[0])
    with interruptible():
        signal.raise_signal(signal.SIGINT)
        now[0] += 10
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
