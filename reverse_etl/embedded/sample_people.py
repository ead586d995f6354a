"""Who there is in the sample warehouse, decided once: users and events are both made from it."""

#: DuckDB's `hash` is the only source of chance: what `random()` gives depends on the order in which
#: threads come by. An integer is hashed last: hashes of several arguments are correlated draws.
MACROS = """
CREATE TEMP MACRO draw(entropy, topic) AS hash(xor(entropy, hash(topic)));
CREATE TEMP MACRO draw_below(entropy, topic, bound) AS (draw(entropy, topic) % bound)::BIGINT;
CREATE TEMP MACRO draw_share(entropy, topic) AS
    (draw(entropy, topic) >> 11)::DOUBLE / 9007199254740992;
CREATE TEMP MACRO pick(entropy, topic, choices) AS
    choices[1 + draw_below(entropy, topic, length(choices))];
CREATE TEMP MACRO cents(amount) AS (amount::BIGINT * 0.01::DECIMAL(3, 2))::DECIMAL(18, 2);
"""

#: Who there is, when they came and when they left, in microseconds since 1970. Numbers follow
#: sign-up, but the last twentieth signs up within the days of the events.
CREATE_PEOPLE = """
CREATE TEMP TABLE people AS
WITH numbered AS (
    SELECT
        number,
        hash(xor(hash(number), $seed::UBIGINT)) AS entropy,
        printf('%07d', number) AS digits
    FROM range(1, $users + 1) AS numbers(number)
),
signed_up AS (
    SELECT
        *,
        CASE
            WHEN number <= $users - $users // 20
            THEN $opening + ($first - $opening) // $users * (number - 1)
            ELSE $first + draw_below(entropy, 'sign-up', $last - $first)
        END AS signup
    FROM numbered
)
SELECT
    number,
    entropy,
    CASE number % 211
        WHEN 3 THEN concat('u ', digits)
        WHEN 11 THEN concat('ユーザー-', digits)
        WHEN 17 THEN concat('u:', digits, ':')
        WHEN 23 THEN concat('u/../', digits)
        WHEN 29 THEN concat('{u-', digits, '}')
        WHEN 31 THEN concat('🦊-', digits)
        WHEN 37 THEN concat(' u-', digits, ' ')
        WHEN 41 THEN concat('Jos', chr(233), '-', digits)
        WHEN 42 THEN printf('Jose%s-%07d', chr(769), number - 1)  -- the one before, decomposed
        WHEN 47 THEN concat('u"\\''', digits)
        WHEN 53 THEN printf('U-%07d', number - 1)                 -- the one before, but for case
        WHEN 59 THEN concat('u%2F', digits, '?a=b&c#d')
        WHEN 61 THEN concat('مستخدم-', digits)
        WHEN 67 THEN concat('u', chr(9), digits, chr(10))
        WHEN 71 THEN digits
        WHEN 73 THEN number::VARCHAR
        WHEN 79 THEN concat('u-', repeat('long-', 60), digits)
        WHEN 83 THEN concat('u*?[', digits, ']')
        WHEN 89 THEN concat('u-{}{', digits, '}')
        ELSE concat('u-', digits)
    END AS user_id,
    signup,
    CASE
        WHEN draw_below(entropy, 'leaves', 100) < 4
        THEN greatest(signup, $first)
            + floor(draw_share(entropy, 'left') * ($last - greatest(signup, $first)))::BIGINT
        WHEN draw_below(entropy, 'leaves', 100) < 6 AND signup < $first
        THEN signup + floor(draw_share(entropy, 'left') * ($first - signup))::BIGINT
    END AS departure
FROM signed_up
"""
