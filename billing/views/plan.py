"""The agency's plan with the platform."""

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from agency.models import Agency, Plan
from billing import plans
from kit.refusal import Refusal


class PlanForm(forms.Form):
    plan = forms.ModelChoiceField(Plan.objects.on_offer(), to_field_name="code", widget=forms.HiddenInput)


def plan(request: HttpRequest) -> HttpResponse:
    agency: Agency = request.agency
    form = PlanForm(request.POST or None)
    refusal: Refusal | None = None
    if form.is_valid():
        try:
            plans.choose(agency, form.cleaned_data["plan"], request.actor)
        except Refusal as refused:
            refusal = refused
        else:
            messages.success(request, f"{agency.name} is on the {form.cleaned_data['plan'].name} plan now.")
            return redirect("plan")
    page = {
        "agency": agency,
        "form": form,
        "refusal": refusal,
        "use": plans.use(agency),
        "may_choose": plans.may_choose(agency),
        "cards": cards(agency),
    }
    return render(request, "billing/plan.html", page, status=refusal.status if refusal else 200)


def cards(agency: Agency) -> list[dict[str, object]]:
    return [{"plan": offered, "is_current": offered.pk == agency.plan_id} for offered in Plan.objects.on_offer()]
