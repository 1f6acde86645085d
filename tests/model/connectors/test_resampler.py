"""Resamplers: any number of frames, Idefics' Perceiver attention, positions of a grid."""

import pytest
import torch
from transformers.models.idefics.perceiver import IdeficsPerceiverAttention

from polysense.errors import PolysenseError
from polysense.model.connectors.resampler import (
    CrossAttentionResampler,
    PerceiverBlock,
    PerceiverResampler,
    sine_positions,
)


def perceiver():
    torch.manual_seed(0)
    return PerceiverResampler(16, lambda _: torch.nn.Identity(), queries=3, layers=2, heads=2)


@pytest.mark.parametrize("frames", [1, 2, 8, 30])
def test_any_number_of_frames_gives_the_same_number_of_embeddings(frames):
    branch = perceiver()
    features = torch.randn(2, frames, 5, 16)
    assert branch(features).shape == (2, branch.num_embeddings(5), 16)
    assert branch.time_embeddings(frames).shape == (frames, 16)


def test_a_signal_without_frames_is_one_frame():
    branch, features = perceiver(), torch.randn(2, 5, 16)
    assert torch.equal(branch(features), branch(features[:, None]))


def test_time_tells_the_order_of_frames_and_features_of_a_frame_have_none():
    branch, features = perceiver(), torch.randn(1, 4, 5, 16)
    found = branch(features)
    assert not torch.allclose(branch(features.flip(1)), found, atol=1e-4)
    assert torch.allclose(branch(features.flip(2)), found, atol=1e-5)


def test_more_frames_interpolate_the_learned_times():
    branch = perceiver()
    assert torch.equal(branch.time_embeddings(3), branch.times[:3])
    finer = branch.time_embeddings(15)
    assert torch.allclose(finer[::2], branch.times, atol=1e-6)
    assert torch.allclose(finer[1], branch.times[:2].mean(0), atol=1e-6)


def test_perceiver_attention_equals_that_of_idefics():
    torch.manual_seed(1)
    ours, theirs = PerceiverBlock(16, 2, 32), IdeficsPerceiverAttention(16, 2, 64, False)
    pairs = {
        "context_layer_norm": ours.media_norm, "latents_layer_norm": ours.latent_norm,
        "q_proj": ours.query, "k_proj": ours.key, "v_proj": ours.value, "output_proj": ours.out,
    }  # fmt: skip
    for name, module in pairs.items():
        for parameter in module.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
        theirs.get_submodule(name).load_state_dict(module.state_dict())
    latents, media = torch.randn(2, 3, 16), torch.randn(2, 7, 16)
    assert torch.allclose(ours.attend(latents, media), theirs(media, latents), atol=1e-5)


def test_the_same_place_has_the_same_position_in_every_grid():
    """The middle of a cell of a 3 x 3 grid is the middle of a cell of a 9 x 9 grid over it."""
    coarse = sine_positions(3, 16, span=3).view(3, 3, 16)
    fine = sine_positions(9, 16, span=3).view(9, 9, 16)
    assert torch.allclose(fine[1::3, 1::3], coarse, atol=1e-6)
    places = torch.tensor([0.0, 1.0, 2.0])
    assert torch.allclose(coarse[:, 0, 0], places.sin(), atol=1e-6)  # the row, at rate 1
    assert torch.allclose(coarse[0, :, 8], places.sin(), atol=1e-6)  # the column
    assert torch.allclose(coarse[:, 0, 6], torch.cos(places / 100), atol=1e-6)
    assert len(torch.unique(fine.flatten(0, 1), dim=0)) == 81


def test_positions_tell_the_places_of_features():
    torch.manual_seed(0)
    branch = CrossAttentionResampler(16, lambda _: torch.nn.Identity(), 16, queries=4, heads=2)
    features = torch.randn(1, 9, 16)
    found = branch(features)
    assert found.shape == (1, branch.num_embeddings(9), 16)
    assert not torch.allclose(branch(features.flip(1)), found, atol=1e-4)
    for refused in (lambda: branch(torch.randn(1, 10, 16)), lambda: branch.num_embeddings(10)):
        with pytest.raises(PolysenseError, match="10 are none"):
            refused()


@torch.no_grad()
def test_a_perceiver_block_adds_to_its_latents():
    """Flamingo, appendix A.1.1: latents + attention, then + feed-forward network."""
    torch.manual_seed(0)
    block = PerceiverBlock(16, 2, 24)
    latents, media = torch.randn(2, 3, 16), torch.randn(2, 5, 16)
    looked = latents + block.attend(latents, media)
    torch.testing.assert_close(block(latents, media), looked + block.feedforward(looked))


@torch.no_grad()
def test_positions_are_of_queries_and_keys_and_not_of_values():
    torch.manual_seed(0)
    branch = CrossAttentionResampler(
        12, lambda _: torch.nn.Identity(), width=16, queries=4, heads=2
    )
    features, places = torch.randn(1, 9, 12), sine_positions(3, 16, 2)
    key = branch.key_norm(branch.key_projection(features))
    query = branch.query_norm(branch.queries) + sine_positions(2, 16, 2)
    expected, _ = branch.attention(query[None], key + places, key)
    torch.testing.assert_close(branch(features), expected)


def test_latents_begin_with_unit_variance_all_different():
    branch = PerceiverResampler(64, lambda _: torch.nn.Identity(), queries=32, layers=1, heads=2)
    assert float(branch.latents.detach().std()) == pytest.approx(1, rel=0.1)
