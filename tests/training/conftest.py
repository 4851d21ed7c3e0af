"""Tiny shards, and one finished run on them that several tests look at."""

from __future__ import annotations

from pathlib import Path

import pytest

from .tiny import tiny_config, write_radar_shards


@pytest.fixture(scope="session")
def radar_shards(tmp_path_factory) -> Path:
    return write_radar_shards(tmp_path_factory.mktemp("radar") / "shards")


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory, radar_shards):
    from cloudkeras.training import train

    return train(tiny_config(radar_shards), tmp_path_factory.mktemp("runs") / "whole")
