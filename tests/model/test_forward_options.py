"""A loss is a mean over labels: of a batch, or of all batches of a step; of none it is 0."""

import pytest
import torch

from polysense.errors import PolysenseError
from polysense.model.forward_options import checked_options, loss_output


def test_the_loss_is_divided_by_the_labels():
    total = torch.tensor(12.0)
    assert loss_output(total, torch.tensor(4)).loss == 3
    assert loss_output(total, torch.tensor(4), num_items_in_batch=6).loss == 2
    assert loss_output(torch.tensor(0.0), torch.tensor(0)).loss == 0
    assert loss_output(total, torch.tensor(4), return_dict=False)[0] == 3


def test_what_is_switched_off_may_be_said_beside_labels():
    assert checked_options({"output_hidden_states": False}, has_labels=True) == {}
    with pytest.raises(PolysenseError, match="output_hidden_states"):
        checked_options({"output_hidden_states": True}, has_labels=True)
