"""Fragments of Hugging Face model cards: metadata in YAML, then sections in Markdown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from api.exporting import Export
from models_registry import MODELS

if TYPE_CHECKING:
    from measurements.records import Measurement

_PIPELINES = {"asr": "automatic-speech-recognition", "ser": "audio-classification"}
_METRICS = {
    "wer": ("wer", "Word error rate"),
    # The Hub knows it by this name: recall, averaged over the classes.
    "ua": ("recall", "Unweighted accuracy (mean recall of the classes)"),
}


class CardError(ValueError):
    """A card that can't be made, and why."""


def model_card(export: Export) -> str:
    """A card for an answer.

    What was measured or published goes into the metadata's results; what is only predicted
    is in the text alone, and called that. The licence is left to who publishes.

    Raises:
        CardError: ``huggingface_hub`` is not installed.
    """
    import jinja2

    here = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(loader=here, trim_blocks=True, lstrip_blocks=True)
    configuration = export.plan.configuration
    return environment.get_template("model_card.md.jinja").render(
        metadata=_metadata(export),
        export=export,
        configuration=configuration,
        fields=configuration.model_dump(mode="json", exclude_defaults=True),
        answer=export.answer.recommendation,
        study=export.answer.study,
        base=MODELS.get(configuration.model).hub_id,
        command="transcribe" if configuration.task == "asr" else "classify",
        question=json.dumps(export.plan.question, sort_keys=True),
    )


def _metadata(export: Export) -> str:
    try:
        from huggingface_hub import EvalResult, ModelCardData
    except ImportError:
        raise CardError(
            "a model card needs huggingface_hub: pip install 'speechplan[measure]'"
        ) from None
    configuration, measured = export.plan.configuration, export.measurement

    def result(found: Measurement) -> EvalResult:
        kind, name = _METRICS[found.metric.name]
        return EvalResult(
            task_type=_PIPELINES[configuration.task],
            dataset_type=found.dataset.name,
            dataset_name=found.dataset.name,
            metric_type=kind,
            metric_name=name,
            metric_value=round(found.metric.value, 6),
        )

    card = ModelCardData(
        model_name=configuration.label(),
        base_model=MODELS.get(configuration.model).hub_id,
        pipeline_tag=_PIPELINES[configuration.task],
        language=None if measured is None else [measured.dataset.language],
        metrics=[_METRICS["wer" if configuration.task == "asr" else "ua"][0]],
        tags=["speech", "speechplan"],
        eval_results=None if measured is None else [result(measured)],
    )
    return str(card.to_yaml()).strip()
