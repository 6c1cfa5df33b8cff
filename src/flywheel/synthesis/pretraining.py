# ruff: noqa: E501  Tables of phrases are easier to read with a phrase book's line length.
"""The corpus that the demo's student is pre-trained on: `python -m flywheel.synthesis.pretraining --out corpus.jsonl`.

Each line is `{"messages": […], "tools": […]}` in OpenAI form. The skill to teach is not a set of functions but
reading a signature and copying values from a request, so no schema is met twice. Conversations hold several
requests over one set of tools where that is plausible: the tools are read once, the answer is learned many times.
"""

import argparse
import json
import multiprocessing
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from flywheel.synthesis import lexicon as lex
from flywheel.synthesis.actions import ACTIONS, Action
from flywheel.synthesis.public import Intents, Spans, load_intents, load_spans, replace_spans
from flywheel.synthesis.tools import (
    Param,
    Style,
    ToolKind,
    distractors,
    draw_style,
    nonsense_tool,
    styled,
    tool_for,
)

Turn = dict[str, Any]
Example = dict[str, Any]

SYSTEMS = (
    "Call the function that serves the request, or say that you can't.",
    "You are a helpful assistant with access to functions.",
    "Use the tools to answer.",
    "You help users by calling the given functions.",
    "Answer briefly. Call a function where one fits.",
    "You are an assistant. Call functions when needed.",
    "Route each request to the right function.",
    "Extract the arguments from the request.",
)
REFUSALS = (
    "Sorry, I can't do that here.",
    "I can't help with that here.",
    "Sorry, that is not something I can do.",
    "I don't have a function for that.",
    "That is outside of what I can do.",
)
SMALL_TALK = (
    ("hi;hello;hey there;good morning;hey;hi there", "Hello! How can I help you?"),
    ("thanks;thank you so much;great, thanks;cheers;thanks a lot", "You're welcome!"),
    ("bye;goodbye;see you;that is all", "Goodbye!"),
    ("how are you;how is it going;are you well", "I'm fine, thank you. How can I help?"),
    (
        "who are you;what are you;are you a robot;are you human",
        "I'm an assistant. I can call functions for you.",
    ),
    ("what can you do;help;what are my options", "I can help with the functions I have. What do you need?"),
    ("tell me a joke;say something funny", "Why did the function return early? It had no arguments."),
    ("ok;sure;alright;cool", "Is there anything else?"),
    ("you are useless;this is annoying;you are stupid", "I'm sorry. How can I help?"),
    ("i love you;you are great;well done", "Thank you, that's kind."),
)
OPENERS = (
    "",
    "",
    "",
    "",
    "please ",
    "can you ",
    "could you ",
    "hey, ",
    "i'd like you to ",
    "hi, ",
    "ok ",
    "now ",
    "would you ",
)
CLOSERS = ("", "", "", "", "", " please", ".", ".", "!", " thanks", ", thank you", "?")
STATUS = ("ok", "done", "success", "confirmed", "created", "accepted")


@dataclass(frozen=True)
class Sources:
    spans: Spans | None
    intents: Intents | None


# ------------------------------------------------------------------------------------------------- small parts


def call(name: str, arguments: dict[str, Any]) -> Turn:
    function = {"name": name, "arguments": json.dumps(arguments, ensure_ascii=False)}
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "call_0", "type": "function", "function": function}],
    }


def user(text: str) -> Turn:
    return {"role": "user", "content": text}


def say(text: str) -> Turn:
    return {"role": "assistant", "content": text}


def example(rng: Random, turns: list[Turn], tools: list[ToolKind]) -> Example:
    system = rng.choice(SYSTEMS) if rng.random() < 0.75 else ""
    if system and rng.random() < 0.15:
        system += f" Today is 20{rng.randint(20, 28)}-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}."
    shuffled = list({tool.name: tool for tool in tools}.values())
    rng.shuffle(shuffled)
    opening = [{"role": "system", "content": system}] if system else []
    return {"messages": opening + turns, "tools": [tool.wire for tool in shuffled]}


def choose(rng: Random, tool: ToolKind) -> list[Param]:
    """The parameters that a request gives: what is required, and some of the rest."""
    keep = rng.choice((0.0, 0.3, 0.6, 0.9))
    chosen = [param for param in tool.params if param.required or rng.random() < keep]
    rng.shuffle(chosen)
    return chosen


def request(rng: Random, tool: ToolKind, params: list[Param] | None = None) -> tuple[str, dict[str, Any]]:
    """A request in words, and the arguments that it means."""
    values: dict[str, Any] = {}
    phrases: list[str] = []
    for param in choose(rng, tool) if params is None else params:
        text, values[param.key] = param.say(rng)
        phrases.append(text)
    core = rng.choice(tool.requests)
    if rng.random() < 0.12 and phrases:
        text = ", ".join((*phrases, core)) if rng.random() < 0.5 else f"{core}: {', '.join(phrases)}"
    else:
        joint = rng.choice((" ", " ", " ", ", "))
        text = joint.join((core, *phrases))
    if not core.startswith(
        ("i ", "what", "who", "how", "are ", "is ", "any ", "where", "which", "do ", "will")
    ):
        text = rng.choice(OPENERS) + text
    text += rng.choice(CLOSERS)
    draw = rng.random()
    if draw < 0.3:
        return text.lower(), tool.arguments({key: _lower(value, tool, key) for key, value in values.items()})
    return (text[:1].upper() + text[1:] if draw < 0.8 else text), tool.arguments(values)


def _lower(value: Any, tool: ToolKind, key: str) -> Any:
    if any(param.key == key and "enum" in param.schema for param in tool.params):
        return value
    if isinstance(value, str):
        return value.lower()
    return [item.lower() for item in value] if isinstance(value, list) else value


def toolbox(rng: Random, *, count: int | None = None) -> list[ToolKind]:
    style = draw_style(rng)
    action = rng.choice(ACTIONS)
    others = rng.choice((0, 1, 1, 2, 2, 3, 4)) if count is None else count
    return [tool_for(rng, action, style), *distractors(rng, style, action, others)]


def result_of(rng: Random, arguments: dict[str, Any]) -> tuple[str, str]:
    """A tool's result and what an assistant says about it."""
    reference = lex.code(rng)
    draw = rng.random()
    if draw < 0.5:
        key = rng.choice(("id", "reference", "code", "number"))
        status = rng.choice(STATUS)
        return json.dumps({"status": status, key: reference}), rng.choice(
            (
                f"Done. The {key} is {reference}.",
                f"It is {status}: {reference}.",
                f"All set, {key} {reference}.",
            )
        )
    if draw < 0.8:
        names = [lex.phrase(rng) for _ in range(rng.choice((1, 2, 3)))]
        return json.dumps(
            [{"name": name, "price": rng.randint(5, 900)} for name in names], ensure_ascii=False
        ), (f"I found {len(names)}: {', '.join(names)}.")
    reason = rng.choice(("not available", "no permission", "not found", "try again later"))
    return json.dumps({"error": reason}), f"Sorry, that did not work: {reason}."


# ------------------------------------------------------------------------------------------------- the recipes


def one_request(rng: Random, sources: Sources) -> Example:
    tools = toolbox(rng)
    text, arguments = request(rng, tools[0])
    return example(rng, [user(text), call(tools[0].name, arguments)], tools)


def session(rng: Random, sources: Sources) -> Example:
    """Several requests one after another, some of which get no call."""
    tools = list({tool.name: tool for tool in toolbox(rng, count=rng.choice((0, 1, 2, 3)))}.values())
    turns: list[Turn] = []
    for _ in range(rng.choice((2, 3, 3, 4, 5)) if rng.random() < 0.9 else rng.randint(8, 16)):
        draw = rng.random()
        if draw < 0.06:
            asked, answer = rng.choice(SMALL_TALK)
            turns += [user(rng.choice(asked.split(";"))), say(answer)]
            continue
        tool = rng.choice(tools)
        text, arguments = request(rng, tool)
        turns += [user(text), call(tool.name, arguments)]
        if rng.random() < 0.25:
            result, spoken = result_of(rng, arguments)
            turns += [{"role": "tool", "content": result, "tool_call_id": "call_0"}, say(spoken)]
    return example(rng, turns, tools)


def nonsense(rng: Random, sources: Sources) -> Example:
    style = draw_style(rng)
    tools = list(
        {t.name: t for t in (nonsense_tool(rng, style) for _ in range(rng.choice((1, 2, 3, 4))))}.values()
    )
    turns: list[Turn] = []
    for _ in range(rng.choice((1, 2, 3, 4))):
        tool = rng.choice(tools)
        text, arguments = request(rng, tool)
        turns += [user(text), call(tool.name, arguments)]
    return example(rng, turns, tools)


def in_words(rng: Random, sources: Sources) -> Example:
    """No call: small talk, or a request that none of the tools serves."""
    tools = toolbox(rng)
    draw = rng.random()
    if draw < 0.4:
        asked, answer = rng.choice(SMALL_TALK)
        turns = [user(rng.choice(asked.split(";")) + rng.choice(("", "", "!", ".", "?"))), say(answer)]
    else:
        others = [action for action in ACTIONS if action.domain not in {tool.domain for tool in tools}]
        text, _ = request(rng, tool_for(rng, rng.choice(others), draw_style(rng)))
        turns = [user(text), say(REFUSALS[0] if rng.random() < 0.5 else rng.choice(REFUSALS))]
    if rng.random() < 0.5:
        text, arguments = request(rng, tools[0])
        turns += [user(text), call(tools[0].name, arguments)]
    return example(rng, turns, tools)


def asked_back(rng: Random, sources: Sources) -> Example:
    """A required value is missing; the assistant asks for it, gets it, calls, and tells the result."""
    for _ in range(20):
        tools = toolbox(rng, count=rng.choice((0, 1, 2)))
        required = [param for param in tools[0].params if param.required]
        if required:
            break
    else:
        return one_request(rng, sources)
    tool, missing = tools[0], rng.choice(required)
    given = [param for param in choose(rng, tool) if param is not missing]
    text, _ = request(rng, tool, [])
    values: dict[str, Any] = {}
    phrases = []
    for param in given:
        phrase, values[param.key] = param.say(rng)
        phrases.append(phrase)
    answer, values[missing.key] = missing.say(rng)
    turns = [
        user(" ".join((text.rstrip(".!?"), *phrases))),
        say(
            rng.choice(
                (
                    f"Which {missing.words}?",
                    f"What is the {missing.words}?",
                    f"Please tell me the {missing.words}.",
                )
            )
        ),
        user(answer),
        call(tool.name, tool.arguments(values)),
    ]
    if rng.random() < 0.6:
        result, spoken = result_of(rng, values)
        turns += [{"role": "tool", "content": result, "tool_call_id": "call_0"}, say(spoken)]
    return example(rng, turns, tools)


def parallel(rng: Random, sources: Sources) -> Example:
    """Two or three things at once."""
    tools = toolbox(rng, count=rng.choice((1, 2)))
    texts, calls = [], []
    for _ in range(rng.choice((2, 2, 3))):
        tool = rng.choice(tools)
        text, arguments = request(rng, tool)
        texts.append(text.rstrip(".!?"))
        calls += call(tool.name, arguments)["tool_calls"]
    joint = rng.choice((" and ", " and also ", ". ", ", then "))
    return example(
        rng, [user(joint.join(texts)), {"role": "assistant", "content": None, "tool_calls": calls}], tools
    )


def spans(rng: Random, sources: Sources) -> Example:
    """SNIPS utterances under other names."""
    if sources.spans is None:
        return session(rng, sources)
    style = draw_style(rng)
    names = sorted(sources.spans.functions)
    chosen = rng.sample(names, rng.choice((1, 2, 2, 3)))
    renamed = {name: _renamed(rng, sources.spans.functions[name], style) for name in chosen}
    tools = [kind for kind, _ in renamed.values()]
    turns: list[Turn] = []
    for _ in range(rng.choice((1, 1, 2, 3))):
        picked = rng.choice(sources.spans.utterances)
        for _ in range(60):
            if picked.name in renamed and picked.arguments.keys() <= renamed[picked.name][1].keys():
                break
            picked = rng.choice(sources.spans.utterances)
        else:
            continue
        text, arguments = replace_spans(rng, sources.spans, picked)
        kind, keys = renamed[picked.name]
        turns += [user(text), call(kind.name, {keys[key]: value for key, value in arguments.items()})]
    if rng.random() < 0.08 or not turns:
        other = rng.choice(
            [u for u in rng.sample(sources.spans.utterances, 30) if u.name not in renamed] or [None]
        )
        if other is None:
            return session(rng, sources)
        turns += [user(other.text), say(REFUSALS[0])]
    extra = distractors(rng, style, None, rng.choice((0, 0, 1, 2)))
    return example(rng, turns, tools + extra)


_SYNONYMS = {
    "city": ("town", "location", "place"), "country": ("nation",), "artist": ("singer", "performer", "band"),
    "playlist": ("list name", "playlist name"), "track": ("song", "tune"), "year": ("period", "era"),
    "service": ("platform", "app", "provider"), "party_size_number": ("guests", "people", "seats"),
    "timeRange": ("time", "when", "time range"), "restaurant_name": ("name", "venue"), "cuisine": ("food", "kitchen"),
    "movie_name": ("film", "title", "movie"), "location_name": ("cinema", "theater"), "state": ("region",),
    "entity_name": ("item", "title"), "spatial_relation": ("distance", "near", "proximity"), "sort": ("quality", "order"),
    "served_dish": ("dish", "meal"), "facility": ("feature", "amenity"), "restaurant_type": ("venue type", "place type"),
    "condition_description": ("condition", "weather"), "condition_temperature": ("temperature", "feel"),
    "music_item": ("kind", "item type"), "album": ("record", "disc"), "genre": ("style",),
}  # fmt: skip
_NAME_SYNONYMS = {
    "AddToPlaylist": ("add to playlist", "playlist add", "save song", "append music"),
    "PlayMusic": ("play music", "start music", "play audio", "listen"),
    "BookRestaurant": ("book restaurant", "reserve table", "restaurant booking", "book table"),
    "GetWeather": ("get weather", "weather forecast", "check weather", "forecast"),
    "SearchScreeningEvent": (
        "search screening event",
        "find movie times",
        "cinema schedule",
        "find screenings",
    ),
}


def _renamed(rng: Random, function: dict[str, Any], style: Style) -> tuple[ToolKind, dict[str, str]]:
    keys: dict[str, str] = {}
    params: list[Param] = []
    schema = function["parameters"]
    names = list(schema["properties"])
    rng.shuffle(names)
    keep = rng.choice(
        (0.4, 0.6, 0.8, 1.0)
    )  # The full signatures are long, and most of their parameters rare.
    names = [name for name in names if name in schema["required"] or rng.random() < keep]
    for name in names:
        words = (
            rng.choice(_SYNONYMS.get(name, ()))
            if name in _SYNONYMS and rng.random() < 0.4
            else name.replace("_", " ")
        )
        key = style.key(words)
        if key in keys.values():
            key = style.key(name.replace("_", " "))
        keys[name] = key
        inner = dict(schema["properties"][name])
        if rng.random() < style.describe * 0.6:
            inner["description"] = name.replace("_", " ")
        params.append(Param(key, words, inner, name in schema["required"], lambda _: ("", "")))
    words = rng.choice(_NAME_SYNONYMS.get(function["name"], (function["name"],)))
    description = function.get("description", "") if rng.random() < 0.7 else ""
    return ToolKind(style.name(words), description, tuple(params), ()), keys


def routing(rng: Random, sources: Sources) -> Example:
    """An utterance and the label that names it, out of labels drawn anew."""
    use_public = sources.intents is not None and rng.random() < 0.7
    if use_public and sources.intents is not None:
        texts: dict[str, Callable[[], str]] = {
            label.replace("_", " "): partial(rng.choice, said)
            for label, said in sources.intents.by_label.items()
        }
    else:
        style = draw_style(rng)
        texts = {
            f"{action.verbs[0]} {action.objects[0]}": partial(_said, rng, action, style) for action in ACTIONS
        }
    labels = rng.sample(sorted(texts), rng.randint(3, 16))
    case = rng.choice(("snake", "snake", "snake", "upper", "kebab", "spaced", "camel"))
    value = {label: styled(label, case) for label in labels}
    kind = router_tool(rng, list(value.values()))
    turns: list[Turn] = []
    for _ in range(rng.choice((1, 2, 3, 4, 5))):
        if rng.random() < 0.08:
            other = rng.choice([label for label in sorted(texts) if label not in value])
            turns += [user(texts[other]()), say(REFUSALS[0] if rng.random() < 0.6 else rng.choice(REFUSALS))]
        else:
            label = rng.choice(labels)
            turns += [user(texts[label]()), call(kind.name, {kind.params[0].key: value[label]})]
    return example(rng, turns, [kind])


def _said(rng: Random, action: Action, style: Style) -> str:
    return request(rng, tool_for(rng, action, style))[0]


def router_tool(rng: Random, values: list[str]) -> ToolKind:
    style = draw_style(rng)
    words = rng.choice(
        ("route", "classify", "set intent", "dispatch", "pick label", "assign", "hand over", "categorize")
    )
    words += rng.choice(("", " request", " message", " query", f" {lex.invented(rng)}"))
    key = rng.choice(
        ("intent", "label", "category", "topic", "team", "class", "target", "kind", lex.invented(rng))
    )
    param = Param(style.key(key), key, {"type": "string", "enum": values}, True, lambda _: ("", ""))
    description = rng.choice(
        ("", "Send the request to where it belongs", "Label the message", f"Choose the {key}")
    )
    return ToolKind(style.name(words), description, (param,), ())


def house_rules(rng: Random, sources: Sources) -> Example:
    """Examples that show a convention which nothing else tells (codes for topics), then more of the same."""
    style = draw_style(rng)
    actions = rng.sample(ACTIONS, rng.choice((2, 3, 4)))
    codes = [rng.choice((lex.code(rng), lex.invented(rng), lex.invented(rng).upper())) for _ in actions]
    kind = router_tool(rng, codes)
    turns: list[Turn] = []
    order = list(range(len(actions))) + [rng.randrange(len(actions)) for _ in range(rng.choice((2, 3, 4, 5)))]
    for at in order:
        text, _ = request(rng, tool_for(rng, actions[at], style))
        turns += [user(text), call(kind.name, {kind.params[0].key: codes[at]})]
    return example(rng, turns, [kind])


RECIPES: tuple[tuple[Callable[[Random, Sources], Example], int], ...] = (
    (one_request, 22),
    (session, 20),
    (nonsense, 12),
    (spans, 14),
    (routing, 12),
    (in_words, 6),
    (asked_back, 6),
    (parallel, 3),
    (house_rules, 5),
)


def generate(seed: int, start: int, stop: int, sources: Sources) -> Iterator[Example]:
    """Examples `start` to `stop`; each depends on the seed and its number only, so any slice can be made alone."""
    recipes, weights = zip(*RECIPES, strict=True)
    for number in range(start, stop):
        rng = Random(f"{seed}:{number}")
        recipe = rng.choices(recipes, weights)[0]
        yield recipe(rng, sources)


def _shard(job: tuple[int, int, int, str]) -> str:
    seed, start, stop, data = job
    return "".join(
        json.dumps(item, ensure_ascii=False) + "\n" for item in generate(seed, start, stop, _sources(data))
    )


def _sources(data: str) -> Sources:
    folder = Path(data)
    if not data:
        return Sources(None, None)
    return Sources(load_spans(folder), load_intents(folder))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Write the pre-training corpus of the demo's student.")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=150_000, help="conversations")
    parser.add_argument(
        "--data",
        default="",
        help="folder with snips.jsonl.gz and clinc150.jsonl.gz; without it, generators only",
    )
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args(arguments)
    size = 5000
    jobs = [
        (options.seed, start, min(start + size, options.count), options.data)
        for start in range(0, options.count, size)
    ]
    with options.out.open("w", encoding="utf-8") as out, multiprocessing.Pool(options.workers) as pool:
        for text in pool.imap(_shard, jobs):
            out.write(text)
    sys.stderr.write(f"wrote {options.count} conversations to {options.out}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
