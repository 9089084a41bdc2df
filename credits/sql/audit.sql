-- All laws of the books at once: one statement, so one snapshot, so spends that go on meanwhile disturb nothing.
-- Each row is a finding: the law's number, what it is about, what is wrong. %(now)s is the time of the audit.
WITH lines AS MATERIALIZED (
    SELECT id, unit_id, grant_id, from_wallet_id AS wallet_id, from_sequence AS sequence, from_balance AS balance, -amount AS change
    FROM public.credits_entry
    UNION ALL
    SELECT id, unit_id, coalesce(to_grant_id, grant_id), to_wallet_id, to_sequence, to_balance, amount FROM public.credits_entry
), sums AS MATERIALIZED (
    SELECT wallet_id, sum(change) AS total, max(sequence) AS last FROM lines GROUP BY wallet_id
), running AS (
    SELECT wallet_id, sequence, balance, change,
        lag(balance, 1, 0::bigint) OVER w AS before, lag(sequence, 1, 0::bigint) OVER w AS previous
    FROM lines WHERE sequence IS NOT NULL WINDOW w AS (PARTITION BY wallet_id ORDER BY sequence)
), wallets AS MATERIALIZED (
    SELECT wallet.*, coalesce(sums.total, 0) AS total, coalesce(sums.last, 0) AS last,
        coalesce(lots.remaining, 0) AS granted, coalesce(lots.held, 0) AS granted_held
    FROM public.credits_wallet AS wallet
    LEFT JOIN sums ON sums.wallet_id = wallet.id
    LEFT JOIN (SELECT wallet_id, sum(remaining) AS remaining, sum(held) AS held FROM public.credits_grant GROUP BY 1) AS lots
        ON lots.wallet_id = wallet.id
), legs AS MATERIALIZED (
    SELECT leg.wallet_id, leg.grant_id, sum(leg.amount) AS amount
    FROM public.credits_hold AS hold, unnest(hold.wallets, hold.grants, hold.amounts) AS leg (wallet_id, grant_id, amount)
    WHERE hold.state = 'open' GROUP BY 1, 2
), undone AS MATERIALIZED (
    SELECT voids FROM public.credits_entry WHERE voids IS NOT NULL
), limits AS MATERIALIZED (
    SELECT limited.*, coalesce(spent.amount, 0) + coalesce(reserved.amount, 0) AS recounted
    FROM public.credits_poollimit AS limited
    LEFT JOIN (
        SELECT own.id AS wallet_id, sum(entry.amount) AS amount
        FROM public.credits_poollimit AS counted
        JOIN public.credits_wallet AS own ON own.id = counted.wallet_id
        JOIN public.credits_entry AS entry ON entry.sub_account_id = own.owner_id AND entry.unit_id = own.unit_id
            AND entry.at >= counted.month_began_at AND entry.to_wallet_id = public.credits_book('used', own.unit_id)
        JOIN public.credits_wallet AS pool ON pool.id = entry.from_wallet_id AND pool.owner_kind = 'agency'
        WHERE NOT EXISTS (SELECT FROM undone WHERE undone.voids = entry.id)
        GROUP BY 1
    ) AS spent USING (wallet_id)
    LEFT JOIN (
        SELECT hold.limit_id AS wallet_id, sum(leg.amount) AS amount
        FROM public.credits_hold AS hold, unnest(hold.wallets, hold.amounts) AS leg (wallet_id, amount)
        WHERE hold.state = 'open' AND leg.wallet_id <> hold.limit_id GROUP BY 1
    ) AS reserved USING (wallet_id)
), books AS (
    SELECT id FROM public.credits_wallet WHERE owner_kind = 'book' AND owner_id = md5('canopy book converted')::uuid
), conversions AS MATERIALIZED (
    SELECT entry.key, entry.grant_id, entry.agency_id, entry.unit_id,
        sum(entry.amount) FILTER (WHERE entry.to_wallet_id = books.id) AS taken,
        coalesce(sum(entry.amount) FILTER (WHERE entry.from_wallet_id = books.id), 0) AS landed,
        bool_or(lot.expires_at IS NOT NULL OR NOT lot.transferable) AS is_bound
    FROM public.credits_entry AS entry JOIN books ON books.id IN (entry.from_wallet_id, entry.to_wallet_id)
    LEFT JOIN public.credits_grant AS lot ON lot.id = entry.grant_id
    GROUP BY 1, 2, 3, 4
)

SELECT 1, 'unit ' || unit_id, format('the balances of all accounts sum to %%s, not 0', sum(CASE owner_kind WHEN 'book' THEN total ELSE balance END))
FROM wallets GROUP BY unit_id HAVING sum(CASE owner_kind WHEN 'book' THEN total ELSE balance END) <> 0
UNION ALL
SELECT 1, 'entry ' || lines.id, format('is in %%s but moves wallet %%s of %%s', lines.unit_id, lines.wallet_id, coalesce(wallets.unit_id, 'nothing'))
FROM lines LEFT JOIN wallets ON wallets.id = lines.wallet_id WHERE wallets.unit_id IS DISTINCT FROM lines.unit_id

UNION ALL
SELECT 2, 'table ' || part.relname, 'can be changed: its trigger is missing or off'
FROM pg_class AS part
WHERE (part.oid = 'public.credits_entry'::regclass
        OR part.oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = 'public.credits_entry'::regclass))
    AND NOT EXISTS (
        SELECT FROM pg_trigger
        WHERE tgrelid = part.oid AND tgfoid = 'public.credits_entry_is_forever'::regproc AND tgenabled IN ('O', 'A'))

UNION ALL
SELECT 3, 'wallet ' || id, format('has a balance of %%s, its open grants %%s', balance, granted)
FROM wallets WHERE owner_kind <> 'book' AND balance <> granted
UNION ALL
SELECT 3, 'wallet ' || wallets.id, format('has a balance of %%s, its last entry says %%s', wallets.balance, coalesce(running.balance, 0))
FROM wallets LEFT JOIN running ON running.wallet_id = wallets.id AND running.sequence = wallets.last
WHERE wallets.owner_kind <> 'book' AND wallets.balance <> coalesce(running.balance, 0)

UNION ALL
SELECT 4, 'wallet ' || wallet_id, format('its entry %%s follows %%s', sequence, previous) FROM running WHERE sequence <> previous + 1
UNION ALL
SELECT 4, 'wallet ' || id, format('counts %%s entries, the last has number %%s', sequence, last)
FROM wallets WHERE owner_kind <> 'book' AND sequence <> last

UNION ALL
SELECT 5, 'key ' || key, format('posted %%s times', count(DISTINCT left(id::text, 32)))
FROM public.credits_entry GROUP BY key HAVING count(DISTINCT left(id::text, 32)) > 1
UNION ALL
SELECT 5, 'entry ' || entry.id, format('its key %%s is not claimed for it', entry.key)
FROM public.credits_entry AS entry LEFT JOIN public.credits_key AS claim ON claim.key = entry.key
WHERE left(claim.entry_id::text, 32) IS DISTINCT FROM left(entry.id::text, 32)
UNION ALL
SELECT 5, 'key ' || claim.key, format('its entry %%s is missing', claim.entry_id)
FROM public.credits_key AS claim LEFT JOIN public.credits_entry AS entry ON entry.id = claim.entry_id
WHERE claim.entry_id IS NOT NULL AND entry.id IS NULL

UNION ALL
SELECT 6, 'wallet ' || id, format('holds %%s of a balance of %%s', held, balance) FROM wallets WHERE held < 0 OR balance < held
UNION ALL
SELECT 6, 'wallet ' || id, format('has %%s held, its grants %%s, its open holds %%s', held, granted_held, coalesce(reserved.amount, 0))
FROM wallets LEFT JOIN (SELECT wallet_id, sum(amount) AS amount FROM legs GROUP BY 1) AS reserved ON reserved.wallet_id = wallets.id
WHERE held <> granted_held OR held <> coalesce(reserved.amount, 0)
UNION ALL
SELECT 6, 'grant ' || lot.id, format('has %%s held, its open holds %%s', lot.held, coalesce(legs.amount, 0))
FROM public.credits_grant AS lot LEFT JOIN legs ON legs.grant_id = lot.id WHERE lot.held <> coalesce(legs.amount, 0)
UNION ALL
SELECT 6, 'hold ' || key, format('is open, its time was over at %%s', expires_at)
FROM public.credits_hold WHERE state = 'open' AND expires_at < %(now)s::timestamptz - interval '1 hour'

UNION ALL
SELECT 7, 'grant ' || lot.id, format('has %%s of %%s left, its entries leave %%s', lot.remaining, lot.amount, coalesce(moved.total, 0))
FROM public.credits_grant AS lot
LEFT JOIN (SELECT grant_id, wallet_id, sum(change) AS total FROM lines GROUP BY 1, 2) AS moved
    ON moved.grant_id = lot.id AND moved.wallet_id = lot.wallet_id
WHERE lot.remaining <> coalesce(moved.total, 0) OR lot.remaining NOT BETWEEN 0 AND lot.amount OR lot.held NOT BETWEEN 0 AND lot.remaining

UNION ALL
SELECT 8, 'entry ' || undo.id, 'does not mirror the entry it voids'
FROM public.credits_entry AS undo LEFT JOIN public.credits_entry AS done ON done.id = undo.voids
LEFT JOIN public.credits_key AS claim ON claim.key = done.key
WHERE undo.kind = 'void' AND (done.id IS NULL OR done.amount <> undo.amount OR done.grant_id IS DISTINCT FROM undo.grant_id
    OR NOT (done.from_wallet_id = undo.to_wallet_id OR done.to_wallet_id = undo.from_wallet_id) OR claim.voided_by <> undo.key)
UNION ALL
SELECT 8, 'entry ' || voids, format('was voided %%s times', count(*)) FROM public.credits_entry
WHERE voids IS NOT NULL GROUP BY voids HAVING count(*) > 1

UNION ALL
SELECT 9, 'wallet ' || wallets.id, format('stands at %%s, %%s''s threshold is %%s, and there are %%s open alerts',
    wallets.balance, coalesce(threshold.audience, low.audience), coalesce(threshold.at::text, 'none'), coalesce(low.open, 0))
FROM public.credits_threshold AS threshold
FULL JOIN (SELECT wallet_id, audience, count(*) AS open FROM public.credits_lowbalance WHERE rearmed_at IS NULL GROUP BY 1, 2) AS low
    ON low.wallet_id = threshold.wallet_id AND low.audience = threshold.audience
JOIN wallets ON wallets.id = coalesce(threshold.wallet_id, low.wallet_id)
WHERE coalesce(low.open, 0) <> (coalesce(wallets.balance < threshold.at, false))::integer
UNION ALL
SELECT 9, 'wallet ' || wallets.id, format('looks for thresholds below %%s, the highest is %%s', wallets.low_at, threshold.highest)
FROM wallets LEFT JOIN (SELECT wallet_id, max(at) AS highest FROM public.credits_threshold GROUP BY 1) AS threshold ON threshold.wallet_id = wallets.id
WHERE wallets.owner_kind <> 'book' AND wallets.low_at IS DISTINCT FROM threshold.highest

UNION ALL
SELECT 10, 'wallet ' || wallet_id, format('entry %%s says %%s, after %%s and %%s it should be %%s', sequence, balance, before, change, before + change)
FROM running WHERE balance <> before + change
UNION ALL
SELECT 10, 'wallet ' || id, format('has a balance of %%s, its entries sum to %%s', balance, total)
FROM wallets WHERE owner_kind <> 'book' AND balance <> total

UNION ALL
SELECT 11, 'entry ' || moved.id, 'moves units into a grant that differs from where they came from'
FROM public.credits_entry AS moved
LEFT JOIN public.credits_grant AS lot ON lot.id = moved.grant_id
LEFT JOIN public.credits_grant AS landed ON landed.id = moved.to_grant_id
WHERE ((moved.from_sequence IS NOT NULL AND moved.to_sequence IS NOT NULL) OR moved.to_grant_id IS NOT NULL)
    AND ((lot.wallet_id = moved.from_wallet_id OR moved.from_wallet_id IN (SELECT id FROM books)) AND landed.wallet_id = moved.to_wallet_id AND landed.amount = moved.amount
        AND landed.transferable = lot.transferable AND landed.expires_at IS NOT DISTINCT FROM lot.expires_at) IS NOT TRUE
UNION ALL
SELECT 11, 'grant ' || to_grant_id, format('is filled by %%s entries', count(*)) FROM public.credits_entry
WHERE to_grant_id IS NOT NULL GROUP BY to_grant_id HAVING count(*) > 1

UNION ALL
SELECT 12, 'wallet ' || limits.wallet_id, format('counts %%s used of the pool since %%s; entries and open holds say %%s',
    limits.used, limits.month_began_at, limits.recounted)
FROM limits WHERE used <> recounted
UNION ALL
SELECT 12, 'wallet ' || wallets.id, format('says that it has a limit: %%s, and there is one: %%s', has_pool_limit, limits.wallet_id IS NOT NULL)
FROM wallets LEFT JOIN limits ON limits.wallet_id = wallets.id
WHERE has_pool_limit <> (limits.wallet_id IS NOT NULL) OR (has_pool_limit AND owner_kind <> 'sub_account')
UNION ALL
SELECT 12, 'wallet ' || wallet_id, format('has %%s open crossings of kind %%s', count(*), kind)
FROM public.credits_crossing WHERE rearmed_at IS NULL GROUP BY wallet_id, kind HAVING count(*) > 1
UNION ALL
SELECT 12, 'wallet ' || wallets.id, format('is on the pool since %%s, and the crossing that is open says %%s', on_pool_since, crossing.at)
FROM wallets LEFT JOIN public.credits_crossing AS crossing
    ON crossing.wallet_id = wallets.id AND crossing.kind = 'fallback_started' AND crossing.rearmed_at IS NULL
WHERE on_pool_since IS DISTINCT FROM crossing.at
UNION ALL
SELECT 12, 'wallet ' || id, format('is on the pool since %%s, and has %%s of its own', on_pool_since, balance - held)
FROM wallets WHERE on_pool_since IS NOT NULL AND (balance > held OR owner_kind <> 'sub_account')
UNION ALL
SELECT 12, 'wallet ' || coalesce(limits.wallet_id, crossing.wallet_id),
    format('has used %%s of %%s, and of the limit there is an open crossing: %%s', used, limits.amount, crossing.id IS NOT NULL)
FROM limits FULL JOIN (SELECT * FROM public.credits_crossing WHERE kind = 'limit_reached' AND rearmed_at IS NULL) AS crossing
    ON crossing.wallet_id = limits.wallet_id
WHERE limits.wallet_id IS NULL OR (crossing.id IS NULL AND used >= limits.amount AND used > 0)

UNION ALL
SELECT 13, 'wallet ' || wallets.id, format('has %%s left over of conversions, its entries leave %%s', wallets.converted, coalesce(counted.amount, 0))
FROM wallets LEFT JOIN (
    SELECT agency_id, unit_id, sum(CASE WHEN taken > landed AND is_bound THEN 0 ELSE taken - landed END) AS amount FROM conversions GROUP BY 1, 2
) AS counted ON wallets.owner_kind = 'agency' AND counted.agency_id = wallets.owner_id AND counted.unit_id = wallets.unit_id
WHERE wallets.converted <> coalesce(counted.amount, 0) OR wallets.converted < 0
UNION ALL
SELECT 13, 'key ' || key, format('converts %%s of grant %%s that never left it', landed, coalesce(grant_id::text, 'nothing'))
FROM conversions WHERE taken IS NULL OR grant_id IS NULL

UNION ALL
SELECT 15, 'entry ' || id, format('is of %%s, its id of %%s', at, uuid_extract_timestamp(id))
FROM public.credits_entry WHERE uuid_extract_timestamp(id) IS DISTINCT FROM date_trunc('milliseconds', at)

UNION ALL
SELECT 16, 'wallet ' || wallets.id, format('looks for what expires at %%s, and something of it expires at %%s', coalesce(next_expires_at::text, 'no time'), due.first)
FROM wallets JOIN (
    SELECT wallet_id, min(expires_at) AS first FROM public.credits_grant WHERE is_open AND remaining > held AND expires_at IS NOT NULL GROUP BY 1
) AS due ON due.wallet_id = wallets.id
WHERE (next_expires_at <= due.first) IS NOT TRUE
ORDER BY 1, 2 LIMIT 10000
