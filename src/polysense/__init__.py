"""Polysense teaches a language model new senses.

The flow, and the file for each arrow:

    file -> signal       modalities/<sense>.py     read
    signal -> tokens     modalities/<sense>.py     tokenizer
    tokens -> features   model/encoders.py
    features -> embeddings  model/connectors.py; upm.py, qformer.py, resampler.py, compression.py
    embeddings -> LLM    model/splice.py, model/polysense_model.py; or model/gated_attention.py
    LLM -> text          model/llm.py

Around it: data/ (manifests, chat, batches), training/ (stages, the loop, checkpoints), evaluation/,
serving/ (asking), recipes/ (whole runs), cli.py.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from polysense.data.processor import PolysenseProcessor
    from polysense.errors import PolysenseError
    from polysense.model.configuration import PolysenseConfig
    from polysense.model.polysense_model import PolysenseModel

__all__ = ["PolysenseConfig", "PolysenseError", "PolysenseModel", "PolysenseProcessor"]

# Imported when they are first asked for: they bring torch and transformers, which take seconds that
# `polysense --help` need not wait for.
PUBLIC = {
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


def register_auto_classes() -> None:
    """Let transformers' Auto classes load a run as they load their own models."""
    from transformers import (
        AutoConfig,
        AutoModel,
        AutoModelForCausalLM,
        AutoModelForImageTextToText,
    )

    from polysense.model.configuration import PolysenseConfig
    from polysense.model.polysense_model import PolysenseModel

    AutoConfig.register("polysense", PolysenseConfig, exist_ok=True)
    for family in (AutoModel, AutoModelForCausalLM, AutoModelForImageTextToText):
        family.register(PolysenseConfig, PolysenseModel, exist_ok=True)


class TransformersFinder:
    """Registers the Auto classes as soon as somebody imports transformers."""

    searching = False

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Find transformers as Python does, and let its loader register when it is done."""
        if name != "transformers" or self.searching:
            return None
        self.searching = True
        try:
            spec = find_spec(name)
        finally:
            self.searching = False
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def execute_and_register(module: Any) -> None:
            sys.meta_path.remove(self)
            execute(module)
            register_auto_classes()

        spec.loader.exec_module = execute_and_register
        return spec


if "transformers" in sys.modules:
    register_auto_classes()
else:
    sys.meta_path.insert(0, TransformersFinder())
