-- One row for each user there was at the end of the day. shop.users keeps the latest state only: a
-- day that is run again later has the same people in it, with what is known of them by then.
-- What must never leave is best not selected at all: addresses lose their postal codes here already.
SELECT
  user_id,
  email,
  phone,
  full_name,
  birthday,
  country,
  city,
  postal_code,
  ip_address,
  bio,
  signup_at,
  last_login,
  loyalty_points,
  balance,
  score,
  is_active,
  preferences,
  tags,
  (
    SELECT ARRAY_AGG(STRUCT(address.label AS label, address.city AS city) ORDER BY place)
    FROM UNNEST(addresses) AS address WITH OFFSET AS place
  ) AS addresses,
  avatar,
  quiet_hours,
  settings
FROM shop.users
WHERE signup_at < @window_end
  AND (deleted_at IS NULL OR deleted_at >= @window_end)
