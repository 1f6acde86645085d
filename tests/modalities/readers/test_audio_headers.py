"""Headers say how long a sound is, also where the file is cut; those of pipes do not know."""

import io

import numpy as np
import pytest
import soundfile

from polysense.modalities.readers.audio_headers import HEAD, header_seconds

RATE = 8000
EXACT = ["WAV", "WAVEX", "W64", "CAF", "AIFF", "AU"]


def written(kind, seconds, channels=1, subtype="PCM_16"):
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (round(seconds * RATE), channels))
    soundfile.write(buffer, noise, RATE, format=kind, subtype=subtype)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", EXACT)
@pytest.mark.parametrize("subtype", ["PCM_16", "FLOAT"])
def test_a_header_says_the_whole_length_of_a_cut_file(kind, subtype):
    content = written(kind, 1.5, channels=2, subtype=subtype)
    for part in (content, content[: len(content) // 3]):
        assert header_seconds(io.BytesIO(part)) == pytest.approx(1.5, abs=0.0002)


@pytest.mark.parametrize(("kind", "unknown"), [("WAV", b"\xff" * 4), ("CAF", b"\xff" * 8)])
def test_a_size_that_stands_for_unknown_is_none(kind, unknown):
    content = bytearray(written(kind, 1.5))
    place = content.find(b"data") + 4
    content[place : place + len(unknown)] = unknown
    assert header_seconds(io.BytesIO(bytes(content))) == 0.0


@pytest.mark.parametrize("kind", ["WAV", "W64", "CAF"])
def test_a_file_of_its_first_bytes_promises_nothing(kind):
    for length in (0, 12, 30, 44):
        assert header_seconds(io.BytesIO(written(kind, 0.1)[:length])) in (0.0, 0.1)
    assert header_seconds(io.BytesIO(b"caff" + bytes(HEAD))) == 0.0
