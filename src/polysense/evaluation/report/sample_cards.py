"""What the report shows of a held-out sample: its modalities' own pictures, and the file to play.

Every modality draws its signal itself (`Modality.picture`): what is shown is what the model was
given, after cutting, resampling and scaling. All of it becomes data URIs, since a report is one
file.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from polysense.errors import PolysenseError
from polysense.evaluation.result import File, ModalityResult, Prediction
from polysense.evaluation.scoring.scores import evenly_spaced
from polysense.modalities import Modality
from polysense.modalities.read_signal import read_signal
from polysense.modalities.sources.source_string import parse_source

THUMBNAIL = (480, 240)  # pixels, at most
SHOWN = 18  # samples a modality
PLAYED = 200_000  # bytes up to which a file is put into the page

# What browsers play: the element, and the type it is told.
PLAYERS = {
    ".wav": ("audio", "audio/wav"),
    ".mp3": ("audio", "audio/mpeg"),
    ".ogg": ("audio", "audio/ogg"),
    ".oga": ("audio", "audio/ogg"),
    ".flac": ("audio", "audio/flac"),
    ".m4a": ("audio", "audio/mp4"),
    ".mp4": ("video", "video/mp4"),
    ".webm": ("video", "video/webm"),
}


@dataclass(frozen=True)
class Player:
    """An HTML element that plays a file: its tag, and the file as a data URI."""

    tag: str
    source: str


@dataclass(frozen=True)
class Card:
    """One sample in the report: pictures are data URIs, one a signal that could be drawn."""

    answer: Prediction
    pictures: tuple[str, ...]
    players: tuple[Player, ...]


def gallery(result: ModalityResult, modalities: Mapping[str, Modality]) -> list[Card]:
    """Return cards of up to 18 samples of a modality, spread evenly: none is picked by score."""
    return [card(answer, modalities) for answer in evenly_spaced(result.answers, SHOWN)]


def card(answer: Prediction, modalities: Mapping[str, Modality]) -> Card:
    """Draw one sample's signals; one that cannot be read any more is left out."""
    drawn = [drawing(modalities[file.modality], file) for file in answer.files]
    paths = dict.fromkeys(file.path for file in answer.files)  # one film may be seen and heard
    players = [player(Path(path)) for path in paths]
    return Card(
        answer,
        tuple(picture for picture in drawn if picture),
        tuple(found for found in players if found),
    )


def drawing(modality: Modality, file: File) -> str:
    """Return a signal's picture as a data URI; "" where its file cannot be read."""
    try:
        picture = modality.visualize(read_signal(modality, parse_source(file.path))).convert("RGB")
    except PolysenseError:
        return ""
    picture.thumbnail(THUMBNAIL, Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=84)
    return data_uri(buffer.getvalue(), "image/jpeg")


def player(path: Path) -> Player | None:
    """Return the element that plays a small sound or film; None for any other file."""
    tag, kind = PLAYERS.get(path.suffix.lower(), ("", ""))
    if not tag or not path.is_file() or path.stat().st_size > PLAYED:
        return None
    return Player(tag, data_uri(path.read_bytes(), kind))


def data_uri(data: bytes, kind: str) -> str:
    """Return bytes of a media type as something a page can hold."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
