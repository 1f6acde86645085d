"""Copies correlate however they were saved; strangers do not, and a group is whole."""

import numpy as np

from polysense.data.duplicates.near import (
    PICTURES,
    SIZE,
    SOUNDS,
    groups_alike,
    picture_vector,
    sound_vector,
)

RATE = 8000


def melody(seed):
    """A second of tones at random."""
    notes = np.random.default_rng(seed).uniform(200, 3000, 10)
    times = np.arange(RATE // 10) / RATE
    return np.concatenate([np.sin(2 * np.pi * note * times) for note in notes])


def test_a_recording_is_known_again_louder_later_and_noisier():
    one = melody(0)
    noise = 0.01 * np.random.default_rng(9).normal(size=len(one))
    copies = [one, 0.3 * one, np.concatenate([np.zeros(777), one]), one + noise, one[:-400]]
    vectors = [sound_vector(sound, RATE) for sound in (*copies, melody(1), melody(2))]
    assert groups_alike(vectors, SOUNDS) == [0, 0, 0, 0, 0, 5, 6]


def picture(seed, scale=8):
    """A patchwork of colours [3, S, S], S a multiple of the fields."""
    fields = np.random.default_rng(seed).uniform(size=(3, SIZE, SIZE))
    return fields.repeat(scale, axis=1).repeat(scale, axis=2)


def test_a_drawing_is_known_again_larger_darker_and_with_another_detail():
    other = picture(0)
    other[:, 40:60, 40:60] = 0.5
    shown = [picture(0), picture(0, 4), 0.5 * picture(0), other, picture(1)]
    assert groups_alike([picture_vector(pixels) for pixels in shown], PICTURES) == [0, 0, 0, 0, 4]


def test_what_holds_nothing_is_like_nothing():
    empty = picture_vector(np.ones((3, SIZE, SIZE)))
    silent = sound_vector(np.zeros(100), RATE)
    assert not empty.any()
    assert groups_alike([empty, empty], PICTURES) == [0, 1]
    assert groups_alike([silent, sound_vector(melody(0), RATE)], SOUNDS) == [0, 1]
    assert groups_alike([], SOUNDS) == []
