from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

PLANS = [
    # code, name, price per month in cents, sub-accounts, chatbots, reselling and white label
    ("starter", "Starter", 4_900, 3, 5, False),
    ("growth", "Growth", 9_900, 5, 10, False),
    ("scale-10", "Scale 10", 17_900, 10, 20, False),
    ("scale-20", "Scale 20", 29_900, 20, 40, False),
    ("agency", "Agency", 59_900, None, 50, True),
]

APPEND_ONLY = """
CREATE FUNCTION agency_auditrecord_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is append-only' USING ERRCODE = 'restrict_violation';
END
$$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON agency_auditrecord
    FOR EACH ROW EXECUTE FUNCTION agency_auditrecord_is_append_only();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON agency_auditrecord
    FOR EACH STATEMENT EXECUTE FUNCTION agency_auditrecord_is_append_only();
"""
NOT_APPEND_ONLY = """
DROP TRIGGER never_emptied ON agency_auditrecord;
DROP TRIGGER append_only ON agency_auditrecord;
DROP FUNCTION agency_auditrecord_is_append_only();
"""


def offer_plans(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    plan = apps.get_model("agency", "Plan")
    for position, (code, name, price, sub_accounts, chatbots, everything) in enumerate(PLANS):
        plan.objects.update_or_create(
            code=code,
            defaults={
                "name": name,
                "price_minor": price,
                "max_sub_accounts": sub_accounts,
                "max_chatbots": chatbots,
                "has_reselling": everything,
                "has_white_label": everything,
                "position": position,
            },
        )


class Migration(migrations.Migration):
    dependencies = [("agency", "0001_initial")]

    operations = [
        migrations.RunPython(offer_plans, migrations.RunPython.noop),
        migrations.RunSQL(APPEND_ONLY, NOT_APPEND_ONLY),
    ]
