"""An LLM's two halves, layers and head, and how several samples share a row of its layers.

transformers has one interface for a whole causal LLM and no promise about its inside. So nothing is
believed here: each shortcut is tried once on an LLM, on a few positions, against the LLM itself.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, TypeVar
from weakref import WeakKeyDictionary

import torch
from torch import nn
from torch.nn import functional

from polysense.errors import PolysenseError
from polysense.model.linear_loss import LanguageHead, linear_loss

PackedForm = Literal["positions", "mask"]
Found = TypeVar("Found")
# What an LLM raises that takes no such argument, or no mask of this shape.
REFUSALS = (
    AttributeError,
    IndexError,
    KeyError,
    NotImplementedError,
    RuntimeError,
    TypeError,
    ValueError,
)
_after_head: WeakKeyDictionary[nn.Module, dict[str, Any] | None] = WeakKeyDictionary()
_forms: WeakKeyDictionary[nn.Module, PackedForm | None] = WeakKeyDictionary()


def once(
    memory: WeakKeyDictionary[nn.Module, Found], llm: Any, find: Callable[[Any], Found]
) -> Found:
    """Return what `find` says of an LLM, asked once."""
    if llm not in memory:
        memory[llm] = find(llm)
    return memory[llm]


def language_head(llm: Any) -> LanguageHead | None:
    """Return the head that turns the decoder's last hidden state into the LLM's logits, if known.

    None where the LLM does something to its logits that LanguageHead does not describe.
    """
    after = once(_after_head, llm, _find_after_head)
    return None if after is None else LanguageHead(llm.get_output_embeddings(), **after)


def packed_form(llm: Any) -> PackedForm | None:
    """Return how an LLM is told where samples that share a row begin, or None: it cannot be.

    "positions": restarted position ids are enough, the mask follows from them. "mask": it needs the
    mask too. None: recurrent LLMs (Mamba) and those whose positions come from the mask (ALiBi).
    """
    return once(_forms, llm, _find_form)


def label_hidden_loss(
    llm: Any, embeddings: torch.Tensor, targets: torch.Tensor, ignored: int, inputs: dict[str, Any]
) -> torch.Tensor:
    """Return the summed cross-entropy, in nats, at the targets [B, T] that are not `ignored`.

    embeddings: [B, T, D]; `inputs` are the LLM's other arguments. Hidden states are gathered at the
    labels before the head sees them; where the head is unknown, the LLM itself makes the logits of
    every column that some row has a label in.
    """
    here = targets != ignored
    head = language_head(llm)
    if head is not None:
        states = llm.get_decoder()(inputs_embeds=embeddings, use_cache=False, **inputs)
        return linear_loss(head, states.last_hidden_state[here], targets[here])
    columns = here.any(dim=0).nonzero().squeeze(1)
    logits = logits_at(llm, columns, inputs_embeds=embeddings, use_cache=False, **inputs)
    wanted = targets[:, columns].flatten()
    return functional.cross_entropy(
        logits.float().flatten(0, 1), wanted, ignore_index=ignored, reduction="sum"
    )


def logits_at(llm: Any, columns: torch.Tensor, **inputs: Any) -> torch.Tensor:
    """Return an LLM's logits [B, len(columns), V] at some columns; others are not made, if it can.

    An LLM that has no `logits_to_keep`, or has it and takes no notice, makes those of all.
    """
    if "logits_to_keep" not in inspect.signature(llm.forward).parameters:
        return llm(**inputs).logits[:, columns]
    logits = llm(**inputs, logits_to_keep=columns).logits
    length = inputs["inputs_embeds"].shape[1]
    made_all = logits.shape[1] == length and len(columns) < length
    return logits[:, columns] if made_all else logits


def packed_inputs(
    llm: Any, position_ids: torch.Tensor, form: PackedForm | None = None
) -> dict[str, Any]:
    """Return the arguments that keep samples apart whose positions [B, T] restart in a row at 0.

    Raises PolysenseError where this LLM cannot keep them apart.
    """
    form = form or packed_form(llm)
    if form is None:
        raise PolysenseError(
            f"{type(llm).__name__} cannot keep samples apart that share a row: set packing=false "
            "in the stage"
        )
    inputs: dict[str, Any] = {"position_ids": position_ids}
    if form == "mask":
        inputs["attention_mask"] = block_mask(position_ids, llm.dtype)
    return inputs


def branch_logits(
    llm: Any, prompts: torch.Tensor, tokens: Sequence[int], seen: torch.Tensor
) -> torch.Tensor:
    """Run a tree of tokens behind prompts [N, T, D] in one pass; return logits [N, 1 + n, V].

    seen: bool [n, n], true where a token sees another: itself and what leads to it. The first
    logits are those after the prompt, the others those after each token.
    """
    (count, start, _), device = prompts.shape, prompts.device
    ids = torch.tensor([tokens], dtype=torch.long, device=device)
    words = llm.get_input_embeddings()(ids).to(prompts.dtype).expand(count, -1, -1)
    total = start + len(tokens)
    all_seen = torch.ones(total, total, dtype=torch.bool).tril()
    all_seen[start:, start:] = seen
    mask = torch.zeros(total, total, dtype=prompts.dtype)
    mask.masked_fill_(~all_seen, torch.finfo(prompts.dtype).min)
    places = torch.cat([torch.arange(start), start - 1 + seen.sum(dim=1)])
    return logits_at(
        llm,
        torch.arange(start - 1, total, device=device),
        inputs_embeds=torch.cat([prompts, words], dim=1),
        attention_mask=mask.expand(count, 1, -1, -1).to(device),
        position_ids=places.expand(count, -1).to(device),
        use_cache=False,
    )


def document_index(position_ids: torch.Tensor) -> torch.Tensor:
    """positions [B, T] that restart at 0 -> the number of each position's sample in its row."""
    return (position_ids == 0).cumsum(dim=1) - 1


def block_mask(position_ids: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return the mask [B, 1, T, T] to add to attention: 0 for one's own sample so far."""
    document = document_index(position_ids)
    own = (document[:, :, None] == document[:, None, :]).tril()
    mask = torch.zeros(own.shape, dtype=dtype, device=own.device)
    return mask.masked_fill_(~own, torch.finfo(dtype).min)[:, None]


def _find_after_head(llm: Any) -> dict[str, Any] | None:
    """Return LanguageHead's options from the LLM's config, if they give the LLM's logits."""
    config = llm.config.get_text_config()
    linear, decoder = llm.get_output_embeddings(), llm.get_decoder()
    if linear is None or decoder is llm or not hasattr(linear, "weight"):
        return None
    scale = float(getattr(config, "logit_scale", None) or 1.0)
    scale /= float(getattr(config, "logits_scaling", None) or 1.0)
    after = {"scale": scale, "softcap": getattr(config, "final_logit_softcapping", None)}
    with untouched(llm):
        embeddings = some_embeddings(llm, 4)[None]
        given = llm(inputs_embeds=embeddings, use_cache=False).logits
        try:
            states = decoder(inputs_embeds=embeddings, use_cache=False).last_hidden_state
        except REFUSALS:
            return None  # its `get_decoder` gives something else (ModernBERT's a linear layer)
        return after if alike(LanguageHead(linear, **after)(states), given, llm.dtype) else None


def _find_form(llm: Any) -> PackedForm | None:
    """Compare two rows of samples with the same samples alone, first by positions, then by mask."""
    rows = [[5, 3, 1], [2, 7]]
    forms: list[PackedForm] = ["positions"]
    # A window of attention is in the mask that the LLM makes itself; ours would replace it.
    if getattr(llm.config.get_text_config(), "sliding_window", None) is None:
        forms.append("mask")
    with untouched(llm):
        words = some_embeddings(llm, 9)
        packed = torch.stack([torch.cat([words[:length] for length in row]) for row in rows])
        positions = torch.tensor([[p for n in row for p in range(n)] for row in rows])
        alone = llm(inputs_embeds=words[None], use_cache=False).logits[0]
        wanted = torch.stack([torch.cat([alone[:length] for length in row]) for row in rows])
        for form in forms:
            inputs = packed_inputs(llm, positions.to(packed.device), form)
            try:
                found = llm(inputs_embeds=packed, use_cache=False, **inputs).logits
            except REFUSALS:
                continue
            if alike(found, wanted, llm.dtype):
                return form
    return None


def some_embeddings(llm: Any, count: int) -> torch.Tensor:
    """Return the embeddings [count, D] of some words, all different, without chance."""
    return llm.get_input_embeddings()(some_words(llm, count)).to(llm.dtype)


def some_words(llm: Any, count: int) -> torch.Tensor:
    """Return ids [count] of words, all different where there are as many, without chance."""
    weight = llm.get_input_embeddings().weight
    return torch.arange(count, device=weight.device) * 7 % weight.shape[0]


def alike(found: torch.Tensor, wanted: torch.Tensor, dtype: torch.dtype) -> bool:
    """Whether two results differ by rounding only."""
    tolerance = 1e-3 if dtype == torch.float32 else 5e-2
    difference = (found.float() - wanted.float()).norm()
    return found.shape == wanted.shape and bool(difference <= tolerance * wanted.float().norm())


@contextmanager
def untouched(llm: nn.Module) -> Iterator[None]:
    """Ask an LLM something, without dropout or gradients, and leave it as it was."""
    modes = {module: module.training for module in llm.modules()}
    llm.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode
