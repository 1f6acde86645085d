"""The order of data is a function of the step alone."""

from polysense.data.loading.sampler import BalancedSampler, grouped

TEN = (tuple(range(10)),)


def test_every_epoch_takes_every_sample_once_in_another_order():
    order = BalancedSampler(TEN, 4, seed=3)
    picks = [pick for step in range(order.steps(2)) for pick in order.at(step)][:20]
    first, second = picks[:10], picks[10:]
    assert sorted(p.index for p in first) == sorted(p.index for p in second) == list(range(10))
    assert [p.index for p in first] != [p.index for p in second]
    assert {p.epoch for p in second} == {1}


def test_a_step_asked_for_alone_is_the_same():
    whole = BalancedSampler(TEN, 4, 3)
    assert BalancedSampler(TEN, 4, 3).at(7) == [whole.at(step) for step in range(8)][7]
    assert BalancedSampler(TEN, 4, 3).at(0) != BalancedSampler(TEN, 4, 4).at(0)


def test_groups_take_turns_however_many_samples_they_have():
    modalities = ["image"] * 20 + ["audio"] * 3
    groups = grouped(modalities)
    assert groups == ((20, 21, 22), tuple(range(20)))
    order = BalancedSampler(groups, 6, seed=1)
    picks = [pick for step in range(10) for pick in order.at(step)]
    drawn = [pick.index for pick in picks if modalities[pick.index] == "audio"]
    assert len(drawn) == 30
    assert {index: drawn.count(index) for index in groups[0]} == dict.fromkeys(groups[0], 10)
    assert max(pick.epoch for pick in picks if modalities[pick.index] == "audio") == 9
    assert BalancedSampler(groups, 6, seed=1).at(9) == picks[-6:]


def test_groups_of_one_size_have_orders_of_their_own():
    order = BalancedSampler((tuple(range(20)), tuple(range(20))), 40, seed=1)
    picks = [pick.index for pick in order.at(0)]
    assert picks[::2] != picks[1::2]


def test_a_last_step_that_is_not_full_is_a_step():
    assert BalancedSampler(TEN, 4, 3).steps(1) == 3
    assert BalancedSampler(TEN, 5, 3).steps(0.5) == 1
