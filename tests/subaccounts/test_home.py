"""The agency's home tells what happened, and at which client."""

from subaccounts import lifecycle
from tests.cast import PLATFORM, Cast, Visitor, host_of


def test_the_activity_names_the_client_where_the_deed_does_not(cast: Cast) -> None:
    lifecycle.suspend(sub_account=cast.koala, by=cast.nora.as_actor())
    made = Visitor(host_of(cast.acme), cast.paul).post(
        "/chatbots/new/", {"name": "Pip", "greeting": "Hello!", "tone": "friendly", "accent": "#256d4a", "collects_leads": "on"}
    )
    assert made.status_code == 302

    events = {event.text: event.about for event in Visitor(PLATFORM, cast.nora).get("/home/").context["events"]}

    assert events["made the chatbot Pip"] == "Acme Plumbing"
    assert events["suspended Koala Legal"] == ""
