from django.apps import AppConfig


class SubAccountsConfig(AppConfig):
    name = "subaccounts"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        # Registers the system checks and the receiver of sign-outs; models are not loaded before this.
        from subaccounts import checks, leaving  # noqa: F401
