from django.db import migrations

# The unique index sees to at most one Owner, this to at least one: looked at when a transaction commits, so that inside it the
# role may pass from one person to another. An agency that was purged has only its books left.
AT_LEAST_ONE = """
CREATE FUNCTION public.agency_has_an_owner() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    concerned bigint;
BEGIN
    IF TG_TABLE_NAME = 'agency_agency' THEN
        concerned := NEW.id;
    ELSE
        concerned := OLD.agency_id;
    END IF;
    IF EXISTS (SELECT FROM public.agency_agency WHERE id = concerned AND purged_at IS NULL)
        AND NOT EXISTS (SELECT FROM public.agency_membership WHERE agency_id = concerned AND role = 'owner') THEN
        RAISE EXCEPTION 'agency % would be without an Owner', concerned
            USING ERRCODE = 'check_violation', CONSTRAINT = 'membership_at_least_one_owner';
    END IF;
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER membership_at_least_one_owner AFTER UPDATE OR DELETE ON public.agency_membership
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (OLD.role = 'owner') EXECUTE FUNCTION public.agency_has_an_owner();
CREATE CONSTRAINT TRIGGER agency_at_least_one_owner AFTER INSERT OR UPDATE OF purged_at ON public.agency_agency
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.agency_has_an_owner();
"""
NOT_AT_LEAST_ONE = """
DROP TRIGGER agency_at_least_one_owner ON public.agency_agency;
DROP TRIGGER membership_at_least_one_owner ON public.agency_membership;
DROP FUNCTION public.agency_has_an_owner();
"""


class Migration(migrations.Migration):
    dependencies = [("agency", "0006_ends_of_people_and_agencies")]

    operations = [migrations.RunSQL(AT_LEAST_ONE, NOT_AT_LEAST_ONE)]
