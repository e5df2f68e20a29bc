"""Each function may do what it does, to what it does it to, and nothing else: by what it was seen to call."""

import re
from collections.abc import Iterator

import pytest

from tests.integration.cloud import FUNCTIONS
from tests.privileges.accesses import PROFILE_REGIONS, Access
from tests.privileges.comparison import never_called, not_allowed, of_services
from tests.privileges.recorder import Recorder
from tests.privileges.scenarios import SCENARIOS
from tests.unit.template.authorization import is_of_type, resource_types
from tests.unit.template.stack import ACCOUNT, DATA_BUCKET, KMS_KEY_ARN, QUERY_LOG_BUCKET, REGION, Stack

EXCEPTIONS = {
    ("validate", "s3:ListBucketVersions"): (
        "S3's reference names s3:ListBucket alone for the 404 of an object that is not there; of a version that is not "
        "there it says nothing, and a 403 would leave a run of a deleted dataset to fail late and without its reason"
    ),
    ("generate", "s3:ListBucketVersions"): "as validate: a request may be deleted before it is read",
}
"""What is allowed and was not seen, and why it is allowed all the same."""

STACKS = {"default": {}, "own key": {"KmsKeyArn": KMS_KEY_ARN}, "query log": {"QueryLogShare": "0.5"}}
REPORT = f"arn:aws:s3:::{DATA_BUCKET}/runs/clip-search-0/report.html"
BEDROCK = {"iam:PassedToService": "bedrock.amazonaws.com"}


@pytest.fixture(scope="module")
def recorder(student: bytes) -> Recorder:
    """All that every handler called in all scenarios."""
    recorder = Recorder()
    for scenario in SCENARIOS:
        with recorder.recording(student) as cloud:
            scenario(cloud, recorder)
            assert cloud.crashes == [], scenario.__name__
    return recorder


@pytest.fixture(params=STACKS)
def stack(request: pytest.FixtureRequest) -> Iterator[Stack]:
    """The stack as it is by default, with a key of one's own, which adds its use, and with a sample of the queries."""
    return Stack(**STACKS[request.param])


def test_every_function_called_something_that_the_table_of_accesses_knows(recorder: Recorder) -> None:
    assert recorder.unknown == set()
    assert {function for function, _ in recorder.calls} == set(FUNCTIONS) - {"reward"}, "it only computes"


def asked_in(stack: Stack, recorder: Recorder) -> dict[str, list[Access]]:
    """Return what would be asked in a stack: a router that keeps no queries does not ask to write them."""
    keeps = "KeepQueriesPolicy" in stack.resources
    kept = f"arn:aws:s3:::{QUERY_LOG_BUCKET}/"
    called = {
        function: [access for access in those if keeps or not access.resource.startswith(kept)]
        for function, those in recorder.accesses.items()
    }
    return of_services(stack, called)


def test_no_call_is_made_that_is_not_allowed(recorder: Recorder, stack: Stack) -> None:
    assert not_allowed(stack, asked_in(stack, recorder)) == []


def test_nothing_is_allowed_that_is_never_called(recorder: Recorder, stack: Stack) -> None:
    unused = never_called(stack, asked_in(stack, recorder))

    assert {case: str(grant) for case, grant in unused.items() if case not in EXCEPTIONS} == {}
    assert set(EXCEPTIONS) <= set(unused), "what is seen to be called needs no exception"


def test_the_resources_of_the_accesses_are_those_that_aws_names_for_their_actions(recorder: Recorder) -> None:
    for access in {access for those in recorder.accesses.values() for access in those}:
        service = access.action.partition(":")[0]
        kinds = resource_types(access.action)
        if "foundation-model" in kinds:
            # It stands for a model; the reference does not say so of every action.
            kinds.add("inference-profile")
        here = re.sub("|".join(PROFILE_REGIONS), REGION, access.resource)
        assert here == "*" or any(is_of_type(here, service, kind) for kind in kinds), str(access)


# The comparison itself finds what it is there to find.


@pytest.mark.parametrize(
    ("function", "access"),
    [
        ("notify", Access("s3:PutObject", REPORT)),
        ("notify", Access("s3:GetObject", REPORT.replace("report.html", "train.jsonl"))),
        ("notify", Access("s3:GetObject", REPORT.replace(DATA_BUCKET, "somebody-elses"))),
        ("watch", Access("s3:ListBucket", f"arn:aws:s3:::{DATA_BUCKET}", {"s3:prefix": "runs/"})),
        ("watch", Access("s3:ListBucket", f"arn:aws:s3:::{DATA_BUCKET}")),
        ("distill", Access("iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/CustomizationRole")),
        ("distill", Access("iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/EvaluationRole", BEDROCK)),
        ("evaluate", Access("iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/CustomizationRole", BEDROCK)),
        (
            "route",
            Access(
                "bedrock:InvokeModel", "arn:aws:bedrock:eu-west-1::foundation-model/amazon.nova-micro-v1:0"
            ),
        ),
        (
            "judge",
            Access("dynamodb:Query", f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/RunTable/index/active-runs"),
        ),
    ],
    ids=lambda value: str(value),
)
def test_an_access_beyond_the_policies_is_found(function: str, access: Access) -> None:
    assert not_allowed(Stack(), {function: [access]}) == [f"{function}: {access}"]


def test_an_access_within_the_policies_is_not() -> None:
    asked = {
        "notify": [Access("s3:GetObject", REPORT)],
        "distill": [Access("iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/CustomizationRole", BEDROCK)],
    }

    assert not_allowed(Stack(), asked) == []


def test_a_grant_that_nothing_uses_is_found() -> None:
    stack = Stack()
    everything = of_services(stack, {"notify": [Access("s3:GetObject", REPORT)]})

    assert set(never_called(stack, everything)) == {
        ("notify", "sns:Publish"),
        ("notify", "kms:Decrypt"),
        ("notify", "kms:GenerateDataKey"),
    }
