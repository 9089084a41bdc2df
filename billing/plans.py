"""The agency's own plan with the platform: what it allows, what is in use, and choosing another one."""

from dataclasses import dataclass

from django.db import transaction
from django.db.models import Sum

from agency import audit
from agency.models import Agency, Plan
from kit.actor import Actor
from kit.refusal import Refusal
from subaccounts import opening
from subaccounts.models import SubAccount


class TrialOver(Refusal):
    """A plan is chosen freely during the trial only."""

    code = "trial_over"
    status = 409
    default_message = "Your trial is over, so the plan cannot be changed here. Please write to us; nothing was changed."


class PlanTooSmall(Refusal):
    """More is in use than the plan allows; the message says what to remove."""

    code = "plan_too_small"
    status = 409


@dataclass(frozen=True)
class Use:
    """One limit of a plan beside what is in use of it. `limit` None is no limit."""

    noun: str
    used: int
    limit: int | None

    @property
    def over(self) -> int:
        """How many too many."""
        return 0 if self.limit is None else max(0, self.used - self.limit)


def use(agency: Agency, plan: Plan | None = None) -> list[Use]:
    """What the agency uses of each limit of `plan` (its own when left out), invited clients included.

    A limit staff have set for the agency goes before the plan's.
    """
    plan = plan or agency.plan
    of_agency = SubAccount.objects.of(agency).ready()
    chatbots = of_agency.aggregate(total=Sum("chatbots"))["total"] or 0
    return [
        Use("sub-accounts", opening.slots_taken(agency), _limit(agency.max_sub_accounts_override, plan.max_sub_accounts)),
        Use("chatbots", chatbots, _limit(agency.max_chatbots_override, plan.max_chatbots)),
    ]


def _limit(override: int | None, of_plan: int | None) -> int | None:
    return of_plan if override is None else override


def may_choose(agency: Agency) -> bool:
    return bool(agency.trial_days_left)


@transaction.atomic
def choose(agency: Agency, plan: Plan, by: Actor) -> Agency:
    """Put the agency on `plan` at once. The one it is on already changes nothing.

    Raises `TrialOver`, and `PlanTooSmall` when more is in use than `plan` allows; then nothing was changed.
    """
    locked = Agency.objects.select_for_update(no_key=True, of=("self",)).select_related("plan").get(pk=agency.pk)
    if locked.plan_id == plan.pk:
        return locked
    if not may_choose(locked):
        raise TrialOver()
    too_many = [f"{part.over} of your {part.used} {part.noun}" for part in use(locked, plan) if part.over]
    if too_many:
        raise PlanTooSmall(f"{plan.name} is too small for what you use. Remove {' and '.join(too_many)} first; nothing was changed.")
    before, locked.plan = locked.plan.code, plan
    locked.save(update_fields=["plan"])
    audit.record("plan.chosen", by=by, agency=locked, subject=plan.name, before={"plan": before}, after={"plan": plan.code})
    return locked
