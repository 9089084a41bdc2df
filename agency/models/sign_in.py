from django.db import models

from agency.models.user import User
from kit import clock, user_agents


class SignIn(models.Model):
    """One try to sign in as a known person, shown to that person. `host` is where, `device` what the browser says it is."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="sign_ins", db_index=False)
    at = models.DateTimeField(default=clock.now)
    outcome = models.CharField(max_length=12, choices=[(SUCCEEDED, "Signed in"), (FAILED, "Failed")])
    method = models.CharField(max_length=40, blank=True, help_text="How: password, passkey, code and so on.")
    host = models.CharField(max_length=253)
    address = models.CharField(max_length=64, blank=True)
    device = models.CharField(max_length=160, blank=True)
    is_new_device = models.BooleanField(default=False)

    class Meta:
        indexes = [models.Index(fields=["user", "-at"], name="sign_in_newest")]

    @property
    def icon(self) -> str:
        return user_agents.icon_of(self.device)

    @property
    def tone(self) -> str:
        return "good" if self.outcome == self.SUCCEEDED else "bad"

    def __str__(self) -> str:
        return f"{self.user} at {self.at:%Y-%m-%d %H:%M}"
