"""The frozen answer: everything that decides how a model is run."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from models_registry.architectures import FRAMES_PER_SECOND, Architecture
from models_registry.known_models import MODELS

Task = Literal["asr", "ser"]
Precision = Literal["fp32", "bf16", "fp16", "int8", "int4"]
AdapterKind = Literal["none", "lora", "dama", "partial", "full"]
Recipe = Literal["supervised", "self-distilled"]
Readout = Literal["linear", "attentive"]
Reduction = Literal["mean", "pick"]
WindowPolicy = Literal["chunk", "ladder", "truncate"]

Finite = Annotated[float, Field(allow_inf_nan=False)]


TAIL_S = 0.5
"""Silence left behind the speech on the ladder, where every window is about as long as it."""

TAIL_SHARE = 0.25
"""The largest share of a window that this silence may take."""

LADDER_S = (
    *(n / 2 for n in range(2, 12)),
    *(float(n) for n in range(6, 20)),
    *(float(n) for n in range(20, 31, 2)),
)
"""Windows that the policy ``ladder`` chooses from, those above ``window_s`` left out."""


class Configuration(BaseModel):
    """One way to run one model; two that run alike are equal and share a key.

    Attributes:
        task: ``asr`` (transcribe) or ``ser`` (recognise emotion).
        model: Name in the model registry; aliases are replaced by it.
        window_s: Longest audio one forward pass sees, in seconds (xT). The
            encoder really runs on ``50 * window_s`` frames.
        window_policy: What happens to audio that is not as long as the window.
            ``chunk`` cuts longer audio at quiet places and runs every piece in a
            full ``window_s``; ``ladder`` cuts alike and runs each piece in the
            shortest window of :data:`LADDER_S` that holds it and its tail;
            ``truncate`` drops what is left over and pads back to the model's
            full window, as arXiv 2606.22790 does.
        tail_s: Silence left behind the speech in a window shorter than the
            model's own (ASR only): without it, Whisper runs on after the last
            word more often, and such a window is run again in full. Left out:
            ``min(0.5 s, a quarter of window_s)`` on the ladder, but none for an
            adapter that was self-distilled; none in windows of one length.
        token_stride: How many encoder tokens become one (xV); fractions allowed.
        reduction_layer: Encoder layer after which they do: 0 is the
            convolution stem, the number of layers is the encoder's output,
            which is also what leaving it out means.
        reduction: ``mean`` pools the tokens, ``pick`` keeps one of them.
        exit_layer: Last encoder layer that runs (SER only); all when left out.
        readout: How emotions are read off the encoder's tokens (SER only):
            ``linear`` on their mean, or ``attentive``, on a learnt weighted mean.
        adapter: Kind of adaptation: ``lora``; ``dama``, LoRA whose rank follows
            depth (arXiv 2602.01008); ``partial``, the top ``unfrozen_layers``
            alone; ``full``, every weight. What the code of arXiv 2606.22790 calls
            DAMA is ``lora`` with ``unfrozen_layers``.
        rank: Rank of ``lora``, highest rank of ``dama``.
        unfrozen_layers: Encoder layers, counted from the top, trained as a whole.
        recipe: What the adapter learnt from: ``supervised`` by transcripts or
            labels, or ``self-distilled`` from the model's own full-window output.
        precision: Number format of weights and arithmetic.
        batch_size: Forward passes run together.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: Task = "asr"
    model: str
    window_s: Annotated[Finite, Field(gt=0)] = 30.0
    window_policy: WindowPolicy = "chunk"
    tail_s: Annotated[Finite, Field(ge=0)] | None = None
    token_stride: Annotated[Finite, Field(ge=1)] = 1.0
    reduction_layer: Annotated[int, Field(ge=0)] | None = None
    reduction: Reduction = "mean"
    exit_layer: Annotated[int, Field(ge=1)] | None = None
    readout: Readout = "linear"
    adapter: AdapterKind = "none"
    rank: Annotated[int, Field(ge=1, le=4096)] | None = None
    unfrozen_layers: Annotated[int, Field(ge=0)] = 0
    recipe: Recipe | None = None
    precision: Precision = "fp32"
    batch_size: Annotated[int, Field(ge=1, le=4096)] = 1

    @model_validator(mode="before")
    @classmethod
    def _canonical(cls, data: Any) -> Any:
        if not isinstance(data, dict) or not isinstance(data.get("model"), str):
            return data
        # An unknown name leaves as the registry's own error, suggestions included.
        architecture = MODELS.get(data["model"])
        data = {**data, "model": architecture.name}
        layers = architecture.encoder_layers
        if data.get("exit_layer") == layers:
            data["exit_layer"] = None
        if data.get("token_stride", 1) == 1:
            data["reduction_layer"] = None
            data["reduction"] = "mean"
        elif data.get("reduction_layer") is None:
            data["reduction_layer"] = data.get("exit_layer") or layers
        if data.get("adapter", "none") != "none" and data.get("recipe") is None:
            data["recipe"] = "supervised"
        policy, window_s = data.get("window_policy", "chunk"), data.get("window_s", 30.0)
        unheard = policy == "chunk" and window_s == architecture.max_window_s
        usual_s = _default_tail_s(policy, data.get("recipe"), window_s)
        if unheard or data.get("tail_s") == usual_s:
            data["tail_s"] = None
        return data

    @model_validator(mode="after")
    def _consistent(self) -> Configuration:
        problems = [
            InitErrorDetails(
                # Passed as a value, since braces in a template are none of the message's.
                type=PydanticCustomError("configuration", "{said}", {"said": said}),
                loc=(field,),
                input=getattr(self, field),
            )
            for field, said in self._problems()
        ]
        if problems:
            raise ValidationError.from_exception_data(type(self).__name__, problems)
        return self

    def _problems(self) -> Iterator[tuple[str, str]]:
        """Fields that contradict others, and why."""
        architecture = self.architecture
        if self.task not in architecture.tasks:
            yield "task", f"{self.model} serves {' and '.join(architecture.tasks)}, not {self.task}"
        if self.window_s > architecture.max_window_s:
            yield (
                "window_s",
                f"{self.window_s:g} is above the {architecture.max_window_s:g} s"
                f" that {self.model} can see",
            )
        # Of one that is too long, a number of frames need not even be finite.
        frames = min(self.window_s, architecture.max_window_s) * FRAMES_PER_SECOND
        if not math.isclose(frames, round(frames), abs_tol=1e-6):
            yield "window_s", f"{self.window_s:g} is not a multiple of 0.02 s"
        elif round(frames) < 1:
            yield "window_s", f"{self.window_s:g} is shorter than a frame of 0.02 s"
        elif round(frames) < self.token_stride:
            yield "token_stride", f"{self.token_stride:g} leaves no token of the window"
        if self.tail_s is not None and self.tail_s > self.window_s - 1 / FRAMES_PER_SECOND:
            yield "tail_s", f"{self.tail_s:g} leaves no room for speech"
        if self.tail_s is not None and (self.task == "ser" or self.window_policy == "truncate"):
            yield "tail_s", "is for asr without truncation"
        if self.task == "ser" and self.window_policy == "ladder":
            yield "window_policy", "ladder is for asr"
        layers = architecture.encoder_layers
        if self.exit_layer is not None and self.task != "ser":
            yield "exit_layer", "is for ser only"
        elif self.exit_layer is not None and self.exit_layer > layers:
            yield "exit_layer", f"{self.exit_layer} is above the {layers} layers of {self.model}"
        last = self.exit_layer or layers
        if self.reduction_layer is not None and self.reduction_layer > last:
            yield "reduction_layer", f"{self.reduction_layer} is above the last layer run, {last}"
        if self.adapter in ("lora", "dama") and self.rank is None:
            yield "rank", f"adapter {self.adapter} needs a rank"
        if self.adapter not in ("lora", "dama") and self.rank is not None:
            yield "rank", f"has no meaning with adapter {self.adapter}"
        if self.adapter == "none" and self.unfrozen_layers:
            yield "unfrozen_layers", "has no meaning with adapter none"
        if self.adapter == "partial" and not self.unfrozen_layers:
            yield "unfrozen_layers", "adapter partial needs unfrozen_layers"
        if self.unfrozen_layers > layers:
            yield "unfrozen_layers", f"{self.unfrozen_layers} is above the {layers} of {self.model}"
        if self.adapter == "none" and self.recipe is not None:
            yield "recipe", "has no meaning with adapter none"
        if self.task == "ser" and self.recipe == "self-distilled":
            yield "recipe", "self-distilled is for asr only"
        if self.task == "asr" and self.readout != "linear":
            yield "readout", "is for ser only"

    @property
    def architecture(self) -> Architecture:
        """The model's architecture."""
        return MODELS.get(self.model)

    @property
    def frames(self) -> int:
        """Whisper encoder frames of the longest pass; truncated audio is padded back."""
        if self.window_policy == "truncate":
            return round(self.architecture.max_window_s * FRAMES_PER_SECOND)
        return round(self.window_s * FRAMES_PER_SECOND)

    @property
    def speech_s(self) -> float:
        """Longest piece of speech put into one window, in seconds.

        Whisper runs on after the last word unless silence follows it, except
        in the full window it was trained on. Longer audio is cut to this.
        """
        if self.task == "ser" or self.window_s >= self.architecture.max_window_s:
            return self.window_s
        if self.window_policy == "truncate":
            return self.window_s
        return self.window_s - self.silence_s

    @property
    def silence_s(self) -> float:
        """Silence left behind the speech in a window shorter than the model's own."""
        if self.tail_s is not None:
            return self.tail_s
        return _default_tail_s(self.window_policy, self.recipe, self.window_s)

    def frames_for(self, speech_s: float) -> int:
        """Whisper encoder frames of the pass that takes ``speech_s`` of speech."""
        if self.window_policy != "ladder":
            return self.frames
        needed_s = speech_s + self.silence_s - 1e-9
        rungs = (rung for rung in LADDER_S if needed_s <= rung < self.window_s)
        return round(next(rungs, self.window_s) * FRAMES_PER_SECOND)

    @property
    def key(self) -> str:
        """SHA-256 of the canonical form, the same on every machine.

        Defaults are left out, so an axis that is added later changes no key; a default
        that changed would, without a sign.
        """
        document = json.dumps(self.model_dump(mode="json", exclude_defaults=True), sort_keys=True)
        return hashlib.sha256(document.encode()).hexdigest()

    @property
    def unbatched(self) -> Configuration:
        """The same at batch size 1, which has the same errors."""
        return self.model_copy(update={"batch_size": 1})

    def label(self) -> str:
        """A short line that names what differs from the plain model."""
        parts = [self.model, f"window {self.window_s:g} s"]
        if self.window_policy == "truncate":
            parts.append("truncated")
        if self.window_policy == "ladder":
            parts[-1] = f"windows up to {self.window_s:g} s"
        if self.tail_s is not None:
            parts.append(f"tail {self.tail_s:g} s")
        if self.token_stride > 1:
            parts.append(f"stride {self.token_stride:g} after layer {self.reduction_layer}")
            if self.reduction == "pick":
                parts.append("picked")
        if self.exit_layer is not None:
            parts.append(f"exit at layer {self.exit_layer}")
        if self.adapter != "none":
            parts.append(self.adapter + (f" rank {self.rank}" if self.rank else ""))
            if self.unfrozen_layers:
                parts.append(f"top {self.unfrozen_layers} layers unfrozen")
            if self.recipe == "self-distilled":
                parts.append(self.recipe)
        if self.readout != "linear":
            parts.append(f"{self.readout} read-out")
        if self.precision != "fp32":
            parts.append(self.precision)
        if self.batch_size > 1:
            parts.append(f"batch {self.batch_size}")
        return ", ".join(parts)


def _default_tail_s(policy: str, recipe: str | None, window_s: Any) -> float:
    if policy != "ladder" or recipe == "self-distilled" or not isinstance(window_s, int | float):
        return 0.0
    return min(TAIL_S, TAIL_SHARE * window_s)


def reduced_tokens(tokens: int, stride: float) -> int:
    """Tokens left of ``tokens`` by a stride, at least one: ``ceil(tokens / stride)``."""
    # The tolerance keeps 300 / 1.2 from becoming 251 through rounding.
    return max(1, math.ceil(tokens / stride - 1e-9))
