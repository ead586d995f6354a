-- One row for each user there was at the end of the day: what they did in the 30 days before.
-- The dialect is BigQuery's. @partition_date, @window_start and @window_end are the day and its bounds
-- as `partitions` in defs.yaml cuts it; nothing else may vary between two runs of the same day, so
-- whatever comes "first", "last" or "top" says how ties are broken.
WITH recent AS (
  SELECT event_id, user_id, occurred_at, kind, amount, device, items
  FROM shop.events
  WHERE occurred_at >= TIMESTAMP_SUB(@window_end, INTERVAL 30 DAY)
    AND occurred_at < @window_end
    AND user_id IS NOT NULL  -- visitors who were not signed in
),

totals AS (
  SELECT
    user_id,
    COUNT(*) AS events,
    COUNTIF(occurred_at >= @window_start) AS events_of_day,
    COUNTIF(kind = 'purchase') AS purchases,
    SUM(IF(kind = 'purchase', amount, NULL)) AS purchased,
    SUM(amount) AS revenue,  -- refunds are negative
    COUNT(DISTINCT DATE(occurred_at, 'Asia/Tokyo')) AS active_days,
    MAX(occurred_at) AS last_event_at
  FROM recent
  GROUP BY user_id
),

favourite_kinds AS (
  SELECT user_id, kind
  FROM recent
  GROUP BY user_id, kind
  QUALIFY ROW_NUMBER() OVER (PARTITION BY user_id ORDER BY COUNT(*) DESC, kind) = 1
),

last_devices AS (
  SELECT user_id, device
  FROM recent
  WHERE device IS NOT NULL
  QUALIFY ROW_NUMBER() OVER (PARTITION BY user_id ORDER BY occurred_at DESC, event_id DESC) = 1
),

bought AS (
  SELECT
    user_id,
    item.sku AS sku,
    SUM(item.quantity) AS quantity,
    ROW_NUMBER() OVER (PARTITION BY user_id ORDER BY SUM(item.quantity) DESC, item.sku) AS place
  FROM recent
  CROSS JOIN UNNEST(recent.items) AS item
  WHERE kind = 'purchase'
  GROUP BY user_id, item.sku
  QUALIFY place <= 3
),

top_items AS (
  SELECT
    user_id,
    ARRAY_AGG(sku ORDER BY place) AS skus,
    ARRAY_AGG(STRUCT(sku AS sku, quantity AS quantity) ORDER BY place) AS items
  FROM bought
  GROUP BY user_id
)

SELECT
  users.user_id,
  users.account_number,
  users.email,
  users.birthday,
  users.country,
  users.signup_at,
  users.balance,
  CASE
    WHEN users.signup_at >= TIMESTAMP_SUB(@window_end, INTERVAL 30 DAY) THEN 'new'
    WHEN totals.purchases > 0 THEN 'buyer'
    WHEN totals.events > 0 THEN 'browser'
    ELSE 'asleep'
  END AS segment,
  COALESCE(totals.events, 0) > 0 AS is_active,
  COALESCE(totals.events, 0) AS events_30d,
  COALESCE(totals.events_of_day, 0) AS events_1d,
  COALESCE(totals.active_days, 0) AS active_days_30d,
  COALESCE(totals.purchases, 0) AS purchases_30d,
  COALESCE(totals.revenue, 0) AS revenue_30d,
  ROUND(SAFE_DIVIDE(CAST(totals.purchased AS FLOAT64), totals.purchases), 2) AS average_basket,
  totals.last_event_at,
  DATE_DIFF(@partition_date, DATE(totals.last_event_at, 'Asia/Tokyo'), DAY) AS days_since_last_event,
  favourite_kinds.kind AS favourite_kind,
  last_devices.device AS last_device,
  top_items.skus AS top_skus,
  top_items.items AS top_items
FROM shop.users AS users
LEFT JOIN totals ON totals.user_id = users.user_id
LEFT JOIN favourite_kinds ON favourite_kinds.user_id = users.user_id
LEFT JOIN last_devices ON last_devices.user_id = users.user_id
LEFT JOIN top_items ON top_items.user_id = users.user_id
WHERE users.signup_at < @window_end
  AND (users.deleted_at IS NULL OR users.deleted_at >= @window_end)
