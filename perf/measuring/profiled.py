"""Where a step of alignment goes: the parts of a step, timed one after the other."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any

import torch
from torch.nn import functional

from polysense.data.chat.chat_tokenizer import IGNORED
from polysense.model.llm.capabilities import language_head
from polysense.model.llm.linear_cross_entropy import linear_loss
from polysense.model.llm.packed_attention import packed_inputs
from polysense.model.polysense_model import PolysenseModel
from polysense.training.loop import StageRun


class Clock:
    """Seconds by the name of what they went to."""

    def __init__(self) -> None:
        self.spent: dict[str, list[float]] = {}

    @contextmanager
    def on(self, what: str) -> Iterator[None]:
        """Note the seconds of a block."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        started = time.perf_counter()
        yield
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.spent.setdefault(what, []).append(time.perf_counter() - started)


def profile(
    model: PolysenseModel,
    run: StageRun,
    trainable: dict[str, torch.nn.Parameter],
    optimizer: Any,
    rounds: int = 3,
) -> dict[str, float]:
    """Return the median seconds of each part of a packed step; the LLM's head must be known."""
    clock, llm = Clock(), model.llm
    capabilities = model.capabilities
    assert capabilities.logit_transform is not None
    head = language_head(llm, capabilities.logit_transform)
    for number in range(rounds):
        optimizer.zero_grad(set_to_none=True)
        with clock.on("reading features, packing rows"):
            batch = run.data.batch(run.order.at(number)).to(model.device)
            targets = functional.pad(batch["labels"][:, 1:], (0, 1), value=IGNORED)
            inputs = packed_inputs(llm, batch["position_ids"], capabilities.packed_form)
        with clock.on("connector and splice, forward"):
            context = model.multimodal_inputs(**batch)
            prompt = context.__enter__()
            leaf = prompt.detach().requires_grad_()
        with clock.on("LLM's layers, forward"):
            states = llm.get_decoder()(inputs_embeds=leaf, use_cache=False, **inputs)
            hidden = states.last_hidden_state
            top = hidden.detach().requires_grad_()
        with clock.on("loss at the labels, forward and backward"):
            here = targets != IGNORED
            (gradient,) = torch.autograd.grad(
                linear_loss(head, top[here], targets[here]) / here.sum(), top
            )
        with clock.on("LLM's layers, backward"):
            (gradient,) = torch.autograd.grad(hidden, leaf, gradient)
        with clock.on("connector, backward"):
            prompt.backward(gradient)
            context.__exit__(None, None, None)
        with clock.on("clipping and AdamW"):
            torch.nn.utils.clip_grad_norm_(trainable.values(), run.stage.max_grad_norm)
            optimizer.step()
    return {what: median(values) for what, values in clock.spent.items()}
