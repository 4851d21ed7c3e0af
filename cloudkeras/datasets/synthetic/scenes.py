"""One simulated scene: clouds, their truth on 38 levels, the sixteen bands of AHI and the track.

What is left out, on purpose: columns are independent (no parallax, no shadows, no light from the side), there is no
aerosol, no diurnal cycle of clouds, and the profiler passes at any hour. The labels along the track are the truth
itself: neither the attenuation of a lidar nor the surface clutter of a radar hides anything. A level counts as cloud
from the optical depth `clouds.DETECTION_OPTICAL_DEPTH` on; thinner cloud is in the radiances and not in the truth.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from ...errors import check
from ...tasks.cloud_phase import EMISSIVE_BANDS_UM, NUM_LEVELS, REFLECTIVE_BANDS_UM
from .atmosphere import LEVEL_CENTERS_KM, draw_atmosphere
from .clouds import cloud_columns
from .forward_model import simulate_image
from .geometry import (
    LATITUDE_RANGE,
    LONGITUDE_RANGE,
    PERIOD_END,
    PERIOD_START,
    Geometry,
    scene_geometry,
    solar_declination,
)
from .optics import CloudOptics
from .random_fields import PIXEL_KM
from .regimes import Site, draw_layers
from .surface import draw_land, draw_surface
from .track import Track, along_track, draw_track

MINIMUM_SIZE = 16
MAXIMUM_SIZE = 2000
_PIXELS_AT_ONCE = 2048  # columns of 38 levels that stay in the processor's cache


@dataclass(frozen=True)
class Scene:
    """A simulated scene. Row 0 is north.

    Attributes:
        seed: What it was drawn from, with `index`.
        index: Which scene of that seed.
        geometry: Time, position, angles.
        reflectance: (y, x, 6), AHI bands 1 to 6, bidirectional reflectance factor, 0 at night.
        brightness_temperature: (y, x, 10), AHI bands 7 to 16, K.
        phase: Dense truth (level, y, x), int8: 0 clear, 1 ice, 2 mixed, 3 liquid.
        track: The profiler's ground track.
        regimes: Names of the cloud layers that were drawn.
    """

    seed: int
    index: int
    geometry: Geometry
    reflectance: np.ndarray
    brightness_temperature: np.ndarray
    phase: np.ndarray
    track: Track
    regimes: tuple[str, ...]

    @property
    def granule(self) -> str:
        return f"simulated-{self.seed}-{self.index:05d}"

    def profiles(self) -> np.ndarray:
        """Phase along the track, (profile, level), int8, -1 where the track has left the scene."""
        return along_track(self.phase, self.track)

    def fields(self) -> dict[str, np.ndarray]:
        """The variables of the task `cloud_phase`, without the sample dimension."""
        return {
            "reflectance": self.reflectance,
            "brightness_temperature": self.brightness_temperature,
            "solar_zenith_angle": self.geometry.solar_zenith,
            "sensor_zenith_angle": self.geometry.sensor_zenith,
            "phase": self.profiles(),
            "profile_y": self.track.y,
            "profile_x": self.track.x,
            "phase_dense": self.phase,
        }


@cache
def cloud_optics() -> CloudOptics:
    """The optical table, read once a process."""
    return CloudOptics()


def simulate_scene(seed: int, size: int | tuple[int, int] = 128, *, index: int = 0, time: float | None = None) -> Scene:
    """Simulates one scene; the same arguments give the same scene.

    Args:
        seed: Of the family of scenes.
        size: Pixels of 2 km, rows and columns or both the same.
        index: Which scene of the family.
        time: Seconds since 1970-01-01 UTC; drawn from October to December 2018 if None.

    Raises:
        InputError: If the size is out of bounds or the seed is negative.
    """
    shape = scene_shape(size)
    check(seed >= 0 and index >= 0, "`seed` and `index` are not negative.", seed=seed, index=index)
    place, air, ground, cloud, flight, noise = (
        np.random.default_rng(s) for s in np.random.SeedSequence([seed, index]).spawn(6)
    )
    geometry = _draw_geometry(place, shape, time)
    land = draw_land(ground, shape)
    atmosphere = draw_atmosphere(air, geometry.latitude, solar_declination(geometry.time), land)
    surface = draw_surface(ground, land, atmosphere.surface_air_k, geometry.solar_zenith)
    site = Site(shape, atmosphere, float(geometry.latitude.mean()), land, float(cloud.uniform(0, np.pi)))
    layers = draw_layers(cloud, site)
    pixels = shape[0] * shape[1]
    phase = np.empty((NUM_LEVELS, pixels), np.int8)
    reflectance = np.empty((pixels, len(REFLECTIVE_BANDS_UM)), np.float32)
    temperature = np.empty((pixels, len(EMISSIVE_BANDS_UM)), np.float32)
    for start in range(0, pixels, _PIXELS_AT_ONCE):
        some = slice(start, min(start + _PIXELS_AT_ONCE, pixels))
        center_k = atmosphere.columns(some).temperature(LEVEL_CENTERS_KM[:, None]).astype(np.float32)
        clouds = cloud_columns([layer.columns(some) for layer in layers], center_k)
        random = noise.standard_normal((some.stop - start, 16), dtype=np.float32)
        image = simulate_image(atmosphere, surface, geometry, clouds, cloud_optics(), some, random)
        phase[:, some], reflectance[some] = clouds.phase(), image.reflectance
        temperature[some] = image.brightness_temperature
    return Scene(
        seed=seed,
        index=index,
        geometry=geometry,
        reflectance=reflectance.reshape(*shape, -1),
        brightness_temperature=temperature.reshape(*shape, -1),
        phase=phase.reshape(NUM_LEVELS, *shape),
        track=draw_track(flight, shape),
        regimes=tuple(layer.regime for layer in layers),
    )


def scene_shape(size: int | tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of a scene of `size`.

    Raises:
        InputError: If a scene cannot have this size.
    """
    shape = (size,) * 2 if isinstance(size, int | np.integer) else tuple(size)
    check(
        len(shape) == 2 and all(MINIMUM_SIZE <= s <= MAXIMUM_SIZE for s in shape),
        f"`size` is rows and columns between {MINIMUM_SIZE} and {MAXIMUM_SIZE} pixels.",
        size=size,
    )
    return int(shape[0]), int(shape[1])


def _draw_geometry(rng: np.random.Generator, shape: tuple[int, int], time: float | None) -> Geometry:
    drawn_time = rng.uniform(PERIOD_START, PERIOD_END)
    half_degrees = shape[0] * PIXEL_KM / 2 / 111.2
    latitude = rng.uniform(*_inside(LATITUDE_RANGE, half_degrees))
    half_degrees = shape[1] * PIXEL_KM / 2 / 111.2 / np.cos(np.radians(latitude))
    longitude = rng.uniform(*_inside(LONGITUDE_RANGE, half_degrees))
    return scene_geometry(shape, latitude, longitude, drawn_time if time is None else time)


def _inside(limits: tuple[float, float], margin: float) -> tuple[float, float]:
    low, high = limits[0] + margin, limits[1] - margin
    middle = 0.5 * sum(limits)
    return (low, high) if low < high else (middle, middle)
