"""Polysense teaches a language model new senses.

The flow, and the file for each arrow:

    file -> signal       modalities/<sense>.py     read
    signal -> tokens     modalities/<sense>.py     tokenizer
    tokens -> features   model/encoders/build.py
    features -> embeddings  model/connectors/build.py; upm.py, qformer.py, resampler.py, pooling.py
    embeddings -> LLM    model/fusion/merge_embeddings.py, model/polysense_model.py; or model/fusion/gated_cross_attention.py
    LLM -> text          model/llm/load.py

Around it: data/ (manifests, chat, batches), training/ (stages, the loop, checkpoints), evaluation/,
serving/ (asking), recipes/ (whole runs), cli/main.py.
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
