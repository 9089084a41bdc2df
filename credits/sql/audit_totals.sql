-- Law 14: what the totals say is what the entries say up to where they are folded. One statement, so one snapshot.
WITH lines AS MATERIALIZED (
    SELECT calendar.id AS calendar_id,
        coalesce(CASE wallet.owner_kind WHEN 'sub_account' THEN wallet.owner_id ELSE line.sub_account_id END,
            '00000000-0000-0000-0000-000000000000') AS sub_account_id,
        line.unit_id, (line.at AT TIME ZONE calendar.time_zone)::date AS day, wallet.owner_kind = 'agency' AS is_pool,
        line.direction, line.kind, sum(line.amount) AS amount, count(*) AS lines
    FROM public.credits_calendar AS calendar
    JOIN public.credits_fold AS fold ON fold.calendar_id = calendar.id
    JOIN public.credits_wallet AS wallet ON wallet.id = fold.wallet_id
    JOIN public.credits_line AS line ON line.wallet_id = fold.wallet_id AND line.sequence <= fold.sequence
    GROUP BY 1, 2, 3, 4, 5, 6, 7
), agency_days AS (
    SELECT calendar_id, unit_id, day, is_pool, direction, kind, sum(amount) AS amount, sum(lines) AS lines
    FROM lines GROUP BY 1, 2, 3, 4, 5, 6
), months AS (
    SELECT calendar_id, unit_id, date_trunc('month', day)::date AS month, sub_account_id,
        sum(CASE direction WHEN 'used' THEN amount ELSE -amount END) AS amount,
        sum(CASE direction WHEN 'used' THEN amount ELSE -amount END * (32 - extract(day FROM day)::integer)) AS area
    FROM lines WHERE direction IN ('used', 'returned') GROUP BY 1, 2, 3, 4
)
SELECT 14, 'calendar ' || calendar_id, format('says %%s in %%s lines of %%s %%s by %%s on %%s; the entries say %%s in %%s',
    total.amount, total.lines, unit_id, direction, sub_account_id, day, lines.amount, lines.lines)
FROM lines FULL JOIN public.credits_daytotal AS total USING (calendar_id, sub_account_id, unit_id, day, is_pool, direction, kind)
WHERE total.amount IS DISTINCT FROM lines.amount OR total.lines IS DISTINCT FROM lines.lines
UNION ALL
SELECT 14, 'calendar ' || calendar_id, format('says %%s in %%s lines of %%s %%s by all on %%s; the entries say %%s in %%s',
    total.amount, total.lines, unit_id, direction, day, agency_days.amount, agency_days.lines)
FROM agency_days FULL JOIN public.credits_agencydaytotal AS total USING (calendar_id, unit_id, day, is_pool, direction, kind)
WHERE total.amount IS DISTINCT FROM agency_days.amount OR total.lines IS DISTINCT FROM agency_days.lines
UNION ALL
SELECT 14, 'calendar ' || calendar_id, format('says %%s used %%s of %%s in the month of %%s; the entries say %%s',
    sub_account_id, total.through[31], unit_id, month, months.amount)
FROM months FULL JOIN public.credits_monthtotal AS total USING (calendar_id, unit_id, month, sub_account_id)
WHERE total.through[31] IS DISTINCT FROM months.amount
    OR (SELECT sum(one) FROM unnest(total.through) AS one) IS DISTINCT FROM months.area
UNION ALL
SELECT 14, 'wallet ' || wallet.id, format('is folded up to %%s, its last entry is %%s', fold.sequence, wallet.sequence)
FROM public.credits_fold AS fold JOIN public.credits_wallet AS wallet ON wallet.id = fold.wallet_id WHERE fold.sequence > wallet.sequence
ORDER BY 1, 2 LIMIT 10000
