from django.db import models


class PlanQuerySet(models.QuerySet["Plan"]):
    def on_offer(self) -> "PlanQuerySet":
        return self.filter(is_offered=True).order_by("position")


class Plan(models.Model):
    """An agency's tier with the platform; a row that staff edit. `None` in a limit means no limit."""

    code = models.SlugField(max_length=32, unique=True)
    name = models.CharField(max_length=60)
    price_minor = models.PositiveBigIntegerField(help_text="Per month, in minor units of the currency.")
    currency = models.CharField(max_length=3, default="USD")
    max_sub_accounts = models.PositiveIntegerField(null=True, blank=True)
    max_chatbots = models.PositiveIntegerField(null=True, blank=True)
    has_reselling = models.BooleanField(default=False)
    has_white_label = models.BooleanField(default=False)
    is_offered = models.BooleanField(default=True)
    position = models.PositiveSmallIntegerField(default=0)

    objects = PlanQuerySet.as_manager()

    def __str__(self) -> str:
        return self.name
