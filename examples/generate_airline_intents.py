"""Write the example dataset of the airline-intents task.

Queries and their labels come from `airline-intents.toml`: a template belongs to an intent. The standard library is
enough; the same seed gives the same bytes.
"""

import argparse
import random
import re
import tomllib
from pathlib import Path
from typing import Any

from generate import identity, line, mistype, with_numbers

SCHEMA_VERSION = "bedrock-conversation-2024"
SLOT = re.compile(r"\{([a-z]+)\}")
CAPITALISED_SHARE, TYPING_SHARE = 0.15, 0.03
NOISE_SHARE = 0.02
"""Labels that somebody in a hurry took for another, as in every dataset that people have labelled."""


def prompt(labels: list[str]) -> str:
    """The system text of every record: that of the task."""
    return (
        f"Classify the intent of airline queries. Choose one intent from this list: {', '.join(labels)}\n\n"
        "Respond with only the intent name, nothing else."
    )


def compose(template: str, phrases: dict[str, list[str]], chance: random.Random) -> str:
    """Fill the slots of a template, those of one name with different phrases, and those of a phrase as well."""
    used: set[str] = set()

    def fill(slot: re.Match[str]) -> str:
        phrase = chance.choice([phrase for phrase in phrases[slot[1]] if phrase not in used])
        used.add(phrase)
        return with_numbers(SLOT.sub(fill, phrase), chance)

    return with_numbers(SLOT.sub(fill, template), chance)


def queries(intent: dict[str, Any], phrases: dict[str, list[str]], chance: random.Random) -> list[str]:
    """As many different queries of an intent as it is to have, every template in turn."""
    found: dict[tuple[str, ...], str] = {}
    while len(found) < intent["records"]:
        for template in chance.sample(intent["templates"], len(intent["templates"])):
            query = compose(template, phrases, chance)
            if chance.random() < TYPING_SHARE:
                query = mistype(query, chance)
            if chance.random() < CAPITALISED_SHARE:
                query = query[0].upper() + query[1:]
            found.setdefault(identity(query), query)
    return list(found.values())[: intent["records"]]


def labelled(vocabulary: dict[str, Any], chance: random.Random) -> list[tuple[str, str]]:
    """All queries with their labels, shuffled; no two queries have the same words."""
    found: dict[tuple[str, ...], tuple[str, str]] = {}
    for intent in vocabulary["intents"]:
        for query in queries(intent, vocabulary["phrases"], chance):
            found.setdefault(identity(query), (query, intent["label"]))
    pairs = list(found.values())
    chance.shuffle(pairs)
    confused = vocabulary["confused"]
    mistaken = set(chance.sample(range(len(pairs)), round(NOISE_SHARE * len(pairs))))
    return [
        (query, confused.get(label, label) if place in mistaken else label)
        for place, (query, label) in enumerate(pairs)
    ]


def record(query: str, label: str, system: str) -> dict[str, Any]:
    """One bedrock-conversation-2024 record."""
    messages = [
        {"role": "user", "content": [{"text": query}]},
        {"role": "assistant", "content": [{"text": label}]},
    ]
    return {"schemaVersion": SCHEMA_VERSION, "system": [{"text": system}], "messages": messages}


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the example dataset of the airline-intents task.")
    parser.add_argument("--seed", type=int, default=7, help="the same seed gives the same file (default: 7)")
    here = Path(__file__).parent
    parser.add_argument("--output", type=Path, default=here, metavar="DIR", help="default: beside this file")
    arguments = parser.parse_args()
    vocabulary = tomllib.loads((here / "airline-intents.toml").read_text(encoding="utf-8"))
    system = prompt(sorted(intent["label"] for intent in vocabulary["intents"]))
    pairs = labelled(vocabulary, random.Random(arguments.seed))
    arguments.output.mkdir(parents=True, exist_ok=True)
    content = b"".join(line(record(query, label, system)) for query, label in pairs)
    (arguments.output / "airline-intents.jsonl").write_bytes(content)
    print(f"airline-intents.jsonl: {len(pairs)} labelled records of {len(vocabulary['intents'])} intents")


if __name__ == "__main__":
    main()
