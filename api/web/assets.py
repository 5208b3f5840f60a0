"""What pages are made with: style, scripts, and the bundle that draws charts."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from models_registry.paths import cache_dir

_FOLDER = Path(__file__).parent / "static"
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_BUNDLE = "vega.js"
_MAKE = "import sys, vl_convert; sys.stdout.write(vl_convert.javascript_bundle())"
_LONGEST_S = 120.0


@dataclass(frozen=True)
class Asset:
    """A file as it is sent."""

    content: bytes
    media_type: str


class Assets:
    """The files of the page, under a name that changes with their content.

    They may be kept by a browser for ever: modules import one another by relative names, so
    that all of them move together.

    Attributes:
        charts: Whether charts can be drawn, by what vl-convert carries.
    """

    def __init__(self) -> None:
        self._files = {
            path.name: Asset(path.read_bytes(), _TYPES[path.suffix])
            for path in sorted(_FOLDER.iterdir())
            if path.suffix in _TYPES
        }
        self.charts = find_spec("vl_convert") is not None
        self._drawing = _version("vl-convert-python")
        digest = hashlib.sha256(self._drawing.encode())
        for name, asset in self._files.items():
            digest.update(name.encode() + asset.content)
        self.revision = digest.hexdigest()[:12]
        self._lock = threading.Lock()

    def path(self, name: str) -> str:
        """Where a file is."""
        return f"/static/{self.revision}/{name}"

    def get(self, revision: str, name: str) -> Asset | None:
        """A file, if there is one of that name in that revision."""
        if revision != self.revision:
            return None
        if name == _BUNDLE and self.charts and name not in self._files:
            with self._lock:
                if name not in self._files:
                    self._files[name] = Asset(_bundle(self._drawing), _TYPES[".js"])
        return self._files.get(name)


def _bundle(drawing: str) -> bytes:
    """Vega, Vega-Lite and vega-embed as vl-convert carries them, in one script.

    Putting it together takes a JavaScript engine and seconds, so that a process of its own
    does it once; it is kept in the cache.
    """
    kept = cache_dir() / "web" / f"vega-{drawing}.js"
    if not kept.exists():
        command = [sys.executable, "-c", _MAKE]
        made = subprocess.run(command, capture_output=True, check=True, timeout=_LONGEST_S)
        kept.parent.mkdir(parents=True, exist_ok=True)
        beside = kept.with_suffix(f".{threading.get_native_id()}")
        beside.write_bytes(made.stdout)
        beside.replace(kept)
    return kept.read_bytes()


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "none"
