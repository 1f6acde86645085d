"""A tiny model and a batch of two captioned pictures."""

import pytest
import torch
from fixtures.tiny_model import tiny_config

from polysense.training.run import build, resolve


@pytest.fixture(scope="module")
def model_and_batch(tmp_path_factory):
    model, processor = build(resolve(tiny_config(tmp_path_factory.mktemp("parts"))))
    conversations = [
        [
            {"role": "user", "content": [{"type": "image", "image": picture}]},
            {"role": "assistant", "content": caption},
        ]
        for picture, caption in (
            (torch.zeros(9, 9, 3, dtype=torch.uint8).numpy(), "A red line."),
            (torch.full((9, 9, 3), 200, dtype=torch.uint8).numpy(), "A long blue circle."),
        )
    ]
    return model.eval(), processor.apply_chat_template(conversations, add_generation_prompt=False)
