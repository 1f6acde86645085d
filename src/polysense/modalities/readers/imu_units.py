"""Units of motion: what names of columns say of them, and what the readings themselves say.

An option tells which unit a recording is in, so a wrong one would go unseen: a tenth of all
acceleration, or rotations 57 times too fast. Gravity and the limits of sensors show most of these.
"""

from __future__ import annotations

import re

import numpy as np

from polysense.errors import PolysenseError

SECOND = r"(?:s|sec|secs|second|seconds)"
A_SECOND = rf"_?(?:per_)?{SECOND}(?:_?1)?"
SQUARED = rf"_?(?:2|squared|(?:per_)?{SECOND})"

UNITS = {
    "g": re.compile(r"(?:std_|standard_)?(?:g|gs|g_?force|g_?units?|gravit(?:y|ies))"),
    "m/s2": re.compile(
        rf"(?:(?:m|met(?:er|re)s?)_(?:per_)?{SECOND}(?:{SQUARED})?|ms_?2|mps2|m_s_2)"
    ),
    "rad/s": re.compile(rf"(?:rads?|radians?){A_SECOND}"),
    "deg/s": re.compile(rf"(?:degs?|degrees?){A_SECOND}|dps"),
}

LONGEST = 5  # words of a unit: "meters per second per second"
RESTING = 0.08  # how near to 1 the median acceleration lies that is in g
STANDARD_GRAVITY = 9.81
MOST_G = 5.0  # median acceleration in g: nobody bears more for long
MOST_TURNING = 70.0  # rad/s; sensors end at 2000 or 4000 degrees a second


def unit_of(words: str) -> str | None:
    """Return the unit that plain words ("deg_s") stand for, or None where they are not known."""
    return next((unit for unit, form in UNITS.items() if form.fullmatch(words)), None)


def split_unit(name: str) -> tuple[str, str | None]:
    """Return a plain name without the unit at its end, and that unit: gyro_x_deg_s -> gyro_x."""
    words = name.split("_")
    for count in range(min(LONGEST, len(words) - 1), 0, -1):
        if unit := unit_of("_".join(words[-count:])):
            return "_".join(words[:-count]), unit
    return name, None


def check_plausible(
    readings: np.ndarray, accelerometer_unit: str, gyroscope_unit: str, name: str
) -> None:
    """Refuse readings [T, 6] that speak for other units than the options say.

    Most recordings hold gravity: a median of 1 is in g, one of 9.8 in m/s^2. Where it was taken
    away, or people jump, nothing can be told, and nothing is said.
    """
    strength = np.linalg.norm(readings[:, :3], axis=1)
    lower, median = np.percentile(strength, (25, 50))
    if accelerometer_unit == "m/s2" and abs(median - 1) < RESTING and lower > 1 - 2 * RESTING:
        refuse(name, f"accelerations are about {median:.2f}, as in g", "accelerometer_unit", "g")
    if accelerometer_unit == "g" and abs(median / STANDARD_GRAVITY - 1) < RESTING:
        refuse(
            name, f"accelerations are about {median:.1f}, as in m/s2", "accelerometer_unit", "m/s2"
        )
    in_g = median if accelerometer_unit == "g" else median / STANDARD_GRAVITY
    if in_g > MOST_G:
        raise PolysenseError(
            f"{name}: accelerations are about {median:,.0f} {accelerometer_unit}, more than "
            "sensors of motion bear for long: convert raw counts or other units first, or set "
            "imu.check_units=false"
        )
    turning = float(np.percentile(np.abs(readings[:, 3:]), 99))
    if gyroscope_unit == "rad/s" and turning > MOST_TURNING:
        refuse(name, f"rotations reach {turning:.0f}, as in deg/s", "gyroscope_unit", "deg/s")
    if gyroscope_unit == "deg/s" and turning > np.degrees(MOST_TURNING):
        raise PolysenseError(
            f"{name}: rotations reach {turning:,.0f} deg/s, more than sensors measure: convert raw "
            "counts first, or set imu.check_units=false"
        )


def refuse(name: str, what: str, option: str, unit: str) -> None:
    """Name the option that the readings speak for."""
    raise PolysenseError(
        f"{name}: its {what}: set imu.{option}={unit}, or imu.check_units=false if they are not"
    )
