"""The senses. A new one is a file here and a line in the table below, or a file of a user's own."""

from collections.abc import Iterable, Mapping
from typing import Any

from polysense.errors import PolysenseError, unknown_name
from polysense.modalities.audio import AudioModality
from polysense.modalities.base import Modality
from polysense.modalities.depth import DepthModality
from polysense.modalities.detection import check_known, extensions_of
from polysense.modalities.fmri import FmriModality
from polysense.modalities.image import ImageModality
from polysense.modalities.imu import ImuModality
from polysense.modalities.normal import NormalModality
from polysense.modalities.point import PointModality
from polysense.modalities.sense_files import loaded_senses, names_a_file, sense_from_file
from polysense.modalities.video import VideoModality
from polysense.overrides import from_json, replace_at

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
    """Return the class of the sense called `name`, or of "file.py:Class", a user's own.

    Raises PolysenseError: of an unknown name it lists the known ones.
    """
    if names_a_file(name):
        sense = sense_from_file(name)
        if sense.name in MODALITIES:
            raise PolysenseError(f"{name}: {sense.name!r} is a sense of Polysense: rename yours")
        return sense
    if name not in MODALITIES:
        raise unknown_name("modality", name, MODALITIES)
    return MODALITIES[name]


def sense_of_ending(ending: str, senses: Iterable[str]) -> str:
    """Return which of `senses` a file's ending means, "" for none.

    "depth.png" names its sense; "png", and "0.png", mean the sense that claims it: one of the
    package, or of a user's own whose file has been loaded.
    """
    first, senses = ending.partition(".")[0], list(senses)
    if first in senses:
        return first
    extensions = set(extensions_of(f".{ending}"))
    known = {**loaded_senses(), **MODALITIES}
    return next((n for n in senses if n in known and extensions & set(known[n].endings)), "")


def build_modalities(
    options: Mapping[str, dict[str, Any]], sources: Mapping[str, str]
) -> dict[str, Modality]:
    """Build senses from {name: options}; `sources` has the "file.py:Class" of users' own."""
    senses = {}
    for name, values in options.items():
        sense = modality_class(sources.get(name, name))
        if sense.name != name:
            raise PolysenseError(f"{sources[name]} is the sense {sense.name!r}, not {name!r}")
        senses[name] = from_json(sense, values, f"model.modalities.{name}")
    return senses


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
    "sense_of_ending",
    "with_settings",
]
