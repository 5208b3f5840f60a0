"""Trains parameters on a lesson: deterministic, checkpointed, stopped early.

Knows nothing of speech or of losses. A step depends only on the step's number, the
parameters, the optimiser's state and torch's random numbers, all of which a checkpoint
holds, so a training that was killed ends with the same weights as one that was not.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from measurements.adaptation.lesson import Lesson
from measurements.adaptation.records import Hyperparameters, LossPoint


@dataclass
class TrainingState:
    """How far a training is, but for the tensors.

    Attributes:
        step: Steps done.
        best_step: Step of the lowest loss on what is held out.
        losses: At every evaluation so far.
        since: Sum of the training loss, and the steps, since the last evaluation.
        training_flops: Of the steps so far.
        held_out_flops: Of the evaluations so far.
        training_s: Wall seconds so far, over all tries.
    """

    step: int = 0
    best_step: int = 0
    losses: list[tuple[int, float | None, float]] = field(default_factory=list)
    since: tuple[float, int] = (0.0, 0)
    training_flops: int = 0
    held_out_flops: int = 0
    training_s: float = 0.0

    @property
    def points(self) -> tuple[LossPoint, ...]:
        """The losses, named."""
        return tuple(LossPoint(step=s, training=t, held_out=h) for s, t, h in self.losses)

    def stopped_early(self, hyperparameters: Hyperparameters) -> bool:
        """Whether patience is at its end."""
        later = [step for step, _, _ in self.losses if step > self.best_step]
        return len(later) >= hyperparameters.patience


class TrainingError(RuntimeError):
    """A training that can't go on; the message says why."""


class Trainer:
    """Trains parameters with AdamW and leaves the best ones in the model.

    Args:
        parameters: What is trained, by name; changed in place.
        lesson: What is learnt.
        hyperparameters: How.
        checkpoint: File of the checkpoint; one that is there is gone on with.
        checkpoint_every: Steps between checkpoints.
    """

    def __init__(
        self,
        parameters: Mapping[str, nn.Parameter],
        lesson: Lesson,
        hyperparameters: Hyperparameters,
        checkpoint: Path,
        *,
        checkpoint_every: int = 10,
    ) -> None:
        self.lesson, self.hyperparameters = lesson, hyperparameters
        self.state = TrainingState()
        self._parameters = dict(parameters)
        self._checkpoint, self._every = checkpoint, checkpoint_every
        self._optimiser = torch.optim.AdamW(
            self._parameters.values(),
            lr=hyperparameters.learning_rate,
            weight_decay=hyperparameters.weight_decay,
        )
        self._best = {name: p.detach().clone() for name, p in self._parameters.items()}
        self._device = next(iter(self._parameters.values())).device
        if checkpoint.exists():
            self._restore()

    def run(self, on_step: Callable[[TrainingState], None] | None = None) -> TrainingState:
        """Trains until the steps or the patience are used up.

        Args:
            on_step: Called before the first step and after each.

        Raises:
            TrainingError: The loss is no number any more.
        """
        report, state, h = on_step or (lambda _: None), self.state, self.hyperparameters
        began, before_s = time.perf_counter(), state.training_s
        if not state.losses:
            self._evaluate(None)
        report(state)
        while state.step < h.steps and not state.stopped_early(h):
            self._step()
            if state.step % h.evaluate_every == 0 or state.step == h.steps:
                total, steps = state.since
                state.since = (0.0, 0)
                self._evaluate(total / steps)
            state.training_s = before_s + time.perf_counter() - began
            if state.step % self._every == 0:
                self._save()
            report(state)
        with torch.no_grad():
            for name, parameter in self._parameters.items():
                parameter.copy_(self._best[name])
        return state

    def _step(self) -> None:
        h, state = self.hyperparameters, self.state
        for group in self._optimiser.param_groups:
            group["lr"] = h.learning_rate * self._rate(state.step)
        batch = self.lesson.batch(state.step)
        total, targets = self.lesson.loss(batch)
        loss = total / targets
        if not math.isfinite(value := loss.item()):
            raise TrainingError(
                f"loss {value} at step {state.step + 1}: try a learning rate below"
                f" {h.learning_rate:g}"
            )
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self._parameters.values(), h.max_gradient_norm)
        self._optimiser.step()
        state.step += 1
        state.since = (state.since[0] + value, state.since[1] + 1)
        state.training_flops += sum(self.lesson.flops(batch))

    def _rate(self, step: int) -> float:
        h = self.hyperparameters
        warmup = max(1, round(h.warmup_share * h.steps))
        if step < warmup:
            return (step + 1) / warmup
        return (h.steps - step) / max(1, h.steps - warmup)

    @torch.no_grad()
    def _evaluate(self, training: float | None) -> None:
        state, total, targets = self.state, 0.0, 0
        for batch in self.lesson.held_out:
            loss, count = self.lesson.loss(batch)
            total, targets = total + loss.item(), targets + count
            state.held_out_flops += self.lesson.flops(batch)[0]
        held_out = total / targets
        best = min((loss for _, _, loss in state.losses), default=math.inf)
        state.losses.append((state.step, training, held_out))
        if held_out < best:
            state.best_step = state.step
            self._best = {name: p.detach().clone() for name, p in self._parameters.items()}

    def _save(self) -> None:
        tensors = {"random.cpu": torch.get_rng_state()}
        if self._device.type == "cuda":
            tensors["random.cuda"] = torch.cuda.get_rng_state(self._device)
        for name, parameter in self._parameters.items():
            tensors[f"weights.{name}"] = parameter.detach()
            tensors[f"best.{name}"] = self._best[name]
            for slot, value in self._optimiser.state[parameter].items():
                tensors[f"optimiser.{slot}.{name}"] = value
        tensors = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
        self._checkpoint.parent.mkdir(parents=True, exist_ok=True)
        partial = self._checkpoint.with_suffix(".partial")
        # One file and one rename: tensors and counters can't come apart.
        save_file(tensors, partial, metadata={"state": json.dumps(asdict(self.state))})
        partial.replace(self._checkpoint)

    def _restore(self) -> None:
        with safe_open(self._checkpoint, framework="pt") as file:
            document = json.loads((file.metadata() or {})["state"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        document["losses"] = [tuple(point) for point in document["losses"]]
        document["since"] = tuple(document["since"])
        self.state = TrainingState(**document)
        slots: dict[str, dict[str, Tensor]] = {name: {} for name in self._parameters}
        for key, tensor in tensors.items():
            if key.startswith("optimiser."):
                _, slot, name = key.split(".", 2)
                slots[name][slot] = tensor
        with torch.no_grad():
            for name, parameter in self._parameters.items():
                parameter.copy_(tensors[f"weights.{name}"])
                self._best[name] = tensors[f"best.{name}"].to(self._device)
        described = self._optimiser.state_dict()
        described["state"] = dict(enumerate(slots.values()))
        self._optimiser.load_state_dict(described)
        torch.set_rng_state(tensors["random.cpu"])
        if self._device.type == "cuda" and "random.cuda" in tensors:
            torch.cuda.set_rng_state(tensors["random.cuda"], self._device)
