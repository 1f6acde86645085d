"""What the report shows of a sample: pictures its modalities draw, and players of small files."""

import base64
import io

import numpy as np
import soundfile
from PIL import Image

from polysense.evaluation.report.sample_cards import PLAYED, card, gallery, player
from polysense.evaluation.result import File, ModalityResult, Prediction
from polysense.modalities import AudioModality, ImageModality

MODALITIES = {"image": ImageModality(size=32), "audio": AudioModality()}


def answer(*files):
    return Prediction("key", tuple(File(*file) for file in files), "A.", "A.", "", True, 1)


def decoded(uri):
    kind, data = uri.removeprefix("data:").split(";base64,")
    return kind, base64.b64decode(data)


def sound(path, seconds):
    soundfile.write(path, np.sin(np.arange(int(seconds * 8000)) / 5) * 0.5, 8000)
    return str(path)


def test_each_modality_draws_its_signal_and_a_small_sound_can_be_played(tmp_path):
    Image.new("RGB", (90, 40), (200, 30, 30)).save(tmp_path / "red.png")
    heard = sound(tmp_path / "short.wav", 0.5)
    shown = card(answer(("image", str(tmp_path / "red.png")), ("audio", heard)), MODALITIES)
    kinds = [decoded(picture)[0] for picture in shown.pictures]
    assert kinds == ["image/jpeg", "image/jpeg"]
    seen = Image.open(io.BytesIO(decoded(shown.pictures[0])[1]))
    assert seen.size == (32, 32)  # what the encoder sees, not the file
    red, green, _ = np.asarray(seen)[16, 16]
    assert red > 180 > 60 > green
    assert [found.tag for found in shown.players] == ["audio"]
    assert decoded(shown.players[0].source) == ("audio/wav", (tmp_path / "short.wav").read_bytes())


def test_a_file_seen_and_heard_is_played_once(tmp_path):
    heard = sound(tmp_path / "a.wav", 0.1)
    assert len(card(answer(("audio", heard), ("audio", heard)), MODALITIES).players) == 1


def test_large_missing_and_other_files_are_not_played(tmp_path):
    large = tmp_path / "large.wav"
    sound(large, 15)
    assert large.stat().st_size > PLAYED
    assert player(large) is None
    assert player(tmp_path / "none.wav") is None
    (tmp_path / "table.csv").write_text("1,2\n")
    assert player(tmp_path / "table.csv") is None


def test_a_file_that_is_gone_leaves_its_caption(tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no picture")
    shown = card(answer(("image", str(tmp_path / "broken.png"))), MODALITIES)
    assert shown.pictures == shown.players == ()


def test_a_gallery_is_spread_over_all_answers():
    answers = tuple(
        Prediction(str(i), (File("image", f"{i}.png"),), "A.", "A.", "", True, 1) for i in range(40)
    )
    result = ModalityResult("image", 1, 40, 1, False, {}, (), answers)
    keys = [int(found.answer.key) for found in gallery(result, MODALITIES)]
    assert len(keys) == 18
    assert keys[0] == 0
    assert keys[-1] > 35
    assert sorted(set(keys)) == keys
