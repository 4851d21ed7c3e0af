"""Where a scene lies, and the angles of the sun and of the imager over it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from .random_fields import PIXEL_KM

EARTH_RADIUS_KM = 6371.0
KM_PER_DEGREE = np.pi / 180.0 * EARTH_RADIUS_KM
SATELLITE_LONGITUDE = 140.7  # Himawari-8
SATELLITE_RADIUS_KM = 42164.0

PERIOD_START = datetime(2018, 10, 1, tzinfo=UTC).timestamp()
PERIOD_END = datetime(2019, 1, 1, tzinfo=UTC).timestamp()
LATITUDE_RANGE = (-60.0, 60.0)
LONGITUDE_RANGE = (100.0, 160.0)


@dataclass(frozen=True)
class Geometry:
    """Position and angles of every pixel; row 0 is north. All arrays (rows, columns), degrees.

    Attributes:
        time: Seconds since 1970-01-01 UTC.
        latitude: North positive.
        longitude: East positive.
        solar_zenith: Above 90 at night.
        sensor_zenith: 0 below the satellite.
        relative_azimuth: 0 where the sun stands behind the imager (backscatter), 180 where it is faced (glint).
    """

    time: float
    latitude: np.ndarray
    longitude: np.ndarray
    solar_zenith: np.ndarray
    sensor_zenith: np.ndarray
    relative_azimuth: np.ndarray


def scene_geometry(shape: tuple[int, int], latitude: float, longitude: float, time: float) -> Geometry:
    """Geometry of a scene of `shape` pixels of 2 km around a center, north up."""
    rows, columns = shape
    lat = latitude - (np.arange(rows) - (rows - 1) / 2) * PIXEL_KM / KM_PER_DEGREE
    lat = np.clip(lat, -89.0, 89.0)[:, None]
    lon = longitude + (np.arange(columns) - (columns - 1) / 2)[None, :] * PIXEL_KM / (KM_PER_DEGREE * np.cos(_rad(lat)))
    lat = np.broadcast_to(lat, shape)
    solar_zenith, solar_azimuth = solar_angles(lat, lon, time)
    sensor_zenith, sensor_azimuth = sensor_angles(lat, lon)
    difference = np.abs((solar_azimuth - sensor_azimuth + 180.0) % 360.0 - 180.0)
    return Geometry(
        time=float(time),
        latitude=lat.astype(np.float32),
        longitude=lon.astype(np.float32),
        solar_zenith=solar_zenith.astype(np.float32),
        sensor_zenith=sensor_zenith.astype(np.float32),
        relative_azimuth=difference.astype(np.float32),
    )


def solar_declination(time: float) -> float:
    """Declination of the sun in degrees (Spencer 1971, Search 2, 172; error below 0.05 degrees)."""
    day = _day_angle(time)
    series = (
        0.006918
        - 0.399912 * np.cos(day)
        + 0.070257 * np.sin(day)
        - 0.006758 * np.cos(2 * day)
        + 0.000907 * np.sin(2 * day)
        - 0.002697 * np.cos(3 * day)
        + 0.00148 * np.sin(3 * day)
    )
    return float(np.degrees(series))


def solar_angles(latitude: np.ndarray, longitude: np.ndarray, time: float) -> tuple[np.ndarray, np.ndarray]:
    """Zenith and azimuth (clockwise from north) of the sun in degrees (Spencer 1971)."""
    day = _day_angle(time)
    equation_of_time = 229.18 * (
        0.000075
        + 0.001868 * np.cos(day)
        - 0.032077 * np.sin(day)
        - 0.014615 * np.cos(2 * day)
        - 0.040849 * np.sin(2 * day)
    )
    minutes = (time % 86400.0) / 60.0 + equation_of_time + 4.0 * longitude
    hour_angle = _rad(minutes / 4.0 - 180.0)
    declination = _rad(solar_declination(time))
    lat = _rad(latitude)
    cosine = np.sin(lat) * np.sin(declination) + np.cos(lat) * np.cos(declination) * np.cos(hour_angle)
    east = -np.cos(declination) * np.sin(hour_angle)
    north = np.cos(lat) * np.sin(declination) - np.sin(lat) * np.cos(declination) * np.cos(hour_angle)
    return np.degrees(np.arccos(np.clip(cosine, -1, 1))), np.degrees(np.arctan2(east, north)) % 360.0


def sensor_angles(latitude: np.ndarray, longitude: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Zenith and azimuth (clockwise from north) of the geostationary imager in degrees, spherical Earth."""
    lat, lon = _rad(latitude), _rad(longitude - SATELLITE_LONGITUDE)
    cosine_angle = np.cos(lat) * np.cos(lon)
    distance = np.sqrt(
        SATELLITE_RADIUS_KM**2 + EARTH_RADIUS_KM**2 - 2 * SATELLITE_RADIUS_KM * EARTH_RADIUS_KM * cosine_angle
    )
    cosine_zenith = (SATELLITE_RADIUS_KM * cosine_angle - EARTH_RADIUS_KM) / distance
    azimuth = np.arctan2(-np.sin(lon), -np.sin(lat) * np.cos(lon))
    return np.degrees(np.arccos(np.clip(cosine_zenith, -1, 1))), np.degrees(azimuth) % 360.0


def _day_angle(time: float) -> float:
    moment = datetime.fromtimestamp(time, UTC)
    return 2 * np.pi * (moment.timetuple().tm_yday - 1 + moment.hour / 24) / 365.0


def _rad(degrees):
    return np.asarray(degrees) * (np.pi / 180.0)
