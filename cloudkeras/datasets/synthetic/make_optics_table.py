"""Makes `optics_table.nc`: how droplets and ice crystals reflect, transmit and emit in the bands of AHI.

Run as `python -m cloudkeras.datasets.synthetic.make_optics_table [--out FILE] [--jobs N]` with the extra `optics`
installed (miepython for the single particles, PythonicDISORT for the layers). Less than a minute on two cores; the
shipped file came from it.

Particles. Droplets are spheres in a gamma distribution of effective variance 0.1 with their full Mie phase function.
Ice crystals absorb as spheres of the same effective radius (ratio of volume to projected area), the usual approximation
for the absorption that sets the bands apart; roughened crystals scatter without halo and rainbow and less forward than
spheres, so their phase function is that of Henyey and Greenstein with the asymmetry lowered by 0.11 where particles are
transparent (0.78 in the visible, near the crystals of MODIS collection 6) and unchanged where they absorb.

Layers. Homogeneous, plane-parallel, 32 streams, delta-M scaling and Nakajima-Tanaka correction. Optical depth is that
at 0.64 um in all tables.
"""

from __future__ import annotations

import argparse
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

STREAMS = 32
MOMENTS = 900
EFFECTIVE_VARIANCE = 0.1
REFERENCE_UM = 0.64

SOLAR_UM = (0.64, 0.86, 1.61, 2.26, 3.89)
INFRARED_UM = (3.89, 6.24, 6.94, 7.35, 8.59, 9.64, 10.41, 11.24, 12.38, 13.28)
RADII_UM = {"liquid": (5.0, 8.0, 12.0, 18.0), "ice": (12.0, 20.0, 34.0, 58.0)}
OPTICAL_DEPTHS = (0.0, 0.3, 1.0, 2.5, 5.0, 10.0, 20.0, 45.0, 120.0)
COSINES = (0.05, 0.12, 0.25, 0.4, 0.55, 0.7, 0.85, 1.0)  # of the sun, and of fluxes
VIEW_COSINES = (0.2, 0.32, 0.45, 0.6, 0.75, 0.88, 1.0)
AZIMUTHS = (0.0, 30.0, 60.0, 90.0, 120.0, 150.0, 180.0)  # 0 looks away from the sun (backscatter)
RAYLEIGH_DEPTHS = (0.0, 0.016, 0.052, 0.133, 0.19)

# Refractive indices at the band wavelengths, interpolated linearly in n and log k between the published knots.
# Water at 25 C: Hale and Querry 1973, Appl. Opt. 12, 555, table I. Wavelength in um: (n, k).
WATER_KNOTS = {
    0.625: (1.332, 1.39e-8),
    0.650: (1.331, 1.64e-8),
    0.850: (1.329, 2.93e-7),
    0.875: (1.328, 3.91e-7),
    1.6: (1.317, 8.55e-5),
    1.8: (1.312, 1.15e-4),
    2.2: (1.296, 2.89e-4),
    2.4: (1.279, 9.56e-4),
    3.8: (1.364, 0.00340),
    3.9: (1.357, 0.00380),
    6.2: (1.363, 0.0880),
    6.3: (1.357, 0.0570),
    6.9: (1.321, 0.0322),
    7.0: (1.317, 0.0320),
    7.3: (1.309, 0.0322),
    7.4: (1.307, 0.0324),
    8.4: (1.281, 0.0361),
    8.6: (1.275, 0.0372),
    9.6: (1.239, 0.0454),
    9.8: (1.229, 0.0479),
    10.0: (1.218, 0.0508),
    10.5: (1.185, 0.0662),
    11.0: (1.153, 0.0968),
    11.5: (1.126, 0.142),
    12.0: (1.111, 0.199),
    12.5: (1.123, 0.259),
    13.0: (1.146, 0.305),
    13.5: (1.177, 0.343),
}
# Ice at -7 C: Warren and Brandt 2008, J. Geophys. Res. 113, D14220, their table.
ICE_KNOTS = {
    0.64: (1.3083, 1.22e-8),
    0.86: (1.3039, 2.15e-7),
    1.587: (1.2897, 3.105e-4),
    1.613: (1.2890, 2.659e-4),
    2.26: (1.2573, 2.078e-4),
    3.847: (1.3750, 8.248e-3),
    3.969: (1.3623, 1.112e-2),
    6.135: (1.3083, 6.560e-2),
    6.250: (1.3152, 6.360e-2),
    6.897: (1.3242, 5.428e-2),
    7.042: (1.3244, 5.161e-2),
    7.246: (1.3229, 4.840e-2),
    7.353: (1.3218, 4.600e-2),
    8.475: (1.2917, 3.677e-2),
    8.696: (1.2835, 3.654e-2),
    9.524: (1.2387, 4.026e-2),
    9.804: (1.2151, 4.450e-2),
    10.31: (1.1501, 7.500e-2),
    10.42: (1.1323, 8.800e-2),
    11.11: (1.1023, 2.800e-1),
    11.36: (1.1439, 3.410e-1),
    12.20: (1.3194, 4.220e-1),
    12.50: (1.3822, 4.220e-1),
    13.16: (1.4928, 3.740e-1),
    13.33: (1.5132, 3.540e-1),
}


def refractive_index(phase: str, wavelength_um: float) -> complex:
    """Complex refractive index `n - i k` of "liquid" or "ice" at a band's wavelength."""
    knots = WATER_KNOTS if phase == "liquid" else ICE_KNOTS
    wavelengths = sorted(knots)
    n = np.interp(wavelength_um, wavelengths, [knots[w][0] for w in wavelengths])
    log_k = np.interp(wavelength_um, wavelengths, [np.log(knots[w][1]) for w in wavelengths])
    return complex(n, -np.exp(log_k))


def _size_distribution(phase: str, wavelength_um: float, radius_um: float):
    """Size parameters of the quadrature, their weights by projected area, and (extinction, scattering, g) of each.

    The distribution is `n(r) ~ r**((1 - 3 v) / v) exp(-r / (radius v))` with v = `EFFECTIVE_VARIANCE` (Hansen and
    Travis 1974, Space Sci. Rev. 16, 527, equation 2.56).
    """
    import miepython

    index, v = refractive_index(phase, wavelength_um), EFFECTIVE_VARIANCE
    radii = np.exp(np.linspace(np.log(0.12 * radius_um), np.log(3.2 * radius_um), 80 if phase == "liquid" else 40))
    log_number = (1 - 3 * v) / v * np.log(radii / radius_um) - radii / (radius_um * v)
    area = np.exp(log_number - log_number.max()) * radii**3  # r**2 dr with dr ~ r
    parameters = 2 * np.pi * radii / wavelength_um
    efficiencies = np.array([miepython.efficiencies_mx(index, x) for x in parameters])
    return parameters, area / area.sum(), efficiencies[:, [0, 1, 3]]


def extinction_efficiency(phase: str, wavelength_um: float, radius_um: float) -> float:
    """Mean extinction efficiency of a size distribution."""
    _, area, efficiencies = _size_distribution(phase, wavelength_um, radius_um)
    return float(area @ efficiencies[:, 0])


def single_scattering(phase: str, wavelength_um: float, radius_um: float) -> tuple[float, float, np.ndarray]:
    """Optics of a size distribution.

    Returns:
        (mean extinction efficiency, single-scattering albedo, Legendre moments of the phase function from order 0).
    """
    import miepython

    parameters, area, efficiencies = _size_distribution(phase, wavelength_um, radius_um)
    extinction, scattering, asymmetry = efficiencies.T
    albedo = float(area @ scattering / (area @ extinction))
    if phase == "ice":
        g = float(area @ (scattering * asymmetry) / (area @ scattering))
        g -= 0.11 * max(0.0, 2 * albedo - 1)
        return float(area @ extinction), albedo, g ** np.arange(MOMENTS + 1)
    index = refractive_index(phase, wavelength_um)
    cosines, weights = np.polynomial.legendre.leggauss(MOMENTS + 200)
    phase_function = sum(
        a * q * miepython.i_unpolarized(index, x, cosines, norm="one")
        for a, q, x in zip(area, scattering, parameters, strict=True)
    )
    moments = np.polynomial.legendre.legvander(cosines, MOMENTS).T @ (weights * phase_function)
    return float(area @ extinction), albedo, np.clip(moments / moments[0], 0.0, 1.0)


def _disort(depth: float, albedo: float, moments: np.ndarray, cos_sun: float, **options):
    """PythonicDISORT for one layer with this module's streams."""
    from PythonicDISORT import pydisort

    return pydisort(
        np.array([depth]),
        np.array([min(albedo, 1 - 1e-6)]),
        STREAMS,
        moments[None],
        cos_sun,
        1.0 if not ({"b_pos", "b_neg"} & set(options)) else 0.0,
        0.0,
        NLeg=STREAMS,
        NFourier=STREAMS,
        f_arr=moments[STREAMS],
        cache_asso_leg="no_mu0",
        **options,
    )


def layer_reflection(depth: float, albedo: float, moments: np.ndarray) -> dict[str, np.ndarray]:
    """Reflection and transmission of sunlight by a layer.

    Returns:
        reflectance (cosine of the sun, view cosine, azimuth) as bidirectional reflectance factor; transmittance
        (cosine), direct and diffuse flux; diffuse_albedo and diffuse_transmittance for isotropic light, scalars.
    """
    from PythonicDISORT.subroutines import interpolate

    reflectance = np.empty((len(COSINES), len(VIEW_COSINES), len(AZIMUTHS)))
    transmittance = np.empty(len(COSINES))
    azimuth = np.pi - np.radians(AZIMUTHS)  # PythonicDISORT counts from the direction of flight of the sunlight
    for i, cos_sun in enumerate(COSINES):
        cos_sun = min(cos_sun, 1 - 1e-6)
        _, _, down, _, intensity = _disort(depth, albedo, moments, cos_sun, NT_cor=True)
        upward = interpolate(intensity, NT_cor="eval")(np.array(VIEW_COSINES), 0.0, azimuth)
        reflectance[i] = np.pi * upward / cos_sun
        transmittance[i] = sum(down(depth)) / cos_sun
    _, up, down, _ = _disort(depth, albedo, moments, 0.5, b_neg=1 / np.pi, only_flux=True)
    return {
        "reflectance": reflectance,
        "transmittance": transmittance,
        "diffuse_albedo": up(0.0),
        "diffuse_transmittance": sum(down(depth)),
    }


def layer_emission(extinction_ratio: float, albedo: float, moments: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How a layer dims the radiance from below, and what an opaque one reflects, by view cosine.

    Returns:
        absorption: `k(cosine)` for which `exp(-k depth / cosine)` is the share of isotropic radiance from below that
            leaves a layer of visible optical depth 1.5, scattered light included.
        opaque_reflectance: Share of isotropic radiance from above that an opaque layer sends back, 1 - emissivity.
    """
    from PythonicDISORT.subroutines import interpolate

    view, thin, opaque = np.array(VIEW_COSINES), 1.5, 200.0
    *_, intensity = _disort(thin * extinction_ratio, albedo, moments, 0.5, b_pos=1.0, only_flux=True)
    transmitted = interpolate(intensity)(view, 0.0)
    *_, intensity = _disort(opaque * extinction_ratio, albedo, moments, 0.5, b_neg=1.0, only_flux=True)
    reflected = interpolate(intensity)(view, 0.0)
    return -np.log(np.clip(transmitted, 1e-6, 1.0)) * view / thin, np.clip(reflected, 0.0, 1.0)


def solar_table(case: tuple[str, float, float]) -> dict[str, np.ndarray]:
    """All optical depths of one phase, radius and solar band; the optical depth 0 is exact."""
    phase, radius, wavelength = case
    reference = extinction_efficiency(phase, REFERENCE_UM, radius)
    extinction, albedo, moments = single_scattering(phase, wavelength, radius)
    clear = {
        "reflectance": np.zeros((len(COSINES), len(VIEW_COSINES), len(AZIMUTHS))),
        "transmittance": np.ones(len(COSINES)),
        "diffuse_albedo": 0.0,
        "diffuse_transmittance": 1.0,
    }
    layers = [clear] + [layer_reflection(d * extinction / reference, albedo, moments) for d in OPTICAL_DEPTHS[1:]]
    return {name: np.array([layer[name] for layer in layers]) for name in clear}


def infrared_table(case: tuple[str, float, float]) -> tuple[np.ndarray, np.ndarray]:
    """`layer_emission` of one phase, radius and infrared band."""
    phase, radius, wavelength = case
    reference = extinction_efficiency(phase, REFERENCE_UM, radius)
    extinction, albedo, moments = single_scattering(phase, wavelength, radius)
    return layer_emission(extinction / reference, albedo, moments)


def rayleigh_table() -> dict[str, np.ndarray]:
    """Reflection by air of the optical depths `RAYLEIGH_DEPTHS`; moments 1, 0, 0.1 of the Rayleigh phase function."""
    moments = np.zeros(MOMENTS + 1)
    moments[0], moments[2] = 1.0, 0.1
    clear = {
        "reflectance": np.zeros((len(COSINES), len(VIEW_COSINES), len(AZIMUTHS))),
        "transmittance": np.ones(len(COSINES)),
        "diffuse_albedo": 0.0,
        "diffuse_transmittance": 1.0,
    }
    layers = [clear] + [layer_reflection(depth, 1.0, moments) for depth in RAYLEIGH_DEPTHS[1:]]
    return {name: np.array([layer[name] for layer in layers]) for name in clear}


PHASES = ("liquid", "ice")


def make_table(jobs: int) -> dict[str, np.ndarray]:
    """Computes all tables, axes as in `write_table`."""
    solar = [(p, r, w) for p in PHASES for r in RADII_UM[p] for w in SOLAR_UM]
    infrared = [(p, r, w) for p in PHASES for r in RADII_UM[p] for w in INFRARED_UM]
    with ProcessPoolExecutor(jobs) as pool:
        solar_layers = list(pool.map(solar_table, solar))
        emission = list(pool.map(infrared_table, infrared))
    tables = {}
    for name in solar_layers[0]:
        values = np.array([layer[name] for layer in solar_layers])
        values = values.reshape(len(PHASES), 4, len(SOLAR_UM), *values.shape[1:])
        tables[f"cloud_{name}"] = np.moveaxis(values, 2, -1)
    for number, name in enumerate(("infrared_absorption", "opaque_reflectance")):
        values = np.array([e[number] for e in emission]).reshape(len(PHASES), 4, len(INFRARED_UM), -1)
        tables[name] = np.moveaxis(values, 2, -1)
    tables |= {f"rayleigh_{name}": values for name, values in rayleigh_table().items()}
    return tables


DIMENSIONS = {
    "cloud_reflectance": ("phase", "radius", "optical_depth", "cosine", "view_cosine", "azimuth", "solar_band"),
    "cloud_transmittance": ("phase", "radius", "optical_depth", "cosine", "solar_band"),
    "cloud_diffuse_albedo": ("phase", "radius", "optical_depth", "solar_band"),
    "cloud_diffuse_transmittance": ("phase", "radius", "optical_depth", "solar_band"),
    "infrared_absorption": ("phase", "radius", "view_cosine", "infrared_band"),
    "opaque_reflectance": ("phase", "radius", "view_cosine", "infrared_band"),
    "rayleigh_reflectance": ("rayleigh_depth", "cosine", "view_cosine", "azimuth"),
    "rayleigh_transmittance": ("rayleigh_depth", "cosine"),
    "rayleigh_diffuse_albedo": ("rayleigh_depth",),
    "rayleigh_diffuse_transmittance": ("rayleigh_depth",),
}


def write_table(path: Path, tables: dict[str, np.ndarray]) -> None:
    """Writes the tables as NetCDF, the large one as uint16 with a step of 1e-4."""
    import netCDF4

    axes = {
        "optical_depth": OPTICAL_DEPTHS,
        "cosine": COSINES,
        "view_cosine": VIEW_COSINES,
        "azimuth": AZIMUTHS,
        "solar_band": SOLAR_UM,
        "infrared_band": INFRARED_UM,
        "rayleigh_depth": RAYLEIGH_DEPTHS,
    }
    temporary = path.with_name(f".{path.name}.partial")
    with netCDF4.Dataset(temporary, "w") as file:
        file.title = "Reflection and emission of cloud layers in the bands of AHI"
        file.source = f"cloudkeras.datasets.synthetic.make_optics_table: miepython, PythonicDISORT, {STREAMS} streams"
        file.references = (
            "Hale and Querry 1973, doi:10.1364/AO.12.000555; Warren and Brandt 2008, doi:10.1029/2007JD009744"
        )
        for name, values in axes.items():
            file.createDimension(name, len(values))
            file.createVariable(name, "f4", (name,))[:] = values
        file.createDimension("phase", len(PHASES))
        file.createDimension("radius", 4)
        file.createVariable("radius_um", "f4", ("phase", "radius"))[:] = [RADII_UM[p] for p in PHASES]
        for name, dims in DIMENSIONS.items():
            packed = name == "cloud_reflectance"
            variable = file.createVariable(name, "u2" if packed else "f4", dims, compression="zlib", complevel=9)
            if packed:
                variable.scale_factor = 1e-4
            variable[:] = np.clip(tables[name], 0, 6.5) if packed else tables[name]
    os.replace(temporary, path)


def main() -> None:
    """Makes the table."""
    parser = argparse.ArgumentParser(description="Make the optical table of the simulator.")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("optics_table.nc"))
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    os.environ.setdefault("MIEPYTHON_USE_JIT", "1")  # read by the worker processes at import
    write_table(arguments.out, make_table(arguments.jobs))
    print(f"written to {arguments.out}")  # noqa: T201


if __name__ == "__main__":
    main()
