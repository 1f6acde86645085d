"""`PolysenseConfig`: what a checkpoint says about itself, as a transformers config.

It holds the model's parts (a `ModelConfig` as plain JSON), the placeholder of each modality, and
which parameters were trainable: those are in the checkpoint, all others are referenced by name.
"""

from __future__ import annotations

from typing import Any

from transformers import PretrainedConfig

from polysense.config import ModelConfig
from polysense.config.overrides import from_json


class PolysenseConfig(PretrainedConfig):
    """Config of a PolysenseModel.

    model         ModelConfig as JSON: llm, encoder, connector, modalities
    placeholders  {modality: token id} of the text tokenizer
    trainable     patterns of parameter names that training moved (see Stage.trainable)
    fingerprints  {"llm": hash, "encoder": hash} of the referenced weights
    include_frozen  whether the checkpoint holds every weight, the frozen ones too
    save_hash     hash of the save, which the weights have too; None: not saved
    """

    model_type = "polysense"

    def __init__(
        self,
        model: dict[str, Any] | None = None,
        placeholders: dict[str, int] | None = None,
        trainable: list[str] | None = None,
        fingerprints: dict[str, str] | None = None,
        include_frozen: bool = False,
        save_hash: str | None = None,
        **options: Any,
    ) -> None:
        self.model = model or {}
        self.placeholders = placeholders or {}
        self.trainable = trainable or []
        self.fingerprints = fingerprints or {}
        self.include_frozen = include_frozen
        self.save_hash = save_hash
        super().__init__(**options)

    @property
    def parts(self) -> ModelConfig:
        """The model's parts, rebuilt and checked."""
        return from_json(ModelConfig, self.model)
