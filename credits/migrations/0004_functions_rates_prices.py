from decimal import Decimal
from pathlib import Path

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

SPEND = (Path(__file__).resolve().parent.parent / "sql" / "spend.sql").read_text()
# Whatever their parameters were: a function with others is another function.
DROP_FUNCTIONS = """
DO $$
DECLARE f record;
BEGIN
    FOR f IN SELECT oid::regprocedure AS signature FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND proname IN (
        'credits_cross', 'credits_expire', 'credits_draw', 'credits_draw_many', 'credits_settle', 'credits_spend_alone')
    LOOP
        EXECUTE format('DROP ROUTINE %s', f.signature);
    END LOOP;
END $$;
"""
KEEP_THRESHOLDS = """
INSERT INTO public.credits_threshold (wallet_id, audience, at)
    SELECT id, 'agency', low_at FROM public.credits_wallet WHERE low_at > 0;
UPDATE public.credits_wallet SET low_at = NULL WHERE low_at <= 0;
"""
RATES = {"ai_reply": 1, "own_key": 0, "campaign_message": 1, "call_basic": 60, "call_premium": 60, "knowledge": 1}
PRICES = {
    "credit": {"USD": "0.05", "EUR": "0.05", "GBP": "0.04"},
    "basic_minute": {"USD": "0.10", "EUR": "0.10", "GBP": "0.08"},
    "premium_minute": {"USD": "0.20", "EUR": "0.19", "GBP": "0.16"},
    "knowledge_pack": {"USD": "20", "EUR": "19", "GBP": "16"},
}


def sow_rates_and_prices(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    for kind, amount in RATES.items():
        apps.get_model("credits", "Rate").objects.create(owner_kind="platform", kind=kind, amount=amount)
    for unit, prices in PRICES.items():
        for currency, price in prices.items():
            apps.get_model("credits", "BasePrice").objects.create(unit_id=unit, currency=currency, price=Decimal(price))


class Migration(migrations.Migration):
    dependencies = [("credits", "0003_prices_rates_limits_thresholds")]
    operations = [
        migrations.RunSQL(DROP_FUNCTIONS + SPEND, migrations.RunSQL.noop),
        migrations.RunSQL(KEEP_THRESHOLDS, migrations.RunSQL.noop),
        migrations.RunPython(sow_rates_and_prices, migrations.RunPython.noop),
    ]
