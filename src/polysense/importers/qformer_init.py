"""How a new Q-Former begins: which captions it reads, and with which weights.

Both follow from the config alone: connector.contrastive_width (BLIP-2's first stage) and
connector.init_from (a checkpoint). A model that is loaded again needs neither.
"""

from __future__ import annotations

import sys
from dataclasses import replace

from accelerate import PartialState

from polysense.config import ModelConfig
from polysense.data.caption_tokenizer import CaptionTokenizer
from polysense.data.chat.chat_templates import template_named
from polysense.errors import PolysenseError
from polysense.importers.bert import load_initial, with_initial_sizes
from polysense.model.llm.text_tokenizer import load_text_tokenizer
from polysense.model.polysense_model import PolysenseModel


def caption_tokenizer(model: ModelConfig) -> CaptionTokenizer | None:
    """Return what reads captions for the connector; None where it takes none."""
    if model.connector.kind != "qformer" or model.connector.contrastive_width is None:
        return None
    if model.connector.init_from is not None:
        return CaptionTokenizer.from_pretrained(model.connector.init_from)
    llm = model.llm
    template = template_named(llm.template)
    return CaptionTokenizer(load_text_tokenizer(llm.name, llm.revision, template))


def with_qformer_init(model: ModelConfig) -> ModelConfig:
    """Fill in the sizes of the Q-Former's beginning, and how many ids its captions are made of."""
    connector = with_initial_sizes(model.connector)
    model = replace(model, connector=connector)
    reader = caption_tokenizer(model)
    if reader is None:
        return model
    known = connector.vocabulary
    if known is None:
        return replace(model, connector=replace(connector, vocabulary=reader.vocabulary))
    if reader.largest_mark >= known:
        raise PolysenseError(
            f"connector.vocabulary={known}, and the tokenizer's marks go up to "
            f"{reader.largest_mark}: leave it out, or give the checkpoint its own tokenizer"
        )
    return model


def init_qformer(model: PolysenseModel) -> None:
    """Load what connector.init_from names into a new model, and say what went where."""
    path = model.config.parts.connector.init_from
    if path is None:
        return
    said = load_initial(model.connector.get_submodule("branches").children(), path)
    if PartialState().is_main_process:
        print(said, file=sys.stderr)
