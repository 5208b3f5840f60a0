"""Fitted curves kept by what they were fitted to, and as documents that go into files."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from planner.curves.data import GroupFactor
from planner.curves.form import Design, Form, Term
from planner.curves.model import Part, ScalingModel
from planner.curves.shapes import BROKEN, POWER, SATURATING, SIGNED, U_SHAPE

FORMAT = 6
"""Of the documents, and of what fits come to: raised when a fit would come out otherwise."""

_KEPT = 16
_SHAPES = {shape.name: shape for shape in (POWER, SATURATING, BROKEN, U_SHAPE, SIGNED)}


class Fits:
    """Curves of this process, the most recently used ones."""

    def __init__(self) -> None:
        self._models: OrderedDict[str, ScalingModel] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: str, make: Callable[[], ScalingModel]) -> ScalingModel:
        """The curves of a key, fitted where they are not known.

        Args:
            key: Names what they are fitted to.
            make: Fits them.
        """
        with self._lock:
            model = self._models.get(key)
        if model is None:
            model = self.load(key)
        if model is None:
            model = make()
            self.save(key, model)
        with self._lock:
            self._models[key] = model
            self._models.move_to_end(key)
            while len(self._models) > _KEPT:
                self._models.popitem(last=False)
        return model

    def alike(self, axes: Sequence[str], factors: Sequence[str]) -> ScalingModel | None:
        """A fit on such axes and factors that always was, whose form others may keep."""
        return None

    def load(self, key: str) -> ScalingModel | None:
        """Curves kept elsewhere, if there are any."""
        return None

    def save(self, key: str, model: ScalingModel) -> None:
        """Keeps new curves elsewhere too."""


def to_document(model: ScalingModel) -> dict[str, Any]:
    """Curves in types that JSON has; numbers come back to the bit."""
    return {
        "format": FORMAT,
        "parts": [
            {
                "name": part.name,
                "terms": [
                    [[axis, shape.name] for axis, shape in term.factors] for term in part.form.terms
                ],
                "offsets": part.form.offsets,
                "tight": list(part.form.tight),
                "bags": part.bags.tolist(),
            }
            for part in model.parts
        ],
        "scores": dict(model.scores),
        "axis_names": list(model.axis_names),
        "centres": model.centres.tolist(),
        "factors": [
            {"name": f.name, "labels": list(f.labels), "first": f.first, "sd": f.sd}
            for f in model.factors
        ],
        "log_axes": model.observed.log_axes.tolist(),
        "groups": model.observed.groups.tolist(),
        "log_error": model.log_error.tolist(),
        "misfit_sd": model.misfit_sd,
        "freedom": model.freedom,
        "inflation": model.inflation,
        "extrapolation_sd": model.extrapolation_sd.tolist(),
        "held_out_residuals": model.held_out_residuals.tolist(),
        "seed": model.seed,
        "best": model.best.tolist(),
        "deleted_factor": model.deleted_factor,
        "deleted": model.deleted.tolist(),
    }


def from_document(document: dict[str, Any]) -> ScalingModel:
    """Curves of a document.

    Raises:
        ValueError: It is of another format, or something is missing.
    """
    try:
        if document["format"] != FORMAT:
            raise ValueError(f"format {document['format']!r}, not {FORMAT}")
        factors = document["factors"]
        rows = len(document["log_error"])
        return ScalingModel(
            parts=tuple(map(_part, document["parts"])),
            scores=document["scores"],
            axis_names=tuple(document["axis_names"]),
            centres=np.array(document["centres"], dtype=float),
            factors=tuple(
                GroupFactor(f["name"], tuple(f["labels"]), f["first"], f["sd"]) for f in factors
            ),
            observed=Design(
                np.array(document["log_axes"], dtype=float).reshape(rows, -1),
                np.array(document["groups"], dtype=np.int64).reshape(rows, len(factors)),
            ),
            log_error=np.array(document["log_error"], dtype=float),
            misfit_sd=document["misfit_sd"],
            freedom=document["freedom"],
            inflation=document["inflation"],
            extrapolation_sd=np.array(document["extrapolation_sd"], dtype=float),
            held_out_residuals=np.array(document["held_out_residuals"], dtype=float),
            seed=document["seed"],
            best=np.array(document["best"], dtype=float),
            deleted_factor=document["deleted_factor"],
            deleted=np.array(document["deleted"], dtype=float),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"no curves: {error}") from None


def _part(document: dict[str, Any]) -> Part:
    terms = (
        Term(tuple((axis, _SHAPES[name]) for axis, name in term)) for term in document["terms"]
    )
    form = Form(tuple(terms), document["offsets"], tuple(document["tight"]))
    return Part(document["name"], form, np.array(document["bags"], dtype=float))
