"""What processes agree on: sums, one wish to stop, gradients of parts that some do not use.

The processes here are threads of one, which meet at every reduction as real ones do.
"""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from polysense.training.distributed import Totals, scale_gradients, sum_gradients, summed_totals


class Meeting:
    """`count` processes; each has an accelerator that sums over all."""

    def __init__(self, count):
        self.num_processes, self.device = count, torch.device("cpu")
        self.barrier = threading.Barrier(count, timeout=20)
        self.given = {}

    def reduce(self, tensor, how):
        assert how == "sum"
        self.given[threading.get_ident()] = tensor
        self.barrier.wait()
        total = sum(self.given.values())
        self.barrier.wait()
        return total

    def run(self, act):
        with ThreadPoolExecutor(self.num_processes) as pool:
            futures = [pool.submit(act, number) for number in range(self.num_processes)]
            return [future.result() for future in futures]


def test_one_that_would_stop_stops_all_after_the_same_step():
    meeting = Meeting(3)
    found = meeting.run(lambda n: summed_totals(float(n), 10 * n, n == 1, meeting))
    assert found == [Totals(3.0, 30, True)] * 3
    found = meeting.run(lambda n: summed_totals(1.0, 1, False, meeting))
    assert found == [Totals(3.0, 3, False)] * 3


def test_a_single_process_keeps_its_own():
    assert summed_totals(0.1, 7, True, Meeting(1)) == Totals(0.1, 7, True)


def test_gradients_are_summed_and_what_nobody_used_has_none():
    meeting = Meeting(2)
    owned = [[nn.Parameter(torch.zeros(2)) for _ in range(3)] for _ in range(2)]
    owned[0][0].grad, owned[1][0].grad = torch.tensor([1.0, 2.0]), torch.tensor([10.0, 20.0])
    owned[1][1].grad = torch.tensor([5.0, 5.0])
    meeting.run(lambda number: sum_gradients(owned[number], meeting))
    for first, second, third in owned:
        assert first.grad.tolist() == [11.0, 22.0]
        assert second.grad.tolist() == [5.0, 5.0]
        assert third.grad is None


@pytest.mark.parametrize("factor", [1.0, 0.5])
def test_gradients_are_scaled(factor):
    parameters = [nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))]
    parameters[0].grad = torch.tensor([4.0])
    scale_gradients(parameters, factor)
    assert parameters[0].grad.item() == 4.0 * factor
    assert parameters[1].grad is None
