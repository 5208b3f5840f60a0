"""What a client raises: a class for each type of problem, with the problem's own members."""

from __future__ import annotations

from typing import Any, ClassVar

from api.schemas import Problem


class ClientError(Exception):
    """Base of everything that a client raises of its own."""


class UnreachableError(ClientError):
    """The service gave no answer: nothing listens there, or the connection was cut."""


class UnexpectedAnswerError(ClientError):
    """The service answered with something that this version of the client can't read."""


class ProblemError(ClientError):
    """The service answered with a problem (RFC 9457).

    Attributes:
        code: Last part of the problem's type that this class is for; empty for the base,
            which stands for any type without a class of its own.
        problem: The problem as it came.
        retry_after_s: When to ask again, where the service said so.
    """

    code: ClassVar[str] = ""

    def __init__(self, problem: Problem, retry_after_s: float | None = None) -> None:
        super().__init__(problem.detail)
        self.problem = problem
        self.retry_after_s = retry_after_s

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.problem.status

    @property
    def details(self) -> dict[str, Any]:
        """The members that this type of problem has beside those that every one has."""
        return dict(self.problem.model_extra or {})

    def _member(self, name: str, default: Any) -> Any:
        return self.details.get(name, default)


class InvalidRequestError(ProblemError):
    """The request is not valid; the fields that are wrong are named."""

    code = "invalid-request"

    @property
    def errors(self) -> list[dict[str, str]]:
        """``field`` and ``message`` of each."""
        found: list[dict[str, str]] = self._member("errors", [])
        return found


class NoFeasibleConfigurationError(ProblemError):
    """Nothing meets the budget."""

    code = "no-feasible-configuration"

    @property
    def nearest(self) -> dict[str, Any] | None:
        """The configuration that comes nearest, and what it costs."""
        found: dict[str, Any] | None = self._member("nearest", None)
        return found

    @property
    def binding(self) -> str | None:
        """The budget that binds."""
        found: str | None = self._member("binding", None)
        return found

    @property
    def needed(self) -> dict[str, float]:
        """What each budget would have to be."""
        found: dict[str, float] = self._member("needed", {})
        return found


class InsufficientDataError(ProblemError):
    """Too little is known to answer."""

    code = "insufficient-data"

    @property
    def measure(self) -> list[dict[str, Any]]:
        """What to measure."""
        found: list[dict[str, Any]] = self._member("measure", [])
        return found


class UnknownNameError(ProblemError):
    """A model, study, device or data set that the service does not know."""

    code = "unknown-name"

    @property
    def kind(self) -> str:
        """Of what kind the name is."""
        found: str = self._member("kind", "")
        return found

    @property
    def name(self) -> str:
        """The name."""
        found: str = self._member("name", "")
        return found

    @property
    def suggestions(self) -> list[str]:
        """Names that are known and like it."""
        found: list[str] = self._member("suggestions", [])
        return found


class RowsError(ProblemError):
    """Rows that are no measurements; none of the request's was stored."""

    code = "rows"

    @property
    def errors(self) -> list[dict[str, Any]]:
        """``row``, ``field``, what is wrong and the ``line`` of a file, of each."""
        found: list[dict[str, Any]] = self._member("errors", [])
        return found


class NothingToVerifyError(ProblemError):
    """No configuration of the plan can be run where the service runs."""

    code = "nothing-to-verify"


class InvalidDataError(ProblemError):
    """Numbers that no curve can be fitted to."""

    code = "invalid-data"


class DatasetError(ProblemError):
    """The data set can't be used."""

    code = "dataset"


class SweepError(ProblemError):
    """The sweep can't be begun."""

    code = "sweep"


class WeightsError(ProblemError):
    """The weights can't be had."""

    code = "weights"


class AdapterError(ProblemError):
    """The configuration needs an adapter that nobody has trained where the service runs."""

    code = "adapter"


class KeyReusedError(ProblemError):
    """The idempotency key has begun work with another request."""

    code = "idempotency-key-reused"


class KeyInUseError(ProblemError):
    """A request with the same idempotency key has not been answered yet."""

    code = "idempotency-key-in-use"


class NotCountedError(ProblemError):
    """The convention does not cover the configuration."""

    code = "not-counted"


class UnauthorisedError(ProblemError):
    """The service wants a key, or knows another."""

    code = "unauthorised"


class ForbiddenError(ProblemError):
    """The key's scope does not reach that far."""

    code = "forbidden"


class NotFoundError(ProblemError):
    """There is no such resource."""

    code = "not-found"

    @property
    def suggestions(self) -> list[str]:
        """Names of resources that are there and like it."""
        found: list[str] = self._member("suggestions", [])
        return found


class MethodNotAllowedError(ProblemError):
    """The resource is there, but not for that."""

    code = "method-not-allowed"


class NotAcceptableError(ProblemError):
    """It can't be had in the format that was asked for."""

    code = "not-acceptable"

    @property
    def offered(self) -> list[str]:
        """Media types that it can be had in."""
        found: list[str] = self._member("offered", [])
        return found


class UnsupportedMediaTypeError(ProblemError):
    """The body's format is not taken."""

    code = "unsupported-media-type"

    @property
    def taken(self) -> list[str]:
        """Media types that are."""
        found: list[str] = self._member("taken", [])
        return found


class ConflictError(ProblemError):
    """It has ended already."""

    code = "conflict"


class BodyTooLargeError(ProblemError):
    """The request's body is too large."""

    code = "body-too-large"


class StaleRevisionError(ProblemError):
    """New measurements came in since the revision that was asked for."""

    code = "stale-revision"

    @property
    def revision(self) -> str:
        """The revision now."""
        found: str = self._member("revision", "")
        return found


class TooManyRequestsError(ProblemError):
    """The key, or the address, has used up its rate."""

    code = "too-many-requests"


class NotReadyError(ProblemError):
    """Requests should go elsewhere for now."""

    code = "not-ready"

    @property
    def not_ready(self) -> dict[str, str]:
        """What is not, and why."""
        found: dict[str, str] = self._member("not_ready", {})
        return found


class StoreBusyError(ProblemError):
    """Somebody else has locked the service's database."""

    code = "store-busy"


class DiskFullError(ProblemError):
    """The disk of the service's database is full; nothing was stored."""

    code = "disk-full"


class StoreUnavailableError(ProblemError):
    """The service can't reach its store."""

    code = "store-unavailable"


class InternalError(ProblemError):
    """The service made a mistake."""

    code = "internal"


BY_CODE: dict[str, type[ProblemError]] = {kind.code: kind for kind in ProblemError.__subclasses__()}
"""The class of each type of problem."""


def error_of(problem: Problem, retry_after_s: float | None = None) -> ProblemError:
    """The exception for a problem."""
    kind = BY_CODE.get(problem.type.rpartition("/")[2], ProblemError)
    return kind(problem, retry_after_s)
