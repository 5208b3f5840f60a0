"""The devices that are known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from api.schemas import DevicesResponse, ListedDevice
from measurements.devices import local_device
from measurements.profiles import device_profiles
from measurements.studies import resolve_device
from models_registry.devices import DEVICES

if TYPE_CHECKING:
    from measurements.store import Store


def list_devices(store: Store | None) -> DevicesResponse:
    """Every device: those that were timed, this machine, and those of data sheets."""
    local = local_device()
    profiles = {profile.device.id: profile for profile in device_profiles(store)}
    known: dict[str, tuple[str, str]] = {
        name: (profile.device.kind, "its timed runs") for name, profile in profiles.items()
    }
    known.setdefault(local.id, (local.kind, "a probe"))
    known |= {device.name: (device.kind, device.source) for device in DEVICES}
    return DevicesResponse(
        items=[
            ListedDevice(
                name=name,
                kind=kind,
                source=source,
                local=name == local.id,
                profile=profiles.get(name),
            )
            for name, (kind, source) in known.items()
        ],
        local=local.id,
    )


def device_of(store: Store | None, name: str) -> ListedDevice:
    """A device by its name or an alias; ``local`` is this machine.

    Raises:
        UnknownNameError: There is none of that name.
    """
    resolved = resolve_device(name, store)
    return next(one for one in list_devices(store).items if one.name == resolved)
