"""What a user who wrote a name that no config has will have meant.

Near by spelling is for difflib; near by meaning is a matter of what other libraries call the same
thing. Whoever leaves out where a value lies ("lr=1e-4") is told the whole paths.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from typing import Any

from polysense.errors import PolysenseError, unknown_name

SHOWN = 3  # paths in a hint
# Of each line the config has one name; the others are what people write for it.
SAME: tuple[frozenset[str], ...] = tuple(
    frozenset(line.split())
    for line in """
    learning_rate lr rate learn_rate base_lr max_lr
    min_learning_rate minimum_rate min_lr minimum_learning_rate lr_min
    batch_size batch bs batchsize per_device_train_batch_size micro_batch_size
    accumulation gradient_accumulation_steps grad_accum gradient_accumulation accumulation_steps
    epochs epoch num_epochs num_train_epochs
    steps step max_steps num_steps iterations iters
    warmup warmup_ratio warmup_steps warm_up
    weight_decay wd decay
    clip max_grad_norm grad_clip gradient_clipping clip_grad max_norm
    learn trainable train unfreeze freeze
    objective loss
    packed_length row_tokens max_length max_seq_length cutoff_len model_max_length
    checkpoint_every save_steps save_every
    evaluate_every eval_steps eval_every val_every
    held_out val validation val_size val_share test_size
    manifest dataset data_path train_file dataset_name
    max_bad_fraction bad_share
    max_new_tokens max_tokens max_length
    precision dtype bf16 fp16 torch_dtype
    name path model_name model_name_or_path checkpoint pretrained
    rank r lora_r
    alpha lora_alpha
    dropout lora_dropout
    targets target_modules
    queries num_queries num_query_tokens
    seed random_seed
    system system_prompt
    """.strip().splitlines()
)


def unknown_key(config: Any, where: str, name: str, known: Iterable[str]) -> PolysenseError:
    """Return the error for a key `name` that `config`, at the path `where`, does not have.

    The hint is a field here that means the same, else the paths below that end in this name, else a
    field here that is spelt nearly so, else the paths below that end in a field of either kind.
    """
    known = sorted(known)
    kind = f"key in {where or 'the config'}"
    hints = same(name, known)
    paths = dict.fromkeys(below(config))
    fields = ends(paths)
    if not hints and (name in fields or not get_close_matches(name, known, n=1)):
        meant = [*same(name, fields), *({name} & fields)] or get_close_matches(name, fields, n=1)
        hints = [path for path in paths if path.rpartition(".")[2] in meant]
    if not hints:
        return unknown_name(kind, name, known)
    meant = " or ".join(
        f"{where}.{hint}" if where and "." in hint else hint for hint in hints[:SHOWN]
    )
    return PolysenseError(
        f"unknown {kind} {name!r}; did you mean {meant}? Known: {', '.join(known)}."
    )


def same(name: str, known: Iterable[str]) -> list[str]:
    """Return those of the `known` names that mean what `name` does."""
    word = name.lower().replace("-", "_")
    groups = [group for group in SAME if word in group]
    return [one for one in known if one != name and any(one in group for group in groups)]


def ends(paths: Iterable[str]) -> set[str]:
    """Return the names of the fields that paths lead to."""
    return {path.rpartition(".")[2] for path in paths}


def below(config: Any) -> Iterator[str]:
    """Give the path of every field below a config; stages go by their names."""
    for field in dataclasses.fields(config):
        yield field.name
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            yield from (f"{field.name}.{path}" for path in below(value))
        elif isinstance(value, tuple):
            parts: list[Any] = [item for item in value if dataclasses.is_dataclass(item)]
            for item in parts:
                yield from (f"{field.name}.{item.name}.{path}" for path in below(item))
