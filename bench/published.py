"""What AWS published of the system that this one does over: quoted, not measured here."""

from bench.figures import Figure

PART = "Published, not measured here"
_WHERE = (
    "AWS Machine Learning Blog, 17 April 2026, "
    "Optimize video semantic search intent with Amazon Nova Model Distillation on Amazon Bedrock"
)
_MILLISECONDS = {"distilled Nova Micro": 833, "Claude Haiku": 1741}


def quoted(measured: list[Figure]) -> list[Figure]:
    """Return the latencies of a query that AWS reports, and how often the embedded answer measured here fits in.

    AWS measured from a client over its network; here the embedded answer includes the runtime client, no network.
    """
    ours = [figure for figure in measured if figure.name == "embedded answer, p50"]
    return [
        *(Figure(PART, model, published, "ms", _WHERE) for model, published in _MILLISECONDS.items()),
        *(
            Figure(
                PART,
                f"{model}, as published, to our embedded answer without a network",
                published / own.value,
                "times",
                own.where,
            )
            for model, published in _MILLISECONDS.items()
            for own in ours
        ),
    ]
