"""Polysense teaches a language model new senses.

The flow, and the file for each arrow:

    file -> signal          modalities/<modality>.py     read
    signal -> tokens        modalities/<modality>.py     tokenizer, a patch embedding
    tokens -> features      model/encoders/build.py
    features -> embeddings  model/connectors/build.py    mlp, qformer, resampler, upm ...
    embeddings -> LLM       model/fusion/build.py        at the input, or inside the LLM's layers
    LLM -> text             model/llm/load.py            what it can do: capabilities.py

`PolysenseModel.forward` in model/polysense_model.py walks it. Around it: config/ (what a run is),
data/ (records, chat, batches, the processor), importers/ (others' checkpoints), training/ (stages,
objectives, the loop, exact checkpoints), evaluation/ (scores, report), serving/ (conversations),
recipes/ (whole runs), cli/ (a file a command).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from polysense.auto_classes import register_with_transformers

if TYPE_CHECKING:
    from polysense.data.processor import PolysenseProcessor
    from polysense.data.trainer_collator import PolysenseCollator
    from polysense.errors import PolysenseError
    from polysense.model.configuration import PolysenseConfig
    from polysense.model.polysense_model import PolysenseModel

__all__ = [
    "PolysenseCollator",
    "PolysenseConfig",
    "PolysenseError",
    "PolysenseModel",
    "PolysenseProcessor",
]

# Imported when they are first asked for: they bring torch and transformers, which take seconds that
# `polysense --help` need not wait for.
PUBLIC = {
    "PolysenseCollator": "polysense.data.trainer_collator",
    "PolysenseConfig": "polysense.model.configuration",
    "PolysenseError": "polysense.errors",
    "PolysenseModel": "polysense.model.polysense_model",
    "PolysenseProcessor": "polysense.data.processor",
}


def __getattr__(name: str) -> Any:
    """Return a public name, importing it."""
    if name not in PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(PUBLIC[name]), name)


register_with_transformers()
