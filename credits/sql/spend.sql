-- The hot path. One call is one round trip and one transaction's worth of work: no row lock waits for a client.
--
-- Order of locks, everywhere: hold, a client's policy, key, its own wallet, its limit, pool, then by id; whoever takes several units
-- takes one after the other, in their order. A limit is never locked before its wallet: the alert it may write refers to that row. A
-- grant is only written under the lock of its wallet, so it needs none of its own. A key is claimed first, so a repeat waits for
-- nothing but the first call.
-- The policy is an advisory lock that every draw on a pool shares, so that an unlimited client is told apart by one look at its own
-- wallet, which nobody locks: `ledger.set_pool_limit` takes it alone, and so never counts while such a draw is under way.

-- An alert for everybody whose threshold a balance fell below, re-arming when it is back. p_low_at is the highest of them.
CREATE FUNCTION public.credits_cross(p_wallet uuid, p_low_at bigint, p_before bigint, p_after bigint, p_at timestamptz)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF least(p_before, p_after) >= p_low_at THEN
        RETURN;
    END IF;
    INSERT INTO public.credits_lowbalance (wallet_id, audience, threshold, balance, at)
        SELECT p_wallet, audience, threshold.at, p_after, p_at FROM public.credits_threshold AS threshold
        WHERE wallet_id = p_wallet AND p_before >= threshold.at AND p_after < threshold.at
        ON CONFLICT (wallet_id, audience) WHERE rearmed_at IS NULL DO NOTHING;
    UPDATE public.credits_lowbalance AS low SET rearmed_at = p_at FROM public.credits_threshold AS threshold
        WHERE low.wallet_id = p_wallet AND low.rearmed_at IS NULL AND threshold.wallet_id = p_wallet
            AND threshold.audience = low.audience AND p_before < threshold.at AND p_after >= threshold.at;
END $$;

-- Move what has expired in one wallet to the `expired` book. What a hold reserves stays until the hold is closed.
-- Locks the wallet; returns it as it is afterwards.
CREATE FUNCTION public.credits_expire(p_wallet uuid, p_at timestamptz) RETURNS public.credits_wallet LANGUAGE plpgsql AS $$
DECLARE
    w public.credits_wallet;
    g record;
    v_before bigint;
    v_key text;
    v_id uuid;
BEGIN
    SELECT * INTO STRICT w FROM public.credits_wallet WHERE id = p_wallet FOR UPDATE;
    v_before := w.balance;
    FOR g IN
        SELECT id, remaining - held AS due, sub.owner FROM public.credits_grant,
            LATERAL (SELECT CASE WHEN w.owner_kind = 'sub_account' THEN w.owner_id END AS owner) AS sub
        WHERE wallet_id = p_wallet AND is_open AND expires_at <= p_at AND remaining > held
        ORDER BY expires_at, id
    LOOP
        w.balance := w.balance - g.due;
        w.sequence := w.sequence + 1;
        v_key := format('expiry:%s:%s', g.id, w.sequence);
        v_id := overlay(gen_random_uuid()::text PLACING left(public.credits_least_id(p_at)::text, 15) FROM 1 FOR 15)::uuid;
        INSERT INTO public.credits_key (key, content, entry_id, voided_by) VALUES (v_key, md5(v_key)::uuid, v_id, '');
        INSERT INTO public.credits_entry (id, key, at, kind, unit_id, amount, from_wallet_id, from_balance, from_sequence,
            to_wallet_id, grant_id, agency_id, sub_account_id, contact, campaign, bot, own_key, reference, memo,
            by_kind, by_id, by_label, on_behalf_of)
        VALUES (v_id, v_key, p_at, 'expiry', w.unit_id, g.due, w.id, w.balance, w.sequence,
            public.credits_book('expired', w.unit_id), g.id, w.agency_id, g.owner, '', '', '', false, '', '',
            'system', '', 'expiry', '');
        UPDATE public.credits_grant SET remaining = held WHERE id = g.id;
    END LOOP;
    w.next_expires_at := (SELECT min(expires_at) FROM public.credits_grant WHERE wallet_id = p_wallet AND is_open AND remaining > held);
    UPDATE public.credits_wallet SET balance = w.balance, sequence = w.sequence, next_expires_at = w.next_expires_at WHERE id = p_wallet;
    IF w.low_at IS NOT NULL THEN
        PERFORM public.credits_cross(p_wallet, w.low_at, v_before, w.balance, p_at);
    END IF;
    RETURN w;
END $$;

-- The calendar month of p_zone that p_at lies in.
CREATE FUNCTION public.credits_month(p_at timestamptz, p_zone text, OUT began timestamptz, OUT ends timestamptz) LANGUAGE sql STABLE AS $$
    SELECT date_trunc('month', p_at AT TIME ZONE p_zone) AT TIME ZONE p_zone,
        (date_trunc('month', p_at AT TIME ZONE p_zone) + interval '1 month') AT TIME ZONE p_zone
$$;

-- The id of an entry whose moment is p_at instead.
CREATE FUNCTION public.credits_id_at(p_id uuid, p_at timestamptz) RETURNS uuid LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RETURN overlay(p_id::text PLACING left(public.credits_least_id(p_at)::text, 13) FROM 1 FOR 13)::uuid;
END $$;

-- What a client's open holds reserve of pools.
CREATE FUNCTION public.credits_held_of_pool(p_wallet uuid) RETURNS bigint LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (
        SELECT coalesce(sum(leg.amount), 0)::bigint
        FROM public.credits_hold AS hold, unnest(hold.wallets, hold.amounts) AS leg (wallet_id, amount)
        WHERE hold.state = 'open' AND hold.limit_id = p_wallet AND leg.wallet_id <> p_wallet
    );
END $$;

-- What a client has used of pools since p_since, without what was voided. An entry's id is of its own moment, or a little earlier.
CREATE FUNCTION public.credits_used_of_pool(p_wallet uuid, p_since timestamptz) RETURNS bigint LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (
        SELECT coalesce(sum(entry.amount), 0)::bigint
        FROM public.credits_wallet AS own
        JOIN public.credits_entry AS entry ON entry.sub_account_id = own.owner_id AND entry.unit_id = own.unit_id
            AND entry.id >= public.credits_least_id(p_since - interval '1 day') AND entry.at >= p_since
            AND entry.to_wallet_id = public.credits_book('used', own.unit_id)
        JOIN public.credits_wallet AS pool ON pool.id = entry.from_wallet_id AND pool.owner_kind = 'agency'
        WHERE own.id = p_wallet AND NOT EXISTS (
            SELECT FROM public.credits_entry AS undo WHERE undo.sub_account_id = own.owner_id AND undo.voids = entry.id
                AND undo.id >= public.credits_least_id(p_since - interval '1 day'))
    );
END $$;

-- An open crossing of a wallet is closed, or one is opened where there is none.
CREATE FUNCTION public.credits_rearm(p_wallet uuid, p_kind text, p_at timestamptz) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE public.credits_crossing SET rearmed_at = p_at WHERE wallet_id = p_wallet AND kind = p_kind AND rearmed_at IS NULL;
END $$;
CREATE FUNCTION public.credits_crossed(p_wallet uuid, p_kind text, p_amount bigint, p_at timestamptz) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.credits_crossing (kind, wallet_id, amount, at) VALUES (p_kind, p_wallet, p_amount, p_at)
    ON CONFLICT (wallet_id, kind) WHERE rearmed_at IS NULL DO NOTHING;
END $$;

-- The pool begins to pay for a client whose own wallet, which is locked, has nothing left; and it has something again.
CREATE FUNCTION public.credits_on_pool(p_wallet uuid, p_at timestamptz) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE public.credits_wallet SET on_pool_since = p_at WHERE id = p_wallet;
    PERFORM public.credits_crossed(p_wallet, 'fallback_started', 0, p_at);
END $$;
CREATE FUNCTION public.credits_off_pool(p_wallet uuid, p_at timestamptz) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE public.credits_wallet SET on_pool_since = NULL WHERE id = p_wallet;
    PERFORM public.credits_rearm(p_wallet, 'fallback_started', p_at);
END $$;

-- The limit of a client, locked, its month that of p_at; nothing where there is none. A new month begins with what is reserved.
CREATE FUNCTION public.credits_limit(p_wallet uuid, p_at timestamptz) RETURNS public.credits_poollimit LANGUAGE plpgsql AS $$
DECLARE
    l public.credits_poollimit;
BEGIN
    SELECT * INTO l FROM public.credits_poollimit WHERE wallet_id = p_wallet FOR UPDATE;
    IF l.month_ends_at <= p_at THEN
        UPDATE public.credits_poollimit SET used = public.credits_held_of_pool(p_wallet),
            month_began_at = greatest(month.began, month_ends_at), month_ends_at = month.ends
            FROM public.credits_month(p_at, l.time_zone) AS month WHERE wallet_id = p_wallet RETURNING credits_poollimit.* INTO l;
        PERFORM public.credits_rearm(p_wallet, 'limit_reached', p_at);
        l := public.credits_limit_count(p_wallet, 0, p_at);
    END IF;
    RETURN l;
END $$;

-- Count p_change on a limit that is locked, with the crossing that goes with it. What is given back, and a new amount, arm it again.
CREATE FUNCTION public.credits_limit_count(p_wallet uuid, p_change bigint, p_at timestamptz) RETURNS public.credits_poollimit
LANGUAGE plpgsql AS $$
DECLARE
    l public.credits_poollimit;
BEGIN
    UPDATE public.credits_poollimit SET used = used + p_change WHERE wallet_id = p_wallet RETURNING * INTO l;
    IF l.used >= l.amount AND l.used > 0 THEN
        PERFORM public.credits_crossed(p_wallet, 'limit_reached', l.amount, p_at);
    ELSIF p_change <= 0 THEN
        PERFORM public.credits_rearm(p_wallet, 'limit_reached', p_at);
    END IF;
    RETURN l;
END $$;

-- A limit from now on, for the month that p_at is in: counted from what was used, under the policy's and the wallet's lock.
CREATE FUNCTION public.credits_begin_limit(p_wallet uuid, p_amount bigint, p_is_hard boolean, p_zone text, p_at timestamptz)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.credits_poollimit (wallet_id, amount, is_hard, used, time_zone, month_began_at, month_ends_at)
        SELECT p_wallet, p_amount, p_is_hard, public.credits_used_of_pool(p_wallet, began) + public.credits_held_of_pool(p_wallet),
            p_zone, began, ends FROM public.credits_month(p_at, p_zone);
END $$;

-- Another time zone for a limit. The month it is in (the one with its fifteenth day) goes on and ends when it ends there; where that
-- was before p_at, the next one is counted anew.
CREATE FUNCTION public.credits_limit_zone(p_wallet uuid, p_zone text, p_at timestamptz) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    l public.credits_poollimit := public.credits_limit(p_wallet, p_at);
    v_ends timestamptz := (SELECT ends FROM public.credits_month(l.month_began_at + interval '15 days', p_zone));
BEGIN
    IF v_ends > p_at THEN
        UPDATE public.credits_poollimit SET time_zone = p_zone, month_ends_at = v_ends WHERE wallet_id = p_wallet;
        RETURN;
    END IF;
    UPDATE public.credits_poollimit SET time_zone = p_zone, month_began_at = month.began, month_ends_at = month.ends,
        used = public.credits_used_of_pool(p_wallet, month.began) + public.credits_held_of_pool(p_wallet)
        FROM public.credits_month(p_at, p_zone) AS month WHERE wallet_id = p_wallet;
    PERFORM public.credits_rearm(p_wallet, 'limit_reached', p_at);
    PERFORM public.credits_limit_count(p_wallet, 0, p_at);
END $$;

-- Draw p_amount from the wallets p_sources in their order: spent at once, or held until p_hold_until where that is given.
-- All or nothing. outcome: done | replayed | reused (the key, with other content) | insufficient | limited (the pool may give this
-- client no more this month; available is what it may still draw).
-- p_id is the id of the first entry, its last two bytes zero; further legs count up in them.
CREATE FUNCTION public.credits_draw(
    p_sources uuid[], p_amount bigint, p_key text, p_content uuid, p_id uuid, p_at timestamptz, p_hold_until timestamptz,
    p_kind text, p_sub_account uuid, p_contact text, p_campaign text, p_bot text, p_own_key boolean, p_reference text, p_memo text,
    p_by_kind text, p_by_id text, p_by_label text, p_on_behalf_of text,
    OUT outcome text, OUT first_id uuid, OUT available bigint
) LANGUAGE plpgsql AS $$
DECLARE
    w public.credits_wallet;
    own public.credits_wallet;
    l public.credits_poollimit;
    v_start integer := 1;
    v_grant uuid;
    v_key record;
    v_left bigint := p_amount;
    v_take bigint;
    v_free bigint;
    v_leg integer := 0;
    v_wallets public.credits_wallet[] := '{}';
    v_takes bigint[] := '{}';
    v_before bigint;
    v_pays_for uuid;
    h_wallets uuid[] := '{}';
    h_grants uuid[] := '{}';
    h_amounts bigint[] := '{}';
BEGIN
    available := 0;
    IF cardinality(p_sources) > 1 THEN
        PERFORM pg_advisory_xact_lock_shared(uuid_hash_extended(p_sources[1], 0));
    END IF;
    INSERT INTO public.credits_key (key, content, entry_id, voided_by)
        VALUES (p_key, p_content, CASE WHEN p_hold_until IS NULL THEN p_id END, '') ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        SELECT content, entry_id INTO STRICT v_key FROM public.credits_key WHERE key = p_key;
        outcome := CASE WHEN v_key.content = p_content THEN 'replayed' ELSE 'reused' END;
        first_id := v_key.entry_id;
        -- The first call may have committed without waiting for the disk (credits_spend_alone): this answer waits for both.
        PERFORM pg_logical_emit_message(false, 'canopy', '', true);
        RETURN;
    END IF;
    first_id := CASE WHEN p_hold_until IS NULL THEN p_id END;
    outcome := 'done';

    -- The short way: one wallet has all of it, in its head grant. Two rows updated, two written. The pool pays here only for
    -- clients whose own wallet says that there is nothing to count and nothing to tell.
    IF p_hold_until IS NULL AND p_amount > 0 THEN
        FOR i IN 1 .. cardinality(p_sources) LOOP
            v_start := i;
            UPDATE public.credits_wallet SET balance = balance - p_amount, sequence = sequence + 1
                WHERE id = p_sources[i] AND balance - held >= p_amount AND (next_expires_at > p_at OR next_expires_at IS NULL)
                RETURNING * INTO w;
            EXIT WHEN FOUND;
            PERFORM FROM public.credits_wallet
                WHERE id = p_sources[i] AND balance = held AND (next_expires_at > p_at OR next_expires_at IS NULL)
                    AND NOT has_pool_limit AND (on_pool_since IS NOT NULL OR sequence = 0);
            EXIT WHEN NOT FOUND;
        END LOOP;
        IF w.id IS NOT NULL THEN
            UPDATE public.credits_grant SET remaining = remaining - p_amount
                WHERE remaining - held >= p_amount AND id = (
                    SELECT id FROM public.credits_grant WHERE wallet_id = w.id AND is_open AND remaining > held
                    ORDER BY priority, expires_at, id LIMIT 1)
                RETURNING id INTO v_grant;
            IF FOUND THEN
                INSERT INTO public.credits_entry (id, key, at, kind, unit_id, amount, from_wallet_id, from_balance, from_sequence,
                    to_wallet_id, grant_id, agency_id, sub_account_id, contact, campaign, bot, own_key, reference, memo,
                    by_kind, by_id, by_label, on_behalf_of)
                VALUES (p_id, p_key, p_at, p_kind, w.unit_id, p_amount, w.id, w.balance, w.sequence,
                    public.credits_book('used', w.unit_id), v_grant, w.agency_id, p_sub_account, p_contact, p_campaign, p_bot,
                    p_own_key, p_reference, p_memo, p_by_kind, p_by_id, p_by_label, p_on_behalf_of);
                IF w.low_at IS NOT NULL THEN
                    PERFORM public.credits_cross(w.id, w.low_at, w.balance + p_amount, w.balance, p_at);
                END IF;
                RETURN;
            END IF;
            UPDATE public.credits_wallet SET balance = balance + p_amount, sequence = sequence - 1 WHERE id = w.id;
        END IF;
    END IF;

    -- The long way: several grants, wallet and pool, something to expire, a hold, or not enough. It goes on where the short way
    -- ended: what came before was empty, and an update that found too little has locked its pool all the same, so that
    -- locking a wallet now would turn the order of locks round.
    FOR i IN v_start .. cardinality(p_sources) LOOP
        IF own.has_pool_limit AND l.wallet_id IS NULL THEN
            l := public.credits_limit(own.id, p_at);
            IF p_at < l.month_began_at THEN  -- a late clock: what is drawn now is of the month that has begun
                p_at := l.month_began_at;
                p_id := public.credits_id_at(p_id, p_at);
                IF p_hold_until IS NULL THEN
                    first_id := p_id;
                    UPDATE public.credits_key SET entry_id = p_id WHERE key = p_key;
                END IF;
            END IF;
            IF l.is_hard AND l.used + v_left > l.amount THEN
                PERFORM public.credits_crossed(own.id, 'limit_reached', l.amount, p_at);
                DELETE FROM public.credits_key WHERE key = p_key;
                outcome := 'limited';
                first_id := NULL;
                available := available + greatest(l.amount - l.used, 0);
                RETURN;
            END IF;
        END IF;
        SELECT * INTO w FROM public.credits_wallet WHERE id = p_sources[i] FOR UPDATE;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'no wallet %', p_sources[i];
        END IF;
        IF w.next_expires_at <= p_at THEN
            w := public.credits_expire(w.id, p_at);
        END IF;
        IF w.owner_kind = 'sub_account' THEN
            own := w;
        END IF;
        v_take := least(w.balance - w.held, v_left);
        available := available + w.balance - w.held;
        IF v_take > 0 OR p_amount = 0 THEN
            v_wallets := v_wallets || w;
            v_takes := v_takes || v_take;
            v_left := v_left - v_take;
        END IF;
        EXIT WHEN v_left = 0;
    END LOOP;
    IF v_left > 0 THEN
        DELETE FROM public.credits_key WHERE key = p_key;
        outcome := 'insufficient';
        first_id := NULL;
        RETURN;
    END IF;

    FOR i IN 1 .. cardinality(v_takes) LOOP
        w := v_wallets[i];
        v_left := v_takes[i];
        v_before := w.balance;
        IF w.owner_kind = 'agency' AND own.id IS NOT NULL THEN
            IF l.wallet_id IS NOT NULL THEN
                l := public.credits_limit_count(own.id, v_left, p_at);
            END IF;
            IF own.on_pool_since IS NULL AND own.sequence > 0 THEN
                PERFORM public.credits_on_pool(own.id, p_at);
            END IF;
            v_pays_for := own.id;
        END IF;
        LOOP
            v_grant := NULL;
            v_take := 0;
            IF p_amount > 0 THEN
                SELECT id, remaining - held INTO STRICT v_grant, v_free FROM public.credits_grant
                    WHERE wallet_id = w.id AND is_open AND remaining > held
                    ORDER BY priority, expires_at, id LIMIT 1;
                v_take := least(v_free, v_left);
            END IF;
            IF p_hold_until IS NULL THEN
                UPDATE public.credits_grant SET remaining = remaining - v_take WHERE id = v_grant;
                w.balance := w.balance - v_take;
                w.sequence := w.sequence + 1;
                INSERT INTO public.credits_entry (id, key, at, kind, unit_id, amount, from_wallet_id, from_balance, from_sequence,
                    to_wallet_id, grant_id, agency_id, sub_account_id, contact, campaign, bot, own_key, reference, memo,
                    by_kind, by_id, by_label, on_behalf_of)
                VALUES (CASE WHEN v_leg = 0 THEN p_id ELSE (left(p_id::text, 32) || lpad(to_hex(v_leg), 4, '0'))::uuid END,
                    p_key, p_at, p_kind, w.unit_id, v_take, w.id, w.balance, w.sequence,
                    public.credits_book('used', w.unit_id), v_grant, w.agency_id, p_sub_account, p_contact, p_campaign, p_bot,
                    p_own_key, p_reference, p_memo, p_by_kind, p_by_id, p_by_label, p_on_behalf_of);
            ELSE
                UPDATE public.credits_grant SET held = held + v_take WHERE id = v_grant;
                w.held := w.held + v_take;
                h_wallets := h_wallets || w.id;
                h_grants := h_grants || v_grant;
                h_amounts := h_amounts || v_take;
            END IF;
            v_leg := v_leg + 1;
            v_left := v_left - v_take;
            EXIT WHEN v_left = 0;
        END LOOP;
        UPDATE public.credits_wallet SET balance = w.balance, held = w.held, sequence = w.sequence WHERE id = w.id;
        IF w.low_at IS NOT NULL THEN
            PERFORM public.credits_cross(w.id, w.low_at, v_before, w.balance, p_at);
        END IF;
    END LOOP;

    IF p_hold_until IS NOT NULL THEN
        INSERT INTO public.credits_hold (id, key, state, amount, wallets, grants, amounts, created_at, expires_at, kind, sub_account_id,
            contact, campaign, bot, own_key, reference, memo, by_label, limit_id)
        VALUES (p_id, p_key, 'open', p_amount, h_wallets, h_grants, h_amounts, p_at, p_hold_until, p_kind, p_sub_account,
            p_contact, p_campaign, p_bot, p_own_key, p_reference, p_memo, p_by_label, v_pays_for);
    END IF;
END $$;

-- Many spends of one kind from the same sources, for one campaign: the pool's row is updated once for all of them. Each is
-- done, replayed, reused, insufficient or limited on its own, in their order. Where one head grant, or a client's limit, does not
-- cover them all, they are drawn one by one. p_ids are the ids of their first entries.
CREATE FUNCTION public.credits_draw_many(
    p_sources uuid[], p_amounts bigint[], p_keys text[], p_contents uuid[], p_ids uuid[], p_contacts text[], p_references text[],
    p_at timestamptz, p_kind text, p_sub_account uuid, p_campaign text, p_bot text, p_memo text,
    p_by_kind text, p_by_id text, p_by_label text, p_on_behalf_of text
) RETURNS TABLE (place bigint, outcome text, first_id uuid, available bigint) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    w public.credits_wallet;
    own public.credits_wallet;
    l public.credits_poollimit;
    v_fits boolean := true;
    v_new text[];
    v_total bigint;
    v_count bigint;
    v_grant uuid;
BEGIN
    IF cardinality(p_sources) > 1 THEN  -- before any wallet, as in credits_draw, which may be called below
        PERFORM pg_advisory_xact_lock_shared(uuid_hash_extended(p_sources[1], 0));
    END IF;
    WITH claimed AS (
        INSERT INTO public.credits_key (key, content, entry_id, voided_by)
            SELECT key, content, id, '' FROM unnest(p_keys, p_contents, p_ids) AS wish (key, content, id) ORDER BY key
            ON CONFLICT DO NOTHING RETURNING key
    )
    SELECT coalesce(array_agg(key), '{}') INTO v_new FROM claimed;
    SELECT coalesce(sum(amount), 0), count(*) INTO v_total, v_count
        FROM unnest(p_keys, p_amounts) AS wish (key, amount) WHERE key = ANY (v_new);

    FOR i IN 1 .. cardinality(p_sources) LOOP
        IF own.has_pool_limit AND l.wallet_id IS NULL THEN
            l := public.credits_limit(own.id, p_at);
            v_fits := p_at >= l.month_began_at AND (NOT l.is_hard OR l.used + v_total <= l.amount);
        END IF;
        SELECT * INTO STRICT w FROM public.credits_wallet WHERE id = p_sources[i] FOR UPDATE;
        IF w.next_expires_at <= p_at THEN
            w := public.credits_expire(w.id, p_at);
        END IF;
        IF w.owner_kind = 'sub_account' THEN
            own := w;
        END IF;
        EXIT WHEN w.balance > w.held;
    END LOOP;
    IF v_count > 0 AND v_fits AND w.balance - w.held >= v_total THEN
        UPDATE public.credits_grant SET remaining = remaining - v_total
            WHERE remaining - held >= v_total AND id = (
                SELECT id FROM public.credits_grant WHERE wallet_id = w.id AND is_open AND remaining > held
                ORDER BY priority, expires_at, id LIMIT 1)
            RETURNING id INTO v_grant;
    END IF;

    IF v_grant IS NOT NULL THEN
        UPDATE public.credits_wallet SET balance = balance - v_total, sequence = sequence + v_count WHERE id = w.id;
        INSERT INTO public.credits_entry (id, key, at, kind, unit_id, amount, from_wallet_id, from_balance, from_sequence,
            to_wallet_id, grant_id, agency_id, sub_account_id, contact, campaign, bot, own_key, reference, memo,
            by_kind, by_id, by_label, on_behalf_of)
        SELECT wish.id, wish.key, p_at, p_kind, w.unit_id, wish.amount, w.id, w.balance - sum(wish.amount) OVER so_far,
            w.sequence + row_number() OVER so_far, public.credits_book('used', w.unit_id), v_grant, w.agency_id, p_sub_account,
            wish.contact, p_campaign, p_bot, false, wish.reference, p_memo, p_by_kind, p_by_id, p_by_label, p_on_behalf_of
        FROM unnest(p_keys, p_amounts, p_ids, p_contacts, p_references) WITH ORDINALITY AS wish (key, amount, id, contact, reference, place)
        WHERE wish.key = ANY (v_new) WINDOW so_far AS (ORDER BY wish.place);
        IF w.low_at IS NOT NULL THEN
            PERFORM public.credits_cross(w.id, w.low_at, w.balance, w.balance - v_total, p_at);
        END IF;
        IF l.wallet_id IS NOT NULL THEN
            l := public.credits_limit_count(own.id, v_total, p_at);
        END IF;
        IF w.owner_kind = 'agency' AND own.on_pool_since IS NULL AND own.sequence > 0 THEN
            PERFORM public.credits_on_pool(own.id, p_at);
        END IF;
        IF v_count < cardinality(p_keys) THEN  -- as in credits_draw
            PERFORM pg_logical_emit_message(false, 'canopy', '', true);
        END IF;
        RETURN QUERY
            SELECT wish.place,
                CASE WHEN claim.key = ANY (v_new) THEN 'done' WHEN claim.content = wish.content THEN 'replayed' ELSE 'reused' END,
                claim.entry_id, 0::bigint
            FROM unnest(p_keys, p_contents) WITH ORDINALITY AS wish (key, content, place)
            JOIN public.credits_key AS claim ON claim.key = wish.key ORDER BY wish.place;
        RETURN;
    END IF;

    -- One by one. All sources are locked first, in their order, since any of them may be drawn on now.
    DELETE FROM public.credits_key WHERE key = ANY (v_new);
    FOR i IN 1 .. cardinality(p_sources) LOOP
        IF i > 1 AND own.has_pool_limit THEN
            PERFORM public.credits_limit(own.id, p_at);
        END IF;
        PERFORM FROM public.credits_wallet WHERE id = p_sources[i] FOR UPDATE;
    END LOOP;
    FOR i IN 1 .. cardinality(p_keys) LOOP
        RETURN QUERY
            SELECT i::bigint, drawn.outcome, drawn.first_id, drawn.available
            FROM public.credits_draw(p_sources, p_amounts[i], p_keys[i], p_contents[i], p_ids[i], p_at, NULL, p_kind, p_sub_account,
                p_contacts[i], p_campaign, p_bot, false, p_references[i], p_memo, p_by_kind, p_by_id, p_by_label, p_on_behalf_of) AS drawn;
    END LOOP;
END $$;

-- Close an open hold: spend p_amount of it and let the rest go. p_state is what the hold becomes.
-- outcome: done, or the state of a hold that was closed before (nothing changes then).
CREATE FUNCTION public.credits_settle(
    p_hold uuid, p_state text, p_amount bigint, p_id uuid, p_at timestamptz,
    p_contact text, p_campaign text, p_bot text, p_own_key boolean, p_reference text, p_memo text,
    p_by_kind text, p_by_id text, p_by_label text, p_on_behalf_of text,
    OUT outcome text, OUT first_id uuid
) LANGUAGE plpgsql AS $$
DECLARE
    h public.credits_hold;
    w public.credits_wallet;
    l public.credits_poollimit;
    v_of_pool bigint;
    v_back bigint;
    v_is_new_month boolean;
    v_left bigint := p_amount;
    v_spend bigint;
    v_posts boolean;
    v_leg integer := 0;
BEGIN
    SELECT * INTO STRICT h FROM public.credits_hold WHERE id = p_hold FOR UPDATE;
    IF h.state <> 'open' THEN
        outcome := h.state;
        first_id := (SELECT entry_id FROM public.credits_key WHERE key = h.key);
        RETURN;
    END IF;
    IF p_amount > h.amount THEN
        RAISE EXCEPTION 'hold % has %, not %', p_hold, h.amount, p_amount;
    END IF;
    IF h.limit_id IS NOT NULL THEN
        PERFORM pg_advisory_xact_lock_shared(uuid_hash_extended(h.limit_id, 0));
        IF EXISTS (SELECT FROM public.credits_poollimit WHERE wallet_id = h.limit_id) THEN
            PERFORM FROM public.credits_wallet WHERE id = h.limit_id FOR UPDATE;
            SELECT * INTO l FROM public.credits_poollimit WHERE wallet_id = h.limit_id FOR UPDATE;
            v_is_new_month := l.month_ends_at <= p_at;
            -- A month that begins now begins without this hold.
            UPDATE public.credits_hold SET state = p_state WHERE id = p_hold;
            l := public.credits_limit(h.limit_id, p_at);
            IF p_at < l.month_began_at THEN
                p_at := l.month_began_at;
                p_id := public.credits_id_at(p_id, p_at);
            END IF;
            v_of_pool := (SELECT sum(leg.amount) FROM unnest(h.wallets, h.amounts) AS leg (wallet_id, amount) WHERE leg.wallet_id <> h.limit_id);
            v_back := v_of_pool - greatest(p_amount - (h.amount - v_of_pool), 0);
            IF v_is_new_month THEN
                l := public.credits_limit_count(h.limit_id, v_of_pool - v_back, p_at);
            ELSIF v_back > 0 THEN
                l := public.credits_limit_count(h.limit_id, -v_back, p_at);
            END IF;
        END IF;
    END IF;

    FOR i IN 1 .. cardinality(h.amounts) LOOP
        v_spend := least(h.amounts[i], v_left);
        v_left := v_left - v_spend;
        v_posts := p_state = 'committed' AND (v_spend > 0 OR h.amount = 0);
        UPDATE public.credits_wallet
            SET held = held - h.amounts[i], balance = balance - v_spend, sequence = sequence + v_posts::integer,
                next_expires_at = least(next_expires_at, (SELECT expires_at FROM public.credits_grant WHERE id = h.grants[i]))
            WHERE id = h.wallets[i] RETURNING * INTO STRICT w;
        UPDATE public.credits_grant SET held = held - h.amounts[i], remaining = remaining - v_spend WHERE id = h.grants[i];
        IF w.on_pool_since IS NOT NULL AND w.balance > w.held THEN
            PERFORM public.credits_off_pool(w.id, p_at);
        END IF;
        CONTINUE WHEN NOT v_posts;
        first_id := coalesce(first_id, p_id);
        INSERT INTO public.credits_entry (id, key, at, kind, unit_id, amount, from_wallet_id, from_balance, from_sequence,
            to_wallet_id, grant_id, agency_id, sub_account_id, contact, campaign, bot, own_key, reference, memo,
            by_kind, by_id, by_label, on_behalf_of)
        VALUES (CASE WHEN v_leg = 0 THEN p_id ELSE (left(p_id::text, 32) || lpad(to_hex(v_leg), 4, '0'))::uuid END,
            h.key, p_at, h.kind, w.unit_id, v_spend, w.id, w.balance, w.sequence,
            public.credits_book('used', w.unit_id), h.grants[i], w.agency_id, h.sub_account_id,
            coalesce(nullif(p_contact, ''), h.contact), coalesce(nullif(p_campaign, ''), h.campaign), coalesce(nullif(p_bot, ''), h.bot),
            coalesce(p_own_key, h.own_key), coalesce(nullif(p_reference, ''), h.reference), coalesce(nullif(p_memo, ''), h.memo),
            p_by_kind, p_by_id, p_by_label, p_on_behalf_of);
        v_leg := v_leg + 1;
        IF w.low_at IS NOT NULL THEN
            PERFORM public.credits_cross(w.id, w.low_at, w.balance + v_spend, w.balance, p_at);
        END IF;
    END LOOP;

    UPDATE public.credits_hold SET state = p_state, closed_at = p_at WHERE id = p_hold;
    IF first_id IS NOT NULL THEN
        UPDATE public.credits_key SET entry_id = first_id WHERE key = h.key;
    END IF;
    outcome := 'done';
END $$;

-- The same for a spend that is a transaction of its own: it commits without waiting for the disk, so the row lock is gone, and
-- then waits until its commit is on disk before it answers. Nothing that was acknowledged can be lost, and all who wait for the
-- disk wait together. A procedure that commits refuses to run inside a transaction, which is the rule we want.
CREATE PROCEDURE public.credits_spend_alone(
    p_sources uuid[], p_amount bigint, p_key text, p_content uuid, p_id uuid, p_at timestamptz,
    p_kind text, p_sub_account uuid, p_contact text, p_campaign text, p_bot text, p_own_key boolean, p_reference text, p_memo text,
    p_by_kind text, p_by_id text, p_by_label text, p_on_behalf_of text,
    INOUT outcome text, INOUT first_id uuid, INOUT available bigint
) LANGUAGE plpgsql AS $$
BEGIN
    SET LOCAL synchronous_commit = off;
    SELECT drawn.outcome, drawn.first_id, drawn.available INTO outcome, first_id, available
        FROM public.credits_draw(p_sources, p_amount, p_key, p_content, p_id, p_at, NULL, p_kind, p_sub_account, p_contact, p_campaign,
            p_bot, p_own_key, p_reference, p_memo, p_by_kind, p_by_id, p_by_label, p_on_behalf_of) AS drawn;
    COMMIT;
    PERFORM pg_logical_emit_message(false, 'canopy', '', true);
END $$;
