-- Entries by month. Django makes a plain table; this turns it into one that is partitioned by its own id, a UUIDv7.

ALTER TABLE public.credits_entry RENAME TO credits_entry_plain;
CREATE TABLE public.credits_entry (LIKE public.credits_entry_plain INCLUDING CONSTRAINTS) PARTITION BY RANGE (id);
DROP TABLE public.credits_entry_plain;

ALTER TABLE public.credits_entry ADD CONSTRAINT credits_entry_pkey PRIMARY KEY (id);
CREATE INDEX entry_of_agency ON public.credits_entry (agency_id, id);
CREATE INDEX entry_of_sub_account ON public.credits_entry (sub_account_id, id) WHERE sub_account_id IS NOT NULL;
CREATE INDEX entry_out_of_wallet ON public.credits_entry (from_wallet_id, from_sequence) WHERE from_sequence IS NOT NULL;
CREATE INDEX entry_into_wallet ON public.credits_entry (to_wallet_id, to_sequence) WHERE to_sequence IS NOT NULL;

-- Whatever falls outside the months made ahead lands here, so no spend fails because a job was late.
CREATE TABLE public.credits_entry_default PARTITION OF public.credits_entry DEFAULT;

CREATE FUNCTION public.credits_entry_is_forever() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'entries are forever: % refused', TG_OP USING ERRCODE = 'integrity_constraint_violation';
END $$;

CREATE TRIGGER credits_entry_is_forever BEFORE UPDATE OR DELETE ON public.credits_entry
    FOR EACH ROW EXECUTE FUNCTION public.credits_entry_is_forever();

-- Statement triggers are not passed on to partitions, so each table has its own.
CREATE FUNCTION public.credits_entry_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'entries are forever: % refused', TG_OP USING ERRCODE = 'integrity_constraint_violation';
END $$;

CREATE TRIGGER credits_entry_stays BEFORE TRUNCATE ON public.credits_entry
    FOR EACH STATEMENT EXECUTE FUNCTION public.credits_entry_stays();
CREATE TRIGGER credits_entry_stays BEFORE TRUNCATE ON public.credits_entry_default
    FOR EACH STATEMENT EXECUTE FUNCTION public.credits_entry_stays();

-- The least id of a moment: 48 bits of Unix milliseconds, version 7, zeros.
CREATE FUNCTION public.credits_least_id(p_at timestamptz) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
    SELECT (lpad(to_hex((extract(epoch FROM p_at) * 1000)::bigint), 12, '0') || '70008000000000000000')::uuid
$$;

-- Make the partition of the month that p_day is in. Entries that came before it are moved out of the default partition,
-- under a lock that lets no spend see them missing. Returns whether there was anything to make.
CREATE FUNCTION public.credits_open_month(p_day date) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    v_from timestamptz := date_trunc('month', p_day::timestamp) AT TIME ZONE 'UTC';
    v_to timestamptz := (date_trunc('month', p_day::timestamp) + interval '1 month') AT TIME ZONE 'UTC';
    v_name text := 'credits_entry_' || to_char(p_day, 'YYYY_MM');
BEGIN
    IF to_regclass('public.' || v_name) IS NOT NULL THEN
        RETURN false;
    END IF;
    LOCK TABLE public.credits_entry IN ACCESS EXCLUSIVE MODE;
    IF to_regclass('public.' || v_name) IS NOT NULL THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE public.%I (LIKE public.credits_entry INCLUDING CONSTRAINTS)', v_name);
    EXECUTE format('INSERT INTO public.%I SELECT * FROM public.credits_entry_default WHERE id >= $1 AND id < $2', v_name)
        USING public.credits_least_id(v_from), public.credits_least_id(v_to);
    ALTER TABLE public.credits_entry_default DISABLE TRIGGER credits_entry_is_forever;
    DELETE FROM public.credits_entry_default
        WHERE id >= public.credits_least_id(v_from) AND id < public.credits_least_id(v_to);
    ALTER TABLE public.credits_entry_default ENABLE TRIGGER credits_entry_is_forever;
    EXECUTE format('ALTER TABLE public.credits_entry ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
        v_name, public.credits_least_id(v_from), public.credits_least_id(v_to));
    EXECUTE format('CREATE TRIGGER credits_entry_stays BEFORE TRUNCATE ON public.%I '
        'FOR EACH STATEMENT EXECUTE FUNCTION public.credits_entry_stays()', v_name);
    RETURN true;
END $$;

SELECT public.credits_open_month((date_trunc('month', now()) + make_interval(months => m))::date) FROM generate_series(-2, 3) AS m;
