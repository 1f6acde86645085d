"""What a run is made of, as frozen dataclasses that are checked when they are built.

A recipe is a function that returns a `RunConfig`. The command line changes single values with
`--set path=value` (overrides.py). The resolved config is written into the run folder, so that a run
can be read, repeated and resumed. Ranges are checked in `__post_init__`; names are checked where
the table of names lives.
"""

from polysense.config.model import (
    ConnectorConfig,
    EncoderConfig,
    FusionConfig,
    LanguageModelConfig,
    LoraConfig,
    ModelConfig,
    Precision,
)
from polysense.config.run import DataConfig, EvaluationConfig, RunConfig, Stage

__all__ = [
    "ConnectorConfig",
    "DataConfig",
    "EncoderConfig",
    "EvaluationConfig",
    "FusionConfig",
    "LanguageModelConfig",
    "LoraConfig",
    "ModelConfig",
    "Precision",
    "RunConfig",
    "Stage",
]
