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
from polysense.training.objectives.bag_of_words import bag_of_words
from polysense.training.objectives.next_token import next_token
from polysense.training.objectives.qformer_pretraining import PARTS, paired
from polysense.training.objectives.token_alignment import token_alignment
from polysense.types import Batch


@dataclass(frozen=True)
class Objective:
    """A loss, and what of its samples it reads.

    loss         (model, batch) -> (sum, number of terms); a term is a label, with `pairs` a sample
    packs        samples may share a row of the LLM
    in_sequence  it looks for embeddings in the text, where some fusions leave placeholders instead
    pairs        it compares signals of one modality with `captions` of the batch, in the ids of a
                 Q-Former, over all processes: each of them needs as many samples
    """

    loss: Callable[[PolysenseModel, Batch], tuple[torch.Tensor, torch.Tensor]]
    packs: bool = False
    in_sequence: bool = False
    pairs: bool = False


LANGUAGE = {
    "next_token": Objective(next_token, packs=True),
    # These find a signal's caption by its row, so that samples may share none.
    "bag_of_words": Objective(bag_of_words, in_sequence=True),
    "token_alignment": Objective(token_alignment, in_sequence=True),
}


def objective_named(name: str) -> Objective:
    """Return the objective called `name`; several of BLIP-2's are added as "itc+itm".

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
