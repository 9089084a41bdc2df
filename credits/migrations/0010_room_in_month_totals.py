from django.db import migrations


class Migration(migrations.Migration):
    """Every fold writes the rows of this month anew. With room for that on their pages they stay where they are."""

    dependencies = [("credits", "0009_audit_sheet")]
    operations = [
        migrations.RunSQL(
            "ALTER TABLE public.credits_monthtotal SET (fillfactor = 50)",
            "ALTER TABLE public.credits_monthtotal RESET (fillfactor)",
        )
    ]
