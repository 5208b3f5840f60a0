"""The service from Python, waiting or not.

::

    from api.client import Client, NoFeasibleConfigurationError
    from planner.question import Budget, Question

    with Client("http://127.0.0.1:8000") as client:
        answer = client.recommend(Question(budget=Budget(gflops_per_utterance=200)))
        print(answer.recommendation.configuration.label())

Needs ``pip install 'speechplan[client]'``; neither the web framework, nor the database, nor
torch is imported.
"""

from __future__ import annotations

from api.client.errors import (
    AdapterError,
    BodyTooLargeError,
    ClientError,
    ConflictError,
    DatasetError,
    DiskFullError,
    ForbiddenError,
    InsufficientDataError,
    InternalError,
    InvalidDataError,
    InvalidRequestError,
    KeyInUseError,
    KeyReusedError,
    MethodNotAllowedError,
    NoFeasibleConfigurationError,
    NotAcceptableError,
    NotCountedError,
    NotFoundError,
    NothingToVerifyError,
    NotReadyError,
    ProblemError,
    RowsError,
    StaleRevisionError,
    StoreBusyError,
    StoreUnavailableError,
    SweepError,
    TooManyRequestsError,
    UnauthorisedError,
    UnexpectedAnswerError,
    UnknownNameError,
    UnreachableError,
    UnsupportedMediaTypeError,
    WeightsError,
)
from api.client.routes import Routes
from api.client.transport import AsyncTransport, SyncTransport

__all__ = [
    "AdapterError",
    "AsyncClient",
    "BodyTooLargeError",
    "Client",
    "ClientError",
    "ConflictError",
    "DatasetError",
    "DiskFullError",
    "ForbiddenError",
    "InsufficientDataError",
    "InternalError",
    "InvalidDataError",
    "InvalidRequestError",
    "KeyInUseError",
    "KeyReusedError",
    "MethodNotAllowedError",
    "NoFeasibleConfigurationError",
    "NotAcceptableError",
    "NotCountedError",
    "NotFoundError",
    "NotReadyError",
    "NothingToVerifyError",
    "ProblemError",
    "RowsError",
    "StaleRevisionError",
    "StoreBusyError",
    "StoreUnavailableError",
    "SweepError",
    "TooManyRequestsError",
    "UnauthorisedError",
    "UnexpectedAnswerError",
    "UnknownNameError",
    "UnreachableError",
    "UnsupportedMediaTypeError",
    "WeightsError",
]


class Client(Routes, SyncTransport):
    """The service, waiting for its answers; a context manager closes its connections.

    Its arguments are those of :class:`~api.client.transport.Transport`.
    """


class AsyncClient(Routes, AsyncTransport):
    """The service for ``async`` code: the same methods, to be awaited or iterated.

    Its arguments are those of :class:`~api.client.transport.Transport`.
    """
