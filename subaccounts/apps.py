from django.apps import AppConfig


class SubAccountsConfig(AppConfig):
    name = "subaccounts"
    default_auto_field = "django.db.models.BigAutoField"
