"""Folders of this user's own."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs


def cache_dir() -> Path:
    """Converted weights and the like: ``SPEECHPLAN_CACHE_DIR`` or the platform's place."""
    return Path(os.environ.get("SPEECHPLAN_CACHE_DIR") or platformdirs.user_cache_dir("speechplan"))
