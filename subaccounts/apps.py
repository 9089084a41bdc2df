from django.apps import AppConfig


class SubAccountsConfig(AppConfig):
    name = "subaccounts"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        # Registers the system checks, the receiver of sign-outs and an outbox handler; models are not loaded before this.
        from subaccounts import checks, leaving, second_factors  # noqa: F401
