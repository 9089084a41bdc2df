"""Opening agencies and sub-accounts, through the deed (C-05 … C-19, L-01 … L-06)."""

from uuid import uuid4

import pytest
from allauth.account.models import EmailAddress
from django.contrib.auth.hashers import check_password
from django.db import connection

from agency.models import Agency, AuditRecord, Plan, User
from credits import ledger
from credits.models import Grant
from kit.models import OutboxMessage
from subaccounts import addresses, opening
from subaccounts.models import Access, Domain, SpareWorkspace, SubAccount
from tests.cast import TESTS, Cast


def open_one(agency: Agency, **wishes: object) -> opening.Opened:
    wanted = {"first_name": "Gil", "last_name": "Ode", "email": "gil@ode.example", "slug": "ode-bakery", "business_name": "Ode Bakery"}
    return opening.open_sub_account(agency=agency, by=TESTS, **{**wanted, **wishes})  # type: ignore[arg-type]


def schemas() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_namespace WHERE nspname LIKE 't\\_%'")
        return int(cursor.fetchone()[0])


def test_c14_a_new_sub_account_is_whole_at_once(cast: Cast) -> None:
    opened = open_one(cast.northlight)

    made = opened.sub_account
    assert made.name == "Ode Bakery"
    assert Domain.objects.get(tenant=made).domain == "ode-bakery.localhost"
    access = Access.objects.get(sub_account=made)
    assert (access.user.email, access.role, access.user.realm) == ("gil@ode.example", "sub_account_admin", cast.northlight)
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass(%s) IS NOT NULL", [f"{made.schema_name}.workspace_chatbot"])
        assert cursor.fetchone() == (True,)


def test_c11_the_generated_password_is_strong_stored_only_as_a_hash_and_must_be_changed(cast: Cast) -> None:
    opened = open_one(cast.northlight)

    user, password = opened.user, opened.password
    assert user is not None
    assert password is not None
    assert len(password.replace("-", "")) == 16
    assert check_password(password, user.password)
    assert user.must_change_password
    assert user.initial_password_expires_at is not None
    assert abs((user.initial_password_expires_at - user.date_joined).total_seconds() - 7 * 86400) < 5
    assert EmailAddress.objects.get(user=user).verified


def test_the_password_is_in_no_row_of_the_outbox_and_no_audit_record(cast: Cast) -> None:
    opened = open_one(cast.northlight)

    assert opened.password
    waiting = " ".join(str(message.payload) for message in OutboxMessage.objects.all())
    assert opened.password not in waiting
    assert opened.password not in " ".join(f"{record.before} {record.after}" for record in AuditRecord.objects.all())


def test_c15_starter_credits_are_spent_first_and_cannot_be_moved(cast: Cast) -> None:
    made = open_one(cast.northlight).sub_account

    grant = Grant.objects.get(wallet=made.wallet("credit"))
    assert (grant.source, grant.amount, grant.transferable) == ("starter", 100, False)
    pool_before = cast.northlight.pool("credit").balance
    ledger.spend(sources=made.credit_sources("credit"), amount=30, key=f"t:{uuid4()}", kind="ai_reply", by=TESTS)
    assert made.wallet("credit").balance == 70
    assert cast.northlight.pool("credit").balance == pool_before


def test_starter_credits_can_be_switched_off(cast: Cast, settings: object) -> None:
    settings.STARTER_CREDITS = 0  # type: ignore[attr-defined]

    made = open_one(cast.northlight).sub_account

    assert made.wallet("credit").balance == 0


def test_p05_the_worked_example_holds_for_a_client_without_own_credits(cast: Cast, settings: object) -> None:
    settings.STARTER_CREDITS = 0  # type: ignore[attr-defined]
    made = open_one(cast.northlight).sub_account
    for amount, kind in ((50, "campaign_message"), (30, "ai_reply")):
        ledger.spend(sources=made.credit_sources("credit"), amount=amount, key=f"t:{uuid4()}", kind=kind, by=TESTS)

    assert cast.northlight.pool("credit").balance == 920


def test_c19_a_client_without_a_login(cast: Cast) -> None:
    opened = open_one(cast.northlight, has_login=False, email="")

    assert (opened.user, opened.password) == (None, None)
    assert not opened.sub_account.accesses.exists()


def test_a_known_address_is_known_however_its_domain_is_spelt(cast: Cast) -> None:
    open_one(cast.northlight, email="jo@bücher.example")
    for spelling in ("jo@xn--bcher-kva.example", "JO@BÜCHER.example"):
        with pytest.raises(opening.EmailKnown):
            open_one(cast.northlight, email=spelling, slug="ode-again")


def test_a_known_address_is_refused_in_its_realm_and_free_in_another(cast: Cast) -> None:
    with pytest.raises(opening.EmailKnown):
        open_one(cast.northlight, email="PAUL@acme-plumbing.example")

    opened = open_one(cast.harbour, email="paul@acme-plumbing.example")
    assert opened.user is not None
    assert User.objects.filter(email="paul@acme-plumbing.example").count() == 2


@pytest.mark.parametrize("slug", ["ab", "www", "canopy", "acme plumbing", "xn--80ak", "-acme", "acme-", "Acme", "a" * 41, "ä-bc"])
def test_slugs_that_cannot_be(cast: Cast, slug: str) -> None:
    with pytest.raises(addresses.BadSlug):
        open_one(cast.northlight, slug=slug)


@pytest.mark.parametrize("slug", ["acme-plumbing", "beacon-dental", "northlight", "harbour"])
def test_a_slug_that_somebody_has(cast: Cast, slug: str) -> None:
    with pytest.raises(addresses.SlugTaken):
        open_one(cast.northlight, slug=slug)


def test_slug_suggestions(cast: Cast) -> None:
    assert addresses.suggest_slug("Öde & Søn Bakery!") == "ode-sn-bakery"
    assert addresses.suggest_slug("Acme Plumbing") == "acme-plumbing-2"
    assert addresses.suggest_slug("東京") == ""
    assert addresses.suggest_slug("Www") == "www-2"
    assert addresses.suggest_slug("Bakery and Patisserie of the Greater Valley") == "bakery-and-patisserie-of-the-greater"
    assert addresses.suggest_slug("x" * 60) == "x" * 37


def test_l05_at_the_limit_nothing_is_made(cast: Cast) -> None:
    agency = cast.northlight
    agency.plan = Plan.objects.get(code="starter")
    agency.max_sub_accounts_override = SubAccount.objects.of(agency).clients().count()
    agency.save()
    before = (SubAccount.objects.count(), User.objects.count(), OutboxMessage.objects.count(), schemas())

    with pytest.raises(opening.SubAccountLimitReached):
        open_one(agency)

    assert (SubAccount.objects.count(), User.objects.count(), OutboxMessage.objects.count(), schemas()) == before


def test_l06_a_removed_sub_account_frees_its_place_and_the_primary_takes_none(cast: Cast) -> None:
    agency = cast.northlight
    agency.max_sub_accounts_override = SubAccount.objects.of(agency).clients().count()
    agency.save()
    SubAccount.objects.filter(slug="koala-legal").update(status=SubAccount.REMOVED)

    assert opening.slots_left(agency) == 1
    assert open_one(agency).is_new


def test_the_same_key_opens_one(cast: Cast) -> None:
    key = uuid4()

    first = open_one(cast.northlight, key=key)
    second = open_one(cast.northlight, key=key)

    assert (first.is_new, second.is_new) == (True, False)
    assert first.sub_account == second.sub_account
    assert second.password is None


def test_another_agencys_key_opens_another(cast: Cast) -> None:
    key = uuid4()

    first = open_one(cast.northlight, key=key)
    second = open_one(cast.harbour, key=key, slug="ode-bakery-2")

    assert first.sub_account.public_id != second.sub_account.public_id


@pytest.mark.parametrize(
    "broken", ["agency.audit.record", "kit.mail.send", "credits.ledger.open_wallets", "subaccounts.models.Domain.save"]
)
def test_a_failure_in_the_middle_leaves_nothing(cast: Cast, monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    before = (
        SubAccount.objects.count(),
        User.objects.count(),
        OutboxMessage.objects.count(),
        Domain.objects.count(),
        AuditRecord.objects.count(),
    )
    room = (schemas(), SpareWorkspace.objects.count())

    def fail(*args: object, **kwargs: object) -> None:
        raise RuntimeError("pulled the plug")

    monkeypatch.setattr(broken, fail)
    with pytest.raises(RuntimeError):
        open_one(cast.northlight)

    after = (
        SubAccount.objects.count(),
        User.objects.count(),
        OutboxMessage.objects.count(),
        Domain.objects.count(),
        AuditRecord.objects.count(),
    )
    assert after == before
    assert (schemas(), SpareWorkspace.objects.count()) == room


def test_an_agency_opens_with_everything_it_needs(cast: Cast) -> None:
    owner = User.objects.create_user(email="new@owner.example", first_name="New", last_name="Owner")

    agency = opening.open_agency(owner=owner, name="Fjord Media", slug="fjord-media", time_zone="Europe/Oslo", currency="NOK", by=TESTS)

    assert agency.plan.code == "starter"
    assert agency.trial_days_left == 14
    assert agency.memberships.get().role == "owner"
    assert agency.pool("credit").balance == 1000
    assert agency.pool("credit").low_at == 100
    primary = SubAccount.objects.get(agency=agency)
    assert primary.is_primary
    assert Domain.objects.get(tenant=primary).domain == "fjord-media.localhost"
    assert set(AuditRecord.objects.filter(agency=agency).values_list("action", flat=True)) == {"agency.opened", "sub_account.opened"}


def test_an_agency_whose_slug_is_taken_is_not_opened(cast: Cast) -> None:
    with pytest.raises(addresses.SlugTaken):
        opening.open_agency(owner=cast.nora, name="Acme", slug="acme-plumbing", by=TESTS)

    assert not Agency.objects.filter(name="Acme").exists()
