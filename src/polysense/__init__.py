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

from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoProcessor,
)

from polysense.data.collator import PolysenseCollator
from polysense.data.processor import PolysenseProcessor
from polysense.errors import PolysenseError
from polysense.model.configuration import PolysenseConfig
from polysense.model.polysense_model import PolysenseModel

AutoConfig.register("polysense", PolysenseConfig, exist_ok=True)
for family in (AutoModel, AutoModelForCausalLM, AutoModelForImageTextToText):
    family.register(PolysenseConfig, PolysenseModel, exist_ok=True)
AutoProcessor.register(PolysenseConfig, PolysenseProcessor, exist_ok=True)

__all__ = [
    "PolysenseCollator",
    "PolysenseConfig",
    "PolysenseError",
    "PolysenseModel",
    "PolysenseProcessor",
]
