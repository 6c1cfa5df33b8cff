# ruff: noqa: E501, SIM905  Tables of phrases are easier to read with a phrase book's line length.
"""Slots: a value as people say it, the JSON that it means, and what a parameter that takes it is called."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from flywheel.synthesis import lexicon as lex

Said = tuple[str, Any]
"""What is said, and the JSON value that it means."""


@dataclass(frozen=True)
class Slot:
    kind: str
    type: str
    names: tuple[str, ...]
    """Parameter names, in words; the style (snake_case, camelCase) is the tool's."""
    phrases: tuple[str, ...]
    """How the value enters a sentence."""
    sample: Callable[[Random], Said]
    describe: tuple[str, ...] = ()


def _same(make: Callable[[Random], str]) -> Callable[[Random], Said]:
    def sample(rng: Random) -> Said:
        text = make(rng)
        return text, text

    return sample


def _of(options: list[str]) -> Callable[[Random], Said]:
    return _same(lambda rng: rng.choice(options))


def _count(rng: Random, low: int = 1, high: int = 12) -> Said:
    value = rng.randint(low, high)
    return (lex.NUMBER_WORDS[value] if value <= 20 and rng.random() < 0.45 else str(value)), value


def _big(rng: Random) -> Said:
    value = rng.choice(
        (rng.randint(10, 99), rng.randint(100, 999), rng.randint(1000, 99999), rng.randint(10, 60) * 10)
    )
    return str(value), value


def _amount(rng: Random) -> Said:
    value = rng.choice((float(rng.randint(1, 500)), rng.randint(1, 500) / 2, rng.randint(100, 99999) / 100))
    text = str(int(value)) if value == int(value) else f"{value:.2f}"
    return rng.choice((f"${text}", f"{text} dollars", f"{text} euros", text)), (
        int(value) if value == int(value) else value
    )


def _date(rng: Random) -> Said:
    day, month = rng.randint(1, 28), rng.choice(lex.MONTHS)
    iso = f"20{rng.randint(23, 28)}-{rng.randint(1, 12):02d}-{day:02d}"
    text = rng.choice(
        (iso, iso, f"{month} {day}", f"{day} {month}", "tomorrow", "today", rng.choice(lex.WEEKDAYS),
         f"next {rng.choice(lex.WEEKDAYS)}", f"the {day}th of {month}", "next week", f"{month} {day}th")
    )  # fmt: skip
    return text, text


def _time(rng: Random) -> Said:
    hour = rng.randint(1, 12)
    text = rng.choice(
        (f"{hour} pm", f"{hour}pm", f"{hour}:{rng.choice(('00', '15', '30', '45'))} am", f"{rng.randint(0, 23):02d}:30",
         "noon", f"{lex.NUMBER_WORDS[hour]} am", f"{hour}:30", f"{rng.randint(10, 23)}:{rng.randint(10, 59)}")
    )  # fmt: skip
    return text, text


def _list(pool: list[str]) -> Callable[[Random], Said]:
    def sample(rng: Random) -> Said:
        items = rng.sample(pool, rng.choice((1, 2, 2, 3, 4)))
        if rng.random() < 0.3:
            items[0] = lex.invented(rng)
        text = items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1]
        return text, items

    return sample


def _email(rng: Random) -> str:
    name = rng.choice((rng.choice(lex.FIRST).lower(), lex.invented(rng)))
    return f"{name}{rng.choice(('', '.' + rng.choice(lex.LAST).lower(), str(rng.randint(1, 99))))}@{lex.invented(rng)}.{rng.choice(('com', 'org', 'net'))}"


def _street(rng: Random) -> str:
    return f"{rng.randint(1, 400)} {rng.choice((lex.invented(rng).title(), rng.choice(lex.NOUNS).title(), rng.choice(lex.LAST)))} {rng.choice(('Street', 'Road', 'Avenue', 'Lane'))}"


def _phone(rng: Random) -> str:
    return rng.choice(
        (
            f"{rng.randint(200, 999)}-{rng.randint(100, 999)}-{rng.randint(1000, 9999)}",
            f"555 {rng.randint(1000, 9999)}",
        )
    )


def _slot(kind: str, type_: str, names: str, phrases: str, sample: Callable[[Random], Said]) -> Slot:
    return Slot(kind, type_, tuple(names.split(",")), tuple(phrases.split(";")), sample)


SLOTS: dict[str, Slot] = {
    slot.kind: slot
    for slot in (
        _slot("person", "string", "name,person,full name,contact,contact name,recipient,guest", "for {};with {};named {};by the name of {}", _same(lex.person)),
        _slot("recipient", "string", "recipient,to,contact,receiver,person name", "to {};for {}", _same(lex.person)),
        _slot("artist", "string", "artist,singer,band,performer,musician", "by {};from {};of {}", _same(lex.person)),
        _slot("author", "string", "author,written by,creator,director", "by {};from {};written by {}", _same(lex.person)),
        _slot("city", "string", "city,location,town,place,city name,area", "in {};in {};near {};around {};for {}", _same(lex.place)),
        _slot("origin", "string", "origin,from city,departure city,start,source,from location", "from {};leaving from {};departing {}", _same(lex.place)),
        _slot("destination", "string", "destination,to city,arrival city,end,target,to location", "to {};going to {};heading to {}", _same(lex.place)),
        _slot("country", "string", "country,nation,country name", "in {}", _of(lex.COUNTRIES)),
        _slot("street", "string", "address,street,street address,location", "at {};to {}", _same(_street)),
        _slot("title", "string", "title,name,item,entity name,label,heading", "called {};named {};{};titled {};\"{}\"", _same(lex.phrase)),
        _slot("playlist", "string", "playlist,playlist name,list,collection", "to my {} playlist;to the playlist {};to {};on {}", _same(lex.phrase)),
        _slot("topic", "string", "topic,subject,query,keyword,search term,q", "about {};on {};for {};regarding {}", _same(lex.phrase)),
        _slot("note", "string", "text,message,body,content,note,comment", "saying {};that says {};: {};with the text {}", _same(lambda r: " ".join(lex.any_word(r) for _ in range(r.randint(2, 6))))),
        _slot("thing", "string", "product,item,product name,article,object", "for {};a {};the {}", _of(lex.THINGS)),
        _slot("company", "string", "company,organization,vendor,client,brand,supplier", "at {};from {};for {};of {}", _same(lambda r: r.choice((r.choice(lex.COMPANIES), lex.invented(r).title() + r.choice((" Inc", " Ltd", "", " Group")))))),
        _slot("code", "string", "id,code,reference,number,identifier,reference number,key", "{};with id {};number {};reference {};with code {}", _same(lex.code)),
        _slot("number", "integer", "id,number,record id,account,record number", "{};number {};with id {};#{}", _big),
        _slot("count", "integer", "count,quantity,number,amount,total,limit", "{};{} of them;{} times", _count),
        _slot("people", "integer", "party size,guests,people,number of people,persons,seats,passengers", "for {} people;for {};for a party of {};for {} guests", _count),
        _slot("nights", "integer", "nights,days,length of stay,duration days,number of days", "for {} nights;for {} days;staying {} nights", _count),
        _slot("minutes", "integer", "minutes,duration,duration minutes,length,timeout", "for {} minutes;lasting {} minutes", lambda r: (lambda v: (str(v), v))(r.choice((5, 10, 15, 20, 25, 30, 40, 45, 60, 90, 120)))),
        _slot("level", "integer", "level,volume,brightness,intensity,value,temperature,percent,speed", "to {};at {};to {} percent", _big),
        _slot("rating", "integer", "rating,stars,score,points,rating value", "{} stars;{} points;a {};{} out of 10", lambda r: _count(r, 0, 10)),
        _slot("year", "integer", "year,release year,from year,season", "from {};of {};in {};released in {}", lambda r: (lambda v: (str(v), v))(r.randint(1950, 2026))),
        _slot("money", "number", "amount,price,budget,sum,max price,cost,total", "for {};of {};under {};up to {}", _amount),
        _slot("date", "string", "date,day,on date,when,start date,due date", "on {};for {};{}", _date),
        _slot("end_date", "string", "end date,until,return date,checkout date,to date", "until {};till {};returning {}", _date),
        _slot("time", "string", "time,at,hour,start time,time of day", "at {};for {};around {}", _time),
        _slot("email", "string", "email,email address,mail,contact email,to", "to {};at {};with email {}", _same(_email)),
        _slot("phone", "string", "phone,phone number,mobile,tel", "at {};on {};phone {}", _same(_phone)),
        _slot("cuisine", "string", "cuisine,food,food type,category,style", "serving {} food;with {} food;that is {}", _of(lex.CUISINES)),
        _slot("genre", "string", "genre,category,style,kind", "that are {};in the {} genre;of {} kind", _of(lex.GENRES)),
        _slot("color", "string", "color,colour,shade", "in {};colored {}", _of(lex.COLORS)),
        _slot("language", "string", "language,target language,to language,lang", "in {};into {};to {}", _of(lex.LANGUAGES)),
        _slot("currency", "string", "currency,to currency,target currency,unit", "in {};to {};into {}", _of(lex.CURRENCIES)),
        _slot("room", "string", "room,area,zone,device location", "in the {};of the {}", _of("kitchen;bedroom;living room;garage;bathroom;office;hallway;basement;garden".split(";"))),
        _slot("device", "string", "device,device name,appliance,target", "on the {};of the {};the {}", _of("lights;heater;fan;speaker;television;camera;oven;thermostat;printer;router;alarm;blinds".split(";"))),
        _slot("service", "string", "service,provider,platform,app,source", "on {};using {};via {}", _same(lambda r: r.choice(("Spotify", "Netflix", "Youtube", "Deezer", "Vimeo", "Dropbox", "Slack", "Zoom", lex.invented(r).title())))),
        _slot("sport", "string", "sport,category,discipline,game", "for {};of {};in {}", _of(lex.SPORTS)),
        _slot("foods", "array", "items,ingredients,products,foods,list", "with {};: {};of {}", _list(lex.FOODS)),
        _slot("tags", "array", "tags,labels,keywords,topics,categories", "tagged {};with tags {};labelled {}", _list(lex.NOUNS)),
        _slot("people_list", "array", "attendees,participants,guests,members,invitees,recipients", "with {};inviting {};for {}", _list(lex.FIRST)),
    )
}  # fmt: skip

BOOLEANS: tuple[tuple[str, str, str], ...] = (
    (
        "breakfast,include breakfast,with breakfast",
        "with breakfast;breakfast included",
        "without breakfast;no breakfast",
    ),
    ("urgent,is urgent,priority,high priority", "it is urgent;urgently", "it is not urgent;no rush"),
    ("round trip,return,return trip", "round trip;both ways", "one way;one way only"),
    ("refundable,is refundable", "refundable;that i can cancel", "non refundable;not refundable"),
    (
        "notify,send notification,alert",
        "and notify me;with a notification",
        "without notifying me;no notification",
    ),
    ("repeat,recurring,every day", "every day;and repeat it daily", "just once;only once"),
    ("private,is private,hidden", "keep it private;privately", "make it public;publicly"),
    (
        "subtitles,with subtitles,captions",
        "with subtitles;and turn on subtitles",
        "without subtitles;no subtitles",
    ),
    ("pets allowed,pet friendly,pets", "where pets are allowed;pet friendly", "no pets;without pets"),
    ("outdoor,outdoor seating,outside", "outside;with outdoor seating", "indoors;inside"),
    ("gift wrap,is gift,gift", "as a gift;gift wrapped", "not as a gift;no gift wrap"),
    ("insurance,with insurance,insured", "with insurance;insured", "without insurance;no insurance"),
    ("shared,shared ride,pool", "shared;i can share", "not shared;private"),
    ("express,fast,express delivery", "express;as fast as possible", "standard speed is fine;no express"),
)
"""Names, how people say true, how people say false."""

ENUMS: tuple[tuple[str, str], ...] = (
    ("cabin,class,seat class,travel class", "economy,business,first class,premium economy"),
    ("size,item size,format", "small,medium,large,extra large"),
    ("priority,urgency,severity", "low,normal,high,critical"),
    ("status,state,filter", "open,closed,pending,in progress,done"),
    ("unit,units,temperature unit", "celsius,fahrenheit,kelvin"),
    ("sort,order by,sort by", "price,rating,distance,newest,popularity"),
    ("mode,transport,travel mode,vehicle", "car,train,bus,bicycle,walking,plane,ferry"),
    ("room type,bed type,room", "single,double,twin,suite,family room"),
    ("price range,price level,budget", "cheap,moderate,expensive,luxury"),
    ("frequency,interval,period", "hourly,daily,weekly,monthly,yearly"),
    ("department,team,queue", "sales,engineering,legal,finance,marketing,human resources"),
    ("meal,meal type,course", "breakfast,lunch,dinner,snack,dessert"),
    ("file type,output format,extension", "pdf,csv,json,png,docx"),
    ("payment,payment method,pay with", "cash,credit card,paypal,bank transfer"),
    ("action,switch,operation", "on,off,toggle,dim"),
    ("color,paint,shade", "red,blue,green,black,white"),
    ("level,difficulty,skill", "beginner,intermediate,advanced,expert"),
    ("category,type,kind", "music,sports,theater,comedy,museum,food"),
)
"""Names and labels."""
