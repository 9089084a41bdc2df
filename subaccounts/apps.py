from django.apps import AppConfig


class SubAccountsConfig(AppConfig):
    name = "subaccounts"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from subaccounts import checks  # noqa: F401  (registers the system checks; models are not loaded before this)
