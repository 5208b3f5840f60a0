"""Scaling curves: error against compute axes, with honest uncertainty.

Usable alone::

    from planner.curves import fit

    model = fit({"parameters": n, "window_s": t}, wer, error_se=se, groups=source)
    mean, lower, upper = model.predict({"parameters": 7e7, "window_s": 20})
"""

from planner.curves.fit import fit
from planner.curves.model import ScalingModel
from planner.curves.predictive import Prediction

__all__ = ["Prediction", "ScalingModel", "fit"]
