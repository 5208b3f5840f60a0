"""All pages as one router."""

from __future__ import annotations

from litestar import Response, Router, get
from litestar.exceptions import NotFoundException
from litestar.params import FromPath

from api.security import OPEN
from api.web.asking import AskController
from api.web.browsing import BrowseController
from api.web.signing_in import SignInController
from api.web.site import ASSETS, HANDLERS
from api.web.working import SweepPages, VerificationPages


@get("/static/{revision:str}/{name:str}", opt={OPEN: True}, sync_to_thread=True)
def static(revision: FromPath[str], name: FromPath[str]) -> Response[bytes]:
    """A file of the page; its address changes with its content."""
    asset = ASSETS.get(revision, name)
    if asset is None:
        raise NotFoundException(f"there is no file {name!r}")
    return Response(
        asset.content,
        media_type=asset.media_type,
        headers={"Cache-Control": "public, max-age=31536000, immutable"},
    )


def router() -> Router:
    """The pages; they are no part of the API's document."""
    return Router(
        path="/",
        route_handlers=[
            AskController,
            BrowseController,
            VerificationPages,
            SweepPages,
            SignInController,
            static,
        ],
        exception_handlers=HANDLERS,
        include_in_schema=False,
    )
