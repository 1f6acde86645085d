"""Which experts of a universal projection each sense uses (OneLLM, section 3.2)."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from polysense.errors import PolysenseError
from polysense.evaluation.result import Evaluation
from polysense.modalities.source_words import source_of_word
from polysense.modalities.stored import read_signal
from polysense.model.routing import routing_of

SIGNALS = 8  # over which a router that reads features is averaged


def routing_weights(model: Any, evaluation: Evaluation) -> dict[str, list[float]]:
    """Return {sense: weight of each expert}; empty for connectors without experts.

    A router that reads features is asked with those of the first held-out signals of its sense;
    senses without any that can be read are left out.
    """
    if not hasattr(model.connector, "routing"):
        return {}
    return routing_of(model, partial(held_out_signals, model, evaluation))


def held_out_signals(model: Any, evaluation: Evaluation, modality: str) -> list[torch.Tensor]:
    """Read the first signals of one modality that the evaluation met."""
    answers = (answer for result in evaluation.senses for answer in result.answers)
    paths = dict.fromkeys(
        file.path for answer in answers for file in answer.files if file.modality == modality
    )
    signals = []
    for path in paths:
        try:
            signals.append(read_signal(model.modalities[modality], source_of_word(path)))
        except PolysenseError:
            continue  # a file that has gone since
        if len(signals) == SIGNALS:
            break
    return signals
