"""Write the example datasets of the video-search task: labelled, prompt-only, slipped and broken.

Queries come from `vocabulary.toml`. A label is the sum of the evidence of everything that a query is made of,
scaled to one and rounded to tenths. The standard library is enough; the same seed gives the same bytes.
"""

import argparse
import copy
import json
import random
import re
import tomllib
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

SIGNALS = ("visual", "audio", "transcription", "metadata")
SCHEMA_VERSION = "bedrock-conversation-2024"
PROMPT = (
    "Return JSON with visual, audio, transcription, metadata weights (sum=1.0) "
    "and reasoning for the given video search query."
)
LABELLED, PROMPT_ONLY, SOUND_IN_BROKEN = 800, 300, 124
FLOOR = Fraction(8, 100)  # any index may help a little with any query
NOISE_SHARE = 0.03  # a teacher asked twice does not always agree with itself
TYPING_SHARE = 0.03

SLOT = re.compile(r"\{([a-z_|]+)(?::([0-9.]+))?\}")
NUMBER = re.compile(r"<(\d+)-(\d+)>")


@dataclass(frozen=True)
class Evidence:
    """One reason for the label: what it is, the words that show it, and points for each signal."""

    noun: str
    words: str
    points: tuple[Fraction, ...]


@dataclass(frozen=True)
class Template:
    """A text with slots, and the evidence that its own wording carries, if any."""

    text: str
    cue: Evidence | None = None


@dataclass(frozen=True)
class Example:
    """A query with its weights in tenths, in the order of SIGNALS, and why."""

    query: str
    tenths: tuple[int, ...]
    reasoning: str


class Vocabulary:
    """The phrases, templates and written queries of `vocabulary.toml`."""

    def __init__(self, path: Path) -> None:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        self.kinds: dict[str, dict] = content["kinds"]
        self.templates = [
            self._template(entry) for family in content["families"] for entry in family["templates"]
        ]
        self.written = [
            Example(query, round_to_tenths(points(evidence)), reasoning)
            for group in content["written"]
            for query, evidence, reasoning in group["queries"]
        ]

    @staticmethod
    def _template(entry: str | list) -> Template:
        if isinstance(entry, str):
            return Template(entry)
        text, noun, evidence = entry
        wording = " ".join(SLOT.sub(" ", text).replace(",", " ").split())
        return Template(text, Evidence(noun, wording, points(evidence)))

    def compose(self, template: Template, chance: random.Random) -> Example:
        """Fill the slots of a template and label the query by the evidence of what was filled in."""
        found = [template.cue] if template.cue else []

        def fill(slot: re.Match[str]) -> str:
            kind = self.kinds[chance.choice(slot[1].split("|"))]
            phrase = with_numbers(chance.choice(kind["phrases"]), chance)
            if any(kind["evidence"]):
                found.append(Evidence(kind["noun"], phrase, points(kind["evidence"], slot[2] or "1")))
            return phrase

        query = with_numbers(SLOT.sub(fill, template.text), chance)
        total = tuple(sum(column) for column in zip(*(one.points for one in found), strict=True))
        tenths = round_to_tenths(total)
        return Example(query, tenths, reason(found, tenths))


def points(evidence: list[int], strength: str = "1") -> tuple[Fraction, ...]:
    """Scale evidence by the strength of its slot, exactly."""
    return tuple(value * Fraction(strength) for value in evidence)


def with_numbers(text: str, chance: random.Random) -> str:
    """Replace each <low-high> by a number of that range."""
    return NUMBER.sub(lambda bounds: str(chance.randint(int(bounds[1]), int(bounds[2]))), text)


def round_to_tenths(total: tuple[Fraction, ...]) -> tuple[int, ...]:
    """Scale points to ten tenths by largest remainder; of equal remainders the earlier signal gains."""
    spread = 1 - FLOOR * len(total)
    shares = [10 * (FLOOR + spread * value / sum(total)) for value in total]
    tenths = [int(share) for share in shares]
    by_remainder = sorted(range(len(shares)), key=lambda i: tenths[i] - shares[i])
    for i in by_remainder[: 10 - sum(tenths)]:
        tenths[i] += 1
    return tuple(tenths)


def reason(found: list[Evidence], tenths: tuple[int, ...]) -> str:
    """Name the strongest evidence for the leading signal, and the strongest of what is left."""
    lead = tenths.index(max(tenths))
    first = max(found, key=lambda one: one.points[lead])
    sentence = f"{first.noun} ({first.words}) points to {SIGNALS[lead]}"
    rest = [one for one in found if one is not first]
    if rest:
        second = max(rest, key=lambda one: max(one.points))
        adds = second.points.index(max(second.points))
        verb = "supports it" if adds == lead else f"adds {SIGNALS[adds]}"
        sentence += f"; {second.noun} ({second.words}) {verb}"
    return sentence[0].upper() + sentence[1:] + "."


def disagree(example: Example, chance: random.Random) -> Example:
    """Move one tenth between two signals, as a teacher does who is asked on another day."""
    tenths = list(example.tenths)
    giver = chance.choice([i for i, value in enumerate(tenths) if value > 0])
    taker = chance.choice([i for i in range(len(tenths)) if i != giver])
    tenths[giver] -= 1
    tenths[taker] += 1
    return Example(example.query, tuple(tenths), example.reasoning)


def mistype(query: str, chance: random.Random) -> str:
    """Swap, drop or double one letter inside one of the longer words."""
    long_words = [word for word in query.split() if len(word) > 4 and word.isalpha()]
    if not long_words:
        return query
    word = chance.choice(long_words)
    at = chance.randrange(1, len(word) - 2)
    pair = word[at : at + 2]
    slip = chance.choice([pair[::-1], pair[1], pair[0] + pair])
    return query.replace(word, word[:at] + slip + word[at + 2 :], 1)


def identity(query: str) -> tuple[str, ...]:
    """The words of a query in no order, without case and punctuation: what makes two queries the same."""
    text = unicodedata.normalize("NFKC", query).casefold()
    return tuple(sorted("".join(c if unicodedata.category(c)[0] in "LMN" else " " for c in text).split()))


def distinct_examples(vocabulary: Vocabulary, count: int, chance: random.Random) -> list[Example]:
    """All written queries and as many composed ones as are needed, every template in turn, shuffled."""
    examples = {identity(one.query): one for one in vocabulary.written}
    while len(examples) < count:
        for template in chance.sample(vocabulary.templates, len(vocabulary.templates)):
            example = vocabulary.compose(template, chance)
            query = example.query
            if chance.random() < TYPING_SHARE:
                query = mistype(query, chance)
            if chance.random() < 0.15:
                query = query[0].upper() + query[1:]
            examples.setdefault(identity(query), Example(query, example.tenths, example.reasoning))
    shuffled = list(examples.values())[:count]
    chance.shuffle(shuffled)
    return shuffled


def answer(example: Example) -> str:
    """The assistant's text: the weights and the reasoning as one JSON object."""
    weights = {signal: value / 10 for signal, value in zip(SIGNALS, example.tenths, strict=True)}
    return json.dumps({**weights, "reasoning": example.reasoning}, ensure_ascii=False)


def record(example: Example, labelled: bool = True) -> dict:
    """One bedrock-conversation-2024 record."""
    messages = [{"role": "user", "content": [{"text": example.query}]}]
    if labelled:
        messages.append({"role": "assistant", "content": [{"text": answer(example)}]})
    return {"schemaVersion": SCHEMA_VERSION, "system": [{"text": PROMPT}], "messages": messages}


def line(value: object) -> bytes:
    """One line of a JSONL file."""
    return json.dumps(value, ensure_ascii=False).encode() + b"\n"


# A breakage takes a sound record and returns the bytes of a line that validation must refuse and name.


def with_record(edit: Callable[[dict], object]) -> Callable[[dict], bytes]:
    def apply(sound: dict) -> bytes:
        edit(sound)
        return line(sound)

    return apply


def with_query(text: str) -> Callable[[dict], bytes]:
    return with_record(lambda r: r["messages"][0]["content"][0].update(text=text))


def with_answer(edit: Callable[[str], str]) -> Callable[[dict], bytes]:
    def rewrite(sound: dict) -> None:
        content = sound["messages"][1]["content"][0]
        content["text"] = edit(content["text"])

    return with_record(rewrite)


def with_weights(**weights: object) -> Callable[[dict], bytes]:
    """Set weights in the answer; a weight set to `...` is taken out."""

    def rewrite(text: str) -> str:
        merged = json.loads(text) | weights
        return json.dumps({signal: value for signal, value in merged.items() if value is not ...})

    return with_answer(rewrite)


BREAKAGES: dict[str, Callable[[dict], bytes]] = {
    "not UTF-8": lambda r: with_query("crème brûlée being torched")(r).replace("è".encode(), b"\xe8"),
    "truncated JSON": lambda r: line(r)[:-40] + b"\n",
    "two records on one line": lambda r: line(r).rstrip() + line(r),
    "blank line": lambda r: b"\n",
    "not a JSON object": lambda r: line([r]),
    "over 16 KB": with_answer(lambda text: text.replace('"reasoning": "', '"reasoning": "' + "Yes. " * 3500)),
    "wrong schemaVersion": with_record(lambda r: r.update(schemaVersion="bedrock-conversion-2024")),
    "schemaVersion missing": with_record(lambda r: r.pop("schemaVersion")),
    "unknown key in the record": with_record(lambda r: r.update(id="q-17")),
    "unknown key in a message": with_record(lambda r: r["messages"][0].update(name="Ann")),
    "unknown key in a content block": with_record(lambda r: r["messages"][0]["content"][0].update(lang="en")),
    "other system prompt": with_record(lambda r: r.update(system=[{"text": "You are a helpful assistant."}])),
    "two system texts": with_record(lambda r: r["system"].append({"text": "Be brief."})),
    "messages missing": with_record(lambda r: r.pop("messages")),
    "messages empty": with_record(lambda r: r["messages"].clear()),
    "user missing": with_record(lambda r: r["messages"].pop(0)),
    "role order wrong": with_record(lambda r: r["messages"].reverse()),
    "unknown role": with_record(lambda r: r["messages"][0].update(role="human")),
    "two user messages": with_record(lambda r: r["messages"].insert(0, copy.deepcopy(r["messages"][0]))),
    "two assistant messages": with_record(lambda r: r["messages"].append(copy.deepcopy(r["messages"][1]))),
    "two user texts": with_record(lambda r: r["messages"][0]["content"].append({"text": "at night"})),
    "content is a string": with_record(lambda r: r["messages"][0].update(content="a seal on a buoy")),
    "empty query": with_query(""),
    "blank query": with_query("  \t "),
    "query is a number": with_record(lambda r: r["messages"][0]["content"][0].update(text=404)),
    "empty answer": with_answer(lambda text: ""),
    "answer is prose": with_answer(lambda text: "Mostly visual, I would say, with a little audio."),
    "text around the JSON": with_answer(lambda text: f"Here are the weights: {text} Let me know!"),
    "JSON in a code fence": with_answer(lambda text: f"```json\n{text}\n```"),
    "answer is a list": with_answer(lambda text: "[0.4, 0.3, 0.2, 0.1]"),
    "weights sum to less than 1": with_weights(visual=0.3, audio=0.3, transcription=0.2, metadata=0.1),
    "weights sum to more than 1": with_weights(visual=0.6, audio=0.3, transcription=0.2, metadata=0.1),
    "weight missing": with_weights(visual=0.5, audio=0.3, transcription=0.2, metadata=...),
    "unknown signal": with_weights(visual=0.5, audio=0.2, transcription=0.2, metadata=0.0, captions=0.1),
    "signal named twice": with_answer(lambda text: text.replace("{", '{"visual": 0.5, ')),
    "NaN": with_weights(audio=float("nan")),
    "Infinity": with_weights(metadata=float("inf")),
    "negative weight": with_weights(visual=0.9, audio=-0.1, transcription=0.1, metadata=0.1),
    "weight is a string": with_weights(visual="0.4", audio=0.3, transcription=0.2, metadata=0.1),
    "weight is null": with_weights(visual=0.7, audio=None, transcription=0.2, metadata=0.1),
    "weight is true": with_weights(visual=True, audio=0.0, transcription=0.0, metadata=0.0),
}


def broken_lines(examples: list[Example], chance: random.Random) -> list[tuple[str, bytes]]:
    """Return what is wrong with a line ("" for nothing) and its bytes: one line a breakage among sound lines.

    One query stands twice with the same answer and one with another: each of these lines is sound by itself.
    """
    to_break, sound = examples[: len(BREAKAGES)], examples[len(BREAKAGES) :]
    repeated = sound[0]
    contradicted = next(one for one in sound[1:] if one.tenths != one.tenths[::-1])
    sound = [*sound, repeated, Example(contradicted.query, contradicted.tenths[::-1], contradicted.reasoning)]
    lines = [("", line(record(one))) for one in sound]
    for (name, breakage), one in zip(BREAKAGES.items(), to_break, strict=True):
        lines.append((name, breakage(record(one))))
    chance.shuffle(lines)
    return lines


def slipped(examples: list[Example]) -> list[Example]:
    """Return the same queries, every second one with the answer of the second one after it.

    Each record is sound by itself, as after a slip in a spreadsheet; only an evaluation can tell.
    """
    answers = examples[1::2]
    moved = [
        Example(one.query, other.tenths, other.reasoning)
        for one, other in zip(answers, answers[1:] + answers[:1], strict=True)
    ]
    return [one for pair in zip(examples[::2], moved, strict=True) for one in pair]


def write(output: Path, seed: int) -> None:
    """Write the four files into a folder and print what they hold."""
    chance = random.Random(seed)
    vocabulary = Vocabulary(Path(__file__).with_name("vocabulary.toml"))
    count = LABELLED + PROMPT_ONLY + SOUND_IN_BROKEN + len(BREAKAGES)
    examples = distinct_examples(vocabulary, count, chance)
    labelled, prompt_only = examples[:LABELLED], examples[LABELLED : LABELLED + PROMPT_ONLY]
    noisy = set(chance.sample(range(LABELLED), round(LABELLED * NOISE_SHARE)))
    labelled = [disagree(one, chance) if i in noisy else one for i, one in enumerate(labelled)]
    broken = broken_lines(examples[LABELLED + PROMPT_ONLY :], chance)

    output.mkdir(parents=True, exist_ok=True)
    files = {
        "video-search.jsonl": [line(record(one)) for one in labelled],
        "prompt-only.jsonl": [line(record(one, labelled=False)) for one in prompt_only],
        "slipped.jsonl": [line(record(one)) for one in slipped(labelled)],
        "broken.jsonl": [content for _, content in broken],
    }
    for name, lines in files.items():
        (output / name).write_bytes(b"".join(lines))

    print(f"video-search.jsonl: {len(labelled)} labelled records, {len(noisy)} of them a tenth off the rule")
    print(f"prompt-only.jsonl: {len(prompt_only)} queries")
    print(f"slipped.jsonl: the same {len(labelled)} queries, half of them with another one's answer")
    print(f"broken.jsonl: {len(broken)} lines, {len(BREAKAGES)} broken:")
    for number, (name, _) in enumerate(broken, start=1):
        if name:
            print(f"  line {number}: {name}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the example datasets of the video-search task.")
    parser.add_argument("--seed", type=int, default=7, help="the same seed gives the same files (default: 7)")
    here = Path(__file__).parent
    parser.add_argument("--output", type=Path, default=here, metavar="DIR", help="default: beside this file")
    arguments = parser.parse_args()
    write(arguments.output, arguments.seed)


if __name__ == "__main__":
    main()
