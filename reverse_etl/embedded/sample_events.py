"""What the people of the sample warehouse did: a few do most of it; some visitors are unknown."""

CREATE_EVENTS = """
CREATE TABLE shop.events (
    event_id BIGINT,
    user_id VARCHAR,
    occurred_at TIMESTAMPTZ,
    kind VARCHAR,
    amount DECIMAL(18, 2),
    device STRUCT(os VARCHAR, app_version VARCHAR),
    items STRUCT(sku VARCHAR, quantity BIGINT, price DECIMAL(10, 2))[]
)
"""

#: Events `[$start, $stop)`. The cube of an even draw gives the first of 200,000 users one event in
#: sixty, and some of the last ones none. Nobody acts before sign-up or after leaving: events drawn
#: for somebody who had left before the first day are an unknown visitor's.
INSERT_EVENTS = """
INSERT INTO shop.events
WITH numbered AS (
    SELECT event_id, hash(xor(hash(event_id), $seed::UBIGINT + 1)) AS entropy
    FROM range($start, $stop) AS numbers(event_id)
),
drawn AS (
    SELECT
        *,
        draw_share(entropy, 'who') AS who,
        draw_share(entropy, 'when') AS moment,
        draw_below(entropy, 'kind', 100) AS dice
    FROM numbered
),
acted AS (
    SELECT
        event_id,
        drawn.entropy,
        moment,
        CASE
            WHEN draw_below(drawn.entropy, 'visitor', 50) > 0 AND coalesce(departure > $first, TRUE)
            THEN people.user_id
        END AS user_id,
        greatest(signup, $first) AS earliest,
        coalesce(departure, $last) AS latest,
        CASE
            WHEN dice < 58 THEN 'view'
            WHEN dice < 78 THEN 'search'
            WHEN dice < 89 THEN 'add_to_cart'
            WHEN dice < 98 THEN 'purchase'
            WHEN dice < 99 THEN 'refund'
            ELSE 'share'
        END AS kind
    FROM drawn
    JOIN people ON people.number = 1 + floor($users * who * who * who)::BIGINT
),
filled AS (
    SELECT
        *,
        CASE
            WHEN kind IN ('add_to_cart', 'purchase', 'refund')
            THEN list_transform(
                range(
                    CASE
                        WHEN event_id % 1000 = 0 THEN 25
                        ELSE 1 + draw_below(entropy, 'items', 3)
                    END
                ),
                lambda position: {
                    'sku': concat('sku-', draw_below(xor(entropy, hash(position)), 'sku', 500)),
                    'quantity': 1 + draw_below(xor(entropy, hash(position)), 'quantity', 4),
                    'price': cents(
                        99 + draw_below(xor(entropy, hash(position)), 'price', 20000)
                    )::DECIMAL(10, 2)
                }
            )
            WHEN event_id % 2 = 0 THEN []
        END AS items
    FROM acted
)
SELECT
    event_id,
    user_id,
    make_timestamptz(
        CASE
            WHEN user_id IS NULL THEN $first + floor(moment * ($last - $first))::BIGINT
            ELSE earliest + floor(moment * (latest - earliest))::BIGINT
        END
    ) AS occurred_at,
    kind,
    CASE kind
        WHEN 'purchase' THEN list_sum(list_transform(items, lambda x: x.price * x.quantity))
        WHEN 'refund' THEN list_sum(list_transform(items, lambda x: -x.price * x.quantity))
    END AS amount,
    CASE
        WHEN event_id % 33 <> 0
        THEN {
            'os': pick(entropy, 'os', ['ios', 'ios', 'android', 'android', 'android', 'web', NULL]),
            'app_version': concat(
                draw_below(entropy, 'major', 4), '.', draw_below(entropy, 'minor', 20), '.0',
                CASE WHEN event_id % 40 = 0 THEN '-β' ELSE '' END
            )
        }
    END AS device,
    items
FROM filled
ORDER BY event_id
"""
