-- Figures of use that need not read the entries: sums per day and month, folded up to a number of each wallet's gapless
-- sequence. A wallet's entries commit in the order of their numbers, so a fold can miss no late one, as it could by id or time.

-- An entry as each wallet sees it that it changed. `direction` says what happened there; `kind` what kind of use it was, or where
-- a grant came from. What a void undoes keeps the kind of what it undoes.
CREATE VIEW public.credits_line AS
SELECT side.wallet_id, side.sequence, side.unit_id, side.at, side.sub_account_id, side.amount,
    CASE
        WHEN cause.kind = 'adjustment' THEN CASE WHEN side.is_in THEN 'added' ELSE 'deducted' END
        WHEN side.is_in THEN CASE book.name WHEN 'issued' THEN 'granted' WHEN 'sold' THEN 'granted' WHEN 'voided' THEN 'returned' ELSE 'received' END
        ELSE CASE book.name WHEN 'used' THEN 'used' WHEN 'expired' THEN 'expired' WHEN 'voided' THEN 'withdrawn' ELSE 'sent' END
    END AS direction,
    CASE cause.kind WHEN 'grant' THEN side.reference ELSE cause.kind END AS kind
FROM (
    SELECT from_wallet_id AS wallet_id, from_sequence AS sequence, to_wallet_id AS other_id, false AS is_in,
        unit_id, at, sub_account_id, amount, kind, reference, voids
    FROM public.credits_entry WHERE from_sequence IS NOT NULL
    UNION ALL
    SELECT to_wallet_id, to_sequence, from_wallet_id, true, unit_id, at, sub_account_id, amount, kind, reference, voids
    FROM public.credits_entry WHERE to_sequence IS NOT NULL
) AS side
LEFT JOIN (
    SELECT public.credits_book(book_name, code) AS id, book_name AS name
    FROM public.credits_unit, unnest(ARRAY['issued', 'sold', 'used', 'expired', 'converted', 'voided']) AS book_name
) AS book ON book.id = side.other_id
CROSS JOIN LATERAL (
    SELECT CASE side.kind WHEN 'void' THEN (SELECT done.kind FROM public.credits_entry AS done WHERE done.id = side.voids) ELSE side.kind END AS kind
) AS cause;

-- The lines of a wallet with numbers above p_after, up to p_upto. In a language the planner cannot look into, so that it always walks the
-- index from one number to the other: guessing how many wallets lag behind, it would read all entries to find a few.
CREATE FUNCTION public.credits_lines(p_wallet uuid, p_after bigint, p_upto bigint) RETURNS SETOF public.credits_line
LANGUAGE plpgsql STABLE ROWS 100 SET plan_cache_mode = force_generic_plan AS $$
BEGIN
    RETURN QUERY SELECT * FROM public.credits_line WHERE wallet_id = p_wallet AND sequence > p_after AND sequence <= p_upto;
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
        SELECT coalesce(chosen.owner_id, line.sub_account_id, '00000000-0000-0000-0000-000000000000') AS sub_account_id,
            line.unit_id, (line.at AT TIME ZONE c.time_zone)::date AS day, chosen.owner_id IS NULL AS is_pool,
            line.direction, line.kind, sum(line.amount) AS amount, count(*) AS lines
        FROM chosen CROSS JOIN LATERAL public.credits_lines(chosen.id, chosen.after, chosen.upto) AS line
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
