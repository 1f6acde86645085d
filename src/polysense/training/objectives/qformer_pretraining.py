"""BLIP-2's first stage (arXiv 2301.12597, section 3.1): three objectives on signals and captions.

contrast  which caption of the batch is a signal's, and which signal a caption's (ITC)
match     is this caption of this signal; the wrong ones are those the contrast likes most (ITM)
caption   the caption's next word, which sees the signal through the queries alone (ITG)

Each is a sum over this process's samples; other signals and captions come from all processes.
Accumulated micro-batches are batches of their own: the more samples in one, the harder the wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch.nn import functional

from polysense.config import Stage
from polysense.errors import PolysenseError
from polysense.model.connectors.qformer_pretraining import QFormerPretrainingBranch, similarity
from polysense.model.polysense_model import PolysenseModel
from polysense.training.objectives.all_gather import (
    all_gather_rows,
    all_gather_with_grad,
    first_row,
)
from polysense.types import Batch, Sample

SMOOTHING = 0.1  # of the labels of contrast and caption
LEAST = 1e-4  # so that every wrong pair can be drawn


@dataclass(frozen=True)
class Pairs:
    """Signals [N, F, E] of one modality and their captions [N, L], among the W of all processes."""

    branch: QFormerPretrainingBranch
    features: torch.Tensor
    text_ids: torch.Tensor
    decoder_input_ids: torch.Tensor
    text_mask: torch.Tensor

    @property
    def own(self) -> torch.Tensor:
        """Where the N own pairs stand among the W."""
        first, rows = first_row(len(self.features)), len(self.features)
        return torch.arange(first, first + rows, device=self.features.device)

    @cached_property
    def everyone(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Features [W, F, E], text_ids and text_mask [W, L] of all processes."""
        ids, mask = all_gather_rows(self.text_ids), all_gather_rows(self.text_mask)
        return all_gather_with_grad(self.features), ids, mask

    @cached_property
    def logits(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Of each own signal all captions, and of each own caption all signals: [N, W] both."""
        signals = self.branch.signal_points(self.features)
        texts = self.branch.text_points(self.text_ids, self.text_mask)
        by_signal = similarity(signals, all_gather_with_grad(texts))
        by_text = similarity(all_gather_with_grad(signals), texts).T
        return self.branch.scaled_logits(by_signal), self.branch.scaled_logits(by_text)


def itc(pairs: Pairs) -> torch.Tensor:
    """ITC: cross-entropy over the W captions, and over the W signals; their mean."""
    return sum(
        functional.cross_entropy(side, pairs.own, reduction="sum", label_smoothing=SMOOTHING) / 2
        for side in pairs.logits
    )  # pyright: ignore[reportReturnType]


def itm(pairs: Pairs) -> torch.Tensor:
    """ITM: each pair as it is, with another signal, and with another caption; their mean.

    A pair of which every other caption is the same has no wrong one, and counts as it is.
    """
    features, ids, mask = pairs.everyone
    # BLIP-2 takes every other pair for wrong; the same caption twice is no such thing.
    rows = ids * mask
    wrong = (rows[pairs.own][:, None] != rows[None]).any(dim=-1)
    signal, text = (hard_negatives(side, wrong) for side in pairs.logits[::-1])
    verdicts = pairs.branch.itm_logits(
        torch.cat([pairs.features, features[signal], pairs.features]),
        torch.cat([ids[pairs.own], ids[pairs.own], ids[text]]),
        torch.cat([mask[pairs.own], mask[pairs.own], mask[text]]),
    )
    count = len(pairs.features)
    truth = torch.arange(3 * count, device=ids.device) < count
    losses = functional.cross_entropy(verdicts.float(), truth.long(), reduction="none")
    there = wrong.any(dim=1).repeat(3) | truth
    return (losses * there).sum() / 3


@torch.no_grad()
def hard_negatives(logits: torch.Tensor, wrong: torch.Tensor) -> torch.Tensor:
    """Draw of each row of logits [N, W] one of the `wrong` [N, W], likely ones first; [N].

    A row without any draws whatever: the caller does not count it.
    """
    weights = (logits.softmax(dim=1) + LEAST) * wrong
    weights = weights.masked_fill(~wrong.any(dim=1, keepdim=True), 1.0)
    return torch.multinomial(weights, 1)[:, 0]


def itg(pairs: Pairs) -> torch.Tensor:
    """ITG: cross-entropy of the captions' words, each word of all processes weighing the same."""
    logits = pairs.branch.itg_logits(pairs.features, pairs.decoder_input_ids, pairs.text_mask)[
        :, :-1
    ]
    here = pairs.text_mask[:, 1:].bool()
    total = functional.cross_entropy(
        logits[here].float(),
        pairs.decoder_input_ids[:, 1:][here],
        reduction="sum",
        label_smoothing=SMOOTHING,
    )
    counts = all_gather_with_grad(
        torch.stack([here.sum(), here.new_tensor(len(here), dtype=torch.long)])[None]
    )
    words, samples = counts.sum(dim=0)
    return total * samples / words


PARTS: dict[str, Callable[[Pairs], torch.Tensor]] = {
    "itc": itc,
    "itm": itm,
    "itg": itg,
}


def paired(
    model: PolysenseModel, batch: Batch, parts: Sequence[str]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Add up the objectives `parts`, each weighing 1: (sum in nats, samples)."""
    sources = dict(batch["features"]) | {
        name: model.extract_features(name, signals) for name, signals in batch["signals"].items()
    }
    if len(sources) != 1:
        raise PolysenseError(
            f"{'+'.join(parts)} compares signals of one modality, and the batch has "
            f"{', '.join(sources) or 'none'}: name one in the stage's modalities"
        )
    modality, features = next(iter(sources.items()))
    branch = paired_branch(model, modality)
    features = features.to(branch.former.queries.dtype)
    captions = batch["captions"]
    if len(features) != len(captions["text_ids"]):
        raise PolysenseError(
            f"{len(features)} signals and {len(captions['text_ids'])} captions: "
            f"{'+'.join(parts)} takes samples of one signal"
        )
    pairs = Pairs(branch, features, **captions)
    total = torch.stack([PARTS[name](pairs) for name in parts]).sum()
    return total, torch.tensor(len(features))


def check_pairs(model: PolysenseModel, stage: Stage, processes: int) -> None:
    """Check before any work that a stage's model and batches are such as these objectives need."""
    for name in stage.modalities or model.modalities:
        paired_branch(model, name)
    parts = processes * stage.gradient_accumulation_steps
    if stage.batch_size % parts or stage.batch_size < 2 * parts:
        raise PolysenseError(
            f"stages.{stage.name}.batch_size={stage.batch_size}: {stage.objective} compares the "
            f"samples of a micro-batch, so that each of the {parts} (processes x "
            "gradient_accumulation_steps) needs as many, and two at least"
        )


def check_one_signal(stage: Stage, samples: Sequence[Sample]) -> None:
    """Check that every sample of a stage has one signal, all of the same modality."""
    first = samples[0].modalities
    for sample in samples:
        if len(sample.media) != 1 or sample.modalities != first:
            raise PolysenseError(
                f"stages.{stage.name}: {stage.objective} compares signals of one modality, one a "
                f"sample, and sample {sample.key!r} has {len(sample.media)} "
                f"({sample.modalities or 'none'}): name one in the stage's modalities"
            )


def paired_branch(model: Any, modality: str) -> QFormerPretrainingBranch:
    """Return the Q-Former that reads `modality`; PolysenseError where it reads no captions."""
    found = getattr(model.connector, "branches", {})
    branch = found[modality] if modality in found else next(iter(found.values()), None)
    if not isinstance(branch, QFormerPretrainingBranch):
        raise PolysenseError(
            "itc, itm and itg train a Q-Former with a text side: set "
            "model.connector.kind=qformer and model.connector.contrastive_width=256"
        )
    return branch
