import django.db.models.functions.datetime
from pathlib import Path

from django.db import migrations, models

SPEND = (Path(__file__).resolve().parent.parent / "sql" / "spend.sql").read_text()
# Whatever their parameters were: a function with others is another function.
DROP_FUNCTIONS = """
DO $$
DECLARE f record;
BEGIN
    FOR f IN SELECT oid::regprocedure AS signature FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND proname IN (
        'credits_cross', 'credits_expire', 'credits_draw', 'credits_draw_many', 'credits_settle', 'credits_spend_alone',
        'credits_month', 'credits_id_at', 'credits_held_of_pool', 'credits_used_of_pool', 'credits_rearm', 'credits_crossed', 'credits_on_pool',
        'credits_off_pool', 'credits_limit', 'credits_limit_count', 'credits_limit_zone', 'credits_begin_limit')
    LOOP
        EXECUTE format('DROP ROUTINE %s', f.signature);
    END LOOP;
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [("credits", "0007_staff_admin")]
    operations = [
        migrations.AddField(
            model_name="poollimit",
            name="month_began_at",
            field=models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
        ),
        migrations.RunSQL(DROP_FUNCTIONS + SPEND, migrations.RunSQL.noop),
    ]
