"""The order of data and the learning rate are functions of the step alone."""

from polysense.config import Stage
from polysense.training.order import Order, learning_rate


def test_every_epoch_takes_every_sample_once_in_another_order():
    order = Order(10, 4, seed=3)
    picks = [pick for step in range(order.steps(2)) for pick in order.at(step)][:20]
    first, second = picks[:10], picks[10:]
    assert sorted(p.index for p in first) == sorted(p.index for p in second) == list(range(10))
    assert [p.index for p in first] != [p.index for p in second]
    assert {p.epoch for p in second} == {1}


def test_a_step_asked_for_alone_is_the_same():
    assert Order(10, 4, 3).at(7) == [Order(10, 4, 3).at(step) for step in range(8)][7]
    assert Order(10, 4, 3).at(0) != Order(10, 4, 4).at(0)


def test_learning_rate_warms_up_and_falls_to_the_minimum():
    stage = Stage("s", ("x",), learning_rate=1.0, minimum_rate=0.1, warmup=0.1)
    rates = [learning_rate(stage, step, 100) for step in range(100)]
    assert rates[0] == 0.1
    assert max(rates) == rates[10] == 1.0
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert abs(rates[-1] - 0.1) < 0.001
