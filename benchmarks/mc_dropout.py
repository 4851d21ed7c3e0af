"""Members of a Monte Carlo dropout model: passes side by side in one compiled graph against one call after the other.

Both draw 50 members of one batch of windows from a UNet 3+ with dropout 0.2; the calls go through `predict_on_batch`,
compiled once. Wall time and CPU time (all threads; other work on the machine disturbs it less) are the best of some
repetitions, compilation left out. The members of both have the same mean and spread within sampling noise, which is
checked. Run: `python benchmarks/mc_dropout.py`.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence

import keras
import numpy as np

from cloudkeras.models import build_unet3plus
from cloudkeras.training.sampling import Sampler


def main(argv: Sequence[str] | None = None) -> int:
    """Measures and prints; 1 if the members do not agree."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--filters", type=int, nargs="+", default=[8, 16, 32, 64, 128])
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--members", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--jit", action="store_true", help="compile with XLA, as on an accelerator")
    arguments = parser.parse_args(argv)
    keras.utils.set_random_seed(0)
    model = build_unet3plus(
        (arguments.size, arguments.size, 2),
        1,
        filters=tuple(arguments.filters),
        skip_channels=arguments.filters[0],
        dropout=0.2,
        mc_dropout=True,
        deep_supervision=True,
    )
    model.jit_compile = arguments.jit
    sampler = Sampler(model, arguments.jit)
    x = np.random.default_rng(0).uniform(-1, 1, (arguments.batch_size, arguments.size, arguments.size, 2))
    x = x.astype(np.float32)

    def one_by_one() -> np.ndarray:
        return np.stack([model.predict_on_batch(x)["final"] for _ in range(arguments.members)])

    def side_by_side() -> np.ndarray:
        return np.stack(list(sampler.members(x, arguments.members)), axis=1)

    calls, members = one_by_one(), side_by_side()  # compiles
    slow, fast = (_best(function, arguments.repeats) for function in (one_by_one, side_by_side))
    noise = calls.std(axis=0) * np.sqrt(2 / arguments.members)
    apart = float(np.mean(np.abs(calls.mean(axis=0) - members.mean(axis=0)) < 4 * noise))
    spread = float(members.std(axis=0).mean() / calls.std(axis=0).mean())
    windows = f"{arguments.batch_size} windows of {arguments.size} x {arguments.size}"
    print(f"{arguments.members} members of {windows}, {model.count_params():,} parameters, {keras.backend.backend()}")
    for name, index in (("wall", 0), ("CPU", 1)):
        a, b = slow[index], fast[index]
        print(f"{name:4} time: one call after the other {a:6.2f} s, in one graph {b:6.2f} s, {a / b:.2f} times as fast")
    agree = apart > 0.99 and abs(spread - 1) < 0.1
    print(f"means agree within noise in {100 * apart:.1f} % of the pixels, spreads as 1 to {spread:.3f}")
    print("passed" if agree else "failed: the members do not come from one distribution")
    return 0 if agree else 1


def _best(function: Callable[[], np.ndarray], repeats: int) -> tuple[float, float]:
    """Smallest wall and CPU seconds."""
    times = []
    for _ in range(repeats):
        wall, processor = time.perf_counter(), time.process_time()
        function()
        times.append((time.perf_counter() - wall, time.process_time() - processor))
    return min(t[0] for t in times), min(t[1] for t in times)


if __name__ == "__main__":
    sys.exit(main())
