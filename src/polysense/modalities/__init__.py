"""The modalities, from a file to a signal to tokens.

A new one is a file here and a line in the table below, or a file of a user's own.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from polysense.config.overrides import from_json, replace_at
from polysense.errors import PolysenseError, unknown_name
from polysense.modalities.audio import AudioModality
from polysense.modalities.base import Modality
from polysense.modalities.custom import loaded_senses, modality_from_file, names_a_file
from polysense.modalities.depth import DepthModality
from polysense.modalities.detection import check_known, extensions_of
from polysense.modalities.fmri import FmriModality
from polysense.modalities.image import ImageModality
from polysense.modalities.imu import ImuModality
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
    "imu": ImuModality,
    "fmri": FmriModality,
}


def modality_class(name: str) -> type[Modality]:
    """Return the class of the modality called `name`, or of "file.py:Class", a user's own.

    Raises PolysenseError: of an unknown name it lists the known ones.
    """
    if names_a_file(name):
        modality = modality_from_file(name)
        if modality.name in MODALITIES:
            raise PolysenseError(f"{name}: {modality.name!r} belongs to Polysense: rename yours")
        return modality
    if name not in MODALITIES:
        raise unknown_name("modality", name, MODALITIES)
    return MODALITIES[name]


def modality_of_extension(ending: str, modalities: Iterable[str]) -> str:
    """Return which of `modalities` a file's ending means, "" for none.

    "depth.png" names its modality; "png", and "0.png", mean the modality that claims it: one of the
    package, or of a user's own whose file has been loaded.
    """
    first, modalities = ending.partition(".")[0], list(modalities)
    if first in modalities:
        return first
    extensions = set(extensions_of(f".{ending}"))
    known = {**loaded_senses(), **MODALITIES}
    return next((n for n in modalities if n in known and extensions & set(known[n].extensions)), "")


def build_modalities(
    options: Mapping[str, dict[str, Any]], sources: Mapping[str, str]
) -> dict[str, Modality]:
    """Build modalities from {name: options}; `sources` has the "file.py:Class" of users' own."""
    modalities = {}
    for name, values in options.items():
        modality = modality_class(sources.get(name, name))
        if modality.name != name:
            raise PolysenseError(f"{sources[name]} is the modality {modality.name!r}, not {name!r}")
        modalities[name] = from_json(modality, values, f"model.modalities.{name}")
    return modalities


def with_settings(
    modalities: Mapping[str, Modality], settings: Iterable[str]
) -> dict[str, Modality]:
    """Return modalities with options changed, each by "fmri.mask=brain.nii.gz", for other files.

    Raises PolysenseError of what is unknown, and of an option that changes the signal's shape,
    which the trained model would not take.
    """
    changed = dict(modalities)
    for setting in settings:
        path, equals, text = setting.removeprefix("model.modalities.").partition("=")
        name, _, option = path.partition(".")
        if not equals or not option:
            raise PolysenseError(
                f"--set {setting!r}: write it as MODALITY.OPTION=VALUE, like fmri.mask=brain.nii.gz"
            )
        check_known(name, setting, changed)
        new = replace_at(changed[name], option.split("."), text, name)
        if new.example().shape != changed[name].example().shape:
            raise PolysenseError(
                f"--set {setting!r} changes the signal that the model was made for"
            )
        changed[name] = new
    return changed


__all__ = [
    "MODALITIES",
    "AudioModality",
    "DepthModality",
    "FmriModality",
    "ImageModality",
    "ImuModality",
    "Modality",
    "NormalModality",
    "PointModality",
    "VideoModality",
    "build_modalities",
    "modality_class",
    "modality_of_extension",
    "with_settings",
]
