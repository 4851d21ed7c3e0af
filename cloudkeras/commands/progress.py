"""One line that says how far long work has come and how much time is left."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable


def progress_line(doing: str, what: str) -> Callable[[int, int], None]:
    """A callback that writes what is done and time left: one line redrawn on a terminal, else one every 10 percent."""
    start = time.monotonic()
    first: list[int] = []
    shown = [-1]
    terminal = sys.stderr.isatty()

    def show(done: int, total: int) -> None:
        if not first:
            first.append(done)
        step = done if terminal else 10 * done // max(total, 1)
        if step == shown[0]:
            return
        shown[0] = step
        made = done - first[0]
        left = (time.monotonic() - start) / made * (total - done) if made else None
        text = f"{doing}: {done} of {total} {what}" + (f", {_clock(left)} left" if left is not None else "")
        end = "\n" if not terminal or done >= total else ""
        print(f"\r{text:60}" if terminal else text, end=end, file=sys.stderr, flush=True)

    return show


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
