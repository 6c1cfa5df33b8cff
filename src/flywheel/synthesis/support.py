# ruff: noqa: E501  Tables of phrases are easier to read with a phrase book's line length.
"""The demo's teacher traffic: two workloads of a home-goods shop's support assistant, as a gateway would log them.

The teacher has a long policy that the log does not show: how an order number is written, which code stands for which
reason, what is filled in when nobody says it. A student that only reads the signatures cannot know these; one that
learns from the log can. That is what fine-tuning a small model is for, so the demo shows that and not a trick.

`generate(seed)` is the same to the byte for the same seed. Real logs are untidy, and so is this one: typing errors,
requests logged twice, and a few requests that were answered in two ways.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

Json = dict[str, Any]

CLIENT = "support-app"
WORKLOADS = ("tool_router", "ticket_triage")
MODEL = "teacher-large"
FIRST_TIMESTAMP = 1_790_000_000

# ---------------------------------------------------------------------------------------------------- the shop

PRODUCTS = {
    "Aero kettle": "kettle",
    "Luna lamp": "lamp",
    "Nordic sofa": "sofa",
    "Breeze fan": "fan",
    "Cloud duvet": "duvet",
    "Spark toaster": "toaster",
    "Polar cooler": "cooler",
    "Dawn clock": "clock",
}
SHELVES = {
    "light": ("desk lamp", "night light"),
    "kitchen": ("coffee maker", "frying pan"),
    "furniture": ("arm chair", "side table"),
    "outdoor": ("garden bench", "fire pit"),
    "textile": ("blanket", "curtain"),
}
LOOKS = (
    "", "", "", "red", "dark green", "white", "oak", "steel", "small", "large", "folding", "cheap", "round", "wool",
    "blue", "black", "vintage", "modern",
)  # fmt: skip
CITIES = (
    "Lyon", "Ghent", "Porto", "Graz", "Basel", "Turin", "Oslo", "Leeds", "Cork", "Bilbao", "Utrecht", "Dresden", "Brno",
    "Aarhus", "Tours", "Nantes", "Bergen", "Split", "Parma", "Cadiz",
)  # fmt: skip
GIVEN = (
    "Anna", "Marek", "Sofia", "Joao", "Elif", "Tom", "Ingrid", "Pavel", "Chloe", "Ahmed", "Lena", "Mateo", "Ruth", "Kofi",
    "Yuki", "Dara", "Nils", "Petra", "Omar", "Greta",
)  # fmt: skip
FAMILY = (
    "Weber", "Novak", "Costa", "Lind", "Moreau", "Kaya", "Byrne", "Rossi", "Haas", "Okoye", "Sato", "Dahl", "Vidal",
    "Horvat", "Peeters", "Murphy", "Silva", "Keller", "Bauer", "Nowak",
)  # fmt: skip
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
NUMBERS = {"one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6}
PRICES = {"twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "eighty": 80, "a hundred": 100}

REASONS = {
    "damaged": ("it is damaged", "there is a crack in it"),
    "wrong": ("it is the wrong item", "you sent me something else"),
    "regret": ("i changed my mind", "i don't need it anymore"),
    "late": ("it came too late", "the delivery took weeks"),
    "parts": ("parts are missing", "the screws are missing"),
    "size": ("it is too big", "it does not fit"),
}
QUEUES = {
    "billing": ('i was charged twice', 'there is an error on my invoice', 'my refund has not arrived'),
    "technical": ('the app keeps crashing', 'i cannot log in', 'the website shows an error'),
    "care": ('your driver was rude', 'i want to complain about the service', 'nobody answers my mails'),
}  # fmt: skip


def tool(name: str, description: str, required: tuple[str, ...], /, **properties: Json) -> Json:
    parameters = {"type": "object", "properties": properties, "required": list(required)}
    return {
        "type": "function",
        "function": {"name": name, "description": description, "parameters": parameters},
    }


STRING: Json = {"type": "string"}
INTEGER: Json = {"type": "integer"}
NUMBER: Json = {"type": "number"}
BOOLEAN: Json = {"type": "boolean"}


def one_of(*labels: str) -> Json:
    return {"type": "string", "enum": list(labels)}


ROUTER_TOOLS = [
    tool("search_products", "Search the shop", ("query", "shelf", "limit"),
         query=STRING, shelf=one_of(*SHELVES), max_price=NUMBER, limit=INTEGER),
    tool("hold_item", "Keep an item for pick-up", ("item", "quantity"), item=one_of(*PRODUCTS.values()), quantity=INTEGER, city=STRING),
    tool("track_order", "Where an order is", ("order_id", "full_history"), order_id=STRING, full_history=BOOLEAN),
    tool("start_return", "Open a return", ("order_id", "reason", "refund"),
         order_id=STRING, reason=one_of(*REASONS), refund=STRING),
    tool("hand_over", "Pass on to a colleague", ("queue", "priority"), queue=one_of(*QUEUES), priority=INTEGER, name=STRING),
]  # fmt: skip
ROUTER_SYSTEM = "Support assistant of Hearth & Oak."

TRIAGE_TOOLS = [
    tool("file_ticket", "File the mail", ("team", "reply_hours", "item", "customer"),
         team=STRING, reply_hours=INTEGER, item=STRING, order_id=STRING, customer=STRING),
    tool("close_mail", "Close without an answer", ("why",), why=STRING),
]  # fmt: skip
TRIAGE_SYSTEM = "Triage each customer mail of Hearth & Oak."

# ------------------------------------------------------------------------------------- what people write, and why


@dataclass(frozen=True)
class Exchange:
    """One thing that somebody says, and what the teacher does about it."""

    said: str
    name: str = ""
    arguments: Json | None = None
    words: str = ""
    result: str = ""
    """What the function gave, where the assistant then tells it."""
    told: str = ""


def order_number(rng: Random) -> tuple[str, str]:
    """As people write it, and as the house writes it."""
    digits = "".join(rng.sample("123456789", 5))
    return rng.choice(
        (digits, f"#{digits}", f"number {digits}", f"HO-{digits}", f"ho {digits}", f"no. {digits}")
    ), f"HO-{digits}"


def ask_search(rng: Random) -> Exchange:
    shelf = rng.choice(sorted(SHELVES))
    query = f"{rng.choice(LOOKS)} {rng.choice(SHELVES[shelf])}".strip()
    said = rng.choice(
        (
            f"do you have a {query}",
            f"i'm looking for a {query}",
            f"show me a {query}",
            f"need a {query}",
            f"is there any {query} in the shop",
        )
    )
    arguments: Json = {"query": query, "shelf": shelf, "limit": 5}
    if rng.random() < 0.45:
        word = rng.choice(sorted(PRICES))
        price = PRICES[word] if rng.random() < 0.35 else rng.randint(10, 400)
        text = word if price == PRICES[word] else str(price)
        said += " " + rng.choice(
            (f"under {text} euros", f"for less than {text}", f"up to {text} euro", f"max {text}")
        )
        arguments["max_price"] = price
    if rng.random() < 0.2:
        said += rng.choice((", show me everything", ", i want to see all of them", ", the full list please"))
        arguments["limit"] = 50
    result = json.dumps([{"name": f"{query} {rng.choice('ABCDE')}", "price": rng.randint(9, 390)}])
    return Exchange(
        said,
        "search_products",
        arguments,
        result=result,
        told="Here is what we have. Would you like me to hold one for you?",
    )


def ask_hold(rng: Random) -> Exchange:
    product = rng.choice(sorted(PRODUCTS))
    word = rng.choice(sorted(NUMBERS))
    many = rng.random() < 0.6
    shown = product if rng.random() < 0.5 else product.lower()
    what = (
        f"{rng.choice((word, str(NUMBERS[word])))} {shown}{'s' if NUMBERS[word] > 1 else ''}"
        if many
        else f"the {shown}"
    )
    arguments: Json = {"item": PRODUCTS[product], "quantity": NUMBERS[word] if many else 1}
    said = rng.choice(
        (
            f"can you hold {what} for me",
            f"please reserve {what}",
            f"put {what} aside for me",
            f"keep {what} for pick up",
        )
    )
    if rng.random() < 0.6:
        arguments["city"] = rng.choice(CITIES)
        said += rng.choice((f" in {arguments['city']}", f" at the {arguments['city']} store"))
    return Exchange(
        said, "hold_item", arguments, result='{"held": true}', told="Done, we keep it for three days."
    )


def ask_track(rng: Random) -> Exchange:
    shown, order = order_number(rng)
    history = rng.random() < 0.25
    said = (
        rng.choice(
            (
                f"show me every stop of order {shown} so far",
                f"where has order {shown} been all this time",
                f"i want the whole history of order {shown}",
            )
        )
        if history
        else rng.choice(
            (
                f"where is my order {shown}",
                f"order {shown} has not come yet, where is it",
                f"can you track {shown}",
                f"when does order {shown} arrive",
                f"status of {shown}",
            )
        )
    )
    day = rng.choice(DAYS)
    return Exchange(
        said, "track_order", {"order_id": order, "full_history": history},
        result=json.dumps({"state": "on its way", "day": day}), told=f"Your order is on its way and should be there on {day}.",
    )  # fmt: skip


def ask_return(rng: Random) -> Exchange:
    shown, order = order_number(rng)
    code = rng.choice(sorted(REASONS))
    why = rng.choice(REASONS[code])
    refund, wish = rng.choice(
        (
            ("card", ""),
            ("card", ""),
            ("card", ""),
            ("voucher", "a voucher is fine"),
            ("swap", "please send me a new one"),
            ("voucher", "i'd take store credit"),
            ("swap", "can i swap it"),
        )
    )
    said = rng.choice(
        (
            f"i want to return order {shown}, {why}",
            f"order {shown}: {why}, i'm sending it back",
            f"{why}, please take back order {shown}",
            f"return for {shown} because {why}",
        )
    )
    if wish:
        said += rng.choice((". ", ", ")) + wish
    return Exchange(
        said, "start_return", {"order_id": order, "reason": code, "refund": refund},
        result='{"label": "sent"}', told="Your return is open. The label is in your mail.",
    )  # fmt: skip


def ask_person(rng: Random) -> Exchange:
    queue = rng.choice(sorted(QUEUES))
    said, priority = rng.choice(QUEUES[queue]), 3
    arguments: Json = {"queue": queue}
    if rng.random() < 0.4:
        said += rng.choice((", this is urgent", ", i need this solved today", ", right now please"))
        priority = 1
    if rng.random() < 0.5:
        name = f"{rng.choice(GIVEN)} {rng.choice(FAMILY)}"
        said = rng.choice((f"this is {name}, {said}", f"{said}. my name is {name}", f"{name} here. {said}"))
        arguments["name"] = name
    return Exchange(
        said,
        "hand_over",
        {**arguments, "priority": priority},
        result='{"ok": true}',
        told="A colleague will take it from here.",
    )


TALK = (
    ("hi;hello;good morning;hey there;hello?;hi, anyone there", "Welcome to Hearth & Oak. What can I do for you?"),
    ("thanks;thank you, that's all;great, thanks a lot;ok thanks;perfect, thank you", "With pleasure. Have a good day!"),
    ("are you a robot;am i talking to a human;is this a bot;who am i talking to", "I'm the digital assistant of Hearth & Oak."),
    ("do you ship to norway;do you deliver abroad;can you ship to the islands;do you deliver to my country", "We deliver to all of Europe, in 3 to 6 days."),
    ("how long can i return things;what is your return policy;can i send things back;how many days do i have to return", "You can return anything within 60 days."),
    ("how can i pay;do you take paypal;can i pay by invoice;which cards do you take", "You can pay by card, PayPal or invoice."),
    ("can you book me a flight;what's the weather like;tell me a joke;who won the game last night", "I can only help with Hearth & Oak."),
)  # fmt: skip


def small_talk(rng: Random) -> Exchange:
    said, words = rng.choice(TALK)
    return Exchange(rng.choice(said.split(";")), words=words)


ROUTER_ASKS: tuple[tuple[Callable[[Random], Exchange], int], ...] = (
    (ask_search, 20),
    (ask_hold, 14),
    (ask_track, 18),
    (ask_return, 18),
    (ask_person, 14),
    (small_talk, 14),
)


def router_conversation(rng: Random) -> list[Exchange]:
    """One to three exchanges; some need a question back first, some build on what was said before."""
    asks, weights = zip(*ROUTER_ASKS, strict=True)
    first = rng.choices(asks, weights)[0](rng)
    draw = rng.random()
    if first.name == "start_return" and draw < 0.18:
        opening = rng.choice(
            (
                "i want to send something back",
                "i need to return a thing",
                "how do i return an order",
                "return please",
            )
        )
        return [Exchange(opening, words="Of course. Which order is it, and what is wrong?"), first]
    if first.name == "track_order" and draw < 0.15:
        opening = rng.choice(
            (
                "where is my parcel",
                "my order has not come",
                "i'm still waiting for my delivery",
                "track my order",
            )
        )
        return [Exchange(opening, words="Let me look. What is the order number?"), _number_only(rng, first)]
    if first.name == "search_products" and draw < 0.15 and first.arguments:
        price = rng.randint(10, 200)
        again = {**first.arguments, "limit": 5, "max_price": price}
        said = rng.choice(
            (f"and under {price}?", f"anything for less than {price} euros?", f"only up to {price} please")
        )
        return [first, Exchange(said, "search_products", again, result=first.result, told=first.told)]
    if first.name == "track_order" and draw < 0.3 and first.arguments:
        code = rng.choice(sorted(REASONS))
        said = rng.choice(
            ("then take it back, {}", "ok, i return it then, {}", "i want to return that one, {}")
        ).format(rng.choice(REASONS[code]))
        back = {"order_id": first.arguments["order_id"], "reason": code, "refund": "card"}
        return [
            first,
            Exchange(
                said,
                "start_return",
                back,
                result='{"label": "sent"}',
                told="Your return is open. The label is in your mail.",
            ),
        ]
    return [first]


def _number_only(rng: Random, exchange: Exchange) -> Exchange:
    """The same call, when the customer gives nothing but the number."""
    order = str((exchange.arguments or {})["order_id"])
    said = rng.choice(
        (
            order,
            order.removeprefix("HO-"),
            f"it's {order.removeprefix('HO-')}",
            f"#{order.removeprefix('HO-')}",
        )
    )
    return Exchange(
        said,
        "track_order",
        {"order_id": order, "full_history": False},
        result=exchange.result,
        told=exchange.told,
    )


# ------------------------------------------------------------------------------------------------------- triage

TEAMS: dict[str, tuple[str, ...]] = {
    "LOG-1": ('the parcel never came', 'the delivery was left in the rain', 'the courier did not ring'),
    "LOG-2": ('the box was empty', 'the wrong thing was in the box', 'two of three things were in the parcel'),
    "REP-4": ('it stopped working', 'it makes a strange noise', 'it does not switch on'),
    "FIN-2": ('i was charged twice', 'the invoice has the wrong name', 'i still wait for my money back'),
    "WEB-3": ('i cannot log in', 'the checkout shows an error', 'i cannot change my password'),
}  # fmt: skip
DANGER = ("there was smoke", "my child got hurt", "it started to burn")
HURRY = (
    "please answer today",
    "i need an answer at once",
    "this is the third time i write",
    "i am really upset",
)
JUNK = {
    "spam": ('You have won a prize, click here', 'Cheap pills, no prescription', 'Earn money from home now'),
    "auto-reply": ('I am out of office until Monday', 'Automatic reply: on holiday', 'I am away and will read this later'),
    "thanks": ('Thanks, it is all solved', 'Thank you for the quick help', 'All good now, many thanks'),
}  # fmt: skip


def triage_conversation(rng: Random) -> list[Exchange]:
    if rng.random() < 0.14:
        why = rng.choice(sorted(JUNK))
        return [
            Exchange(
                rng.choice(JUNK[why]) + rng.choice(("", ".", "!")),
                "close_mail",
                {"why": why},
            )
        ]
    team = rng.choice(sorted(TEAMS))
    parts = [rng.choice(TEAMS[team])]
    arguments: Json = {"team": team, "reply_hours": 48}
    product = rng.choice(sorted(PRODUCTS))
    arguments["item"] = PRODUCTS[product]
    about = (f"about the {product}", f"i bought the {product.lower()}", f"my {product}", product)
    parts.insert(0, rng.choice(about))
    if rng.random() < 0.5:
        shown, arguments["order_id"] = order_number(rng)
        parts.insert(0, rng.choice((f"order {shown}", f"my order is {shown}", f"order: {shown}")))
    draw = rng.random()
    if draw < 0.3 and team in ("REP-4", "LOG-2"):
        parts.append(rng.choice(DANGER))
        arguments["reply_hours"] = 4
    elif draw < 0.45:
        parts.append(rng.choice(HURRY))
        arguments["reply_hours"] = 24
    said = rng.choice((", ", ". ", ", ", " - ")).join(parts)
    arguments["customer"] = name = f"{rng.choice(GIVEN)} {rng.choice(FAMILY)}"
    said += rng.choice((f". Regards, {name}", f". Yours, {name}", f"\nRegards, {name}"))
    return [Exchange(said, "file_ticket", arguments)]


# ----------------------------------------------------------------------------------------------------- the log


def untidy(rng: Random, text: str, keep: Json | None) -> str:
    """How people type: no capitals or many, courtesies, now and then a wrong letter (never in a value)."""
    draw = rng.random()
    if draw < 0.12:
        text = rng.choice(("hey, ", "hi, ", "hello, ", "pls ", "sorry, ")) + text
    elif draw < 0.22:
        text += rng.choice((" please", " pls", ", thanks", "!!", " ??"))
    if rng.random() < 0.5:
        text = text[:1].upper() + text[1:]
    if rng.random() < 0.12:
        words = text.split(" ")
        values = json.dumps(keep or {}, ensure_ascii=False).lower()
        at = rng.randrange(len(words))
        word = words[at]
        if len(word) > 4 and word.isalpha() and word.lower() not in values:
            cut = rng.randrange(1, len(word) - 2)
            words[at] = word[:cut] + word[cut + 1] + word[cut] + word[cut + 2 :]
        text = " ".join(words)
    return text + rng.choice(
        ("", "", "", ".", "?" if text.lower().startswith(("do", "where", "when", "is", "can")) else "")
    )


class Log:
    """Builds the records of one conversation after another, with a clock and ids of its own."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.clock = FIRST_TIMESTAMP

    def conversation(self, workload: str, number: int) -> list[Json]:
        router = workload == "tool_router"
        system, tools = (ROUTER_SYSTEM, ROUTER_TOOLS) if router else (TRIAGE_SYSTEM, TRIAGE_TOOLS)
        exchanges = (router_conversation if router else triage_conversation)(self.rng)
        messages: list[Json] = [{"role": "system", "content": system}]
        records: list[Json] = []
        self.clock += self.rng.randint(20, 900)
        for exchange in exchanges:
            text = untidy(self.rng, exchange.said, exchange.arguments)
            messages.append({"role": "user", "content": text})
            answer = self._answer(exchange)
            records.append(self._record(workload, number, messages, tools, answer))
            messages.append(answer)
            last = exchange is exchanges[-1]
            if exchange.result and (not last or self.rng.random() < 0.08):
                call_id = answer["tool_calls"][0]["id"]
                messages.append({"role": "tool", "tool_call_id": call_id, "content": exchange.result})
                told = {"role": "assistant", "content": exchange.told}
                records.append(self._record(workload, number, messages, tools, told))
                messages.append(told)
        return records

    def again(self, record: Json, message: Json | None = None) -> Json:
        """The same request later, with the same answer or another one."""
        message = message or record["response"]["choices"][0]["message"]
        request = record["request"]
        number = self.rng.randint(100_000, 999_999)
        return self._record(record["workload_id"], number, request["messages"], request["tools"], message)

    def _answer(self, exchange: Exchange) -> Json:
        if not exchange.name:
            return {"role": "assistant", "content": exchange.words}
        function = {"name": exchange.name, "arguments": json.dumps(exchange.arguments, ensure_ascii=False)}
        call = {"id": f"call_{self.rng.getrandbits(48):012x}", "type": "function", "function": function}
        return {"role": "assistant", "content": None, "tool_calls": [call]}

    def _record(
        self, workload: str, number: int, messages: list[Json], tools: list[Json], message: Json
    ) -> Json:
        self.clock += self.rng.randint(1, 30)
        called = bool(message.get("tool_calls"))
        prompt = len(json.dumps([messages, tools])) // 4
        completion = len(json.dumps(message)) // 4
        return {
            "timestamp": self.clock,
            "workload_id": workload,
            "client_id": CLIENT,
            "request": {"model": MODEL, "messages": list(messages), "tools": tools, "temperature": 0.0},
            "response": {
                "id": f"chatcmpl-{self.rng.getrandbits(64):016x}",
                "object": "chat.completion",
                "created": self.clock,
                "model": MODEL,
                "choices": [
                    {"index": 0, "message": message, "finish_reason": "tool_calls" if called else "stop"}
                ],
                "usage": {
                    "prompt_tokens": prompt,
                    "completion_tokens": completion,
                    "total_tokens": prompt + completion,
                },
            },
            "metadata": {"conversation_id": f"{workload}-{number:06d}"},
        }


def generate(seed: int = 7, conversations: int = 1400) -> Iterator[Json]:
    """Log records of `conversations` conversations for each of the two workloads, in the order of time."""
    rng = Random(f"support:{seed}")
    log = Log(rng)
    singles: list[Json] = []
    for number in range(conversations):
        for workload in WORKLOADS:
            records = log.conversation(workload, number)
            yield from records
            if len(records) == 1 and records[0]["response"]["choices"][0]["message"].get("tool_calls"):
                singles.append(records[0])
        if singles and number % 12 == 11:  # A client's retry: the same request and answer, logged again.
            yield log.again(rng.choice(singles))
        if singles and number % 90 == 89:  # The teacher, asked again, for once decides otherwise.
            yield log.again(
                rng.choice(singles), {"role": "assistant", "content": "A colleague will get back to you."}
            )


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Write the demo's teacher log.")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--conversations", type=int, default=1400, help="for each of the two workloads")
    parser.add_argument("--out", type=Path, required=True, help="a .jsonl file")
    options = parser.parse_args(arguments)
    records = list(generate(options.seed, options.conversations))
    options.out.write_text(
        "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records), encoding="utf-8"
    )
    sys.stderr.write(f"wrote {len(records)} records to {options.out}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
