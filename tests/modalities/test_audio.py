"""Sounds become OneLLM's spectrograms and tokens; bad ones are refused with a reason."""

import math

import numpy as np
import pytest
import soundfile
import torch
from fixtures.video_files import write_sound

from polysense.errors import PolysenseError
from polysense.modalities.audio import AudioModality
from polysense.modalities.transforms.mel_spectrogram import FLOOR, log_mel

MODALITY = AudioModality()
RATE = 16_000
FILLED = 4.2677393 / (2 * 4.5689974)  # what zeros after the end become


def noise(seconds, rate=RATE):
    return np.random.default_rng(0).normal(0, 0.1, int(seconds * rate)).clip(-1, 1)


def test_a_spectrogram_is_filled_up_with_zeros_and_then_normalised():
    waveform = noise(2)
    signal = MODALITY.read((waveform, RATE))
    assert signal.shape == (1, 128, 1024)
    assert signal.dtype == torch.float32
    values = log_mel(waveform.astype(np.float32), RATE, 128)
    assert values.shape == (128, 198)
    expected = (torch.from_numpy(values) + 4.2677393) / (2 * 4.5689974)
    assert torch.allclose(signal[0, :, :198], expected, atol=1e-6)
    assert torch.allclose(signal[0, :, 198:], torch.tensor(FILLED))


def test_long_sounds_are_cut():
    whole = noise(14)
    expected = torch.from_numpy(log_mel(whole.astype(np.float32), RATE, 128)[:, :1024])
    signal = MODALITY.read((whole, RATE))
    assert torch.allclose(signal[0], (expected + 4.2677393) / (2 * 4.5689974), atol=1e-6)


def test_silence_and_moments_of_sound():
    silent = MODALITY.read((np.zeros(RATE * 11), RATE))
    assert torch.allclose(silent, torch.tensor((math.log(FLOOR) + 4.2677393) / (2 * 4.5689974)))
    for seconds, frames in ((0.1, 8), (0.01, 1)):
        signal = MODALITY.read((noise(seconds), RATE))[0]
        assert int((signal - FILLED).abs().amax(dim=0).gt(1e-6).sum()) == frames


def test_path_string_bytes_and_array_agree(tmp_path):
    waveform = np.stack([noise(1, 44_100)] * 2, axis=1)
    soundfile.write(tmp_path / "a.flac", waveform, 44_100, subtype="PCM_24")
    path = tmp_path / "a.flac"
    signal = MODALITY.read(path)
    assert torch.equal(signal, MODALITY.read(str(path)))
    assert torch.equal(signal, MODALITY.read(path.read_bytes()))
    assert torch.allclose(signal, MODALITY.read((waveform, 44_100)), atol=1e-3)


def test_formats_give_like_spectrograms(tmp_path):
    times = np.arange(RATE * 2) / RATE
    waveform = 0.5 * np.sin(2 * np.pi * (200 + 300 * times) * times)
    reference = MODALITY.read((waveform, RATE))[0, :, 10:180]
    soundfile.write(tmp_path / "a.ogg", waveform, RATE)
    soundfile.write(tmp_path / "a.mp3", waveform, RATE)
    write_sound(tmp_path / "a.m4a", "aac", waveform, RATE)
    for name in ("a.ogg", "a.mp3", "a.m4a"):
        signal = MODALITY.read(tmp_path / name)[0, :, 10:180]
        heights = (signal.argmax(dim=0) - reference.argmax(dim=0)).abs().float()
        assert heights.mean() < 2, name


def test_a_tone_stands_at_its_frequency():
    signal = MODALITY.example()[0]
    mel = 1127 * np.log(1 + 440 / 700)
    low, high = (1127 * np.log(1 + hertz / 700) for hertz in (20, 8000))
    assert signal[:, 50].argmax() == round(129 * (mel - low) / (high - low)) - 1


def test_tokens_are_the_convolution_row_by_row():
    tokenizer = MODALITY.tokenizer(32)
    state = tokenizer.state_dict()
    assert {name: list(value.shape) for name, value in state.items()} == {
        "convolution.weight": [32, 1, 16, 16], "convolution.bias": [32]
    }  # fmt: skip
    signal = MODALITY.read((noise(11), RATE))
    tokens = tokenizer(signal[None])
    assert tokens.shape == (1, 1212, 32)
    patch = signal[0, 20:36, 70:86]  # third row of mel bins, eighth place in time
    weight, bias = state["convolution.weight"][:, 0], state["convolution.bias"]
    assert torch.allclose(
        tokens[0, 2 * 101 + 7], (weight * patch).sum(dim=(1, 2)) + bias, atol=1e-4
    )
    small = AudioModality(mel_bins=40, frames=100, kernel=8, stride=4)
    assert small.tokenizer(4)(small.example()[None]).shape == (1, 9 * 24, 4)


def test_views_vary_where_there_is_sound_and_nowhere_else():
    signal = MODALITY.read((noise(2), RATE))
    views = [MODALITY.augment(signal, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2, 3)]
    assert torch.equal(views[0], views[1])
    assert not torch.allclose(views[0], views[2])
    for view in views:
        assert view.shape == signal.shape
        assert torch.allclose(view[..., 198:], torch.tensor(FILLED))
        bands = view[0, :, :198].std(dim=1) < 1e-6
        assert bands.sum() < 0.25 * 128
    assert torch.equal(signal, MODALITY.read((noise(2), RATE)))  # left as it was
    silent = MODALITY.read((np.zeros(RATE), RATE))
    assert torch.allclose(MODALITY.augment(silent, torch.Generator()), silent)


def test_a_picture_has_low_frequencies_below_and_black_after_the_end():
    picture = MODALITY.visualize(MODALITY.example())
    assert picture.size == (1024, 3 * 128)
    column = np.asarray(picture.convert("L"))[::3, 50]
    assert column.argmax() == 127 - int(MODALITY.example()[0, :, 50].argmax())
    assert picture.getpixel((1000, 64)) == (0, 0, 4)
    assert MODALITY.visualize(torch.full((1, 128, 1024), FILLED)).getpixel((0, 0)) == (0, 0, 4)


def test_what_is_no_sound_is_refused_in_one_line(tmp_path):
    (tmp_path / "text.wav").write_text("hello " * 99)
    (tmp_path / "text.raw").write_text("hello " * 99)
    (tmp_path / "empty.mp3").write_bytes(b"")
    soundfile.write(tmp_path / "a.flac", noise(5), RATE)
    content = (tmp_path / "a.flac").read_bytes()
    (tmp_path / "cut.flac").write_bytes(content[: len(content) // 2])
    for name, words in (("text.wav", "no known format"), ("text.raw", "no known format"),
                        ("empty.mp3", "is empty"), ("cut.flac", "cut short"),
                        ("none.wav", "No such file"), (".", "directory")):  # fmt: skip
        with pytest.raises(PolysenseError, match=words) as caught:
            MODALITY.read(tmp_path / name)
        assert str(caught.value).startswith(f"sound '{tmp_path / name}'")
        assert "\n" not in str(caught.value)


def test_three_hours_are_refused_by_the_header(tmp_path):
    hours = soundfile.SoundFile(tmp_path / "a.flac", "w", 8000, 1)
    for _ in range(3 * 60):
        hours.write(np.zeros(60 * 8000, np.int16))
    hours.close()
    with pytest.raises(PolysenseError, match=r"lasts 10,800 s; .*audio\.max_seconds=3,600"):
        MODALITY.read(tmp_path / "a.flac")
    assert AudioModality(max_seconds=20_000).read(tmp_path / "a.flac").shape == (1, 128, 1024)


def test_limits_and_wrong_objects(tmp_path):
    with pytest.raises(PolysenseError, match=r"200 bytes; the limit is audio\.max_bytes=100"):
        AudioModality(max_bytes=100).read(bytes(200))
    for source in (3.5, np.zeros(9), (np.zeros(9),), None):
        with pytest.raises(
            PolysenseError, match=r"must be a path, bytes or a pair \(array, rate\)"
        ):
            MODALITY.read(source)


def test_wrong_options_are_refused():
    for options in ({"rate": 10}, {"std": 0}, {"stride": 0}, {"kernel": 200}, {"frames": 0}):
        with pytest.raises(PolysenseError):
            AudioModality(**options)


def test_a_view_is_moved_in_time_as_drawn(monkeypatch):
    draws = iter([1.0, 0.5, 0.0, 0.0, 0.0, 0.0])  # moved by 10 frames, as loud, nothing masked
    monkeypatch.setattr(torch, "rand", lambda *_, **__: torch.tensor(next(draws)))
    modality = AudioModality(mel_bins=16, frames=40, kernel=4)
    signal = torch.randn(1, 16, 40) + 2
    view = modality.augment(signal, torch.Generator())
    torch.testing.assert_close(view, signal.roll(10, dims=-1))
