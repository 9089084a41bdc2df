from contextlib import suppress
from typing import Any

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.db import models
from django.db.models.functions import Lower
from django.utils.crypto import salted_hmac

from agency.models.agency import Agency
from kit import clock
from kit.actor import Actor
from kit.ids import uuid7


def normal_address(address: str) -> str:
    """The one spelling of an e-mail address: lower case, the domain as its A-label.

    Without it a look-alike domain (a Kelvin sign for a k) would find the right person and send the mail to the wrong one.
    """
    local, _, domain = address.strip().rpartition("@")
    with suppress(UnicodeError):  # not a domain at all: such an address is nobody's
        domain = domain.encode("idna").decode("ascii")
    return f"{local}@{domain}".lower()


class UserManager(BaseUserManager["User"]):
    def in_realm(self, realm: Agency | None) -> models.QuerySet["User"]:
        """The people of one realm: an agency's clients, or (None) agency teams and staff."""
        return self.filter(realm=realm)

    def known_as(self, address: str, *, realm: Agency | None) -> "User | None":
        """The person of `realm` with this address; the only way from an address to a person."""
        return self.in_every_realm(address).filter(realm=realm).first()

    def in_every_realm(self, address: str) -> models.QuerySet["User"]:
        """Everyone with this address. Only for mail to the address itself: whoever asks must not learn the answer."""
        return self.alias(address=Lower("email")).filter(address=normal_address(address))

    def create_user(self, *, email: str, password: str | None = None, realm: Agency | None = None, **fields: Any) -> "User":
        user = self.model(email=normal_address(email), realm=realm, **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, *, handle: str = "", email: str = "", password: str | None = None, **fields: Any) -> "User":
        return self.create_user(email=email or handle, password=password, is_staff=True, is_superuser=True, **fields)


class User(AbstractBaseUser, PermissionsMixin):
    """A person. Unique by (realm, e-mail): `realm` is the agency whose client they are, None for teams and staff.

    One person may be a client of two agencies and neither learns of the other. `handle` exists because Django wants one
    globally unique name for each user; nobody types it.
    """

    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    handle = models.CharField(max_length=36, unique=True, default=uuid7, editable=False)
    realm = models.ForeignKey(Agency, null=True, blank=True, on_delete=models.PROTECT, related_name="client_users")
    email = models.EmailField(max_length=254)
    first_name = models.CharField(max_length=80, blank=True)
    last_name = models.CharField(max_length=80, blank=True)
    time_zone = models.CharField(max_length=64, blank=True)
    is_active = models.BooleanField(default=True)
    is_staff = models.BooleanField(default=False)
    must_change_password = models.BooleanField(default=False)
    initial_password_expires_at = models.DateTimeField(null=True, blank=True)
    sessions_ended = models.PositiveIntegerField(
        default=0, db_default=0, editable=False, help_text="How often all of their sessions were ended; no session outlives a change of it."
    )
    date_joined = models.DateTimeField(default=clock.now)

    objects = UserManager()

    USERNAME_FIELD = "handle"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS = ["email"]

    class Meta:
        constraints = [
            models.UniqueConstraint("realm", Lower("email"), name="user_once_per_realm", nulls_distinct=False),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def name(self) -> str:
        return f"{self.first_name} {self.last_name}".strip() or self.email

    @property
    def has_dead_initial_password(self) -> bool:
        """The generated password was never changed and its seven days are over: it opens nothing any more."""
        expires_at = self.initial_password_expires_at
        return self.must_change_password and expires_at is not None and expires_at <= clock.now()

    def _get_session_auth_hash(self, secret: str | None = None) -> str:
        """What every session of theirs is compared with on every request."""
        mark: str = super()._get_session_auth_hash(secret)  # type: ignore[misc]  # (Django's own, which its stubs leave out)
        if not self.sessions_ended:
            return mark
        return salted_hmac("canopy.sessions", f"{mark}:{self.sessions_ended}", secret=secret, algorithm="sha256").hexdigest()

    def choose_password(self, password: str) -> None:
        """Set and save a password the person chose; a generated one is settled by it. Every other session ends with its hash."""
        self.set_password(password)
        self.must_change_password = False
        self.initial_password_expires_at = None
        self.save(update_fields=["password", "must_change_password", "initial_password_expires_at"])

    def as_staff(self, *, address: str = "") -> Actor:
        """The actor on the staff's host. An agency reads the label on its statement, so it carries no address of staff."""
        return Actor(kind="staff", id=str(self.public_id), label=f"{self.name}, {settings.PLATFORM_NAME} staff", address=address)

    def as_actor(self, *, on_behalf_of: str = "", address: str = "") -> Actor:
        return Actor(kind="user", id=str(self.public_id), label=f"{self.name} <{self.email}>", on_behalf_of=on_behalf_of, address=address)
