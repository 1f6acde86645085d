"""The chunked loss equals the plain one, value and gradients, and never makes all logits."""

import pytest
import torch
from peft import LoraConfig, inject_adapter_in_model
from torch import nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from polysense.model.llm import linear_cross_entropy as module
from polysense.model.llm.linear_cross_entropy import LanguageHead, linear_loss

WIDTH, VOCABULARY, POSITIONS = 8, 50, 23


def a_head(kind):
    """A head with weights that learn, of one kind."""
    linear = nn.Linear(WIDTH, VOCABULARY, bias=kind == "bias")
    if kind == "frozen":
        linear.requires_grad_(False)
    if kind == "lora":
        whole = nn.ModuleDict({"lm_head": linear})
        inject_adapter_in_model(LoraConfig(r=2, target_modules=["lm_head"]), whole)
        nn.init.normal_(whole["lm_head"].lora_B["default"].weight)
        return LanguageHead(whole["lm_head"])
    return LanguageHead(
        linear,
        scale=0.3 if kind == "scale" else 1.0,
        softcap=2.0 if kind == "softcap" else None,
    )


def loss_and_gradients(head, hidden, loss_of):
    hidden = hidden.clone().requires_grad_()
    trainable = [weight for weight in head.parameters() if weight.requires_grad]
    loss = loss_of(hidden)
    return loss, torch.autograd.grad(loss * 0.5, [hidden, *trainable])


@pytest.mark.parametrize("kind", ["plain", "bias", "frozen", "scale", "softcap", "lora"])
@pytest.mark.parametrize("chunk", [1, 4 * VOCABULARY, 2**24])
@pytest.mark.parametrize("with_torch", [True, False])
def test_equals_the_plain_loss(kind, chunk, with_torch, monkeypatch):
    if not with_torch:
        monkeypatch.setattr(module, "torch_does", lambda *_: False)
    head = a_head(kind)
    hidden = torch.randn(POSITIONS, WIDTH)
    targets = torch.randint(VOCABULARY, (POSITIONS,))
    expected = loss_and_gradients(
        head, hidden, lambda h: functional.cross_entropy(head(h), targets, reduction="sum")
    )
    found = loss_and_gradients(head, hidden, lambda h: linear_loss(head, h, targets, chunk))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    with torch.no_grad():
        alone = linear_loss(head, hidden, targets, chunk)
    torch.testing.assert_close(alone, expected[0], rtol=1e-5, atol=1e-5)


def test_bf16_sums_in_fp32_and_autocast_learns_an_fp32_head():
    head = a_head("plain")
    hidden, targets = torch.randn(2000, WIDTH), torch.randint(VOCABULARY, (2000,))
    wanted = functional.cross_entropy(head(hidden), targets, reduction="sum")
    with torch.autocast("cpu", torch.bfloat16):
        total = linear_loss(head, hidden.requires_grad_(), targets, 100 * VOCABULARY)
    total.backward()
    assert total.dtype == torch.float32
    assert float(total.detach()) == pytest.approx(float(wanted.detach()), rel=1e-3)
    assert head.linear.weight.grad.dtype == torch.float32
    assert head.linear.weight.grad.norm() > 0


def test_no_labels_are_a_loss_of_zero_with_a_gradient_of_zero():
    head, hidden = a_head("plain"), torch.randn(0, WIDTH, requires_grad=True)
    total = linear_loss(head, hidden * 1, torch.zeros(0, dtype=torch.long))
    total.backward()
    assert float(total.detach()) == 0
    assert head.linear.weight.grad.abs().sum() == 0
    with torch.no_grad():
        assert float(linear_loss(head, hidden, torch.zeros(0, dtype=torch.long))) == 0


class Largest(TorchDispatchMode):
    """Notes the size of the largest tensor that any operation makes."""

    size = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for value in out if isinstance(out, tuple | list) else [out]:
            if isinstance(value, torch.Tensor):
                self.size = max(self.size, value.numel())
        return out


@pytest.mark.parametrize("kind", ["frozen", "softcap"])
def test_no_tensor_grows_with_positions_times_vocabulary(kind, monkeypatch):
    monkeypatch.setattr(module, "torch_does", lambda *_: False)  # its inside is one operation
    head, chunk = a_head(kind), 10 * VOCABULARY
    for positions in (100, 400):
        hidden = torch.randn(positions, WIDTH, requires_grad=True)
        with Largest() as largest:
            linear_loss(head, hidden, torch.zeros(positions, dtype=torch.long), chunk).backward()
        assert largest.size <= max(chunk, positions * WIDTH, VOCABULARY * WIDTH)
