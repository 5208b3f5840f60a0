"""What a sweep is to measure: a document that always means the same runs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from measurements.commands import measure_command
from measurements.datasets import NAME, Dataset, open_dataset
from measurements.sweeps import designs
from models_registry import MODELS, Configuration
from models_registry.languages import known_language
from planner.cost import utterance_flops
from planner.ranges import Bound, Chance, Seed
from planner.workload import DEFAULT_WORKLOAD

Design = Literal["star", "grid", "iso-flops", "adaptive"]

LAYERS = ("stem", "middle", "output")
"""Words for a reduction layer, since models differ in their number of layers."""

_FIELDS = frozenset(Configuration.model_fields) - {"task", "model"}


class SweepError(ValueError):
    """A sweep that can't be begun; the message names the value and the choices."""


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    @property
    def key(self) -> str:
        """SHA-256 of the content, defaults left out."""
        document = self.model_dump(mode="json", exclude_defaults=True)
        return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


class Speech(_Document):
    """Utterances of a data set.

    Attributes:
        dataset: Its name, as ``speechplan measure --dataset`` takes it.
        subset: Part of it.
        limit: At most so many utterances.
        seed: Seed of their draw, and of what is trained on them.
        language: Language of the speech, by code or name; English is assumed where nothing else
            says it.
        name: Short name of the data set, and of its study, instead of its own.
    """

    dataset: str
    subset: str | None = None
    limit: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    seed: Seed = 0
    language: Annotated[str, AfterValidator(known_language)] | None = None
    name: Annotated[str, Field(pattern=NAME)] | None = None

    def open(self, task: str | None = None) -> Dataset:
        """The utterances.

        Args:
            task: What they are wanted for, where a corpus can be read for both.

        Raises:
            DatasetError: They can't be read.
            UnknownNameError: No reader of that kind.
        """
        found = open_dataset(
            self.dataset, self.subset, task=task, language=self.language, called=self.name
        )
        return found.limited(self.limit, self.seed)

    def label(self) -> str:
        """Name and subset; a path by its last part."""
        kind, _, rest = self.dataset.partition(":")
        return " ".join(filter(None, (Path(rest).name or kind, self.subset)))


class Run(_Document):
    """One measurement of a sweep.

    Attributes:
        configuration: What is run.
        speech: On what.
        device: Where.
        timing: Whether it is timed as well.
    """

    configuration: Configuration
    speech: Speech
    device: str = "auto"
    timing: bool = True

    def command(self) -> str:
        """The command that repeats it."""
        return measure_command(
            self.configuration,
            self.speech.dataset,
            subset=self.speech.subset,
            language=self.speech.language,
            called=self.speech.name,
            limit=self.speech.limit,
            seed=self.speech.seed,
            timing=self.timing,
        )


class SweepSpec(_Document):
    """A sweep as a document, in JSON or YAML.

    Attributes:
        design: ``star`` (one axis at a time around the centre), ``grid`` (every
            combination), ``iso-flops`` (the combinations near each budget) or
            ``adaptive`` (those of the grid that teach the curves most for their FLOPs).
        task: ``asr`` or ``ser``.
        models: Models; each gets the whole design.
        speech: Data sets; each gets the whole design.
        centre: Fields of the configuration that no axis changes, or the star's middle.
        axes: Values by field. Fields that change together are joined by ``+``, and each of
            their values is a list; a ``reduction_layer`` may be ``stem``, ``middle`` or ``output``.
        budgets_gflops: GFLOPs of a recording of the default workload (iso-flops).
        tolerance: Largest distance from a budget, as a share of it (iso-flops).
        runs: How many configurations are measured (adaptive).
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        timing: Whether configurations are timed as well.
        seed: Seed of the choice (adaptive).
    """

    design: Design = "star"
    task: Literal["asr", "ser"] = "asr"
    models: tuple[str, ...]
    speech: tuple[Speech, ...]
    centre: dict[str, Any] = {}
    axes: dict[str, tuple[Any, ...]] = {}
    budgets_gflops: tuple[Bound, ...] = ()
    tolerance: Chance = 0.05
    runs: Annotated[int, Field(ge=1, le=100_000)] | None = None
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d{1,3})?)$")] = "auto"
    timing: bool = True
    seed: Seed = 0

    @property
    def id(self) -> str:
        """Of the sweep that it describes: the beginning of its key."""
        return self.key[:16]

    @classmethod
    def read(cls, path: Path) -> SweepSpec:
        """Reads a JSON or YAML file.

        Raises:
            SweepError: It can't be read, or is neither.
            ValidationError: It says something that a sweep does not know.
        """
        try:
            document = yaml.safe_load(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise SweepError(f"{path}: {error.strerror}") from None
        except (UnicodeDecodeError, yaml.YAMLError) as error:
            said = " ".join(str(error).split())
            raise SweepError(f"{path}: neither JSON nor YAML: {said}") from None
        if not isinstance(document, dict):
            raise SweepError(f"{path}: holds no object with design, models, speech and axes")
        return cls.model_validate(document)

    # min_length would do the same, but OpenAPI documents come out wrong of it: Litestar 2.25
    # takes the ellipsis of a constrained tuple for a second kind of item.
    @field_validator("models", "speech")
    @classmethod
    def _at_least_one(cls, values: tuple[Any, ...]) -> tuple[Any, ...]:
        if not values:
            raise ValueError("at least one is needed")
        return values

    @field_validator("axes")
    @classmethod
    def _known_axes(cls, axes: dict[str, tuple[Any, ...]]) -> dict[str, tuple[Any, ...]]:
        for name, values in axes.items():
            fields = name.split("+")
            _known_fields(fields)
            if not values:
                raise ValueError(f"axis {name} has no values")
            for value in values:
                if len(fields) > 1 and (
                    not isinstance(value, list | tuple) or len(value) != len(fields)
                ):
                    raise ValueError(f"axis {name}: {value!r} is not {len(fields)} values")
        return axes

    @field_validator("centre")
    @classmethod
    def _known_centre(cls, centre: dict[str, Any]) -> dict[str, Any]:
        _known_fields(list(centre))
        return centre

    @model_validator(mode="after")
    def _goes_with_the_design(self) -> SweepSpec:
        if (self.design == "iso-flops") != bool(self.budgets_gflops):
            raise ValueError("budgets_gflops is for design iso-flops, which needs it")
        if (self.design == "adaptive") != (self.runs is not None):
            raise ValueError("runs is for design adaptive, which needs it")
        if self.design == "adaptive" and len(self.speech) > 1:
            raise ValueError("design adaptive takes one data set")
        return self

    def configurations(self) -> list[Configuration]:
        """What the design measures; for ``adaptive``, what it chooses from.

        Raises:
            UnknownNameError: A model is not in the registry.
            SweepError: A point is no configuration, or none is left.
        """
        axes = {name: tuple(_fields(name, values)) for name, values in self.axes.items()}
        points = designs.star(axes) if self.design == "star" else designs.grid(axes)
        every = [self._configuration(model, point) for model in self.models for point in points]
        unique = list(dict.fromkeys(every))
        if self.design == "iso-flops":
            unique = designs.iso_flops(
                unique,
                lambda c: float(utterance_flops(c, DEFAULT_WORKLOAD).total),
                [gflops * 1e9 for gflops in self.budgets_gflops],
                self.tolerance,
            )
            if not unique:
                raise SweepError(
                    f"no combination lies within {self.tolerance:.0%} of"
                    f" {', '.join(f'{b:g}' for b in self.budgets_gflops)} GFLOPs"
                )
        return unique

    def run_of(self, configuration: Configuration, speech: Speech) -> Run:
        """The run of a configuration."""
        return Run(
            configuration=configuration, speech=speech, device=self.device, timing=self.timing
        )

    def _configuration(self, model: str, point: designs.Fields) -> Configuration:
        fields = {**self.centre, **point, "model": model, "task": self.task}
        layer = fields.get("reduction_layer")
        if isinstance(layer, str):
            if layer not in LAYERS:
                raise SweepError(f"reduction_layer {layer!r} is no number nor {', '.join(LAYERS)}")
            layers = MODELS.get(model).encoder_layers
            fields["reduction_layer"] = (0, layers // 2, layers)[LAYERS.index(layer)]
        try:
            return Configuration.model_validate(fields)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(map(str, first["loc"]))
            said = ", ".join(f"{k}={v}" for k, v in point.items()) or "the centre"
            message = f"{where}: {first['msg']}" if where else first["msg"]
            raise SweepError(f"{model} at {said}: {message.replace('Value error, ', '')}") from None


def _known_fields(names: list[str]) -> None:
    for name in names:
        if name not in _FIELDS:
            raise ValueError(f"{name!r} is no axis: choose from {', '.join(sorted(_FIELDS))}")


def _fields(axis: str, values: tuple[Any, ...]) -> Iterator[designs.Fields]:
    names = axis.split("+")
    for value in values:
        yield dict(zip(names, value if len(names) > 1 else [value], strict=True))
