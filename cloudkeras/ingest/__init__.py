"""Readers of granules: from a product's files to shards of a task."""

from .cloudnet import ingest_cloudnet

__all__ = ["ingest_cloudnet"]
