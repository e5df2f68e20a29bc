"""Signalbox on one machine: the same template and the same handlers, on an AWS that runs in one process.

MiniStack stands in for S3, Lambda, EventBridge, DynamoDB, SNS, SQS, CloudFormation and API Gateway;
`local.bedrock` stands in for Amazon Bedrock and really trains what it is asked to. Start with
`python -m local --help`; read `server.py` for how the parts are put together.
"""
