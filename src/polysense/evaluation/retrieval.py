"""Caption retrieval: at which rank, by the model's likelihood, stands the true caption?

For each held-out picture every distinct held-out caption is scored by log p(caption | picture). The
prompt is run once per picture and its cache shared by all captions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch

from polysense.data.collate import pad


@torch.inference_mode()
def likelihoods(
    llm: torch.nn.Module, prompt: torch.Tensor, captions: Sequence[Sequence[int]], batch: int = 16
) -> torch.Tensor:
    """Return log p [C] in nats of each caption (token ids, end-of-text included) after a prompt.

    prompt: input embeddings [1, T, D]. Tokens are summed, not averaged: it is the probability of
    the whole caption.
    """
    start = llm(inputs_embeds=prompt, use_cache=True)
    first = start.logits[0, -1].float().log_softmax(-1)
    # Captions of like length together: one long caption would pad all others to its length.
    order = sorted(range(len(captions)), key=lambda i: len(captions[i]))
    scores = torch.zeros(len(captions))
    for place in range(0, len(order), batch):
        chosen = order[place : place + batch]
        rows = [captions[i] for i in chosen]
        ids = pad(rows, 0, "right").to(prompt.device)
        real = pad([[1] * len(row) for row in rows], 0, "right").to(prompt.device)
        total = first[ids[:, 0]]
        if ids.shape[1] > 1:
            cache = repeat_cache(llm, prompt, start.past_key_values, len(chosen))
            seen = torch.ones(len(chosen), prompt.shape[1], dtype=real.dtype, device=prompt.device)
            found = (
                llm(
                    input_ids=ids[:, :-1],
                    past_key_values=cache,
                    attention_mask=torch.cat([seen, real[:, :-1]], dim=1),
                    use_cache=True,
                )
                .logits.float()
                .log_softmax(-1)
            )
            later = found.gather(2, ids[:, 1:, None])[:, :, 0]
            total = total + (later * real[:, 1:]).sum(dim=1)
        scores[chosen] = total.cpu()
    return scores


def repeat_cache(llm: torch.nn.Module, prompt: torch.Tensor, cache, rows: int):
    """Return a copy of a one-row cache with `rows` rows; the original stays as it is."""
    import copy

    repeated = copy.deepcopy(cache)
    repeated.batch_repeat_interleave(rows)
    return repeated


def score_matrix(
    llm: torch.nn.Module,
    prompts: Iterable[torch.Tensor],
    captions: Sequence[Sequence[int]],
    advance: Callable[[], None] = lambda: None,
) -> torch.Tensor:
    """Return log-likelihoods [P, C] of every caption for every prompt."""
    rows = []
    for prompt in prompts:
        rows.append(likelihoods(llm, prompt, captions))
        advance()
    return torch.stack(rows)


def without_prior(scores: torch.Tensor) -> torch.Tensor:
    """Take the captions' own probability out: log p(c | x) - log mean_x' p(c | x').

    The LLM finds some captions likely whatever it sees; what is left is what the picture says
    (Lin et al., "Revisiting the Role of Language Priors in Vision-Language Models", 2024).
    """
    count = torch.log(torch.tensor(float(len(scores))))
    return scores - (scores.logsumexp(dim=0, keepdim=True) - count)


def ranks(scores: torch.Tensor, truth: Sequence[int]) -> torch.Tensor:
    """Return the rank [P] of each row's true caption, 1 being best; ties count against it."""
    columns = torch.as_tensor(truth)
    own = scores.gather(1, columns[:, None])
    return (scores >= own).sum(dim=1)
