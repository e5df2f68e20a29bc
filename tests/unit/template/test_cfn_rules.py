"""The rules of our own for cfn-lint find what they are for, and nothing in the template."""

from pathlib import Path

import pytest
from cfnlint.api import ManualArgs, lint_file

from tests.unit.template.stack import PROJECT

RULES = PROJECT / ".ci" / "cfn_rules"
SOUND = """
AWSTemplateFormatVersion: "2010-09-09"
Transform: AWS::Serverless-2016-10-31
Metadata:
  Decisions:
    Concurrency: None is reserved, since one step calls no other.
Globals:
  Function:
    Runtime: python3.13
    Tracing: Active
Resources:
  Queue:
    Type: AWS::SQS::Queue
  Bell:
    Type: AWS::CloudWatch::Alarm
    Properties:
      MetricName: ApproximateNumberOfMessagesVisible
      Namespace: AWS/SQS
      Dimensions:
        - {Name: QueueName, Value: !GetAtt Queue.QueueName}
      ComparisonOperator: GreaterThanThreshold
      EvaluationPeriods: 1
      Period: 60
      Statistic: Maximum
      Threshold: 0
  Step:
    Type: AWS::Serverless::Function
    Properties:
      Handler: app.handler
      InlineCode: pass
      Role: !GetAtt StepRole.Arn
      LoggingConfig:
        LogGroup: !Ref StepLog
      EventInvokeConfig:
        DestinationConfig:
          OnFailure: {Type: SQS, Destination: !GetAtt Queue.Arn}
      Events:
        Clock: {Type: Schedule, Properties: {Schedule: rate(1 minute)}}
  StepRole:
    Type: AWS::IAM::Role
    Properties:
      AssumeRolePolicyDocument:
        Version: "2012-10-17"
        Statement:
          - {Effect: Allow, Principal: {Service: lambda.amazonaws.com}, Action: sts:AssumeRole}
      Policies:
        - PolicyName: step
          PolicyDocument:
            Version: "2012-10-17"
            Statement:
              # X-Ray names no resources.
              - Effect: Allow
                Action: [xray:PutTraceSegments]
                Resource: "*"
              - Sid: Reads
                Effect: Allow
                Action: s3:GetObject
                Resource: arn:aws:s3:::bucket/*
  StepLog:
    Type: AWS::Logs::LogGroup
    Properties:
      RetentionInDays: 30
"""


def found(template: Path) -> list[tuple[str, str]]:
    """Return the findings of these rules: id, and message."""
    arguments = ManualArgs(append_rules=[str(RULES)], regions=["us-east-1"])
    matches = lint_file(template, arguments)
    return [(match.rule.id, match.message) for match in matches if match.rule.id.startswith("E9")]


def test_the_template_has_no_finding() -> None:
    assert found(PROJECT / "template.yaml") == []


def test_cfn_lint_uses_them() -> None:
    assert "append_rules:\n  - .ci/cfn_rules\n" in (PROJECT / ".cfnlintrc.yaml").read_text()


def test_a_sound_template_has_no_finding(tmp_path: Path) -> None:
    (tmp_path / "sound.yaml").write_text(SOUND)

    assert found(tmp_path / "sound.yaml") == []


@pytest.mark.parametrize(
    ("was", "broken", "rule"),
    [
        ("      RetentionInDays: 30\n", "      KmsKeyId: k\n", "E9101"),
        ("        LogGroup: !Ref StepLog\n", "        LogFormat: JSON\n", "E9101"),
        (
            "          OnFailure: {Type: SQS, Destination: !GetAtt Queue.Arn}\n",
            "          OnSuccess: {Type: SQS}\n",
            "E9102",
        ),
        ("    Tracing: Active\n", "", "E9103"),
        (
            "        - {Name: QueueName, Value: !GetAtt Queue.QueueName}\n",
            "        - {Name: A, Value: b}\n",
            "E9104",
        ),
        ("    Concurrency: None is", "    Another: None is", "E9105"),
        ("      Role: !GetAtt StepRole.Arn\n", "", "E9106"),
        ("              # X-Ray names no resources.\n", "", "E9202"),
        (
            "              - Sid: Reads\n                Effect: Allow\n",
            "              - Effect: Allow\n",
            "E9201",
        ),
        ("s3:GetObject\n", "s3:Get*\n", "E9203"),
        ("[xray:PutTraceSegments]", '["*"]', "E9203"),
    ],
    ids=lambda value: value if value[:2] == "E9" else "",
)
def test_a_violation_is_found(tmp_path: Path, was: str, broken: str, rule: str) -> None:
    assert SOUND.count(was) == 1
    (tmp_path / "broken.yaml").write_text(SOUND.replace(was, broken))

    assert rule in {one for one, _ in found(tmp_path / "broken.yaml")}


def test_two_functions_with_one_role_are_found(tmp_path: Path) -> None:
    start, end = SOUND.index("  Step:\n"), SOUND.index("  StepRole:\n")
    second = SOUND[start:end].replace("  Step:\n", "  Second:\n")
    (tmp_path / "shared.yaml").write_text(SOUND.replace("  StepRole:\n", second + "  StepRole:\n"))

    assert [rule for rule, _ in found(tmp_path / "shared.yaml")] == ["E9106", "E9106"]
