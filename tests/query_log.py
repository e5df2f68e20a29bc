"""A router that keeps queries, without threads: what is written is there when the answer is."""

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from typing import Any
from unittest import mock

from tests.integration.cloud import Cloud, stack
from tests.unit.template.stack import QUERY_LOG_BUCKET


class AtOnce(Executor):
    """Does what it is given before it returns."""

    def submit(self, call: Callable[..., Any], /, *arguments: Any, **more: Any) -> Future[Any]:
        done: Future[Any] = Future()
        try:
            done.set_result(call(*arguments, **more))
        except Exception as error:
            done.set_exception(error)
        return done


@contextmanager
def kept_queries(cloud: Cloud, share: str = "1", at_a_time: int = 1) -> Iterator[None]:
    """Give the cloud's router a share of the queries to keep, and a fresh sandbox that does so."""
    variables = stack()["RouteFunction"]["Environment"]["Variables"]
    cloud.s3.create_bucket(Bucket=QUERY_LOG_BUCKET)
    with (
        mock.patch.dict(variables, QUERY_LOG_SHARE=share),
        mock.patch("signalbox.query_log.ThreadPoolExecutor", lambda *_: AtOnce()),
        mock.patch("signalbox.query_log.MOST_QUERIES", at_a_time),
    ):
        cloud.forget()
        yield
    cloud.forget()
