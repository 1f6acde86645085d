"""What a run is made of: a model, data, stages in order, and how it is scored."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

from polysense.config.checks import check_choices, require_count, require_positive, require_share
from polysense.config.model import ModelConfig
from polysense.errors import require

STAGE_NAME = re.compile(r"[\w-]+")  # a folder is called so, and a part of --set's paths


@dataclass(frozen=True)
class Stage:
    """One training stage, as data.

    `task` is a name of data/prompts.py's table. `trainable` holds dotted names or patterns of the
    parameters that move ("connector", "llm", "llm.*lora_*"); the rest stays bit for bit.
    `chat` names how a sample becomes a sequence (data/chat/chat_tokenizer.py): "plain" puts the
    signal before the text, "template" uses the LLM's own chat template. `objective` is one of
    training/objectives/: "next_token", "bag_of_words", or BLIP-2's "itc", "itm", "itg", also added
    up with "+".

    `modalities` restricts the stage to records whose signals are all of these modalities (empty:
    all records; plain text goes with any, in stages in which the LLM learns), and
    `multi_signal=False` to those of a single signal. With `balance`, each modality is drawn equally
    often, however many records it has; modalities learnt before are replayed by naming them too.
    `evaluate_forgetting` measures every modality known by the end of the stage, for the forgetting
    table. `copy_experts` begins the stage with every expert of a UPM as a copy of the first
    (OneLLM, section 3.2). `steps` counts optimizer steps in place of `epochs`.

    `weight_decay` is for matrices; `also_decay` holds patterns, as `trainable` does, of norms,
    biases, queries, tags, gates and the like that decay as well (training/optimizer.py).

    `data` names a manifest of the stage's own (LLaVA has captions for one stage and instructions
    for the other); empty, it learns from the run's.

    `packing` lets samples of a micro-batch share rows of up to `packed_length` tokens
    (data/loading/packing.py), which changes the speed and not the losses.
    """

    name: str
    trainable: tuple[str, ...]
    modalities: tuple[str, ...] = ()
    multi_signal: bool = True
    balance: bool = True
    evaluate_forgetting: bool = False
    copy_experts: bool = False
    steps: int | None = None
    task: str = "caption"
    data: str = ""
    objective: str = "next_token"
    chat: Literal["plain", "template"] = "plain"
    epochs: float = 1.0
    batch_size: int = 16
    gradient_accumulation_steps: int = 1
    packing: bool = True
    packed_length: int = 512
    learning_rate: float = 1e-3
    min_learning_rate: float = 0.0
    warmup_ratio: float = 0.05
    weight_decay: float = 0.0
    also_decay: tuple[str, ...] = ()
    betas: tuple[float, float] = (0.9, 0.95)
    max_grad_norm: float = 1.0
    checkpoint_every: int = 100
    evaluate_every: int = 100

    def __post_init__(self) -> None:
        require(
            bool(STAGE_NAME.fullmatch(self.name)),
            f"a stage is called {self.name!r}: its name has letters, digits, - and _ only",
        )
        where = f"stages.{self.name}"
        check_choices(self, where)
        require(
            bool(self.trainable) and all(self.trainable),
            f"{where}.trainable is empty: name what learns",
        )
        counts = (
            "batch_size gradient_accumulation_steps packed_length checkpoint_every evaluate_every"
        )
        for name in counts.split():
            require_count(f"{where}.{name}", getattr(self, name))
        if self.steps is not None:
            require_count(f"{where}.steps", self.steps)
        for name in ("epochs", "learning_rate", "max_grad_norm"):
            require_positive(f"{where}.{name}", getattr(self, name))
        for name in ("min_learning_rate", "weight_decay"):
            require_positive(f"{where}.{name}", getattr(self, name), zero=True)
        require_share(f"{where}.warmup_ratio, a share of the steps,", self.warmup_ratio)
        for place, beta in enumerate(self.betas):
            require_share(f"{where}.betas[{place}]", beta)


@dataclass(frozen=True)
class DataConfig:
    """Where samples come from: a manifest or shards (data/datasets.py), and how they are split.

    held_out          the share held out, by a hash of a sample's group or key: it stays held out
                      whatever else is added
    group_duplicates  whether signals of equal decoded content, under whatever names, are one group
                      (data/duplicates/exact.py); every file is decoded once more at each start
    views             augmented views of each signal that the feature cache keeps (1: none)
    max_bad_fraction  the share of signals that may be unreadable and are left out
    """

    manifest: str
    held_out: float = 0.12
    group_duplicates: bool = False
    views: int = 1
    max_bad_fraction: float = 0.05

    def __post_init__(self) -> None:
        require(bool(self.manifest), "data.manifest is empty: name a manifest or shards")
        require(0 < self.held_out < 1, f"data.held_out must lie in (0, 1), not {self.held_out}")
        require_count("data.views", self.views)
        require(
            0 <= self.max_bad_fraction <= 1,
            f"data.max_bad_fraction must lie in [0, 1], not {self.max_bad_fraction}",
        )


@dataclass(frozen=True)
class EvaluationConfig:
    """How a run is scored: what is asked, the length of answers, and how many held-out samples.

    per_modality  at most so many of each modality, spread evenly over those held out (0: all)
    limit      at most about so many over all modalities, shared equally (0: no limit)
    """

    max_new_tokens: int = 32
    limit: int = 0
    per_modality: int = 60
    question: str = "What is this?"

    def __post_init__(self) -> None:
        require_count("evaluation.max_new_tokens", self.max_new_tokens)
        for name in ("limit", "per_modality"):
            require(getattr(self, name) >= 0, f"evaluation.{name} must be positive, or 0 for all")
        require(bool(self.question.strip()), "evaluation.question is empty: say what is asked")


@dataclass(frozen=True)
class RunConfig:
    """Everything a run needs; `stages` are trained in order."""

    recipe: str
    model: ModelConfig
    data: DataConfig
    stages: tuple[Stage, ...]
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    seed: int = 0

    def __post_init__(self) -> None:
        require(bool(self.stages), "stages is empty: a run needs at least one stage")
        names = [stage.name for stage in self.stages]
        require(len(set(names)) == len(names), f"two stages share a name: {', '.join(names)}")
        require(0 <= self.seed < 2**63, f"seed must lie in [0, 2^63), not {self.seed}")
