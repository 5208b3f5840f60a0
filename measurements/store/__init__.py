"""Where measurements are kept."""

from measurements.store.store import Store, StoreError

__all__ = ["Store", "StoreError"]
