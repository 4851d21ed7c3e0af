"""Compares simulated clouds with observed ones: phase by height, number of layers, share of clear voxels.

    CLOUDKERAS_REALDATA=... python benchmarks/simulated_climatology.py --samples 300

Observed: Cloudnet target classification (five July days at Bucharest, one day on the Maldives), ARM lidar phase (one
June day at the North Slope of Alaska, up to 3 km), CALIPSO vertical feature mask (one 1,100 km segment over the
Amazon). These are single days, so the figure shows whether the simulated clouds are plausible, not whether their
climatology is right.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cloudkeras.datasets.synthetic import simulate_scene
from cloudkeras.errors import DataError, InputError
from cloudkeras.tasks.cloud_phase import LEVEL_HEIGHT_KM, NUM_LEVELS

CLEAR, ICE, MIXED, LIQUID = range(4)
NAMES = ("clear", "ice", "mixed", "liquid")
COLORS = {ICE: "#56b4e9", MIXED: "#cc79a7", LIQUID: "#e69f00"}
CENTERS_KM = (np.arange(NUM_LEVELS) + 0.5) * LEVEL_HEIGHT_KM
CLOUDY_SHARE = 0.1  # of the gates of a level, from which the level counts as cloudy


@dataclass(frozen=True)
class Profiles:
    """Phases of profiles on the 38 levels, (profile, level), -1 where nothing was observed."""

    name: str
    phase: np.ndarray

    def fraction(self, phase: int) -> np.ndarray:
        """Share of a phase among what was observed, by level; NaN where less than 1 % was observed."""
        seen = (self.phase >= 0).sum(axis=0)
        share = (self.phase == phase).sum(axis=0) / np.maximum(seen, 1)
        return np.where(seen > 0.01 * len(self.phase), share, np.nan)

    def layers(self) -> np.ndarray:
        """Share of profiles with 0, 1, 2, 3 and more cloud layers (runs of cloudy levels)."""
        cloudy = np.pad(self.phase > CLEAR, ((0, 0), (1, 0)))
        count = (cloudy[:, 1:] & ~cloudy[:, :-1]).sum(axis=1)
        return np.array([(count == k).mean() for k in range(3)] + [(count >= 3).mean()])


def onto_levels(phase: np.ndarray, height_km: np.ndarray) -> np.ndarray:
    """Fine gates onto 500 m levels: cloudy from `CLOUDY_SHARE` of the gates; mixed where both phases make up 10 %.

    Args:
        phase: (profile, gate), -1 where nothing was observed.
        height_km: (gate,), ascending, above the surface.
    """
    levels = np.full((len(phase), NUM_LEVELS), -1, np.int8)
    for level in range(NUM_LEVELS):
        gates = phase[:, (height_km >= level * LEVEL_HEIGHT_KM) & (height_km < (level + 1) * LEVEL_HEIGHT_KM)]
        if not gates.shape[1]:
            continue
        seen = np.maximum((gates >= 0).sum(axis=1), 1)
        ice, mixed, liquid = ((gates == k).sum(axis=1) / seen for k in (ICE, MIXED, LIQUID))
        cloud = ice + mixed + liquid
        with_ice, with_liquid = ice + 0.5 * mixed, liquid + 0.5 * mixed
        both = np.minimum(with_ice, with_liquid) >= 0.1 * cloud
        kind = np.where(both, MIXED, np.where(with_ice > with_liquid, ICE, LIQUID))
        value = np.where(cloud >= CLOUDY_SHARE, kind, CLEAR)
        levels[:, level] = np.where((gates >= 0).mean(axis=1) >= 0.5, value, -1)
    return levels


def read_cloudnet(name: str, files: list[Path]) -> Profiles:
    """Cloudnet classification; drizzle and rain count as liquid, melting ice as mixed, aerosol and insects as clear."""
    import netCDF4

    table = np.array([CLEAR, LIQUID, LIQUID, LIQUID, ICE, MIXED, MIXED, MIXED, CLEAR, CLEAR, CLEAR], np.int8)
    days = []
    for file in files:
        with netCDF4.Dataset(file) as data:
            height = np.asarray(data["height"][:], float)
            altitude = float(np.mean(data["altitude"][:])) if "altitude" in data.variables else 0.0
            target = np.ma.filled(data["target_classification"][:], 0)
        ground = (height - altitude) / 1000.0
        phase = table[target.astype(int)]
        # gates above the highest one of the instrument stay unobserved; what it sees as clear is clear
        days.append(onto_levels(phase, ground))
    return Profiles(name, np.concatenate(days))


def read_nsa(file: Path) -> Profiles:
    """ARM thermodynamic cloud phase of the HSRL at the North Slope of Alaska."""
    import netCDF4

    table = np.array([CLEAR, LIQUID, ICE, MIXED, LIQUID, LIQUID, LIQUID, ICE, -1], np.int8)
    with netCDF4.Dataset(file) as data:
        height = np.asarray(data["height"][:], float)
        raw = np.ma.filled(data["cloud_phase_hsrl"][:], -1).astype(int)
    phase = np.where((raw >= 0) & (raw <= 8), table[np.clip(raw, 0, 8)], -1).astype(np.int8)
    return Profiles("Alaska, June, to 3 km (ARM)", onto_levels(phase, height))


def read_calipso(file: Path) -> Profiles:
    """CALIPSO vertical feature mask; below the point of full attenuation nothing was observed."""
    from pyhdf.SD import SD, SDC

    flags = np.asarray(SD(str(file), SDC.READ).select("Feature_Classification_Flags").get())
    columns = []
    # blocks of profiles x heights, highest first: 3 x 55, 5 x 200, 15 x 290 samples
    start = 0
    for profiles, gates in ((3, 55), (5, 200), (15, 290)):
        block = flags[:, start : start + profiles * gates].reshape(-1, profiles, gates)
        columns.append(np.repeat(block, 15 // profiles, axis=1).reshape(-1, gates))
        start += profiles * gates
    flags = np.concatenate(columns, axis=1)
    edges_km = ((30.1, 20.2, 55), (20.2, 8.2, 200), (8.2, -0.5, 290))
    heights = np.concatenate([np.linspace(*edges, endpoint=False) for edges in edges_km])
    kind, water = flags & 7, (flags >> 5) & 3
    phase = np.where(kind == 2, np.array([-1, ICE, LIQUID, ICE])[water], CLEAR)
    phase = np.where((kind == 7) | (kind == 0) | (kind == 5), -1, phase).astype(np.int8)
    order = np.argsort(heights)
    return Profiles("Amazon, May (CALIPSO)", onto_levels(phase[:, order], heights[order]))


def simulated(name: str, samples: int, seed: int, latitudes: tuple[float, float], progress: bool = True) -> Profiles:
    """Every 7th column of simulated scenes whose absolute latitude lies within bounds."""
    found, index, start = [], 0, time.monotonic()
    while len(found) < samples:
        scene = simulate_scene(seed, 64, index=index)
        index += 1
        if latitudes[0] <= abs(float(scene.geometry.latitude.mean())) < latitudes[1]:
            found.append(scene.phase.reshape(NUM_LEVELS, -1)[:, ::7].T)
            if progress and len(found) % 50 == 0:
                left = (time.monotonic() - start) / len(found) * (samples - len(found))
                print(f"{name}: {len(found)} of {samples} scenes, {left:.0f} s left", file=sys.stderr)
    return Profiles(name, np.concatenate(found))


def real_profiles(folder: Path) -> list[Profiles]:
    """All observed profiles, tropics first."""
    classes = folder / "cloudnet_class"
    calipso = sorted((folder / "calipso").glob("*.hdf"))
    if not classes.is_dir() or not calipso:
        raise DataError(folder, expected="cloudnet_class/, calipso/ and arm/", found="no such folders")
    return [
        read_cloudnet("Maldives, February (Cloudnet)", sorted(classes.glob("*maldives*.nc"))),
        read_calipso(calipso[0]),
        read_cloudnet("Bucharest, July (Cloudnet)", sorted(classes.glob("*bucharest*.nc"))),
        read_nsa(folder / "arm" / "nsacloudphaseC1.c1.20180601.000000.nc"),
    ]


def draw(path: Path, real: list[Profiles], made: list[Profiles]) -> None:
    """Phase by height, simulated above observed, and the number of layers."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    width = max(len(real), len(made) + 1)
    figure, axes = plt.subplots(2, width, figsize=(3.4 * width, 8.5), constrained_layout=True)
    for row, group in enumerate((made, real)):
        for axis, profiles in zip(axes[row], group, strict=False):
            for phase, color in COLORS.items():
                axis.plot(100 * profiles.fraction(phase), CENTERS_KM, color=color, lw=2, label=NAMES[phase])
            axis.plot(100 * (1 - profiles.fraction(CLEAR)), CENTERS_KM, color="k", lw=1, ls=":", label="any cloud")
            axis.set(title=profiles.name, xlabel="% of profiles", ylim=(0, 19), xlim=(0, 100))
            axis.title.set_fontsize(9)
        axes[row][0].set_ylabel("height, km")
    axes[0][0].legend(frameon=False)
    last = axes[0][len(made)]
    for number, profiles in enumerate((*made, *real)):
        last.barh(-number, 0)
        left = 0.0
        for count, share in enumerate(100 * profiles.layers()):
            last.barh(-number, share, left=left, color=str(0.92 - 0.25 * count))
            left += share
    last.set_yticks(
        [-n for n in range(len(made) + len(real))], [p.name.split(" (")[0] for p in (*made, *real)], fontsize=7
    )
    last.set(title="cloud layers: 0, 1, 2, 3+ (light to dark)", xlabel="% of profiles")
    last.title.set_fontsize(9)
    for row, group in ((0, len(made) + 1), (1, len(real))):
        for axis in axes[row][group:]:
            axis.set_axis_off()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=80)


def table(groups: list[Profiles]) -> str:
    """Shares in percent of all observed voxels, and of profiles by number of layers."""
    header = f"{'profiles':36} {'clear':>6} {'ice':>6} {'mixed':>6} {'liquid':>6}"
    lines = [f"{header}   {'0':>5} {'1':>5} {'2':>5} {'3+':>5} layers"]
    for p in groups:
        seen = p.phase[p.phase >= 0]
        shares = " ".join(f"{100 * (seen == k).mean():6.1f}" for k in range(4))
        lines.append(f"{p.name:36} {shares}   " + " ".join(f"{100 * s:5.1f}" for s in p.layers()))
    return "\n".join(lines)


def main() -> int:
    """Makes the table and the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=300, help="simulated scenes of 64 x 64 in each latitude band")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--out", type=Path, default=Path("runs/simulated_climatology.png"))
    arguments = parser.parse_args()
    folder = os.environ.get("CLOUDKERAS_REALDATA")
    try:
        if not folder:
            raise InputError("Set CLOUDKERAS_REALDATA to the folder of the real observations.")
        real = real_profiles(Path(folder))
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    bands = {"tropics": (0, 20), "20 to 40 degrees": (20, 40), "40 to 60 degrees": (40, 60)}
    made = [simulated(f"simulated, {name}", arguments.samples, arguments.seed, b) for name, b in bands.items()]
    everywhere = Profiles("simulated, all", np.concatenate([m.phase for m in made]))
    print(table([*made, everywhere, *real]))
    draw(arguments.out, real, [*made])
    print(f"figure: {arguments.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
