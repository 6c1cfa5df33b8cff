# ruff: noqa: E501, SIM905  Tables of phrases are easier to read with a phrase book's line length.
"""Words to fill requests with: names, places, things, and words that do not exist.

Invented words matter most. A value that the model has never seen can only be copied from the request, and copying
is the skill that a small model has to learn for tool calls.
"""

from random import Random

FIRST = (
    "Anna Ben Carla David Emma Felix Grace Hugo Ines Jonas Karin Liam Maria Noah Olivia Paul Quinn Rosa Samuel Tina "
    "Umar Vera Walter Xenia Yusuf Zoe Amir Bianca Chen Dmitri Elif Farid Greta Hana Ivan Jun Keiko Lars Mei Nadia "
    "Omar Priya Rahul Sofia Tomas Ursula Viktor Wei Yara Zara James Linda Robert Patricia Michael Barbara Thomas "
    "Susan Daniel Jessica Kevin Sarah Brian Nancy Jason Laura Marta Diego Luca Chiara Pierre Amelie Björn Zoë"
).split()
LAST = (
    "Smith Jones Garcia Miller Davis Lopez Wilson Anderson Taylor Moore Martin Lee Clark Lewis Young Walker Hall "
    "Allen King Wright Scott Hill Green Baker Nelson Carter Mitchell Perez Roberts Turner Phillips Campbell Parker "
    "Evans Edwards Collins Schmidt Weber Fischer Novak Kowalski Ivanov Petrov Rossi Bianchi Dubois Laurent Jansen "
    "Larsen Nilsson Kim Park Nguyen Tran Chen Wang Tanaka Sato Singh Patel Khan Ali Haddad Okafor Mensah Müller"
).split()
CITIES = (
    "Paris;London;Berlin;Madrid;Rome;Vienna;Prague;Lisbon;Dublin;Oslo;New York;Chicago;Boston;Seattle;Denver;Austin;"
    "San Jose;Los Angeles;Miami;Toronto;Montreal;Mexico City;Bogota;Lima;Buenos Aires;Tokyo;Kyoto;Osaka;Seoul;"
    "Bangkok;Hanoi;Mumbai;Delhi;Cairo;Nairobi;Lagos;Cape Town;Sydney;Melbourne;Auckland;Zürich;Geneva;Brussels;"
    "Rotterdam;Hamburg;Munich;Cologne;Lyon;Marseille;Porto;Seville;Valencia;Naples;Turin;Athens;Istanbul;Warsaw;"
    "Krakow;Budapest;Portland;Phoenix;Dallas;Houston;Atlanta;Santa Fe;Salt Lake City;Fort Worth;St. Louis"
).split(";")
COUNTRIES = (
    "France;Germany;Spain;Italy;Portugal;Norway;Sweden;Poland;Greece;Turkey;Egypt;Kenya;Brazil;Peru;Chile;Canada;"
    "Japan;India;China;Vietnam;Thailand;Australia;New Zealand;South Africa;Costa Rica;United States;Iceland"
).split(";")
ADJECTIVES = (
    "red blue green silent old new small big golden silver lost hidden bright dark quiet wild lonely broken "
    "frozen ancient modern happy sad fast slow soft loud sweet bitter warm cold deep high secret last first second "
    "good best simple perfect strange empty distant early late morning evening winter summer black white"
).split()
NOUNS = (
    "river house garden door mountain road night day song dream heart city train letter mirror forest ocean island "
    "bridge storm fire shadow light stone star moon tiger bird horse wolf crown sword king queen doctor teacher "
    "soldier captain stranger daughter brother mother window kitchen table market station engine machine paper box "
    "lamp chair phone camera jacket shoe watch bag cup bottle bicycle guitar piano drum keyboard monitor cable "
    "project report budget meeting plan team task ticket invoice contract survey server database backup folder"
).split()
THINGS = (
    "coffee maker;desk lamp;running shoes;rain jacket;water bottle;laptop stand;wireless mouse;office chair;yoga mat;"
    "backpack;headphones;phone case;winter coat;garden hose;tool box;cutting board;frying pan;bed sheets;curtains;"
    "bookshelf;picture frame;wall clock;space heater;air filter;vacuum cleaner;electric kettle;toaster;blender;tent;"
    "sleeping bag;hiking boots;sun glasses;tennis racket;basketball;bike lock;car charger;memory card;printer ink"
).split(";")
FOODS = (
    "milk eggs bread butter cheese rice pasta tomatoes onions garlic chicken beef salmon tofu apples bananas lemons "
    "potatoes carrots spinach mushrooms beans lentils flour sugar salt pepper honey yogurt coffee tea chocolate"
).split()
CUISINES = (
    "italian thai mexican indian chinese japanese greek french korean spanish turkish vietnamese".split()
)
COLORS = "red blue green black white yellow purple orange pink grey brown silver gold navy beige".split()
LANGUAGES = (
    "English French German Spanish Italian Portuguese Dutch Polish Turkish Arabic Hindi Japanese".split()
)
CURRENCIES = "USD EUR GBP JPY CHF CAD AUD SEK NOK INR BRL MXN".split()
WEEKDAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MONTHS = "January February March April May June July August September October November December".split()
GENRES = (
    "rock jazz pop classical folk comedy drama horror thriller romance documentary fantasy metal soul".split()
)
COMPANIES = "Acme;Globex;Initech;Umbrella;Northwind;Contoso;Stark;Wayne;Hooli;Vandelay;Soylent;Tyrell".split(
    ";"
)
SPORTS = "football tennis basketball hockey cricket rugby volleyball baseball golf swimming".split()
NUMBER_WORDS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen twenty"
).split()

_ONSETS = "b br c ch cl d dr f fl g gr h j k kl l m n p pl pr qu r s sh sk st t th tr v w y z".split()
_VOWELS = "a e i o u ai ea ee oa oo ou ie".split()
_CODAS = ["", "", "", "l", "m", "n", "r", "s", "t", "x", "nd", "rk", "st", "ck", "ng"]


def invented(rng: Random, syllables: int | None = None) -> str:
    """A pronounceable word that means nothing."""
    count = syllables or rng.choice((1, 2, 2, 2, 3))
    return "".join(rng.choice(_ONSETS) + rng.choice(_VOWELS) + rng.choice(_CODAS) for _ in range(count))


def any_word(rng: Random) -> str:
    draw = rng.random()
    if draw < 0.35:
        return invented(rng)
    return rng.choice(NOUNS) if draw < 0.7 else rng.choice(ADJECTIVES)


def phrase(rng: Random) -> str:
    """One to five words, as titles, playlists, projects and such are called."""
    draw = rng.random()
    if draw < 0.25:
        text = f"the {rng.choice(ADJECTIVES)} {rng.choice(NOUNS)}"
    elif draw < 0.4:
        text = f"{rng.choice(NOUNS)} of the {rng.choice(NOUNS)}"
    else:
        text = " ".join(any_word(rng) for _ in range(rng.choice((1, 1, 2, 2, 3, 4))))
    return text.title() if rng.random() < 0.55 else text


def person(rng: Random) -> str:
    draw = rng.random()
    if draw < 0.35:
        return rng.choice(FIRST)
    if draw < 0.8:
        return f"{rng.choice(FIRST)} {rng.choice(LAST)}"
    return f"{invented(rng).title()} {invented(rng).title()}"


def place(rng: Random) -> str:
    return rng.choice(CITIES) if rng.random() < 0.7 else invented(rng).title()


def code(rng: Random) -> str:
    """An identifier: letters, digits, a dash; never the same shape for long."""
    letters = "".join(rng.choice("ABCDEFGHJKLMNPQRSTUVWXYZ") for _ in range(rng.choice((1, 2, 2, 3))))
    digits = "".join(rng.choice("0123456789") for _ in range(rng.choice((2, 3, 4, 5, 6))))
    text = letters + rng.choice(("-", "-", "", "_")) + digits
    if rng.random() < 0.2:
        text += rng.choice(("-", "")) + rng.choice("ABCDEFGHJK")
    return text if rng.random() < 0.7 else text.lower()
