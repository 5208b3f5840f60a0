"""A planner of a synthetic study that several modules ask."""

import pytest

from planner.evidence import Evidence
from planner.recommend import Planner
from tests.planner.test_recommend import DEVICES, STAR, observed


@pytest.fixture(scope="package")
def planner():
    known = tuple(observed(STAR))
    return Planner(Evidence(task="asr", study="world", observations=known, devices=DEVICES))
