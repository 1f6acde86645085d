"""Whether every name in a config means something, known before anything is fetched or built.

What depends on the weights (does a pattern name a parameter, is a size right) is checked once they
are there: stages.py, and the parts themselves.
"""

from __future__ import annotations

from polysense.config import RunConfig
from polysense.data.chat.chat_templates import template_named
from polysense.data.prompts import samples_for
from polysense.errors import unknown_name
from polysense.modalities import build_modalities
from polysense.model.connectors.build import branch_makers
from polysense.model.encoders.build import ENCODERS
from polysense.model.fusion.base import FUSION_KINDS
from polysense.training.objectives import objective_named
from polysense.training.stages import stages_until

ANY_WIDTH = 64  # kinds are listed without building any


def check_names(config: RunConfig, stop_after: str | None = None) -> None:
    """Raise PolysenseError where the name of a kind, modality, option, task or stage is unknown."""
    model = config.model
    stages_until(config, stop_after)
    modalities = build_modalities(model.modalities, model.sources)
    connectors = [*branch_makers(model.connector, ANY_WIDTH, ANY_WIDTH, 1.0), "upm"]
    for what, kind, known in (
        ("encoder", model.encoder.kind, ENCODERS),
        ("connector", model.connector.kind, connectors),
        ("fusion", model.fusion.kind, FUSION_KINDS),
    ):
        if kind not in known:
            raise unknown_name(what, kind, known)
    template_named(model.llm.template)
    for stage in config.stages:
        objective_named(stage.objective)
        samples_for(stage.task, [], modalities)
        for modality in stage.modalities:
            if modality not in modalities:
                where = f"modality in stages.{stage.name}.modalities"
                raise unknown_name(where, modality, modalities)
