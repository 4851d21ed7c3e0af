"""One method minus each of the others, with paired bootstrap intervals, from scores that `cloudkeras evaluate` saved.

python benchmarks/paired_differences.py runs/melt/scores unet mae_weighted ssim_weighted
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from cloudkeras.errors import check_choice
from cloudkeras.evaluation import Scores


def differences(scores: Scores, method: str, names: list[str]) -> list[list[str]]:
    """Rows of the table, the heading first."""
    check_choice(method, scores.methods, "method")
    rows = [[f"{method} minus", *names]]
    for other in scores.methods:
        if other != method:
            intervals = [scores.difference(method, name, other) for name in names]
            label = f"{other} *" if other in scores.baselines else other
            rows.append([label, *(f"{d.value:+.3f} [{d.low:+.3f}, {d.high:+.3f}]" for d in intervals)])
    return rows


def main(argv: list[str] | None = None) -> int:
    """Prints the table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scores", type=Path, help="folder of scores")
    parser.add_argument("method")
    parser.add_argument("names", nargs="+", metavar="SCORE")
    arguments = parser.parse_args(argv)
    rows = differences(Scores.load(arguments.scores), arguments.method, arguments.names)
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    for row in (rows[0], rule, *rows[1:]):
        cells = [row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))]
        print(f"| {' | '.join(cells)} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
