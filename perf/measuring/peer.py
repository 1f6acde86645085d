"""The peer that alignment is measured against: transformers' LLaVA, of the same sizes and weights.

`LlavaForConditionalGeneration` around the same LLM and the same encoder, with its own projector
(begun at our connector's weights), its own loss over all positions, padded rows, and pictures that
are decoded and encoded in the loop, as a plain training script has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModel,
    LlavaConfig,
    LlavaForConditionalGeneration,
    PretrainedConfig,
    PreTrainedModel,
)
from transformers.modeling_outputs import BaseModelOutput

from polysense.data.collate import collate
from polysense.data.loading.batches import TrainingData
from polysense.data.loading.sampler import SampleIndex
from polysense.model.polysense_model import PolysenseModel


class TowerConfig(PretrainedConfig):
    """The width of an encoder of ours, as LLaVA asks for it."""

    model_type = "polysense-tower"

    def __init__(self, hidden_size: int = 1, **options: Any) -> None:
        self.hidden_size = hidden_size
        super().__init__(**options)


class Tower(PreTrainedModel):
    """An encoder of ours as a vision tower; its `encoder` is put in afterwards."""

    config_class = TowerConfig
    encoder: torch.nn.Module

    def forward(self, pixel_values: torch.Tensor, **_: Any) -> BaseModelOutput:
        """Pictures [N, 3, S, S] -> features [N, F, E], as the last hidden state of all."""
        features = self.encoder(pixel_values)
        return BaseModelOutput(last_hidden_state=features, hidden_states=(features,))


AutoConfig.register(TowerConfig.model_type, TowerConfig)
AutoModel.register(TowerConfig, Tower)


def llava_of(model: PolysenseModel, image_id: int) -> Any:
    """Return a LLaVA with the LLM, the encoder and the connector's weights of `model`.

    The connector must be an "mlp" without norm and dropout, as wide inside as the LLM. `image_id`
    is a word that no sample uses: LLaVA looks up its placeholders like words.
    """
    config = LlavaConfig(
        vision_config=TowerConfig(model.encoder.width),
        text_config=model.llm.config,
        image_token_index=image_id,
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
    )
    with torch.device("meta"):
        llava = LlavaForConditionalGeneration(config)
    llava.model.language_model = model.llm.get_decoder()
    llava.lm_head = model.llm.get_output_embeddings()
    llava.model.vision_tower = Tower(config.vision_config)
    llava.model.vision_tower.encoder = model.encoder
    projector = llava.model.multi_modal_projector.to_empty(device=model.device)
    ours = [layer for layer in model.connector.modules() if isinstance(layer, torch.nn.Linear)]
    for theirs, own in zip((projector.linear_1, projector.linear_2), ours, strict=True):
        theirs.load_state_dict(own.state_dict())
    return llava.eval()  # nothing here differs in training


def unused_id(data: TrainingData) -> int:
    """Return the first id that no sample has."""
    used = {token for item in data.encoded for token in item.ids} | {data.processor.pad_id}
    return next(token for token in range(len(used) + 1) if token not in used)


class PlainLoop:
    """A training loop as people write it: read, pad, forward, backward, step."""

    def __init__(self, model: PolysenseModel, data: TrainingData, clip: float) -> None:
        self.data, self.clip, self.image_id = data, clip, unused_id(data)
        self.llava = llava_of(model, self.image_id)
        self.trainable = list(self.llava.model.multi_modal_projector.parameters())
        self.optimizer = torch.optim.AdamW(self.trainable, betas=(0.9, 0.95), weight_decay=0.0)

    def step(self, picks: Sequence[SampleIndex], rate: float) -> float:
        """Take one step on some samples at a learning rate; return its loss in nats a label."""
        data, places = self.data, set(self.data.processor.placeholders.values())
        media = [data.processor.read_signals(data.samples[pick.index].messages) for pick in picks]
        batch = collate([data.encoded[p.index] for p in picks], media, data.processor.pad_id)
        ids, labels = batch["input_ids"], batch["labels"]
        for place in places:
            ids = ids.masked_fill(ids == place, self.image_id)
        pictures = next(iter(batch["signals"].values()))
        loss = self.llava(
            input_ids=ids.to(self.llava.device),
            attention_mask=batch["attention_mask"].to(self.llava.device),
            pixel_values=pictures.to(self.llava.device),
            labels=labels.to(self.llava.device),
        ).loss
        self.optimizer.param_groups[0]["lr"] = rate
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.trainable, self.clip)
        self.optimizer.step()
        return float(loss.detach())
