"""Generated requests against the OpenAPI document: no crash, nothing undocumented."""

import pytest

schemathesis = pytest.importorskip("schemathesis")

from hypothesis import HealthCheck, given, settings  # noqa: E402
from schemathesis.checks import positive_data_acceptance  # noqa: E402

from api.app import create_app  # noqa: E402
from measurements.settings import Settings  # noqa: E402

pytestmark = pytest.mark.contract

OPERATIONS = [
    "recommend",
    "getRecommendation",
    "drawFront",
    "predict",
    "listDevices",
    "listCurves",
    "startVerification",
    "listVerifications",
    "getVerification",
    "cancelVerification",
    "followVerification",
    "getCoverage",
    "startSweep",
    "listSweeps",
    "getSweep",
    "cancelSweep",
    "listModels",
    "getCost",
    "listStudies",
    "listMeasurements",
    "importMeasurements",
    "getHealth",
]


@pytest.fixture(scope="module")
def operations(tmp_path_factory):
    folder = tmp_path_factory.mktemp("contract")
    app = create_app(Settings(database_url=f"sqlite:///{folder / 'store.db'}"))
    document = schemathesis.openapi.from_asgi("/schema/openapi.json", app)
    found = [result.ok() for result in document.get_all_operations()]
    return {operation.definition.raw["operationId"]: operation for operation in found}


def test_every_operation_is_tried(operations):
    assert sorted(operations) == sorted(OPERATIONS)


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_response_is_documented(operations, name):
    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(case=operations[name].as_strategy())
    def every_case(case):
        # A schema can't say which models exist, or that a question needs a budget.
        case.call_and_validate(excluded_checks=[positive_data_acceptance])

    every_case()
