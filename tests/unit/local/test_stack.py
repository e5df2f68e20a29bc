"""The template that is deployed here is the one that goes to AWS; only code becomes archives."""

import io
import json
import zipfile

import pytest

from local import emulator, stack


@pytest.fixture
def project(tmp_path):
    (tmp_path / "functions" / "greet" / "__pycache__").mkdir(parents=True)
    (tmp_path / "functions" / "greet" / "app.py").write_text("def handler(event, context): ...\n")
    (tmp_path / "functions" / "greet" / "__pycache__" / "app.cpython-311.pyc").write_bytes(b"x")
    (tmp_path / "functions" / "common" / "signalbox").mkdir(parents=True)
    (tmp_path / "functions" / "common" / "signalbox" / "query.py").write_text("")
    (tmp_path / "template.yaml").write_text(
        """
Transform: AWS::Serverless-2016-10-31
Parameters:
  NudgeAfterSeconds: {Type: Number}
Resources:
  Greet:
    Type: AWS::Serverless::Function
    Properties: {CodeUri: functions/greet, Handler: app.handler, Role: !GetAtt Role.Arn}
  Common:
    Type: AWS::Serverless::LayerVersion
    Metadata: {BuildMethod: makefile}
    Properties: {ContentUri: functions/common}
  Bucket:
    Type: AWS::S3::Bucket
  Exotic:
    Type: AWS::Exotic::Thing
"""
    )
    return tmp_path


@pytest.fixture(autouse=True)
def known_types(monkeypatch):
    # To ask the emulator would load it, which is not for a unit test.
    monkeypatch.setattr(emulator, "supported", lambda kind: "Exotic" not in kind)


def packaged(project, **parameters):
    return stack.package(project / "template.yaml", parameters)


def test_code_goes_into_archives_without_what_python_leaves_behind(project):
    package = packaged(project)

    names = {key.split("/")[0]: content_of(archive) for key, archive in package.archives.items()}
    assert names == {"Greet": ["app.py"], "Common": ["python/signalbox/query.py"]}


def test_the_template_points_at_the_archives_and_is_otherwise_untouched(project):
    resources = json.loads(packaged(project).template)["Resources"]

    uri = resources["Greet"]["Properties"]["CodeUri"]
    assert uri["Key"].startswith("Greet/")
    assert resources["Greet"]["Properties"]["Role"] == {"Fn::GetAtt": ["Role", "Arn"]}
    assert resources["Bucket"] == {"Type": "AWS::S3::Bucket"}


def test_what_the_emulator_does_not_know_is_left_out(project):
    assert "Exotic" not in json.loads(packaged(project).template)["Resources"]


def test_only_parameters_that_the_template_declares_are_passed(project):
    package = packaged(project, NudgeAfterSeconds="5", Other="x")

    assert package.parameters == {"NudgeAfterSeconds": "5"}


def test_the_digest_changes_with_the_code_and_with_nothing_else(project):
    before, same = packaged(project).digest, packaged(project).digest
    (project / "functions" / "greet" / "app.py").write_text("def handler(event, context): return 1\n")

    assert before == same
    assert packaged(project).digest != before


def content_of(archive: bytes) -> list[str]:
    return zipfile.ZipFile(io.BytesIO(archive)).namelist()
