"""Every format, rate and number of channels gives the same samples; damage gives one line."""

import io

import av
import numpy as np
import pytest
import soundfile
from fixtures.video_files import write_sound, write_video

from polysense.errors import PolysenseError
from polysense.modalities.readers import audio_decoder as sound
from polysense.modalities.sources.file_checks import one_line_errors

RATE = 16_000


def tone(rate, seconds=1.0, hertz=440):
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)


def decode(path, samples=RATE, max_seconds=60, rate=RATE):
    with path.open("rb") as file:
        return sound.decode(file, f"sound {path.name!r}", rate, samples, max_seconds)


def array(values, rate, samples=RATE, max_seconds=60):
    return sound.from_array(values, rate, "the sound in memory", RATE, samples, max_seconds)


def strongest(waveform):
    """The frequency in Hz of the strongest partial."""
    spectrum = np.abs(np.fft.rfft(waveform * np.hanning(len(waveform))))
    return np.argmax(spectrum) * RATE / len(waveform)


@pytest.mark.parametrize(
    ("name", "options"),
    [("a.wav", {}), ("a.wav", {"subtype": "FLOAT"}), ("a.wav", {"subtype": "PCM_U8"}),
     ("a.wav", {"subtype": "PCM_24"}), ("a.flac", {}), ("a.ogg", {}), ("a.mp3", {}),
     ("a.aiff", {})],
)  # fmt: skip
@pytest.mark.parametrize("rate", [8_000, 44_100])
def test_formats_of_libsndfile(tmp_path, name, options, rate):
    soundfile.write(tmp_path / name, tone(rate), rate, **options)
    waveform = decode(tmp_path / name)
    assert waveform.dtype == np.float32
    assert abs(len(waveform) - RATE) < 1500  # mp3 fills up its last block
    middle = waveform[2000:14_000]
    assert strongest(middle) == pytest.approx(440, abs=2)
    assert np.abs(middle).max() == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(
    ("name", "codec", "layout"),
    [("a.m4a", "aac", "mono"), ("a.mp4", "aac", "stereo"), ("a.webm", "libopus", "stereo"),
     ("a.aac", "aac", "mono"), ("a.mkv", "pcm_s16le", "mono")],
)  # fmt: skip
def test_formats_of_ffmpeg(tmp_path, name, codec, layout):
    write_sound(tmp_path / name, codec, tone(48_000), 48_000, layout)
    middle = decode(tmp_path / name)[2000:14_000]
    assert strongest(middle) == pytest.approx(440, abs=2)
    # FFmpeg keeps the power when it spreads one channel over two, so each is weaker by 3 dB.
    loudness = 0.5 if layout == "mono" else 0.5 / np.sqrt(2)
    assert middle.std() * np.sqrt(2) == pytest.approx(loudness, abs=0.02)


def test_the_sound_of_a_video(tmp_path):
    write_video(tmp_path / "a.mp4", [100] * 20, sound=2)
    assert strongest(decode(tmp_path / "a.mp4")[2000:]) == pytest.approx(
        RATE / 10 / 2 / np.pi, 0.01
    )
    write_video(tmp_path / "silent.mp4", [100] * 20)
    with pytest.raises(PolysenseError, match="has no audio to decode; it holds video"):
        decode(tmp_path / "silent.mp4")


def test_resampling_keeps_the_band_and_nothing_above_it():
    for rate in (8_000, 11_025, 22_050, 44_100, 44_101, 48_000, 96_000, 192_000):
        waveform = array(tone(rate), rate)
        assert len(waveform) == pytest.approx(RATE, abs=2)
        expected = tone(RATE)[: len(waveform)]
        assert np.abs(waveform - expected)[200:-200].max() < 0.01
    above = array(tone(48_000, hertz=10_000), 48_000)  # would fold to 6 kHz
    assert np.abs(above[200:-200]).max() < 0.01


def test_channels_are_averaged(tmp_path):
    seven = np.stack([tone(RATE) * channel for channel in range(7)], axis=1)
    soundfile.write(tmp_path / "a.wav", seven / 8, RATE, subtype="FLOAT")
    assert np.allclose(decode(tmp_path / "a.wav"), tone(RATE) * 3 / 8, atol=1e-6)
    assert np.allclose(array(seven, RATE), tone(RATE) * 3, atol=1e-6)
    assert np.allclose(array(seven.T, RATE), tone(RATE) * 3, atol=1e-6)


def test_channels_are_averaged_by_ffmpeg_too(tmp_path):
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=RATE, layout="stereo")
        both = np.stack([tone(RATE), np.zeros(RATE)]).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(both, format="fltp", layout="stereo")
        frame.sample_rate = RATE
        for packed in av.AudioResampler(format="s16", layout="stereo").resample(frame):
            container.mux(stream.encode(packed))
        container.mux(stream.encode())
    assert np.allclose(decode(path), tone(RATE) / 2, atol=1e-3)


def test_an_integers_full_scale_is_its_smallest_value():
    assert array(np.full(99, -128, np.int8), RATE).min() == -1
    assert array(np.full(99, 64, np.int8), RATE).max() == 0.5  # over 127 it were 0.504
    assert array(np.full(99, -(2**31), np.int64), RATE).min() == -(2.0**-32)


def whole(name, rate=RATE):
    """A second of a tone as a file's bytes."""
    buffer = io.BytesIO()
    soundfile.write(buffer, tone(rate), rate, format=name)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["WAV", "AIFF", "AU", "RF64", "W64", "CAF", "MP3", "FLAC", "OGG"])
def test_a_sound_cut_in_half_is_refused_unless_its_beginning_suffices(kind):
    content = whole(kind)
    assert len(sound.decode(io.BytesIO(content), "a", RATE, RATE, 60)) == pytest.approx(RATE, 0.02)
    half = content[: len(content) // 2]
    with (
        pytest.raises(PolysenseError, match="cut short"),
        one_line_errors("sound 'a'"),
    ):
        sound.decode(io.BytesIO(half), "sound 'a'", RATE, RATE, 60)
    if kind != "OGG":  # an Ogg is known by its last page
        assert len(sound.decode(io.BytesIO(half), "a", RATE, 1000, 60)) == 1000


def test_a_cut_sound_of_an_mp4_is_refused(tmp_path):
    with av.open(
        str(tmp_path / "a.m4a"), "w", format="mp4", options={"movflags": "faststart"}
    ) as c:
        stream = c.add_stream("aac", rate=RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(
            tone(RATE, 4)[None].astype(np.float32), format="fltp", layout="mono"
        )
        frame.sample_rate = RATE
        for packets in (stream.encode(frame), stream.encode()):
            c.mux(packets)
    content = (tmp_path / "a.m4a").read_bytes()
    assert len(decode(tmp_path / "a.m4a", 4 * RATE)) == pytest.approx(4 * RATE, abs=1500)
    (tmp_path / "a.m4a").write_bytes(content[: len(content) * 2 // 3])
    with pytest.raises(PolysenseError, match="cut short"), one_line_errors("sound"):
        decode(tmp_path / "a.m4a", 4 * RATE)
    assert len(decode(tmp_path / "a.m4a", RATE)) == RATE


@pytest.mark.parametrize("size", [0, 0x7FFFF000, 0xFFFFFFFF])
def test_a_wav_that_was_written_into_a_pipe_does_not_know_its_length(size):
    content = bytearray(whole("WAV"))
    place = content.find(b"data") + 4
    content[place : place + 4] = size.to_bytes(4, "little")
    if size:  # libsndfile takes 0 for none
        found = sound.decode(io.BytesIO(bytes(content)), "a", RATE, 2 * RATE, 600_000)
        assert len(found) == RATE


def test_loud_floats_are_kept_and_not_clipped(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(RATE) * 6, RATE, subtype="DOUBLE")
    assert np.abs(decode(tmp_path / "a.wav")).max() == pytest.approx(3, abs=1e-3)


def test_integers_and_floats_agree():
    exact = array(tone(RATE), RATE)
    for kind in (np.int16, np.int32):
        whole = (tone(RATE) * -float(np.iinfo(kind).min)).astype(kind)
        assert np.allclose(array(whole, RATE), exact, atol=1e-4)


def test_only_the_beginning_is_decoded(tmp_path):
    long = np.tile(tone(8_000), 3 * 60).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", long, 8_000)
    whole, read = io.BytesIO((tmp_path / "a.wav").read_bytes()), []

    class Counting(io.BytesIO):
        def readinto(self, buffer):
            read.append(len(buffer))
            return super().readinto(buffer)

        def read(self, size=-1):
            read.append(size)
            return super().read(size)

    file = Counting(whole.getvalue())
    waveform = sound.decode(file, "a.wav", RATE, RATE, 3600)
    assert sum(read) < len(whole.getvalue()) / 4
    expected = array(long, 8_000, max_seconds=3600)
    assert np.allclose(waveform, expected, atol=1e-3)
    assert len(waveform) == RATE
    assert np.abs(waveform - tone(RATE))[200:].max() < 0.01  # no edge at the cut


def test_limits_are_named(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(8000 * 61), 8000)
    write_sound(tmp_path / "a.m4a", "aac", np.zeros(16_000 * 61), 16_000)
    for name in ("a.wav", "a.m4a"):
        with pytest.raises(PolysenseError, match=rf"{name}' lasts 61 s; .*audio\.max_seconds=60"):
            decode(tmp_path / name)
    with pytest.raises(PolysenseError, match="lasts 61 s"):
        array(np.zeros(8000 * 61), 8000)
    soundfile.write(tmp_path / "b.wav", np.zeros((99, 65)), 8000)
    with pytest.raises(PolysenseError, match="65 channels; it must be 1 to 64"):
        decode(tmp_path / "b.wav")
    with pytest.raises(PolysenseError, match="999 samples a second; it must be 1,000"):
        array(np.zeros(99), 999)


def test_samples_that_are_no_numbers_or_no_floats(tmp_path):
    values = tone(RATE)
    values[[3, 5]] = np.nan, np.inf
    soundfile.write(tmp_path / "a.wav", values, RATE, subtype="FLOAT")
    with pytest.raises(PolysenseError, match=r"a\.wav' has 2 samples that are no numbers"):
        decode(tmp_path / "a.wav")
    with pytest.raises(PolysenseError, match="reaches 16,384; samples as floats"):
        array(tone(RATE) * 32_768, RATE)
    for wrong in (np.zeros((2, 3, 4)), np.zeros(9, np.uint8), np.array(["a"]), np.zeros((), int)):
        with pytest.raises(PolysenseError, match="must be float or signed integers"):
            array(wrong, RATE)


def test_no_samples(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(0), RATE)
    with pytest.raises(PolysenseError, match="has no samples"):
        decode(tmp_path / "a.wav")
    with pytest.raises(PolysenseError, match="has no samples"):
        array(np.zeros(0), RATE)
