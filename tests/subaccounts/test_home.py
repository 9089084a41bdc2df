"""The agency's home tells what happened, and at which client."""

from credits import ledger
from subaccounts import activity, lifecycle, pool_policy
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


def test_a_change_of_what_a_client_may_use_of_the_pool_is_told_in_words(cast: Cast) -> None:
    pool_policy.choose(sub_account=cast.koala, fallback="off", is_hard=True, amounts={}, by=cast.nora.as_actor())

    told = [event.text for event in activity.recent(cast.northlight)]

    assert "changed what Koala Legal may use of the pool" in told


def test_amounts_of_different_units_are_not_added_up(cast: Cast) -> None:
    for unit in ("credit", "premium_minute"):
        ledger.grant(to=cast.koala.wallet(unit), amount=120, source="promotion", key=f"present:{unit}", by=cast.nora.as_actor())

    told = [event.text for event in activity.recent(cast.northlight, sub_account=cast.koala)]

    assert told[:2] == ["received 2 premium minutes", "received 220 credits"]  # with the starter credits
