"""Shared fixtures: where the real observations are, and what it means when they are not there."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("MPLBACKEND", "Agg")

REALDATA = os.environ.get("CLOUDKERAS_REALDATA")
REQUIRED = os.environ.get("CLOUDKERAS_REQUIRE_REALDATA") == "1"


def pytest_collection_modifyitems(items):
    """Skips tests on real observations where there are none, and TensorFlow's on other backends."""
    present = bool(REALDATA) and Path(REALDATA).is_dir()
    other_backend = os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow"
    for item in items:
        if item.get_closest_marker("realdata") and not present:
            item.add_marker(pytest.mark.skip(reason="CLOUDKERAS_REALDATA does not name a folder of real observations"))
        if item.get_closest_marker("tensorflow") and other_backend:
            item.add_marker(pytest.mark.skip(reason="needs the TensorFlow backend"))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    """Where real observations are required (CI), a skipped test on them is a failure."""
    outcome = yield
    report = outcome.get_result()
    if REQUIRED and report.skipped and item.get_closest_marker("realdata"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid}: skipped, but CLOUDKERAS_REQUIRE_REALDATA=1 asks for the real observations"


@pytest.fixture(autouse=True)
def logging_as_imported() -> None:
    """Commands that earlier tests ran in this process may have set up the package's logger."""
    logger = logging.getLogger("cloudkeras")
    logger.handlers.clear()
    logger.filters.clear()
    logger.propagate = True
    logger.setLevel(logging.NOTSET)


@pytest.fixture(scope="session")
def realdata() -> Path:
    """The folder of real observations."""
    if not REALDATA:
        pytest.skip("CLOUDKERAS_REALDATA is not set")
    return Path(REALDATA)
