"""Which columns of a table are the accelerometer, the gyroscope and the time.

Every logger writes other names: acc_x, ax, accel.x, accelerometerAccelerationX(G), gyro_x, gx, wx,
rotationRate.x. What the names say of units is read too, so that a unit is not taken for another.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from polysense.errors import PolysenseError
from polysense.modalities.readers.column_names import AXES, listed, plain
from polysense.modalities.readers.imu_units import UNITS, split_unit

if TYPE_CHECKING:
    import pandas as pd  # costs a second, so it is imported where it is used


ACCELERATION = re.compile(r"acc(?!ura)|^a$")
ROTATION = re.compile(r"gyr|angular_?vel|rotation_?rate|omega|^[gw]$")
GLUED = (  # what an axis may follow without a break: accX, ax, but not accuracy
    r"(?:(?:^|.*_)[agw]|.*(?:acc|accel|accelerometer|acceleration|gyr|gyro|gyroscope|rotation"
    r"|rate|vel|velocity|omega))"
)
AXIS_FIRST = re.compile(r"^(?P<axis>[xyz])_(?P<sensor>.+)$")

FORMS = [
    re.compile(r"^(?P<sensor>.+)_(?P<axis>[xyz])(?:_(?P<rest>.+))?$"),
    re.compile(rf"^(?P<sensor>{GLUED})(?P<axis>[xyz])(?:_(?P<rest>.+))?$"),
    AXIS_FIRST,
]

SENSORS = {"accelerometer": ACCELERATION, "gyroscope": ROTATION}

SECONDS = {
    "s": 1.0, "sec": 1.0, "secs": 1.0, "second": 1.0, "seconds": 1.0,
    "ms": 1e-3, "msec": 1e-3, "millis": 1e-3, "millisecond": 1e-3, "milliseconds": 1e-3,
    "us": 1e-6, "usec": 1e-6, "micros": 1e-6, "microsecond": 1e-6, "microseconds": 1e-6,
    "ns": 1e-9, "nsec": 1e-9, "nanos": 1e-9, "nanosecond": 1e-9, "nanoseconds": 1e-9,
}  # fmt: skip

TIME_WORDS = (
    r"(?:unix|epoch|elapsed|relative|sample|sensor|system|logging|since|start|in|utc|local)"
)
TIME = re.compile(
    rf"^(?:{TIME_WORDS}_)*(?:time|time_?stamp|t|date_?time|elapsed|epoch)(?:_{TIME_WORDS})*"
    rf"(?:_(?P<unit>{'|'.join(SECONDS)}))?$|^(?P<alone>{'|'.join(SECONDS)})(?:_{TIME_WORDS})*$"
)
LIKE_TIME = re.compile(r"time|stamp|elapsed|date|clock|millis|sec(?:ond)?s?$")
SLOWEST, FASTEST = 1.0, 20_000.0  # Hz of motion sensors


class SensorColumn(NamedTuple):
    """What a column's name says: its axis, its unit, and the words that are not understood."""

    axis: str
    unit: str | None
    rest: str | None


def parse(column: object, sensor: re.Pattern[str]) -> SensorColumn | None:
    """Return what a name says of the sensor whose names match; None of another's column.

    The unit stands last, before the axis (acc_g_x), or is not said.
    """
    whole = plain(column).replace("_axis", "")
    stem, unit = split_unit(whole)
    for text, said in ((stem, unit), (whole, None)):
        for form in FORMS:
            match = form.match(text)
            if match is None:
                continue
            named, inner = split_unit(match["sensor"])
            if known := sensor.search(named) or sensor.search(match["sensor"]):
                inner = inner if sensor.search(named) else None
                rest = match.groupdict().get("rest")
                if form is AXIS_FIRST:  # x_acc_std: words behind the sensor's own
                    rest = named[known.end() :].partition("_")[2] or None
                return SensorColumn(match["axis"], said or inner, rest)
    return None


def find_sensor(columns: Sequence[str], label: str, name: str) -> dict[str, list[str]]:
    """Return {axis: the columns that measure it} for a sensor.

    Raises PolysenseError where an axis has only columns with words that are not understood: a unit
    that is not known makes no missing sensor.
    """
    found: dict[str, list[str]] = {axis: [] for axis in AXES}
    unclear: dict[str, list[str]] = {axis: [] for axis in AXES}
    for column in columns:
        if parsed := parse(column, SENSORS[label]):
            (unclear if parsed.rest else found)[parsed.axis].append(column)
    for axis, names in unclear.items():
        if names and not found[axis]:
            raise PolysenseError(
                f"{name}: {names[0]!r} seems to be the {axis} axis of the {label}, in a unit or "
                f"with words that are not understood. Units that are: {', '.join(UNITS)}. Rename "
                "it, or name the six in imu.columns"
            )
    return found


def sensor_columns(table: pd.DataFrame, name: str) -> list[str]:
    """Return the names of the six columns ax ay az gx gy gz, or of three without a gyroscope.

    A table without names has 3 or 6 columns in this order, or 4 or 7 with the time first. Raises
    PolysenseError that lists the columns where they are not found, or two would do.
    """
    columns = list(table.columns)
    if all(isinstance(column, int | np.integer) for column in columns):
        if len(columns) in (3, 6):
            return columns
        if len(columns) in (4, 7):
            return columns[1:]
    chosen = []
    for label in SENSORS:
        found = find_sensor(columns, label, name)
        if label == "gyroscope" and not any(found.values()):
            return chosen
        for axis, names in found.items():
            if len(names) != 1:
                what = "no column is" if not names else f"{' and '.join(names)} could both be"
                raise PolysenseError(
                    f"{name}: {what} the {axis} axis of the {label}; columns: "
                    f"{listed(columns)}. Call them acc_x ... gyro_z, or name the six in imu.columns"
                )
            chosen.append(names[0])
    return chosen


def check_unit(columns: Sequence[str], unit: str, option: str, name: str) -> None:
    """Refuse columns whose names say another unit than the option does."""
    for column in columns:
        said = unit_said(column)
        if said and said != unit:
            raise PolysenseError(
                f"{name}: column {column!r} says {said}, but imu.{option} is {unit!r}: set it"
            )


def unit_said(column: object) -> str | None:
    """Return the unit that a sensor's column names."""
    for sensor in SENSORS.values():
        if parsed := parse(column, sensor):
            return parsed.unit
    return split_unit(plain(column))[1]


def time_column(table: pd.DataFrame, sensors: Sequence[str]) -> str | int | None:
    """Return the column that holds the time, if one does."""
    if all(isinstance(column, int | np.integer) for column in table.columns):
        return 0 if len(table.columns) in (4, 7) and 0 not in sensors else None
    return next((c for c in table.columns if c not in sensors and TIME.match(plain(c))), None)


def check_times_understood(columns: Sequence[str], sensors: Sequence[str], name: str) -> None:
    """Refuse a table without a rate that has columns like times, which are not understood."""
    if odd := [c for c in columns if c not in sensors and LIKE_TIME.search(plain(c))]:
        raise PolysenseError(
            f"{name}: {listed(odd)} may hold times, with words that are not understood: call the "
            "column of the times time_s, time_ms, time_us or time_ns, or set imu.source_rate"
        )


def seconds(times: pd.Series, name: str) -> np.ndarray:
    """Return a time column as seconds since its first row, fp64.

    Numbers are in the unit that the column's name ends with (time_ms, "timestamp (ns)"); without
    one, in that which puts the median step between 0.5 ms and 0.5 s: below 0.5 seconds, below 500
    milliseconds, below 500,000 microseconds, else nanoseconds. Text is read as dates. A rate that
    no sensor of motion has is a wrong unit, and refused.
    """
    import pandas as pd

    column = times.name
    if not pd.api.types.is_numeric_dtype(times):
        since = dates(times, name)
    else:
        values = times.to_numpy()
        if values.dtype.kind in "iu":
            values = values.astype(np.int64)  # nanoseconds since 1970 do not fit a float
        since = (values - values[0]).astype(np.float64) if len(values) else np.zeros(0)
        since = since * time_scale(since, str(column), name)
    if len(since) > 1:
        step = float(np.median(np.diff(since)))
        if not 1 / FASTEST <= step <= 1 / SLOWEST and step > 0:
            raise PolysenseError(
                f"{name}: by the times in column {column!r} it has {1 / step:.3g} readings a "
                f"second, and sensors of motion have {SLOWEST:g} to {FASTEST:,.0f}: call the "
                "column after its unit (time_s, time_ms, time_us, time_ns), or pass "
                '{"imu": ..., "rate": Hz}'
            )
    return since


def dates(times: pd.Series, name: str) -> np.ndarray:
    """Return dates as seconds since the first; text that is none is refused, with an example."""
    import pandas as pd

    try:
        moments = pd.to_datetime(times, format="ISO8601")
    except (ValueError, TypeError) as error:
        raise PolysenseError(
            f"{name}: the times in column {times.name!r} are neither numbers nor ISO dates such as "
            f"2026-01-31T12:00:00.020, but {str(times.iloc[0])[:40]!r}"
        ) from error
    return (moments - moments.iloc[0]).dt.total_seconds().to_numpy(np.float64)


def time_scale(since: np.ndarray, column: str, name: str) -> float:
    """Return the seconds of one unit of a time column: as its name says, else by its steps."""
    match = TIME.match(plain(column))
    unit = (match["unit"] or match["alone"]) if match else None
    if unit:
        return SECONDS[unit]
    steps = np.diff(since)
    growing = steps[steps > 0]  # a coarse clock may give several readings one time
    step = float(np.median(growing)) if len(growing) else 0.0
    if not np.isfinite(step) or step <= 0:
        raise PolysenseError(f"{name}: the times in column {column!r} do not grow")
    return 1.0 if step < 0.5 else 1e-3 if step < 500 else 1e-6 if step < 5e5 else 1e-9
