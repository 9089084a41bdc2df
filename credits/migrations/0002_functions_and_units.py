from pathlib import Path

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

SQL = Path(__file__).resolve().parent.parent / "sql"
UNITS = [
    ("credit", "credit", "credits", 1),
    ("basic_minute", "basic minute", "basic minutes", 60),
    ("premium_minute", "premium minute", "premium minutes", 60),
    ("knowledge_pack", "knowledge pack", "knowledge packs", 1),
]


def sow_units(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    unit = apps.get_model("credits", "Unit")
    for position, (code, name, plural, steps) in enumerate(UNITS):
        unit.objects.create(code=code, name=name, plural=plural, steps=steps, position=position)


class Migration(migrations.Migration):
    dependencies = [("credits", "0001_initial")]
    operations = [
        *[migrations.RunSQL((SQL / f"{name}.sql").read_text(), migrations.RunSQL.noop) for name in ("entries", "books")],
        migrations.RunPython(sow_units, migrations.RunPython.noop),
    ]
