from django.db import migrations, models
from django.db.models import Q

# The milliseconds of a moment are cut off, as in an id that is made elsewhere: rounded, an entry could belong to the next month.
LEAST_ID = """
CREATE OR REPLACE FUNCTION public.credits_least_id(p_at timestamptz) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
    SELECT (lpad(to_hex(floor(extract(epoch FROM p_at) * 1000)::bigint), 12, '0') || '70008000000000000000')::uuid
$$;
"""
COMMON_USES = ("ai_reply", "campaign_message")


class Migration(migrations.Migration):
    dependencies = [("credits", "0005_totals")]
    operations = [
        migrations.RunSQL(LEAST_ID, migrations.RunSQL.noop),
        migrations.AddIndex("entry", models.Index(fields=["agency_id", "contact", "id"], condition=~Q(contact=""), name="entry_of_contact")),
        migrations.AddIndex(
            "entry", models.Index(fields=["agency_id", "campaign", "id"], condition=~Q(campaign=""), name="entry_of_campaign")
        ),
        migrations.AddIndex(
            "entry", models.Index(fields=["agency_id", "kind", "id"], condition=~Q(kind__in=COMMON_USES), name="entry_of_kind")
        ),
        migrations.AddIndex(
            "entry",
            models.Index(fields=["sub_account_id", "kind", "id"], condition=~Q(kind__in=COMMON_USES), name="entry_of_sub_account_kind"),
        ),
        migrations.AddIndex("entry", models.Index(fields=["agency_id", "id"], condition=Q(own_key=True), name="entry_with_own_key")),
    ]
