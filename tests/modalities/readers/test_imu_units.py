"""Units are read in many spellings, and readings that speak for another unit are refused."""

import numpy as np
import pytest

from polysense.errors import PolysenseError
from polysense.modalities.readers.imu_units import check_plausible, split_unit, unit_of

SPELLINGS = {
    "g": "g gs g_force standard_gravity",
    "m/s2": "m_s2 m_s_2 m_s_s ms2 ms_2 mps2 m_per_s_squared meters_per_second_per_second m_s",
    "rad/s": "rad_s rads rad_sec radians_per_second rad_s_1",
    "deg/s": "deg_s degs dps deg_sec degrees_s degrees_per_second deg_s_1",
}


@pytest.mark.parametrize(("unit", "words"), SPELLINGS.items())
def test_spellings(unit, words):
    for each in words.split():
        assert unit_of(each) == unit
        assert split_unit(f"gyro_x_{each}") == ("gyro_x", unit)


def test_what_is_no_unit():
    assert not any(map(unit_of, ["mg", "rpm", "s", "ms", "cm_s2", "mrad_s", "rps", "deg", ""]))
    assert split_unit("g") == ("g", None)  # a name needs something before its unit


def readings(strength, turning=0.0):
    rng = np.random.default_rng(0)
    values = np.zeros((400, 6))
    directions = rng.normal(size=(400, 3))
    values[:, :3] = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    values[:, :3] *= np.broadcast_to(strength, 400)[:, None]
    values[:, 3:] = turning
    return values


@pytest.mark.parametrize(
    ("strength", "turning", "units"),
    [(9.81, 30, ("m/s2", "rad/s")), (1.0, 2000, ("g", "deg/s")), (0, 0, ("m/s2", "rad/s")),
     (45, 69, ("m/s2", "rad/s")), (4.9, 4000, ("g", "deg/s")),
     (np.linspace(0, 2, 400), 1, ("m/s2", "rad/s"))],
)  # fmt: skip
def test_what_may_be(strength, turning, units):
    check_plausible(readings(strength, turning), *units, "it")


@pytest.mark.parametrize(
    ("strength", "turning", "units", "words"),
    [(1.0, 0, ("m/s2", "rad/s"), "about 1.00, as in g: set imu.accelerometer_unit=g"),
     (9.7, 0, ("g", "rad/s"), "about 9.7, as in m/s2: set imu.accelerometer_unit=m/s2"),
     (16384, 0, ("m/s2", "rad/s"), "about 16,384 m/s2, more than"),
     (55, 0, ("m/s2", "rad/s"), "about 55 m/s2, more than"),
     (6, 0, ("g", "rad/s"), "about 6 g, more than"),
     (9.8, 90, ("m/s2", "rad/s"), "reach 90, as in deg/s: set imu.gyroscope_unit=deg/s"),
     (9.8, -90, ("m/s2", "rad/s"), "imu.gyroscope_unit=deg/s, or imu.check_units=false"),
     (9.8, 30_000, ("m/s2", "deg/s"), "reach 30,000 deg/s, more than")],
)  # fmt: skip
def test_what_speaks_for_another_unit(strength, turning, units, words):
    with pytest.raises(PolysenseError, match=words):
        check_plausible(readings(strength, turning), *units, "it")
