"""``/v1/models`` and ``/v1/devices``: what is known without a measurement."""

from __future__ import annotations

from litestar import Controller, Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath

from api import revisions
from api.examples import Documented
from api.paging import Cursor, Limit, page
from api.problems import named_in_path, responses
from api.revisions import ETAG, UNCHANGED, IfNoneMatch
from api.schemas import DevicesResponse, ListedDevice, ModelInfo, ModelsResponse
from api.services.devices import device_of, list_devices
from api.services.models import list_models, model_of
from measurements.store import Store


class ModelController(Controller):
    """Models of the registry."""

    path = "/v1/models"
    tags = ["models"]  # noqa: RUF012

    @get(
        operation_id="listModels",
        operation_class=Documented,
        summary="List the models",
        responses=responses(400, 503),
        raises=[],
        sync_to_thread=True,
    )
    def models(self, cursor: Cursor = "0", limit: Limit = 100) -> ModelsResponse:
        """Every model of the registry, and whether its weights are on this machine."""
        items, following = page(list_models(), cursor, limit)
        return ModelsResponse(items=items, next_cursor=following)

    @get(
        "/{model_name:str}",
        operation_id="getModel",
        operation_class=Documented,
        summary="Show a model",
        responses=responses(400, 404, 503),
        raises=[],
        sync_to_thread=True,
    )
    def show(self, model_name: FromPath[str]) -> ModelInfo:
        """A model by its name or an alias, and whether its weights are on this machine."""
        with named_in_path("model"):
            return model_of(model_name)


class DeviceController(Controller):
    """Devices, and what was timed on them."""

    path = "/v1/devices"
    tags = ["models"]  # noqa: RUF012

    @get(
        operation_id="listDevices",
        operation_class=Documented,
        summary="List the devices",
        response_headers=[ETAG],
        responses=responses(400, 503) | UNCHANGED,
        raises=[],
        sync_to_thread=True,
    )
    def devices(
        self,
        store: NamedDependency[Store],
        cursor: Cursor = "0",
        limit: Limit = 100,
        if_none_match: IfNoneMatch = None,
    ) -> Response[DevicesResponse]:
        """Devices that time, energy and money can be asked for, and what was timed on them."""
        revision = store.revision()
        found = list_devices(store)
        items, following = page(found.items, cursor, limit)
        update = {"items": items, "next_cursor": following}
        return revisions.answer(found.model_copy(update=update), revision, if_none_match)

    @get(
        "/{device_id:str}",
        operation_id="getDevice",
        operation_class=Documented,
        summary="Show a device",
        response_headers=[ETAG],
        responses=responses(400, 404, 503) | UNCHANGED,
        raises=[],
        sync_to_thread=True,
    )
    def show(
        self,
        device_id: FromPath[str],
        store: NamedDependency[Store],
        if_none_match: IfNoneMatch = None,
    ) -> Response[ListedDevice]:
        """A device by its name, and what was timed on it; ``local`` is the service's own."""
        revision = store.revision()
        with named_in_path("device"):
            return revisions.answer(device_of(store, device_id), revision, if_none_match)
