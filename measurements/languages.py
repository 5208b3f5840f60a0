"""Whether a model can be measured, or trained, on the language of a data set."""

from __future__ import annotations

from measurements.datasets import Dataset, DatasetError
from models_registry import Configuration, WeightsSource
from models_registry.languages import LANGUAGES, language_refusal
from models_registry.weights import replaces_own


def check_language(
    configuration: Configuration,
    dataset: Dataset,
    weights: WeightsSource | None = None,
    *,
    scored: bool = True,
) -> None:
    """Refuses speech in a language that the model does not know, or whose words aren't counted.

    Args:
        configuration: What is to run; emotions are recognised in any language.
        dataset: On what.
        weights: Where the weights come from; the model's own when left out.
        scored: Whether transcripts are compared word by word.

    Raises:
        DatasetError: The model can't transcribe it, or its writing has no spaces.
    """
    if configuration.task != "asr":
        return
    own = replaces_own(weights, configuration.model)
    reason = language_refusal(configuration.architecture, dataset.language, own_weights=own)
    if reason is not None:
        raise DatasetError(f"data set {dataset.name}: {reason}")
    if scored and dataset.language in LANGUAGES:
        language = LANGUAGES.get(dataset.language)
        if not language.has_spaces:
            raise DatasetError(
                f"data set {dataset.name}: {language} is written without spaces between words, so"
                " a word error rate says nothing of it, and no other is counted yet"
            )
