"""Configs as JSON and back, and single values changed from the command line.

Works on any frozen dataclass by its type hints: no class is named here. An unknown key or a value
of the wrong type is an error that says where, what is expected and which names exist.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeVar, Union

from polysense.config.near_names import unknown_key
from polysense.errors import PolysenseError, unknown_name

Config = TypeVar("Config")


def to_json(config: Any) -> Any:
    """Return a dataclass as plain JSON values."""
    return json.loads(json.dumps(dataclasses.asdict(config)))


def from_json(cls: type[Config], data: Any, where: str = "") -> Config:
    """Rebuild a dataclass from JSON values; raises PolysenseError on what does not fit."""
    if not isinstance(data, dict):
        raise PolysenseError(f"{where or cls.__name__} must be an object, not {data!r}")
    known = typing.get_type_hints(cls)
    fields = dataclasses.fields(cls)  # pyright: ignore[reportArgumentType]
    hints = {f.name: known[f.name] for f in fields}  # not what belongs to the class
    values = {}
    for name, value in data.items():
        if name not in hints:
            raise unknown_name(f"key in {where or cls.__name__}", name, hints)
        values[name] = convert(hints[name], value, f"{where}.{name}" if where else name)
    required = {
        f.name
        for f in fields
        if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    }
    if missing := sorted(required - set(values)):
        raise PolysenseError(f"{where or cls.__name__} lacks {', '.join(missing)}")
    return cls(**values)


def convert(hint: Any, value: Any, where: str) -> Any:
    """Return `value` as the type `hint` asks for."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if origin in (Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        inner = next(a for a in arguments if a is not type(None))
        return convert(inner, value, where)
    if origin is Literal:
        if value not in arguments:
            raise unknown_name(f"value of {where}", str(value), map(str, arguments))
        return value
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return value if isinstance(value, hint) else from_json(hint, value, where)
    if origin is tuple and isinstance(value, list | tuple):
        kinds = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else list(arguments)
        if len(kinds) == len(value):
            pairs = enumerate(zip(kinds, value, strict=True))
            return tuple(convert(k, v, f"{where}[{index}]") for index, (k, v) in pairs)
    if origin is dict and isinstance(value, dict):
        return {key: convert(arguments[1], item, f"{where}.{key}") for key, item in value.items()}
    if (
        hint is float
        and isinstance(value, int | float)
        and not isinstance(value, bool)
        and abs(value) <= sys.float_info.max  # neither NaN nor infinite
    ):
        return float(value)
    if hint is not float and isinstance(hint, type) and type(value) is hint:
        return value
    raise PolysenseError(f"{where} must be {readable(hint)}, not {value!r}")


def readable(hint: Any) -> str:
    """Return a type as a person would say it."""
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    return names.get(hint) or str(hint).replace("typing.", "")


def apply(config: Config, settings: Iterable[str]) -> Config:
    """Return `config` with each "path=value" applied; stages are addressed by their names."""
    for setting in settings:
        path, equals, text = setting.partition("=")
        if not equals or not path:
            raise PolysenseError(f"--set {setting!r}: write it as path=value, like seed=1")
        config = replace_at(config, path.split("."), text, "")
    return config


def whole_paths(settings: Iterable[str], places: Mapping[str, str]) -> list[str]:
    """Return settings with whole paths: one that begins with a name of `places` lies there.

    So an option is set as errors name it, `imu.gyroscope_unit`, in whatever config its modality is.
    """
    return [
        f"{places[name]}.{setting}" if dot and name in places else setting
        for setting in settings
        for name, dot, _ in [setting.partition("=")[0].partition(".")]
    ]


def replace_at(config: Any, keys: list[str], text: str, where: str) -> Any:
    """Return the dataclass `config` with the value at the path `keys` replaced by `text`."""
    name, rest = keys[0], keys[1:]
    hints = typing.get_type_hints(type(config))
    if name not in hints:
        raise unknown_key(config, where, name, [f.name for f in dataclasses.fields(config)])
    here = f"{where}.{name}" if where else name
    changed = changed_value(getattr(config, name), hints[name], rest, text, here)
    return dataclasses.replace(config, **{name: changed})


def changed_value(current: Any, hint: Any, keys: list[str], text: str, where: str) -> Any:
    """Return the new value of one field, descending as far as `keys` go."""
    if not keys:
        return convert(hint, parse(hint, text, where), where)
    if current is None:  # an optional part that is switched on by setting one of its fields
        kinds = [a for a in typing.get_args(hint) if isinstance(a, type)]
        current = next(
            (from_json(k, {}, where) for k in kinds if dataclasses.is_dataclass(k)), None
        )
    if dataclasses.is_dataclass(current):
        return replace_at(current, keys, text, where)
    if isinstance(current, tuple) and current and hasattr(current[0], "name"):
        names = [item.name for item in current]
        if keys[0] not in names:
            raise unknown_name(f"name in {where}", keys[0], names)
        if len(keys) == 1:
            raise PolysenseError(f"--set {where}.{keys[0]}: name one of its fields")
        return tuple(
            replace_at(item, keys[1:], text, f"{where}.{item.name}")
            if item.name == keys[0]
            else item
            for item in current
        )
    if isinstance(current, dict):
        inner = typing.get_args(hint)[1] if typing.get_origin(hint) is dict else Any
        if len(keys) > 1 and keys[0] not in current:
            raise unknown_name(f"key in {where}", keys[0], current)
        below = f"{where}.{keys[0]}"
        return {
            **current,
            keys[0]: changed_value(current.get(keys[0]), inner, keys[1:], text, below),
        }
    raise PolysenseError(f"--set {where}.{'.'.join(keys)}: {where} has no fields")


def parse(hint: Any, text: str, where: str) -> Any:
    """Read `text` as a value for `hint`: JSON where it is JSON, else a list or plain text."""
    arguments = typing.get_args(hint)
    if type(None) in arguments and text in ("null", "none", "None"):
        return None
    if str in (hint, *arguments) and typing.get_origin(hint) not in (tuple, dict):
        return text
    if typing.get_origin(hint) is Literal and text in arguments:
        return text
    if typing.get_origin(hint) is tuple and not text.startswith("["):
        return [parse(arguments[0], item.strip(), where) for item in text.split(",") if item]
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
