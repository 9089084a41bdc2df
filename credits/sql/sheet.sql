-- The books in one table: per unit what pools and wallets hold, and what went into each boundary account less what came out of it.
-- One statement, so one snapshot: the rows of a unit sum to zero.
SELECT unit_id, account, sum(amount)::bigint AS amount FROM (
    SELECT unit_id, CASE owner_kind WHEN 'agency' THEN 'pools' ELSE 'wallets' END AS account, balance AS amount
    FROM public.credits_wallet WHERE owner_kind <> 'book'
    UNION ALL
    SELECT entry.unit_id, name, CASE WHEN public.credits_book(name, entry.unit_id) = entry.to_wallet_id THEN entry.amount ELSE -entry.amount END
    FROM public.credits_entry AS entry
    JOIN unnest(ARRAY['issued', 'sold', 'used', 'expired', 'converted', 'voided']) AS name
        ON public.credits_book(name, entry.unit_id) IN (entry.from_wallet_id, entry.to_wallet_id)
) AS line GROUP BY 1, 2
