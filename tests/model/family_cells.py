"""The truth of each cell of docs/llm-families.md, computed on a tiny random LLM of the family.

Written anew by: PYTHONPATH=src:tests:tests/model python tests/model/family_cells.py
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from llm_families import FAMILIES, WIDTH, WORDS, family_llm
from torch.nn import functional

from polysense.config import InteractionConfig
from polysense.errors import PolysenseError
from polysense.model.capabilities import check_llm, find_capabilities
from polysense.model.decoder import label_hidden_loss, packed_form, packed_inputs
from polysense.model.interaction import build_interaction
from polysense.training.likelihood import likelihoods

TABLE = Path(__file__).parents[2] / "docs" / "llm-families.md"
COLUMNS = ("loads", "packs", "generates", "ranks", "trains", "gated", "adapter", "expert")
NO = "–"
HEAD = """# Families of LLMs

What holds for each family of LLMs of transformers. Each cell was computed on a tiny random LLM of
the family, with windows shorter than its prompts, by a test that compares it with the plain way
(tests/model/test_llm_families.py). Polysense goes by no list: it tries the same on your LLM at the
start (src/polysense/model/capabilities.py), and refuses in one line what does not work.

| column | what was compared |
|---|---|
| loads | the LLM is taken; one that cannot generate from embeddings is refused at loading |
| packs | samples that share a row, kept apart by `positions` or a `mask`, have the loss they have alone |
| generates | text from embeddings, with a cache, is that without |
| ranks | likelihoods of captions, as a prefix `tree` or in `rows`, are those one by one; a tree longer than the LLM's window becomes rows |
| trains | the loss at the labels is the LLM's own, with gradients to the signals |
| gated, adapter, expert | with this `interaction.kind` signals are seen, and text with a cache is that without |

"""  # noqa: E501


def embedded(llm: Any, ids: list[list[int]]) -> torch.Tensor:
    return llm.get_input_embeddings()(torch.tensor(ids)).detach()


def plain_likelihood(llm: Any, prompt: torch.Tensor, caption: list[int]) -> torch.Tensor:
    whole = torch.cat([prompt, embedded(llm, [caption])], dim=1)
    logits = llm(inputs_embeds=whole, use_cache=False).logits[0, prompt.shape[1] - 1 : -1]
    return logits.log_softmax(-1)[range(len(caption)), caption].sum()


@torch.no_grad()
def ranks(llm: Any) -> str:
    capabilities = find_capabilities(llm)
    captions = [[5, 9, 7, 2], [5, 9, 12, 13, 14, 15, 2], [20, 21, 22, 2], [2]]
    for length in (3, 12):
        prompts = embedded(llm, torch.randint(WORDS, (2, length)).tolist())
        found = likelihoods(llm, prompts, captions, capabilities)
        for row, prompt in zip(found, prompts, strict=True):
            expected = torch.stack([plain_likelihood(llm, prompt[None], c) for c in captions])
            assert torch.allclose(row, expected, atol=1e-3), (row, expected)
    return "tree" if capabilities.trees else "rows"


@torch.no_grad()
def generates(llm: Any, seeing: Any = None, steps: int = 4) -> bool:
    """Whether text with a cache is the text without."""
    context: Any = seeing or nullcontext
    prompt = embedded(llm, [list(range(3, 13))])
    with context():
        found = llm.generate(
            inputs_embeds=prompt, max_new_tokens=steps, min_new_tokens=steps, do_sample=False
        )[0]
    expected = []
    for _ in range(steps):
        with context():
            logits = llm(inputs_embeds=prompt, use_cache=False).logits[:, -1]
        logits[:, llm.generation_config.eos_token_id] = -torch.inf
        expected.append(int(logits.argmax()))
        prompt = torch.cat([prompt, embedded(llm, [expected[-1:]])], dim=1)
    return found.tolist() == expected


def plain_loss(llm: Any, sample: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    logits = llm(inputs_embeds=sample[None], use_cache=False).logits[0]
    return functional.cross_entropy(logits, targets, reduction="sum")


def trains(llm: Any) -> str:
    samples = torch.randn(2, 10, WIDTH, requires_grad=True)
    targets = torch.randint(WORDS, (2, 10)).masked_fill(torch.rand(2, 10) < 0.5, -100)
    expected = torch.stack([plain_loss(llm, *pair) for pair in zip(samples, targets, strict=True)])
    (wanted,) = torch.autograd.grad(expected.sum(), samples)
    inputs = {"attention_mask": torch.ones(2, 10, dtype=torch.long)}
    total = label_hidden_loss(llm, samples, targets, -100, inputs)
    (found,) = torch.autograd.grad(total, samples)
    assert torch.allclose(total, expected.sum(), rtol=1e-4)
    assert torch.allclose(found, wanted, rtol=1e-3, atol=1e-4 * float(wanted.abs().max()))
    return "yes"


@torch.no_grad()
def packs(llm: Any) -> str:
    form = packed_form(llm)
    if form is None:
        return NO
    lengths = [9, 5, 3]
    samples = [torch.randn(length, WIDTH) for length in lengths]
    targets = torch.randint(WORDS, (1, sum(lengths)))
    alone = [plain_loss(llm, *p) for p in zip(samples, targets[0].split(lengths), strict=True)]
    positions = torch.tensor([[place for length in lengths for place in range(length)]])
    inputs = packed_inputs(llm, positions)
    found = label_hidden_loss(llm, torch.cat(samples)[None], targets, -100, inputs)
    assert torch.allclose(found, torch.stack(alone).sum(), rtol=1e-4), (form, found, alone)
    return form


def fuses(family: str, kind: str) -> str:
    """Whether a kind of interaction works, its weights drawn at random; "–" where it is refused."""
    llm = family_llm(family)
    config = InteractionConfig(kind, every=None if kind == "adapter" else 1)
    try:
        interaction: Any = build_interaction(config, llm, ["image"])
    except PolysenseError:
        return NO
    for parameter in interaction.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    place = torch.arange(10)[None] == 6
    media = torch.randn(1, 1, 3, WIDTH)

    def seeing(signal: torch.Tensor = media) -> AbstractContextManager[None]:
        if kind == "expert":
            return interaction.expert.seeing(place)
        return interaction.attention.seeing(signal, place.cumsum(dim=1))

    prompt = embedded(llm, [list(range(3, 13))])
    with seeing():
        with_signal = llm(inputs_embeds=prompt, use_cache=False).logits
        with_signal.logsumexp(-1).sum().backward()
    bare = llm(inputs_embeds=prompt, use_cache=False).logits
    assert not torch.allclose(with_signal[:, -1], bare[:, -1], atol=1e-3), "the signal is not seen"
    inside = interaction.expert if kind == "expert" else interaction.attention
    assert all(p.grad is not None for p in inside.parameters())
    assert generates(llm, seeing)
    return "yes"


def cells(family: str) -> list[str]:
    """Return a family's row; a cell that would say yes and is wrong is an AssertionError."""
    llm = family_llm(family)
    try:
        check_llm(llm, family)
    except PolysenseError:
        return ["refused", *[NO] * (len(COLUMNS) - 1)]
    assert generates(llm)
    # Kinds first: what is drawn must not depend on what an LLM can do.
    fused = [fuses(family, kind) for kind in ("gated", "adapter", "expert")]
    torch.manual_seed(1)
    return ["yes", packs(llm), "yes", ranks(llm), trains(llm), *fused]


def line(values: list[str]) -> str:
    return "| " + " | ".join(values) + " |"


if __name__ == "__main__":
    rows = [line([family, *cells(family)]) for family in FAMILIES]
    names = [line(["family", *COLUMNS]), line(["---"] * (len(COLUMNS) + 1))]
    TABLE.write_text(HEAD + "\n".join([*names, *rows]) + "\n", encoding="utf-8")
