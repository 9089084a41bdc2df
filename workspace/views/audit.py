"""What a client reads of the audit log: what was done in its workspace and to its account, and never its agency's own matters."""

from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from agency import audit, deeds
from agency.access import CLIENT_ROLES, Can
from agency.audit_trail import Trail
from agency.differences import Reader
from agency.models import ApiKey, AuditRecord, User
from agency.views.audit import Asked, every, listed, said, utc
from kit import clock
from kit.csv_stream import csv_response
from subaccounts.doors import workspace_door
from subaccounts.models import SubAccount

CSV_HEAD = ("When (UTC)", "Who", "On behalf of", "What", "Kind", "Network address", "Before", "After", "Record")


def trail_of(sub_account: SubAccount) -> Trail:
    own = User.objects.filter(accesses__sub_account=sub_account, accesses__role__in=CLIENT_ROLES).values_list("public_id", flat=True)
    keys = ApiKey.objects.filter(agency=sub_account.agency, sub_account_id=sub_account.public_id).values_list("public_id", flat=True)
    return Trail(sub_account.agency, sub_account.public_id, tuple(map(str, [*own, *keys])))


def asked_of(request: HttpRequest) -> Asked:
    return Asked(trail_of(request.site.sub_account), request.GET, "workspace_audit", "workspace_audit_csv")


@workspace_door(Can.MANAGE_WORKSPACE)
@require_safe
def workspace_audit(request: HttpRequest) -> HttpResponse:
    return render(request, "workspace/audit.html", listed(asked_of(request)))


@workspace_door(Can.MANAGE_WORKSPACE)
@require_safe
def workspace_audit_csv(request: HttpRequest) -> HttpResponseBase:
    """What is filtered, as a file of any length. Who takes it leaves a record, which is not in it."""
    asked, sub_account = asked_of(request), request.site.sub_account
    if not asked.is_answerable:
        return redirect(asked.address())
    taken = audit.record(
        "audit.exported_by_client",
        by=request.actor,
        agency=sub_account.agency,
        sub_account_id=sub_account.public_id,
        subject=sub_account.name,
        after={"filters": asked.in_words},
    )
    rows = (_csv_row(asked, record, reader) for record, reader in every(asked, taken))
    return csv_response(f"{sub_account.slug}-audit-log-{clock.today_in(sub_account.agency.time_zone)}.csv", CSV_HEAD, rows)


def _csv_row(asked: Asked, record: AuditRecord, reader: Reader) -> list[Any]:
    difference = reader.read(record)
    return [
        utc(record),
        deeds.who(record),
        record.on_behalf_of,
        deeds.in_words(record),
        deeds.kind_of(record.action).label,
        asked.trail.address_of(record),
        said(difference, "before"),
        said(difference, "after"),
        str(record.pk),
    ]
