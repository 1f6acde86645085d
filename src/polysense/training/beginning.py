"""How a new Q-Former begins: which captions it reads, and with which weights.

Both follow from the config alone: connector.space (BLIP-2's first stage) and connector.initial (a
checkpoint). A model that is loaded again needs neither.
"""

from __future__ import annotations

import sys
from dataclasses import replace

from accelerate import PartialState

from polysense.config import ModelConfig
from polysense.data.captions import CaptionReader
from polysense.data.templates import template_named
from polysense.errors import PolysenseError
from polysense.model.importers.initial import load_initial, with_initial_sizes
from polysense.model.llm import load_text_tokenizer
from polysense.model.polysense_model import PolysenseModel


def caption_reader(model: ModelConfig) -> CaptionReader | None:
    """Return what reads captions for the connector; None where it takes none."""
    if model.connector.kind != "qformer" or model.connector.space is None:
        return None
    if model.connector.initial is not None:
        return CaptionReader.from_pretrained(model.connector.initial)
    llm = model.llm
    template = template_named(llm.template)
    return CaptionReader(load_text_tokenizer(llm.name, llm.revision, template))


def with_beginning(model: ModelConfig) -> ModelConfig:
    """Fill in the sizes of the Q-Former's beginning, and how many ids its captions are made of."""
    connector = with_initial_sizes(model.connector)
    model = replace(model, connector=connector)
    reader = caption_reader(model)
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


def begin(model: PolysenseModel) -> None:
    """Load what connector.initial names into a new model, and say what went where."""
    path = model.config.parts.connector.initial
    if path is None:
        return
    said = load_initial(model.connector.get_submodule("branches").children(), path)
    if PartialState().is_main_process:
        print(said, file=sys.stderr)
