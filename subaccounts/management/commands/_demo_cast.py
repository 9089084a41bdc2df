"""Who and what the demo is about: the cast of the tests, the screenshots and the README."""

from dataclasses import dataclass

PASSWORD = "canopy-demo-2026"  # noqa: S105 (the demo's own, printed on purpose)
WEBSITE = "http://localhost:*"
OFFICES = {
    "northlight.example": "203.0.113.12",
    "acme-plumbing.example": "198.51.100.14",
    "koala-legal.example": "198.51.100.77",
    "sunrise-cleaning.example": "192.0.2.30",
    "harbour.example": "203.0.113.150",
    "beacon-dental.example": "192.0.2.91",
}


@dataclass(frozen=True)
class Person:
    first_name: str
    last_name: str
    email: str


@dataclass(frozen=True)
class Client:
    """`visits` is how many conversations a working day brings; `questions` are asked beside those of the FAQs."""

    name: str
    slug: str
    admin: Person
    city: str
    state: str
    postal_code: str
    description: str
    chatbot: str
    greeting: str
    accent: str
    website: str
    visits: float
    unknown: tuple[str, ...]
    faqs: tuple[tuple[str, str], ...] = ()
    member: Person | None = None


@dataclass(frozen=True)
class Agency:
    name: str
    slug: str
    time_zone: str
    currency: str
    plan: str
    owner: Person
    clients: tuple[Client, ...]


SARA = Person("Sara", "Quist", "sara@canopy.example")
ADAM = Person("Adam", "Okoye", "adam@northlight.example")
MIA = Person("Mia", "Torres", "mia@northlight.example")
IDA = Person("Ida", "Berg", "ida@fjord-bakery.example")
OMAR = "omar@northlight.example"
JON = Person("Jon", "Park", "jon@northlight.example")
IRIS = Person("Iris", "Cole", "iris@cole-consulting.example")
LEAH = Person("Leah", "Moss", "leah@koala-legal.example")

ACME = Client(
    name="Acme Plumbing",
    slug="acme-plumbing",
    admin=Person("Paul", "Acme", "paul@acme-plumbing.example"),
    member=Person("Tess", "Acme", "tess@acme-plumbing.example"),
    city="Riverside",
    state="California",
    postal_code="92501",
    description="Family plumbing firm since 1987: repairs, boilers, bathrooms, and somebody on call at night.",
    chatbot="Pip",
    greeting="Hi, I am Pip. Ask me about repairs, prices and appointments.",
    accent="#1f6fb2",
    website="https://acme-plumbing.example/contact",
    visits=2.6,
    unknown=(
        "Do you also repair swimming pool pumps?",
        "Is there a discount for fire fighters?",
        "Could you quote a bathroom for a houseboat?",
        "My neighbour's sprinkler floods my cellar, can you write a report for the court?",
    ),
)
KOALA = Client(
    name="Koala Legal",
    slug="koala-legal",
    admin=Person("Kira", "Wallis", "kira@koala-legal.example"),
    city="Hobart",
    state="Tasmania",
    postal_code="7000",
    description="Law firm for families, tenants and small companies.",
    chatbot="Koala assistant",
    greeting="Welcome to Koala Legal. How can we help?",
    accent="#6b3fa0",
    website="https://koala-legal.example/",
    visits=1.7,
    unknown=(
        "Can you represent me in a patent case?",
        "Do you have somebody who speaks Finnish?",
        "My landlord locked me out today, could a lawyer ring me?",
    ),
)
SUNRISE = Client(
    name="Sunrise Cleaning",
    slug="sunrise-cleaning",
    admin=Person("Sam", "Reyes", "sam@sunrise-cleaning.example"),
    city="Springfield",
    state="Oregon",
    postal_code="97477",
    description="Cleaning of homes and offices, windows included.",
    chatbot="Sunny",
    greeting="Hello from Sunrise Cleaning! What would you like to have clean?",
    accent="#b45309",
    website="https://sunrise-cleaning.example/prices",
    visits=1.1,
    unknown=(
        "Could you clean an aquarium with sharks?",
        "Do you take cryptocurrency?",
        "We need forty rooms done after a festival on Sunday, is that possible?",
    ),
)
BEACON = Client(
    name="Beacon Dental",
    slug="beacon-dental",
    admin=Person("Ben", "Cho", "ben@beacon-dental.example"),
    city="Portsmouth",
    state="Hampshire",
    postal_code="PO1 2AB",
    description="Dental practice by the harbour.",
    chatbot="Beacon",
    greeting="Hello, this is Beacon Dental. What can I tell you?",
    accent="#0f766e",
    website="https://beacon-dental.example/",
    visits=0.4,
    unknown=("Do you treat horses?",),
    faqs=(
        ("What are your opening hours?", "We are open Monday to Friday from 8:00 to 18:00, on Thursdays until 20:00."),
        ("Do you take new patients?", "Yes, and the first appointment is usually within two weeks."),
        ("What does a check-up cost?", "A check-up with X-rays costs £62; children under 12 pay nothing."),
        ("I have toothache, can I come today?", "Ring us before 9:00 and we keep a place for you the same day."),
        ("Do you offer whitening?", "Yes, at the practice in one visit of 90 minutes, from £290."),
        ("Where can I park?", "Behind the practice are eight places, free for two hours."),
    ),
)

NORTHLIGHT = Agency(
    "Northlight Digital",
    "northlight",
    "Europe/Stockholm",
    "USD",
    "growth",
    Person("Nora", "Lind", "nora@northlight.example"),
    (ACME, KOALA, SUNRISE),
)
HARBOUR = Agency("Harbour & Co", "harbour", "Europe/London", "GBP", "starter", Person("Rita", "Hale", "rita@harbour.example"), (BEACON,))

VISITORS = (
    "Jane Doe", "Omar Haddad", "Lucía Romero", "Kenji Mori", "Priya Nair", "Tom Becker", "Ana Kovač", "Will Hughes", "Fatima Zahra", "Leo Martin",
    "Grace Kim", "Ivan Petrov", "Chloé Dubois", "Sven Olsen", "Maya Cohen", "Ruth Adeyemi", "Pedro Alves", "Hanna Berg", "Noah Clark", "Zoe Papadakis",
)  # fmt: skip

# How many hours ago a call began, with which client of the agency, and how many seconds it took; nobody ended the one without any.
CALLS = (
    (118, 0, 184), (115, 0, 47), (112, 1, 301), (99, 0, 262), (96, 0, 95), (93, 1, 128), (90, 0, 411), (74, 0, 233), (71, 0, 0), (68, 1, 76),
    (51, 0, 142), (48, 0, 368), (45, 1, 219), (43, 0, 58), (27, 0, 195), (24, 1, 330), (22, 0, 87), (7, 0, 276), (5, 1, 151), (3, 0, 104),
)  # fmt: skip
