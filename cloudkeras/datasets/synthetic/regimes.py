"""Cloud regimes: each draws its cloud layers as correlated fields of cover, base, top, optical depth and phase."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from .atmosphere import FREEZING_K, LEVEL_CENTERS_KM, Atmosphere
from .clouds import CloudLayer, Glaciation
from .random_fields import PIXEL_KM, cell_spectrum, gaussian_field, red_spectrum


@dataclass(frozen=True)
class Site:
    """Where clouds are drawn.

    Attributes:
        shape: (rows, columns).
        atmosphere: Its profiles.
        latitude: Of the center, degrees.
        land: (rows, columns), 0..1.
        shear_angle: Direction of the wind shear aloft, along which ice streaks, radians from the x axis.
    """

    shape: tuple[int, int]
    atmosphere: Atmosphere
    latitude: float
    land: np.ndarray
    shear_angle: float = 0.0

    def field(self, rng: np.random.Generator, spectrum, **options) -> np.ndarray:
        return gaussian_field(rng, self.shape, spectrum, **options)

    def latent(self, rng: np.random.Generator, scale_km: float = 40.0) -> np.ndarray:
        return np.stack([self.field(rng, red_spectrum(scale_km)) for _ in range(2)])

    def presence(self, rng: np.random.Generator, share: float, scale_km: float = 400.0) -> np.ndarray:
        """Where a cloud system is, 0..1 with soft edges, covering about `share` of the ensemble of scenes."""
        field = self.field(rng, red_spectrum(scale_km, 3.5), margin_km=2 * scale_km)
        return np.clip(0.5 + 1.6 * (field + ndtri(np.clip(share, 0.01, 0.995))), 0.0, 1.0)

    def height_of(self, temperature_k: float) -> float:
        """Height in km at which the scene's mean profile falls to a temperature; the tropopause if it never does."""
        center = self.atmosphere.columns(np.array([self.shape[0] // 2 * self.shape[1] + self.shape[1] // 2]))
        profile = center.temperature(LEVEL_CENTERS_KM[:, None])[:, 0]
        below = np.flatnonzero(profile > temperature_k)
        height = float(LEVEL_CENTERS_KM[below[-1]]) if len(below) else 0.0
        return min(height, float(center.tropopause_km[0]))


def _exceedance(field: np.ndarray, cover: float, presence: np.ndarray | float = 1.0) -> np.ndarray:
    """How far a Gaussian field exceeds the threshold that leaves `cover * presence` of it; 0 outside cloud."""
    threshold = -ndtri(np.clip(cover * np.asarray(presence), 1e-6, 0.9999))
    return np.maximum(field - threshold, 0.0).astype(np.float32)


def adiabatic_optical_depth(depth_km: np.ndarray, radius_um: float) -> np.ndarray:
    """Visible optical depth of a liquid cloud whose water grows by 1.8 g m-3 a km (80 % of adiabatic at 285 K).

    `tau = 3 LWP / (2 rho r)` with `LWP = 0.9 depth**2` kg m-2 (Stephens 1978, J. Atmos. Sci. 35, 2123).
    """
    return 1.5 * 0.9e3 * depth_km**2 / radius_um


def stratocumulus(rng: np.random.Generator, site: Site) -> list[CloudLayer]:
    """Marine stratocumulus: closed mesoscale cells below the inversion, optically moderate, liquid or supercooled."""
    cell_km = rng.uniform(18, 45)
    cells = site.field(rng, cell_spectrum(cell_km, 0.3, 0.35))
    fine = site.field(rng, red_spectrum(20.0))
    excess = _exceedance(cells + 0.15 * fine, rng.beta(4, 1.8), site.presence(rng, 0.8))
    top = site.atmosphere.inversion_km * rng.uniform(0.8, 1.0) + 0.06 * fine + 0.05 * np.minimum(excess, 2.0)
    depth = (rng.uniform(0.12, 0.3) + rng.uniform(0.08, 0.2) * np.minimum(excess, 2.0)) * np.exp(0.1 * fine)
    radius = rng.uniform(7, 15)
    optical_depth = np.clip(adiabatic_optical_depth(depth, radius), 0.5, 60.0) * np.exp(0.25 * fine)
    return [
        CloudLayer(
            "stratocumulus",
            np.maximum(top - depth, 0.1),
            top,
            np.where(excess > 0, optical_depth * np.minimum(1.0, 0.3 + 3 * excess), 0.0).astype(np.float32),
            Glaciation(rng.normal(24, 4), 5.0, 0.9, 1.0),
            site.latent(rng, 30.0),
            (0.67, 0.0),
            radius,
        )
    ]


def _cumulus(rng, site, name, cover, outer_km, base_km, growth_km, cap_km, glaciation) -> CloudLayer:
    """Convective clouds whose tops rise with the excess of a clustered field over its threshold."""
    clusters = site.field(rng, red_spectrum(rng.uniform(60, 200), 3.0))
    small = site.field(rng, red_spectrum(outer_km, 2.2))
    excess = _exceedance(0.8 * small + 0.6 * clusters, cover, site.presence(rng, 0.75))
    top = base_km + np.minimum(0.25 + growth_km * excess, np.maximum(cap_km - base_km, 0.3))
    radius = rng.uniform(9, 17)
    # a pixel of 2 km is rarely filled by a small cumulus: the edges of a cluster are thinner than adiabatic
    filled = np.clip(0.1 + 0.8 * excess, 0.0, 1.0)
    optical_depth = np.clip(0.25 * adiabatic_optical_depth(top - base_km, radius), 1.0, 70.0) * filled
    return CloudLayer(
        name,
        np.broadcast_to(np.float32(base_km), site.shape),
        top.astype(np.float32),
        np.where(excess > 0, optical_depth, 0.0).astype(np.float32),
        glaciation,
        site.latent(rng, 15.0),
        (0.5, 0.2),
        radius,
    )


def trade_cumulus(rng: np.random.Generator, site: Site) -> list[CloudLayer]:
    """Trade cumulus: small clustered clouds capped by the trade inversion, with some cumulus congestus."""
    layers = [
        _cumulus(
            rng,
            site,
            "trade_cumulus",
            rng.beta(2, 5),
            rng.uniform(8, 20),
            rng.uniform(0.5, 0.9),
            rng.uniform(0.6, 1.3),
            rng.uniform(1.8, 3.5),
            Glaciation(20.0),
        )
    ]
    if rng.random() < 0.35 and abs(site.latitude) < 30:
        layers.append(
            _cumulus(rng, site, "congestus", 0.04, 15.0, 0.6, 4.0, rng.uniform(4.5, 7.0), Glaciation(15.0, 5.0, 0.8))
        )
    return layers


def cold_cumulus(rng: np.random.Generator, site: Site) -> list[CloudLayer]:
    """Open cells of a cold-air outbreak: rings of shallow convection, supercooled and mixed."""
    cells = site.field(rng, cell_spectrum(rng.uniform(50, 110), 0.18, 0.08))
    small = site.field(rng, red_spectrum(12.0))
    rings = 1.1 - 1.8 * np.abs(cells) + 0.35 * small  # walls of the cells, where the field changes sign
    excess = _exceedance(rings, rng.uniform(0.3, 0.55), site.presence(rng, 0.75))
    base = rng.uniform(0.4, 0.9)
    top = base + np.minimum(0.35 + rng.uniform(0.8, 1.8) * excess, rng.uniform(1.5, 3.5))
    radius = rng.uniform(9, 16)
    optical_depth = np.clip(0.3 * adiabatic_optical_depth(top - base, radius), 1.0, 50.0)
    return [
        CloudLayer(
            "cold_cumulus",
            np.broadcast_to(np.float32(base), site.shape),
            top.astype(np.float32),
            np.where(excess > 0, optical_depth * np.clip(0.15 + excess, 0, 1), 0.0).astype(np.float32),
            Glaciation(rng.normal(16, 4), 5.0, 1.1, 1.2),
            site.latent(rng, 15.0),
            (0.5, 0.1),
            radius,
        )
    ]


def deep_convection(rng: np.random.Generator, site: Site) -> list[CloudLayer]:
    """Cumulonimbus cores, the stratiform rain area beneath the thick anvil, the anvil, and its thin outflow."""
    system = site.field(rng, red_spectrum(rng.uniform(80, 260), 3.2))
    small = site.field(rng, red_spectrum(25.0))
    presence = site.presence(rng, 0.6)
    cover = rng.uniform(0.12, 0.5)
    anvil = _exceedance(system + 0.15 * small, cover, presence)
    outflow = _exceedance(system + 0.3 * small, min(0.9, 1.7 * cover), presence)
    core = _exceedance(0.9 * system + 0.6 * small, 0.18 * cover, presence)
    tropopause = site.atmosphere.tropopause_km
    anvil_top = tropopause - rng.uniform(0.8, 3.5) + 0.25 * small + 0.4 * np.minimum(anvil, 1.5)
    growth = np.minimum(anvil, 1.4)
    depth = 0.8 + rng.uniform(2.5, 4.5) * growth
    anvil_depth = np.where(anvil > 0, 0.4 * np.exp(2.9 * growth + 0.3 * small), 0.0)
    glaciation = Glaciation(rng.normal(14, 3), 5.0, 0.9)
    latent = site.latent(rng, 20.0)
    core_top = np.minimum(anvil_top + 0.8 * np.minimum(core, 1.2), tropopause + 0.7)
    freezing_km = max(site.height_of(FREEZING_K), 1.0)
    rain = (anvil > rng.uniform(0.5, 0.8)) & (core == 0)
    as_layer = lambda name, base, top, depth_of, shape: CloudLayer(  # noqa: E731
        name,
        np.maximum(np.broadcast_to(base, site.shape), 0.2).astype(np.float32),
        np.broadcast_to(top, site.shape).astype(np.float32),
        depth_of.astype(np.float32),
        glaciation,
        latent,
        shape,
        14.0,
    )
    thin = np.where(outflow > 0, 0.03 + 0.6 * np.minimum(outflow, 0.8) * np.exp(0.4 * small), 0.0)
    return [
        as_layer("outflow", anvil_top - 1.2, anvil_top - 0.1, np.where(anvil > 0, 0.0, thin), (0.0, 0.3)),
        as_layer("anvil", anvil_top - depth, anvil_top, anvil_depth, (0.3, 0.8)),
        as_layer(
            "stratiform",
            freezing_km - rng.uniform(0.3, 1.5),
            np.maximum(anvil_top - depth, freezing_km + 0.5),
            np.where(rain, 8.0 * np.exp(0.5 * small + 0.5 * growth), 0.0),
            (0.2, 0.2),
        ),
        as_layer("core", 0.6, core_top, np.where(core > 0, 45.0 * np.exp(0.5 * core + 0.3 * small), 0.0), (0.2, 0.5)),
    ]


def frontal(rng: np.random.Generator, site: Site) -> list[CloudLayer]:
    """A warm conveyor belt: cirrostratus, altostratus and nimbostratus along a front, showers behind it."""
    rows, columns = site.shape
    angle, stretch = rng.uniform(0, 2 * np.pi), rng.uniform(0.5, 1.3)
    y, x = np.meshgrid(np.arange(rows) - rows / 2, np.arange(columns) - columns / 2, indexing="ij")
    wiggle = 60.0 * site.field(rng, red_spectrum(300.0, 3.5))
    position = (x * np.cos(angle) + y * np.sin(angle)) * PIXEL_KM + wiggle + rng.uniform(-500, 250) * stretch
    d = (position / stretch).astype(np.float32)  # km ahead (negative) of the surface front
    texture = site.field(rng, red_spectrum(90.0))
    streaks = site.field(rng, red_spectrum(60.0), stretch=4.0, angle=angle + 0.5)
    tropopause = site.atmosphere.tropopause_km
    top_ahead = tropopause - rng.uniform(0.3, 1.8)
    top = np.where(d < 30, top_ahead, top_ahead - (d - 30) / 180 * (top_ahead - 3.5)) + 0.3 * texture
    base = np.interp(d, [-650, -420, -200, -60, 60, 200], [7.5, 6.0, 3.0, 0.8, 0.6, 1.2]).astype(np.float32)
    base = np.minimum(base + 0.3 * texture * (base > 1.5), top - 0.4)
    log_depth = np.interp(d, [-650, -480, -300, -120, -20, 60, 200], np.log([0.15, 1.0, 5.0, 25.0, 50.0, 25.0, 2.0]))
    optical_depth = np.exp(log_depth + 0.55 * texture + 0.35 * streaks)
    edge = (d > -650 - 60 * streaks) & (d < 190 + 40 * texture)
    gaps = streaks + 0.5 * texture < np.interp(d, [-650, -350, -150, 60, 200], [0.3, 1.3, 3.0, 3.0, 0.6])
    sheet = CloudLayer(
        "frontal",
        np.maximum(base, 0.3).astype(np.float32),
        top.astype(np.float32),
        np.where(edge & gaps, optical_depth, 0.0).astype(np.float32),
        Glaciation(rng.normal(13, 3), 5.0, 0.9),
        site.latent(rng, 60.0),
        (0.1, 0.5),
        12.0,
    )
    showers = _cumulus(
        rng, site, "showers", 0.25, 15.0, 0.6, 1.8, rng.uniform(2.5, 5.0), Glaciation(rng.normal(14, 3), 5.0, 1.0)
    )
    behind = np.where(d > 150, showers.optical_depth, 0.0).astype(np.float32)
    return [
        sheet,
        CloudLayer(
            "showers",
            showers.base_km,
            showers.top_km,
            behind,
            showers.glaciation,
            showers.latent,
            showers.shape,
            showers.liquid_radius_um,
        ),
    ]


def altocumulus(rng: np.random.Generator, site: Site) -> list[CloudLayer]:
    """Altocumulus and altostratus: thin supercooled liquid tops with ice falling beneath (mixed phase)."""
    cells = site.field(rng, cell_spectrum(rng.uniform(10, 25), 0.4, 1.0))
    sheet = site.field(rng, red_spectrum(100.0))
    excess = _exceedance(0.7 * cells + 0.7 * sheet, rng.beta(2, 3), site.presence(rng, 0.6))
    top_k = FREEZING_K - rng.uniform(2, 30)
    top = site.height_of(top_k) + 0.25 * sheet + 0.2
    virga = rng.uniform(0.0, 1.5) * np.clip(excess, 0, 1)
    depth = rng.uniform(0.2, 0.5) + virga + 0.1 * excess
    optical_depth = rng.lognormal(np.log(4.0), 0.6) * np.minimum(0.3 + 1.2 * excess, 3.0)
    return [
        CloudLayer(
            "altocumulus",
            np.maximum(top - depth, 0.8).astype(np.float32),
            np.maximum(top, 1.2).astype(np.float32),
            np.where(excess > 0, optical_depth, 0.0).astype(np.float32),
            Glaciation(rng.normal(20, 5), 6.0, 1.2, 2.5),
            site.latent(rng, 25.0),
            (1.2, 0.0),
            rng.uniform(7, 12),
        )
    ]


def cirrus(rng: np.random.Generator, site: Site) -> list[CloudLayer]:
    """Cirrus: streaks below the tropopause, mostly thin."""
    angle = site.shear_angle + rng.normal(0, 0.25)
    field = site.field(rng, red_spectrum(rng.uniform(60, 200), 3.0), stretch=rng.uniform(1.5, 5), angle=angle)
    fine = site.field(rng, red_spectrum(30.0), stretch=3.0, angle=angle + rng.normal(0, 0.15))
    excess = _exceedance(field + 0.2 * fine, rng.beta(2.6, 1.9), site.presence(rng, 0.75))
    slow = site.field(rng, red_spectrum(300.0, 3.5))
    top = site.atmosphere.tropopause_km - rng.gamma(2.0, 0.8) + 0.4 * slow
    depth = rng.uniform(0.4, 1.2) + rng.uniform(0.4, 1.4) * np.minimum(excess, 1.5)
    optical_depth = rng.lognormal(np.log(0.6), 0.8) * np.minimum(0.04 + 1.2 * excess**1.3, 2.5) * np.exp(0.3 * fine)
    return [
        CloudLayer(
            "cirrus",
            np.maximum(top - depth, 1.0).astype(np.float32),
            np.maximum(top, 1.5).astype(np.float32),
            np.where(excess > 0, optical_depth, 0.0).astype(np.float32),
            Glaciation(10.0, 4.0, 0.5),
            site.latent(rng, 40.0),
            (0.2, 0.5),
        )
    ]


Regime = Callable[[np.random.Generator, Site], list[CloudLayer]]

REGIMES: dict[str, Regime] = {
    "stratocumulus": stratocumulus,
    "trade_cumulus": trade_cumulus,
    "cold_cumulus": cold_cumulus,
    "deep_convection": deep_convection,
    "frontal": frontal,
    "altocumulus": altocumulus,
    "cirrus": cirrus,
}

# Probability that a regime takes part in a scene, by latitude in degrees. Several may: multi-layer scenes.
_LATITUDES = (5.0, 20.0, 30.0, 45.0, 60.0)
_PROBABILITY = {
    "stratocumulus": (0.12, 0.45, 0.55, 0.50, 0.60),
    "trade_cumulus": (0.90, 0.75, 0.45, 0.15, 0.05),
    "cold_cumulus": (0.00, 0.00, 0.10, 0.35, 0.45),
    "deep_convection": (0.65, 0.22, 0.08, 0.04, 0.00),
    "frontal": (0.00, 0.00, 0.12, 0.31, 0.36),
    "altocumulus": (0.45, 0.30, 0.35, 0.45, 0.45),
    "cirrus": (0.85, 0.60, 0.50, 0.45, 0.40),
}


def draw_layers(rng: np.random.Generator, site: Site) -> list[CloudLayer]:
    """Draws the regimes that take part in a scene by its latitude, and their layers, lowest regimes first.

    A scene larger than 250 km holds several weather systems: each regime is then tried once for every 500 km.
    """
    tries = max(1, round(np.hypot(*site.shape) * PIXEL_KM / 700.0))
    layers = []
    for name, regime in REGIMES.items():
        probability = np.interp(abs(site.latitude), _LATITUDES, _PROBABILITY[name])
        for _ in range(tries):
            if rng.random() < probability:
                layers += regime(rng, site)
    return layers
