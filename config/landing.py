"""What somebody sees who is not signed in on the platform's own host."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from agency.models import Plan
from kit.doors import open_door


@open_door("the first page a stranger sees")
@require_safe
def landing(request: HttpRequest) -> HttpResponse:
    """Signed-in people go on to their agency's home."""
    if request.user.is_authenticated:
        return redirect("agency_home")
    context = {
        "plans": Plan.objects.on_offer(),
        "trial_days": settings.TRIAL_DAYS,
        "trial_credits": settings.TRIAL_POOL_CREDITS,
        "support_email": settings.SUPPORT_EMAIL,
    }
    return render(request, "public/home.html", context)
