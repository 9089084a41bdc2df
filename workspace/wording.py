"""The responder's own words: it says by itself, it takes for small talk, and which words mean the same."""

import re
from dataclasses import dataclass

from workspace.models import Chatbot

# Stems as PostgreSQL's english dictionary makes them; every word of a line may stand for every other.
_SYNONYMS = """
cost price fee charg rate expen cheap afford quot estim
hour open close
book appoint schedul reserv visit
cancel reschedul postpon move
pay payment card invoic bill cash
area cover region serv locat citi town neighborhood neighbourhood postcod zip come travel
guarant warranti
emerg urgent
toilet wc loo
faucet tap
fix repair broken mend
insur licen certif damag
job employ work boss
wage salari paycheck paid
dismiss fire sack termin
landlord owner
rent leas tenanc tenant
deposit bond
divorc separ marriag
child children kid custodi
testament inherit
die dead death estat probat executor decea
contest challeng disput object
clog block unclog
boiler furnac
heater heat
leak drip leaki
sofa couch upholsteri carpet rug
window glass
pet dog cat anim
product suppli deterg chemic
eco friend environ organ sustain
home hous flat apart
offic workplac
renov remodel construct builder redo
gift voucher present
contract agreement
confidenti privat secret
park car
languag speak spanish
consult meet
law legal lawyer
happi unhappi satisfi dissatisfi complain
key access
freez frozen frost winter
weak low
instal connect hook fit
custom client
review check look read
regular normal standard usual
one singl tim
often week frequent
rental stay airbnb holiday
tenanc move
bring document
stop keep prevent avoid
"""

ALTERNATIVES: dict[str, tuple[str, ...]] = {}
for _line in _SYNONYMS.split("\n"):
    for _stem in _line.split():
        ALTERNATIVES[_stem] = tuple(dict.fromkeys((*ALTERNATIVES.get(_stem, (_stem,)), *_line.split())))

# Words that say that something is asked, not what.
_FILLER = """
plea want need like would could know tell help question ask hi hello hey hola good afternoon even thank much mani get got also
someth anyth someon realli actual wonder let us provid use offer possibl im id ive give make two three new still alreadi alway
yesterday today tomorrow tonight morn kind sort thing go take
"""
FILLER = frozenset(_FILLER.split())


@dataclass(frozen=True, slots=True)
class Wording:
    """What a chatbot says on its own, in its tone."""

    hello: str
    welcome: str
    bye: str
    machine: str
    unknown: str


_TONES = {
    Chatbot.FRIENDLY: Wording(
        hello="Hello! What would you like to know?",
        welcome="You are very welcome! Is there anything else I can help with?",
        bye="Goodbye, and have a lovely day!",
        machine="I am an automated assistant. I answer from the team has written down, and I say so when I do not know.",
        unknown="I am sorry, I do not know that.",
    ),
    Chatbot.FORMAL: Wording(
        hello="Good day. How may I help you?",
        welcome="You are welcome. May I help you with anything else?",
        bye="Thank you for your visit. Goodbye.",
        machine="I am an automated assistant. My answers come from the team's own information.",
        unknown="I regret that I do not have an answer to that.",
    ),
    Chatbot.BRIEF: Wording(
        hello="Hello. What is your question?",
        welcome="You are welcome.",
        bye="Goodbye.",
        machine="I am an automated assistant.",
        unknown="I do not know that.",
    ),
}
_OFFER = " Leave your name and e-mail and someone from the team will get back to you."

_HELLO = (
    r"(hi|hello|hey|hiya|hola|howdy|greetings|good (morning|afternoon|evening|day)|how are you( doing)?( today)?)( there| all| everyone)?"
)
_THANKS = (
    r"(ok(ay)?|great|perfect|super|cool|nice|awesome|wonderful|got it|that helps|thanks?( you)?( (so|very) much| a lot| a million)?|thx|cheers|"
    r"much appreciated|many thanks)( for (your|the) (help|answer|information|info))?"
)
_BYE = r"(bye( bye)?|goodbye|see (you|ya)( later| soon)?|have a (nice|good|great|lovely) (day|one|evening|weekend)|that is all|thats all)"
_MACHINE = r"(are|r) (you|u) (a |an )?(bot|robot|real|human|person|machine|ai|real person)( or .{1,30})?|am i (talking|speaking|chatting) (to|with) .{1,40}"


def meaning(stem: str) -> tuple[str, ...]:
    """The stem itself, then those that may stand for it."""
    return ALTERNATIVES.get(stem, (stem,))


def wording(chatbot: Chatbot) -> Wording:
    """The chatbot's words: its tone's, with its own text for it does not know, and the offer to leave an address."""
    tone = _TONES.get(chatbot.tone, _TONES[Chatbot.FRIENDLY])
    unknown = chatbot.fallback_text or tone.unknown + (_OFFER if chatbot.collects_leads else "")
    return Wording(tone.hello, tone.welcome, tone.bye, tone.machine, unknown)


def small_talk(text: str, words: Wording) -> str:
    """The polite answer when `text` is nothing but a greeting, thanks, a goodbye or the question whom one talks to; else empty."""
    plain = " ".join(re.sub(r"[^\w\s]", " ", text.lower().replace("'", "").replace("’", "")).split())
    for pattern, said in ((_MACHINE, words.machine), (_BYE, words.bye), (_THANKS, words.welcome), (_HELLO, words.hello)):
        if len(plain) <= 80 and re.fullmatch(rf"({pattern})( (and )?({_HELLO}|{_THANKS}|{_BYE})){{0,2}}", plain):
            return said
    return "" if plain else words.hello
