"""What commands share: the options that name a run, its loaded model, its filled feature cache.

Heavy libraries are imported by the function that needs them, so that `polysense --help` is instant.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from polysense.config import RunConfig


def filled_cache(model, split, config: RunConfig | None):
    """Fill a finished run's cache, the one its training used where the encoder stayed frozen;
    return it, and the split without what cannot be read. An imported run has no config."""
    from polysense.cache_folder import feature_folder
    from polysense.data.loading.feature_cache import FeatureCache, media_of
    from polysense.training.stage_data import (
        is_encoder_trainable,
        modalities_with_trainable_tokenizer,
    )

    views = 1 if config is None or is_encoder_trainable(model, config) else config.data.views
    live = modalities_with_trainable_tokenizer(model, config) if config else set()
    cache = FeatureCache(feature_folder(), model, views, live)
    bad = cache.fill(media_of([*split.train, *split.held_out]))
    return cache, split.without(bad)


def load(arguments: argparse.Namespace):
    """Load the model and processor of a run."""
    from polysense import PolysenseModel, PolysenseProcessor
    from polysense.model.pretrained.moved_parts import check_places

    check_places(arguments.run, arguments.llm, arguments.encoder)
    model = PolysenseModel.from_pretrained(
        arguments.run, llm=arguments.llm, encoder=arguments.encoder, modalities=arguments.modalities
    )
    return model, PolysenseProcessor.from_pretrained(arguments.run, modalities=arguments.modalities)


def add_run(command: argparse.ArgumentParser) -> None:
    """Add a trained run, and where the parts lie now that it only refers to."""
    command.add_argument("run", help="folder of a run")
    command.add_argument("--llm", help="where the LLM lies now, if it has moved")
    command.add_argument("--encoder", help="where the encoder lies now, if it has moved")
    add_modality(
        command,
        "FILE.py[:CLASS]",
        "where the file of a modality of your own lies now, if it has moved; it is run",
    )


def add_modality(command: argparse.ArgumentParser, form: str, what: str) -> None:
    """Add --modality, given as often as there are modalities."""
    command.add_argument(
        "--modality", action="append", default=[], metavar=form, dest="modalities", help=what
    )
