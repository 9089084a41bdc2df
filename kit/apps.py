from django.apps import AppConfig


class KitConfig(AppConfig):
    name = "kit"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from kit import doors  # noqa: F401  (registers the system check)
