"""What a stage minimises: a batch becomes a sum of losses and the number of terms in it.

Sums and counts, not means, so that accumulated and distributed batches weigh every term the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch

from polysense.errors import PolysenseError, unknown_name
from polysense.model.polysense_model import PolysenseModel
from polysense.training.objectives.language import next_token, words
from polysense.training.objectives.paired import PARTS, paired
from polysense.training.objectives.spelling import spelling
from polysense.types import Batch


@dataclass(frozen=True)
class Objective:
    """A loss, and what of its samples it reads.

    loss    (model, batch) -> (sum, number of terms); a term is a label, or with `pairs` a sample
    packs   samples may share a row of the LLM
    inline  it looks for embeddings in the text, where some interactions leave marks instead
    pairs   it compares signals of one sense with captions in the ids of a Q-Former, `captions` of
            the batch, and over all processes: each of them needs as many samples
    """

    loss: Callable[[PolysenseModel, Batch], tuple[torch.Tensor, torch.Tensor]]
    packs: bool = False
    inline: bool = False
    pairs: bool = False


LANGUAGE = {
    "next_token": Objective(next_token, packs=True),
    # These find a signal's caption by its row, so that samples may share none.
    "words": Objective(words, inline=True),
    "spelling": Objective(spelling, inline=True),
}


def objective_named(name: str) -> Objective:
    """Return the objective called `name`; several of BLIP-2's are added as "contrast+match".

    PolysenseError lists the known ones.
    """
    names = name.split("+")
    for one in names:
        if one not in LANGUAGE and one not in PARTS:
            raise unknown_name("objective", one, [*LANGUAGE, *PARTS])
    if all(one in PARTS for one in names):
        return Objective(partial(paired, parts=tuple(names)), pairs=True)
    if len(names) > 1:
        raise PolysenseError(f"objective {name!r}: only {', '.join(PARTS)} can be added up")
    return LANGUAGE[name]
