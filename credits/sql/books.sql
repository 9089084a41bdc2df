-- Boundary accounts: where units come from and go to. Their ids are derived, so nobody has to look them up.

CREATE FUNCTION public.credits_book(p_name text, p_unit text) RETURNS uuid LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN md5('canopy book ' || p_name || ' ' || p_unit)::uuid;

CREATE FUNCTION public.credits_open_books() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.credits_wallet (id, owner_kind, owner_id, unit_id, balance, held, sequence)
        SELECT public.credits_book(name, NEW.code), 'book', md5('canopy book ' || name)::uuid, NEW.code, 0, 0, 0
        FROM unnest(ARRAY['issued', 'sold', 'used', 'expired', 'converted', 'voided']) AS name;
    RETURN NEW;
END $$;

CREATE TRIGGER credits_open_books AFTER INSERT ON public.credits_unit
    FOR EACH ROW EXECUTE FUNCTION public.credits_open_books();

-- Rows that every spend updates: half-empty pages let the new version stay on the page of the old one.
ALTER TABLE public.credits_wallet SET (fillfactor = 50);
ALTER TABLE public.credits_grant SET (fillfactor = 50);
