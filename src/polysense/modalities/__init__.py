"""The senses. A new one is a file here and a line in the table below, or a class a user passes."""

from polysense.errors import unknown_name
from polysense.modalities.audio import AudioModality
from polysense.modalities.base import Modality
from polysense.modalities.depth import DepthModality
from polysense.modalities.image import ImageModality
from polysense.modalities.normal import NormalModality
from polysense.modalities.point import PointModality
from polysense.modalities.video import VideoModality

MODALITIES: dict[str, type[Modality]] = {
    "image": ImageModality,
    "video": VideoModality,
    "audio": AudioModality,
    "point": PointModality,
    "depth": DepthModality,
    "normal": NormalModality,
}


def modality_class(name: str) -> type[Modality]:
    """Return the class of the sense called `name`; PolysenseError lists the known ones."""
    if name not in MODALITIES:
        raise unknown_name("modality", name, MODALITIES)
    return MODALITIES[name]


__all__ = ["MODALITIES", "Modality", "modality_class"]
