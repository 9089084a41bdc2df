from django.apps import AppConfig


class WhiteLabelConfig(AppConfig):
    name = "whitelabel"
    default_auto_field = "django.db.models.BigAutoField"
