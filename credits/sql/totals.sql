-- Figures of use that need not read the entries: sums per day and month, folded up to a number of each wallet's gapless
-- sequence. A wallet's entries commit in the order of their numbers, so a fold can miss no late one, as it could by id or time.

-- What kind of entry it was; looked up for what undoes one only.
CREATE FUNCTION public.credits_kind_of(p_entry uuid) RETURNS text LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (SELECT kind FROM public.credits_entry WHERE id = p_entry);
END $$;

-- An entry as each wallet sees it that it changed. `direction` says what happened there; `kind` what kind of use it was, or where
-- a grant came from. What a void undoes keeps the kind of what it undoes.
CREATE VIEW public.credits_line AS
SELECT wallet_id, sequence, unit_id, at, sub_account_id, amount,
    CASE
        WHEN kind = 'adjustment' OR kind = 'void' AND public.credits_kind_of(voids) = 'adjustment'
            THEN CASE WHEN is_in THEN 'added' ELSE 'deducted' END
        WHEN is_in THEN CASE other_id
            WHEN public.credits_book('issued', unit_id) THEN 'granted' WHEN public.credits_book('sold', unit_id) THEN 'granted'
            WHEN public.credits_book('voided', unit_id) THEN 'returned' ELSE 'received' END
        ELSE CASE other_id
            WHEN public.credits_book('used', unit_id) THEN 'used' WHEN public.credits_book('expired', unit_id) THEN 'expired'
            WHEN public.credits_book('voided', unit_id) THEN 'withdrawn' ELSE 'sent' END
    END AS direction,
    CASE WHEN kind = 'void' THEN CASE public.credits_kind_of(voids) WHEN 'grant' THEN reference ELSE public.credits_kind_of(voids) END
        WHEN kind = 'grant' THEN reference ELSE kind END AS kind
FROM (
    SELECT from_wallet_id AS wallet_id, from_sequence AS sequence, to_wallet_id AS other_id, false AS is_in,
        unit_id, at, sub_account_id, amount, kind, reference, voids
    FROM public.credits_entry WHERE from_sequence IS NOT NULL
    UNION ALL
    SELECT to_wallet_id, to_sequence, from_wallet_id, true, unit_id, at, sub_account_id, amount, kind, reference, voids
    FROM public.credits_entry WHERE to_sequence IS NOT NULL
) AS side;

-- The lines of wallets with numbers above p_after, up to p_upto, each with p_owners of its wallet. In a language the planner cannot look
-- into, and wallet by wallet (OFFSET 0), so that it always walks the index from one number to the other: guessing how many wallets
-- lag behind, it would read all entries to find a few.
CREATE FUNCTION public.credits_lines(p_wallets uuid[], p_owners uuid[], p_after bigint[], p_upto bigint[])
RETURNS TABLE (owner_id uuid, unit_id text, at timestamptz, sub_account_id uuid, amount bigint, direction text, kind text)
LANGUAGE plpgsql STABLE ROWS 1000 SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
        SELECT behind.owner_id, line.unit_id::text, line.at, line.sub_account_id, line.amount, line.direction, line.kind::text
        FROM unnest(p_wallets, p_owners, p_after, p_upto) AS behind (wallet_id, owner_id, after, upto)
        CROSS JOIN LATERAL (
            SELECT * FROM public.credits_line WHERE wallet_id = behind.wallet_id AND sequence > behind.after AND sequence <= behind.upto OFFSET 0
        ) AS line;
END $$;

-- Fold at most p_most lines more into the totals of one calendar; returns how many, or null while another fold is at it.
-- One statement writes the totals and how far they go, so that whoever is killed here has folded all of it or nothing.
CREATE FUNCTION public.credits_fold_some(p_calendar bigint, p_most bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    c public.credits_calendar;
    v_lines bigint;
BEGIN
    SELECT * INTO c FROM public.credits_calendar WHERE id = p_calendar FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    WITH wallets AS (
        SELECT id, owner_id, sequence FROM public.credits_wallet WHERE owner_kind = 'sub_account' AND agency_id = c.agency_id
        UNION ALL
        SELECT id, NULL, sequence FROM public.credits_wallet WHERE owner_kind = 'agency' AND owner_id = c.agency_id
    ), behind AS (
        SELECT wallets.id, wallets.owner_id, coalesce(fold.sequence, 0) AS after, wallets.sequence - coalesce(fold.sequence, 0) AS lag
        FROM wallets LEFT JOIN public.credits_fold AS fold ON fold.calendar_id = c.id AND fold.wallet_id = wallets.id
        WHERE wallets.sequence > coalesce(fold.sequence, 0)
    ), counted AS (
        SELECT id, owner_id, after, lag, sum(lag) OVER (ORDER BY id) - lag AS before FROM behind
    ), chosen AS MATERIALIZED (
        SELECT id, owner_id, after, (after + least(lag, p_most - before))::bigint AS upto FROM counted WHERE before < p_most
    ), lines AS MATERIALIZED (
        SELECT coalesce(line.owner_id, line.sub_account_id, '00000000-0000-0000-0000-000000000000') AS sub_account_id,
            line.unit_id, (line.at AT TIME ZONE c.time_zone)::date AS day, line.owner_id IS NULL AS is_pool,
            line.direction, line.kind, sum(line.amount) AS amount, count(*) AS lines
        FROM (SELECT array_agg(id) AS ids, array_agg(owner_id) AS owners, array_agg(after) AS after, array_agg(upto) AS upto FROM chosen) AS behind
        CROSS JOIN LATERAL public.credits_lines(behind.ids, behind.owners, behind.after, behind.upto) AS line
        GROUP BY 1, 2, 3, 4, 5, 6
    ), days AS (
        INSERT INTO public.credits_daytotal AS total (calendar_id, sub_account_id, unit_id, day, is_pool, direction, kind, amount, lines)
        SELECT c.id, sub_account_id, unit_id, day, is_pool, direction, kind, amount, lines FROM lines
        ON CONFLICT (calendar_id, sub_account_id, unit_id, day, is_pool, direction, kind)
            DO UPDATE SET amount = total.amount + excluded.amount, lines = total.lines + excluded.lines
    ), agency_days AS (
        INSERT INTO public.credits_agencydaytotal AS total (calendar_id, unit_id, day, is_pool, direction, kind, amount, lines)
        SELECT c.id, unit_id, day, is_pool, direction, kind, sum(amount), sum(lines) FROM lines GROUP BY 2, 3, 4, 5, 6
        ON CONFLICT (calendar_id, unit_id, day, is_pool, direction, kind)
            DO UPDATE SET amount = total.amount + excluded.amount, lines = total.lines + excluded.lines
    ), used AS (
        SELECT sub_account_id, unit_id, date_trunc('month', day)::date AS month, extract(day FROM day)::integer AS day,
            sum(CASE direction WHEN 'used' THEN amount ELSE -amount END) AS amount
        FROM lines WHERE direction IN ('used', 'returned') GROUP BY 1, 2, 3, 4
    ), months AS (
        INSERT INTO public.credits_monthtotal AS total (calendar_id, unit_id, month, sub_account_id, through)
        SELECT c.id, unit_id, month, sub_account_id, array_agg(through ORDER BY day)
        FROM (
            SELECT unit_id, month, sub_account_id, day,
                sum(coalesce(used.amount, 0)) OVER (PARTITION BY unit_id, month, sub_account_id ORDER BY day)::bigint AS through
            FROM (SELECT DISTINCT unit_id, month, sub_account_id FROM used) AS touched
            CROSS JOIN generate_series(1, 31) AS day
            LEFT JOIN used USING (unit_id, month, sub_account_id, day)
        ) AS running
        GROUP BY unit_id, month, sub_account_id
        ON CONFLICT (calendar_id, unit_id, month, sub_account_id)
            DO UPDATE SET through = ARRAY(SELECT a + b FROM unnest(total.through, excluded.through) AS pair (a, b))
    ), folded AS (
        INSERT INTO public.credits_fold (calendar_id, wallet_id, sequence) SELECT c.id, id, upto FROM chosen
        ON CONFLICT (calendar_id, wallet_id) DO UPDATE SET sequence = excluded.sequence
    )
    SELECT coalesce(sum(lines), 0) INTO v_lines FROM lines;
    IF v_lines < p_most AND NOT c.is_ready THEN
        UPDATE public.credits_calendar SET is_ready = true WHERE id = c.id;
    END IF;
    RETURN v_lines;
END $$;
