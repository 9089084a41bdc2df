"""From the host name of a request to the place it is for, and from its session to the person and what they may do."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from django.conf import settings
from django.contrib.auth import logout
from django.db import connection
from django.http import HttpRequest, HttpResponse, HttpResponseBase

from agency.access import ASSISTING, CAPABILITIES, Can, Role
from agency.models import Agency, Membership
from kit.requests import client_address
from subaccounts.models import Access, Assist, Domain, SubAccount
from subaccounts.tenancy import enter

Response = Callable[[HttpRequest], HttpResponseBase]


@dataclass(frozen=True)
class Site:
    """What a host name stands for. `realm` is the agency whose clients sign in here; None on the platform's own host."""

    kind: Literal["platform", "workspace"]
    host: str
    sub_account: SubAccount | None = None

    @property
    def agency(self) -> Agency | None:
        return self.sub_account.agency if self.sub_account else None

    @property
    def realm(self) -> Agency | None:
        return self.agency


def site_for(host: str) -> Site | None:
    """The site of a `Host` header, or None when it is nobody's."""
    name, _, port = host.lower().partition(":")
    base, _, base_port = settings.BASE_DOMAIN.partition(":")
    if port and port != base_port:
        return None
    name = name.rstrip(".")
    if name == base:
        return Site("platform", settings.BASE_DOMAIN)
    domain = Domain.objects.select_related("tenant__agency__plan").filter(domain=name).first()
    if domain is None or domain.tenant.status != SubAccount.READY:
        return None
    return Site("workspace", host.lower(), domain.tenant)


class HostMiddleware:
    """Finds the site or answers 404; a workspace's request runs inside its schema."""

    def __init__(self, get_response: Response) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        connection.set_schema_to_public()
        site = site_for(request.META.get("HTTP_HOST", ""))
        if site is None:
            return HttpResponse("Not found.", status=404, content_type="text/plain")
        request.site = site
        if site.sub_account is None:
            return self.get_response(request)
        request.urlconf = settings.WORKSPACE_URLCONF
        with enter(site.sub_account):
            return self.get_response(request)


class SessionStampMiddleware:
    """A session is good on the host it was made on and nowhere else."""

    def __init__(self, get_response: Response) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        stamp = request.site.host
        if request.session.get("_host", stamp) != stamp:
            request.session.flush()
        response = self.get_response(request)
        if request.session.modified and not request.session.is_empty():
            request.session["_host"] = stamp
        return response


class PersonMiddleware:
    """Who this is and what they may do here, read anew on every request so that a change acts on the very next one."""

    def __init__(self, get_response: Response) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        request.membership = request.agency = request.assist = request.actor = None
        request.capabilities = frozenset()
        if request.user.is_authenticated:
            self._recognise(request)
        return self.get_response(request)

    def _recognise(self, request: HttpRequest) -> None:
        site: Site = request.site
        user = request.user
        request.actor = user.as_actor(address=client_address(request))
        if site.sub_account is None:
            if user.realm_id is not None:
                logout(request)
                return
            request.membership = Membership.objects.select_related("agency__plan").filter(user=user).order_by("id").first()
            if request.membership is not None:
                request.agency = request.membership.agency
                request.capabilities = CAPABILITIES[Role(request.membership.role)]
            return
        request.agency = site.agency
        if user.realm_id == site.sub_account.agency_id:
            access = Access.objects.filter(sub_account=site.sub_account, user=user).first()
            if access is not None:
                request.capabilities = CAPABILITIES[Role(access.role)]
            return
        self._recognise_assist(request, site.sub_account)

    def _recognise_assist(self, request: HttpRequest, sub_account: SubAccount) -> None:
        """An agency user on a workspace's host: only with an open assist, and only while their membership allows it."""
        assist = Assist.objects.filter(public_id=request.session.get("assist"), user=request.user, sub_account=sub_account).first()
        if assist is None or not assist.is_open or not may_enter(request.user, sub_account):
            logout(request)
            return
        request.assist = assist
        request.capabilities = ASSISTING
        request.actor = request.user.as_actor(on_behalf_of=sub_account.name, address=client_address(request))


def may_enter(user: object, sub_account: SubAccount) -> bool:
    """Whether a member of the agency's team may enter: Owner and Admin every sub-account, a Member only granted ones."""
    membership = Membership.objects.filter(user=user, agency=sub_account.agency_id).first()
    if membership is None or Can.ENTER_SUB_ACCOUNTS not in CAPABILITIES[Role(membership.role)]:
        return False
    if membership.role in (Role.OWNER, Role.ADMIN):
        return True
    return Access.objects.filter(sub_account=sub_account, user=user, role=Access.GRANTED).exists()
