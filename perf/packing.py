"""How much faster a frozen LLM is trained through with samples packed into rows than padded.

Both runs take the same samples and the same loss (at labels only); the step is forward and backward
to the input embeddings, as in alignment. Lengths are those of captioned pictures: some places and a
log-normal number of words.
"""

from __future__ import annotations

import argparse
from functools import partial

import torch
from measuring.measure import add_place, interleaved, medians, ratio, report
from measuring.models import add_sizes, some_llm
from measuring.pictures import draw_bars

from polysense.data.chat.chat_tokenizer import IGNORED, TokenizedChat
from polysense.data.collate import collate
from polysense.data.loading.packing import collate_packed
from polysense.model.llm.capabilities import LLMCapabilities, find_capabilities
from polysense.model.llm.next_token_loss import next_token_loss
from polysense.types import Batch


def captioned(samples: int, places: int, vocabulary: int) -> list[TokenizedChat]:
    """Return samples of `places` unlearnt positions and a caption of about 15 words."""
    generator = torch.Generator().manual_seed(0)
    words = torch.randn(samples, generator=generator).mul(0.5).add(2.7).exp().round().int()
    encoded = []
    for count in words.tolist():
        ids = torch.randint(1, vocabulary, (places + count,), generator=generator).tolist()
        encoded.append(TokenizedChat(ids, [IGNORED] * places + ids[places:]))
    return encoded


def step(
    llm, capabilities: LLMCapabilities, batch: Batch, embeddings: torch.Tensor
) -> torch.Tensor:
    """Run forward and backward; return the summed loss."""
    loss, _ = next_token_loss(
        llm,
        capabilities,
        embeddings,
        batch["labels"],
        batch.get("attention_mask"),
        batch.get("position_ids"),
    )
    torch.autograd.grad(loss, embeddings)
    return loss.detach()


def main() -> None:
    """Measure both and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_sizes(parser, width=256, layers=4, vocabulary=8192)
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--places", type=int, default=6, help="positions a picture takes")
    parser.add_argument("--packed-length", type=int, default=512)
    add_place(parser, repeats=5)
    options = parser.parse_args()
    llm = some_llm(options)
    capabilities = find_capabilities(llm)
    items = captioned(options.samples, options.places, llm.config.vocab_size)
    none = [{}] * len(items)
    batches = {
        "padded": collate(items, none, 0),
        "packed": collate_packed(items, none, 0, (), options.packed_length),
    }
    ways, losses = {}, {}
    for name, batch in batches.items():
        batch = batch.to(options.device)
        words = llm.get_input_embeddings()(batch["input_ids"]).requires_grad_()
        losses[name] = float(step(llm, capabilities, batch, words))
        ways[name] = partial(step, llm, capabilities, batch, words)
    runs = interleaved(ways, options.repeats, options.device)
    rates = {name: len(items) / spent for name, spent in medians(runs).items()}
    tokens = sum(len(item.ids) for item in items)
    results = {
        "padded_samples_per_second": rates["padded"],
        "packed_samples_per_second": rates["packed"],
        "ratio": ratio(runs, "padded", "packed"),
        "padded_used": tokens / batches["padded"]["input_ids"].numel(),
        "packed_used": tokens / batches["packed"]["input_ids"].numel(),
        "relative_loss_difference": abs(losses["packed"] / losses["padded"] - 1),
    }
    picture = report("packing", options, results)
    draw_bars(picture, "Through a frozen LLM, forward and backward", rates, "samples a second")


if __name__ == "__main__":
    main()
