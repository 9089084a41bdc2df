"""Opening an agency and opening a sub-account: each one transaction, all of it or nothing."""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID, uuid5

from allauth.account.models import EmailAddress
from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.core.exceptions import ImproperlyConfigured
from django.db import IntegrityError, transaction

from agency import audit
from agency.access import Role
from agency.models import Agency, Membership, Plan, User
from credits import ledger
from credits.models import Wallet
from kit import clock, events, mail, passwords
from kit.actor import Actor, system
from kit.refusal import Refusal
from subaccounts import addresses, provisioning, reach
from subaccounts.models import Access, Domain, Invitation, SubAccount

FIRST_PLAN = "starter"
FIRST_PASSWORD_DAYS = 7
PLATFORM = system("Platform")


class SubAccountLimitReached(Refusal):
    """The agency's plan allows no further client; the page offers an upgrade."""

    code = "sub_account_limit_reached"
    status = 409


class AgencyDeleted(Refusal):
    code = "agency_deleted"
    status = 403
    default_message = "This agency is deleted. Nothing was opened."


class EmailKnown(Refusal):
    """The agency's realm already knows the address: it belongs to somebody who signs in to another of its sub-accounts."""

    code = "email_known"
    status = 409


@dataclass(frozen=True)
class Opened:
    """What was opened. `password` is in clear here and nowhere else: show it once, never store it.

    `is_new` is False when the same `key` had opened it before; the password is not known any more then.
    """

    sub_account: SubAccount
    user: User | None = None
    password: str | None = None
    is_new: bool = True


@dataclass(frozen=True)
class FirstPassword:
    password: str
    hash: str

    @classmethod
    def generated(cls) -> "FirstPassword":
        password = passwords.generate()
        return cls(password, make_password(password))


@transaction.atomic
def open_agency(*, owner: User, name: str, slug: str, time_zone: str = "UTC", currency: str = "USD", by: Actor) -> Agency:
    """The agency with its owner, first plan and trial, pools, trial credits and primary sub-account with its workspace.

    Raises `addresses.BadSlug` and `addresses.SlugTaken`; then nothing was made.
    """
    addresses.check_slug(slug)
    agency = Agency(
        name=name,
        slug=slug,
        time_zone=time_zone,
        currency=currency,
        plan=_first_plan(),
        trial_ends_at=clock.now() + timedelta(days=settings.TRIAL_DAYS),
    )
    _save_with_slug(agency)
    Membership.objects.create(agency=agency, user=owner, role=Role.OWNER)
    ledger.open_wallets(Wallet.AGENCY, agency.public_id)
    _grant_trial_credits(agency)
    audit.record("agency.opened", by=by, agency=agency, subject=name, after={"slug": slug, "plan": agency.plan.code, "owner": owner.email})
    _open(agency, SubAccount(agency=agency, name=name, slug=slug, business_name=name, is_primary=True), by=by)
    return agency


@transaction.atomic
def open_sub_account(
    *,
    agency: Agency,
    first_name: str,
    last_name: str,
    slug: str,
    by: Actor,
    email: str = "",
    business_name: str = "",
    city: str = "",
    state: str = "",
    postal_code: str = "",
    description: str = "",
    has_login: bool = True,
    is_white_label: bool = False,
    key: UUID | None = None,
) -> Opened:
    """A client of `agency` with workspace, wallets, starter credits and, with `has_login`, a Subaccount Admin and their mailed password.

    The same `key` opens one sub-account however often it arrives. Raises `SubAccountLimitReached`, `EmailKnown`,
    `addresses.BadSlug` and `addresses.SlugTaken`; then nothing was made.
    """
    # Hashing takes a third of a second on purpose: not while the others of this agency wait.
    first = FirstPassword.generated() if has_login else None
    agency = Agency.objects.select_for_update(no_key=True, of=("self",)).select_related("plan").get(pk=agency.pk)
    if agency.deleted_at is not None:
        raise AgencyDeleted
    public_id = uuid5(agency.public_id, str(key)) if key else None
    if public_id and (before := SubAccount.objects.filter(public_id=public_id).first()):
        return Opened(before, is_new=False)
    check_limit(agency)
    addresses.check_slug(slug)
    if first:
        check_email(agency, email)
    sub_account = SubAccount(
        agency=agency,
        name=business_name or f"{first_name} {last_name}".strip(),
        slug=slug,
        contact_first_name=first_name,
        contact_last_name=last_name,
        contact_email=email,
        business_name=business_name,
        city=city,
        state=state,
        postal_code=postal_code,
        description=description,
        is_white_label=is_white_label,
    )
    if public_id:
        sub_account.public_id = public_id
    _open(agency, sub_account, by=by)
    _grant_starter_credits(sub_account)
    if not first:
        return Opened(sub_account)
    user = _open_login(sub_account, first, email=email, first_name=first_name, last_name=last_name, by=by)
    return Opened(sub_account, user, first.password)


def slots_left(agency: Agency) -> int | None:
    """How many more clients the plan allows; None is any number. One that is invited has its place already."""
    return None if agency.max_sub_accounts is None else max(0, agency.max_sub_accounts - slots_taken(agency))


def slots_taken(agency: Agency) -> int:
    """How many clients count towards the limit: those that are there, and those that an open invitation promises a place."""
    invited = Invitation.objects.open().opening().filter(agency=agency).count()
    return SubAccount.objects.of(agency).clients().ready().count() + invited


def check_limit(agency: Agency) -> None:
    """Raises `SubAccountLimitReached`. With the agency's row locked, of several at once none can slip past the count."""
    if slots_left(agency) == 0:
        raise SubAccountLimitReached(
            f"Your {agency.plan.name} plan includes {agency.max_sub_accounts} sub-accounts and all are in use or promised"
            " by an open invitation. Nothing was opened."
        )


def _first_plan() -> Plan:
    plan = Plan.objects.filter(code=FIRST_PLAN).first()
    if plan is None:
        raise ImproperlyConfigured(f"There is no plan with the code {FIRST_PLAN!r}: run manage.py migrate.")
    return plan


def check_email(agency: Agency, email: str) -> None:
    """Raises `EmailKnown` when a client of this agency signs in with the address already."""
    if User.objects.known_as(email, realm=agency) is not None:
        raise EmailKnown(f"{email} already signs in to one of your sub-accounts. Use another address, or open this one without a login.")


def _open(agency: Agency, sub_account: SubAccount, *, by: Actor) -> None:
    """The row, its schema, its wallets, and last the domain: nobody reaches a workspace that is not whole."""
    sub_account.schema_name, sub_account.fingerprint = provisioning.take_workspace()
    _save_with_slug(sub_account)
    ledger.open_wallets(Wallet.SUB_ACCOUNT, sub_account.public_id, agency_id=agency.public_id)
    audit.record(
        "sub_account.opened",
        by=by,
        agency=agency,
        sub_account_id=sub_account.public_id,
        subject=sub_account.name,
        after={"slug": sub_account.slug, "is_primary": sub_account.is_primary},
    )
    reach.follow(sub_account)
    Domain.objects.create(domain=addresses.host_name(sub_account.slug), tenant=sub_account, is_primary=True)
    data = {"name": sub_account.name, "address": addresses.own_url(sub_account)}
    events.publish("sub_account.created", agency_id=agency.public_id, sub_account_id=sub_account.public_id, data=data)


def _save_with_slug(row: Agency | SubAccount) -> None:
    try:
        row.save()
    except IntegrityError as error:  # somebody took the slug between the check and here
        raise addresses.SlugTaken(f"The web address “{row.slug}” has just been taken. Choose another one; nothing was opened.") from error


def _grant_trial_credits(agency: Agency) -> None:
    """Enough to try everything; an alert when a tenth is left."""
    if settings.TRIAL_POOL_CREDITS:
        pool = agency.pool("credit")
        ledger.grant(
            to=pool,
            amount=settings.TRIAL_POOL_CREDITS,
            source="promotion",
            key=f"trial:{agency.public_id}",
            transferable=False,
            memo="Trial credits",
            by=PLATFORM,
        )
        ledger.set_threshold(wallet=pool, low_at=settings.TRIAL_POOL_CREDITS // 10, by=PLATFORM)


def _grant_starter_credits(sub_account: SubAccount) -> None:
    """A present of the platform: the ledger spends this source first, and it cannot be moved elsewhere (decision 3)."""
    if settings.STARTER_CREDITS:
        ledger.grant(
            to=sub_account.wallet("credit"),
            amount=settings.STARTER_CREDITS,
            source="starter",
            key=f"starter:{sub_account.public_id}",
            transferable=False,
            memo="Starter credits",
            sub_account_id=sub_account.public_id,
            by=PLATFORM,
        )


def _open_login(sub_account: SubAccount, first: FirstPassword, *, email: str, first_name: str, last_name: str, by: Actor) -> User:
    user = User.objects.create_user(
        email=email,
        realm=sub_account.agency,
        first_name=first_name,
        last_name=last_name,
        must_change_password=True,
        initial_password_expires_at=clock.now() + timedelta(days=FIRST_PASSWORD_DAYS),
    )
    user.password = first.hash
    user.save(update_fields=["password"])
    # Whoever signs in with the mailed password has shown that the address is theirs.
    EmailAddress.objects.create(user=user, email=user.email, primary=True, verified=True)
    Access.objects.create(sub_account=sub_account, user=user, role=Role.SUB_ACCOUNT_ADMIN)
    audit.record(
        "access.granted",
        by=by,
        agency=sub_account.agency,
        sub_account_id=sub_account.public_id,
        subject=user.email,
        after={"role": Role.SUB_ACCOUNT_ADMIN.value},
    )
    _mail_credentials(sub_account, user, first.password)
    return user


def _mail_credentials(sub_account: SubAccount, user: User, password: str) -> None:
    context = {
        "agency": sub_account.agency,
        "sub_account": sub_account,
        "user": user,
        "password": password,
        "address": addresses.own_url(sub_account),
        "days": FIRST_PASSWORD_DAYS,
    }
    mail.send(
        to=user.email,
        template="mails/credentials",
        context=context,
        key=f"credentials:{user.public_id}",
        sender_name=sub_account.agency.name,
    )
