from django.db import migrations, models

RETENTION = """
CREATE FUNCTION public.agency_auditrecord_stays(action text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    -- What explains the ledger, whose entries are never removed, and what says how the log itself was kept.
    SELECT action ~ '^(audit|books|credit_alert|credits|deal|plan|pool_policy|prices|rate|unit)[.]'
$$;

CREATE FUNCTION public.agency_auditrecord_kept_since(of_agency bigint) RETURNS timestamptz LANGUAGE sql STABLE AS $$
    -- Null is for ever, and so is what no agency may choose. The clock is the database's own.
    SELECT statement_timestamp() - make_interval(days => audit_kept_days)
    FROM public.agency_agency WHERE id = of_agency AND audit_kept_days >= 365
$$;

CREATE FUNCTION public.agency_auditrecord_least_id(moment timestamptz) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
    -- Below every id of this millisecond, above every earlier one.
    SELECT (lpad(to_hex(floor(extract(epoch FROM moment) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid
$$;

CREATE OR REPLACE FUNCTION public.agency_auditrecord_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF current_setting('canopy.audit_forgets', true) = OLD.agency_id::text
            AND OLD.at < public.agency_auditrecord_kept_since(OLD.agency_id)
            AND NOT public.agency_auditrecord_stays(OLD.action)
        THEN
            RETURN OLD;
        END IF;
    END IF;
    RAISE EXCEPTION 'the audit log is append-only' USING ERRCODE = 'restrict_violation';
END
$$;

CREATE FUNCTION public.agency_auditrecord_forget(of_agency bigint, most integer) RETURNS integer LANGUAGE plpgsql AS $$
-- Removes the oldest records of an agency that are past the time it keeps them, `most` at once, and writes down that it did.
DECLARE
    since timestamptz;
    gone integer;
BEGIN
    PERFORM 1 FROM public.agency_agency WHERE id = of_agency FOR SHARE;
    since := public.agency_auditrecord_kept_since(of_agency);
    IF since IS NULL THEN
        RETURN 0;
    END IF;
    PERFORM set_config('canopy.audit_forgets', of_agency::text, true);
    DELETE FROM public.agency_auditrecord WHERE id IN (
        SELECT id FROM public.agency_auditrecord
        WHERE agency_id = of_agency AND id < public.agency_auditrecord_least_id(since) AND at < since AND NOT public.agency_auditrecord_stays(action)
        ORDER BY id LIMIT most
    );
    GET DIAGNOSTICS gone = ROW_COUNT;
    PERFORM set_config('canopy.audit_forgets', '', true);
    IF gone > 0 THEN
        INSERT INTO public.agency_auditrecord
            (id, at, agency_id, action, actor_kind, actor_id, actor_label, on_behalf_of, address, subject, before, after)
        VALUES (
            overlay(gen_random_uuid()::text PLACING left(public.agency_auditrecord_least_id(clock_timestamp())::text, 13) || '-7' FROM 1 FOR 15)::uuid,
            clock_timestamp(), of_agency, 'audit.forgotten', 'system', '', 'audit log keeping', '', '', gone || ' records', '{}',
            jsonb_build_object('records', gone, 'until', to_char(since AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'))
        );
    END IF;
    RETURN gone;
END
$$;
"""
FOR_EVER = """
CREATE OR REPLACE FUNCTION public.agency_auditrecord_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is append-only' USING ERRCODE = 'restrict_violation';
END
$$;
DROP FUNCTION public.agency_auditrecord_forget(bigint, integer);
DROP FUNCTION public.agency_auditrecord_least_id(timestamptz);
DROP FUNCTION public.agency_auditrecord_kept_since(bigint);
DROP FUNCTION public.agency_auditrecord_stays(text);
"""


class Migration(migrations.Migration):
    dependencies = [("agency", "0007_one_owner")]

    operations = [
        migrations.AddConstraint(
            model_name="agency",
            constraint=models.CheckConstraint(
                condition=models.Q(("audit_kept_days", None), ("audit_kept_days__gte", 365), _connector="OR"), name="agency_keeps_audit"
            ),
        ),
        migrations.RemoveIndex(model_name="auditrecord", name="audit_agency_at"),
        migrations.RemoveIndex(model_name="auditrecord", name="audit_sub_account_at"),
        migrations.AddIndex(model_name="auditrecord", index=models.Index(fields=["agency", "id"], name="audit_newest")),
        migrations.AddIndex(
            model_name="auditrecord", index=models.Index(fields=["agency", "sub_account_id", "id"], name="audit_of_client")
        ),
        migrations.AddIndex(model_name="auditrecord", index=models.Index(fields=["agency", "actor_id", "id"], name="audit_of_person")),
        migrations.AddIndex(
            model_name="auditrecord",
            index=models.Index(
                condition=models.Q(("address", ""), _negated=True), fields=["agency", "address", "id"], name="audit_from_address"
            ),
        ),
        migrations.AddIndex(
            model_name="auditrecord",
            index=models.Index(condition=models.Q(("on_behalf_of", ""), _negated=True), fields=["agency", "id"], name="audit_on_behalf"),
        ),
        migrations.RunSQL(RETENTION, FOR_EVER),
    ]
