"""The errors that the stand-in answers, by the names that Bedrock's service model gives them."""


class BedrockError(Exception):
    """An answer that is not a success.

    Parameters
    ----------
    name
        Error shape of the service model, for example `ValidationException`; its status code comes from there.
    message
        What a person reads. Sent as the JSON member `message`.
    """

    def __init__(self, name: str, message: str) -> None:
        super().__init__(f"{name}: {message}")
        self.name = name
        self.message = message


class DatasetError(Exception):
    """An input object that a job cannot work with; the message becomes the job's failure message."""


class RewardError(Exception):
    """A reward function that a job cannot work with; the message becomes the job's failure message."""


def invalid(message: str) -> BedrockError:
    """Return a `ValidationException`."""
    return BedrockError("ValidationException", message)


def not_found(message: str) -> BedrockError:
    """Return a `ResourceNotFoundException`."""
    return BedrockError("ResourceNotFoundException", message)


def conflict(message: str) -> BedrockError:
    """Return a `ConflictException`."""
    return BedrockError("ConflictException", message)


def quota_exceeded(message: str) -> BedrockError:
    """Return a `ServiceQuotaExceededException`."""
    return BedrockError("ServiceQuotaExceededException", message)
