"""What metrics.json says of the dataset that a run was made of: figures alone, no query and no line."""

from typing import Any

from signalbox.pipeline import Pipeline
from signalbox.run import Run

_COUNTS = ("records", "queries", "labelled", "prompt_only", "duplicates", "contradictions", "leaked")


def dataset_summary(run: Run, findings: dict[str, Any], pipeline: Pipeline) -> dict[str, Any]:
    """Reduce validation.json to figures; what an older version did not write is left out."""
    counts = findings.get("counts", {})
    near, leakage = findings.get("near_duplicates", {}), findings.get("near_leakage", {})
    noise, lengths = findings.get("teacher_noise", {}), findings.get("lengths", {})
    found = {
        **{name: counts.get(name) for name in _COUNTS},
        "near_duplicates": near.get("queries"),
        "near_leaked": leakage.get("golden_queries"),
        "beyond_noise": findings.get("beyond_noise", {}).get("queries"),
        "noise": noise.get("mean_difference"),
        "repeated_queries": noise.get("repeated_queries"),
        "characters": {name: lengths[name] for name in ("median", "p95", "most")} if lengths else None,
        "difficulty": findings.get("difficulty", {}).get("shares"),
        "languages": findings.get("languages", {}).get("shares"),
        "tokens": findings.get("tokens"),
        "estimated_cost": findings.get("cost"),
        "labelling": findings.get("labelling") or _of_generation(run, pipeline),
    }
    return {name: value for name, value in found.items() if value is not None}


def _of_generation(run: Run, pipeline: Pipeline) -> dict[str, Any] | None:
    """Return what is known of the generation that has made a run's dataset; its key ends with the generation's id."""
    ending = run.dataset.key.removesuffix(".jsonl").rpartition("-")[2]
    generation = pipeline.generations.load(f"{run.task}-{ending}")
    if generation is None or generation.dataset_key != run.dataset.key:
        return None
    return generation.summary or None
