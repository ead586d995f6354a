"""The users of the sample warehouse: ordinary ones, and on purpose every oddity of real tables.

What is odd about a user follows from the number alone, by remainders, so that each oddity is there
from 2,000 users on; everything else is drawn from a hash of number and seed (sample_people).
"""

CREATE_USERS = """
CREATE TABLE shop.users (
    user_id VARCHAR,
    account_number BIGINT,
    email VARCHAR,
    phone VARCHAR,
    full_name VARCHAR,
    birthday DATE,
    country VARCHAR,
    city VARCHAR,
    postal_code VARCHAR,
    ip_address VARCHAR,
    bio VARCHAR,
    signup_at TIMESTAMPTZ,
    last_login TIMESTAMP,
    loyalty_points BIGINT,
    balance DECIMAL(18, 2),
    score DOUBLE,
    is_active BOOLEAN,
    preferences STRUCT(
        language VARCHAR, newsletter BOOLEAN, theme STRUCT(name VARCHAR, dark BOOLEAN)
    ),
    tags VARCHAR[],
    addresses STRUCT(label VARCHAR, city VARCHAR, postal_code VARCHAR)[],
    avatar BLOB,
    quiet_hours TIME,
    settings JSON,
    deleted_at TIMESTAMPTZ
)
"""

INSERT_USERS = """
INSERT INTO shop.users
SELECT
    user_id,
    CASE number % 13
        WHEN 0 THEN 9007199254740993 + number       -- no double holds it
        WHEN 1 THEN 9223372036854775807 - number
        WHEN 2 THEN -9007199254740993 - number
        ELSE 1000000000 + number
    END AS account_number,
    CASE
        WHEN number % 41 = 0 THEN NULL
        WHEN number % 83 = 1 THEN concat('"quoted user ', number, '"@example.com')
        WHEN number % 89 = 2 THEN concat('Zoë.', number, '@例え.example.org')
        WHEN number % 97 = 3 THEN concat('UPPER.', number, '+tag@EXAMPLE.NET')
        ELSE concat('user', number, '@example.', pick(entropy, 'email', ['com', 'org', 'net']))
    END AS email,
    CASE
        WHEN number % 23 = 0 THEN NULL
        WHEN number % 53 = 1 AND country = 'JP'
        THEN translate(
            printf(phone, draw_below(entropy, 'phone', 100), draw_below(entropy, 'line', 10000)),
            '0123456789', $full_width_digits
        )
        ELSE printf(phone, draw_below(entropy, 'phone', 100), draw_below(entropy, 'line', 10000))
    END AS phone,
    CASE
        WHEN number % 103 = 0 THEN NULL
        WHEN number % 101 < length($odd_names) THEN $odd_names[1 + number % 101]
        WHEN is_family_name_first
        THEN concat(
            pick(entropy, 'family', family_names), $full_width_space,
            pick(entropy, 'given', given_names)
        )
        ELSE concat(pick(entropy, 'given', given_names), ' ', pick(entropy, 'family', family_names))
    END AS full_name,
    CASE
        WHEN number % 43 = 0 THEN NULL
        WHEN number % 131 = 1 THEN DATE '1900-01-01'
        WHEN number % 127 = 2 THEN DATE '2004-02-29'
        ELSE DATE '1935-01-01' + draw_below(entropy, 'birthday', 27000)::INTEGER
    END AS birthday,
    CASE WHEN number % 61 <> 0 THEN country END AS country,
    CASE WHEN number % 59 <> 0 THEN pick(entropy, 'city', cities) END AS city,
    CASE
        WHEN number % 37 = 0 THEN NULL
        WHEN number % 67 = 1 THEN ''
        ELSE printf(
            postal_code, draw_below(entropy, 'post', 10000), draw_below(entropy, 'area', 100)
        )
    END AS postal_code,
    CASE draw_below(entropy, 'network', 8)
        WHEN 0 THEN NULL
        WHEN 1 THEN concat('2001:db8::', to_hex(draw_below(entropy, 'host', 65536)))
        ELSE concat(
            pick(entropy, 'block', ['192.0.2.', '198.51.100.', '203.0.113.']),
            draw_below(entropy, 'host', 256)
        )
    END AS ip_address,
    CASE
        WHEN number % 499 = 3
        THEN repeat(pick(entropy, 'bio', $plain_bios), 100 + draw_below(entropy, 'length', 180))
        WHEN number % 29 < length($odd_bios) THEN $odd_bios[1 + number % 29]
        WHEN number % 7 < 2 THEN NULL
        WHEN number % 7 = 2 THEN ''
        ELSE pick(entropy, 'bio', $plain_bios)
    END AS bio,
    make_timestamptz(signup) AS signup_at,
    CASE
        WHEN number % 11 = 0 THEN NULL
        WHEN number % 109 = 1 THEN TIMESTAMP '1970-01-01 00:00:00'   -- how some systems write never
        WHEN number % 3 = 0 THEN date_trunc('second', make_timestamp(last_seen))
        WHEN number % 3 = 1 THEN date_trunc('millisecond', make_timestamp(last_seen))
        ELSE make_timestamp(last_seen)
    END AS last_login,
    CASE
        WHEN number % 31 = 0 THEN NULL
        WHEN number % 113 = 1 THEN -draw_below(entropy, 'points', 500)
        ELSE draw_below(entropy, 'points', 100000)
    END AS loyalty_points,
    CASE
        WHEN number % 47 = 0 THEN NULL
        WHEN number % 139 = 1 THEN 9999999999999999.99
        WHEN number % 149 = 2 THEN -9999999999999999.99
        WHEN number % 10 = 0 THEN 0.00
        ELSE cents(draw_below(entropy, 'balance', 250000) - 20000)
    END AS balance,
    CASE number % 157
        WHEN 1 THEN 'NaN'::DOUBLE
        WHEN 2 THEN 'Infinity'::DOUBLE
        WHEN 3 THEN '-Infinity'::DOUBLE
        WHEN 4 THEN -0.0::DOUBLE
        WHEN 5 THEN 1.7976931348623157e308
        WHEN 6 THEN 5e-324
        WHEN 7 THEN 0.1::DOUBLE + 0.2::DOUBLE
        WHEN 8 THEN NULL
        ELSE draw_share(entropy, 'score') * 100
    END AS score,
    CASE WHEN number % 73 <> 0 THEN draw_below(entropy, 'active', 5) > 0 END AS is_active,
    CASE
        WHEN number % 17 <> 0
        THEN {
            'language': CASE WHEN number % 19 <> 0 THEN language END,
            'newsletter': CASE
                WHEN number % 5 <> 0 THEN draw_below(entropy, 'newsletter', 2) = 0
            END,
            'theme': CASE
                WHEN number % 3 <> 0
                THEN {
                    'name': pick(entropy, 'theme', ['plain', 'sakura 🌸', 'high "contrast"', NULL]),
                    'dark': draw_below(entropy, 'dark', 2) = 0
                }
            END
        }
    END AS preferences,
    CASE number % 9
        WHEN 0 THEN NULL
        WHEN 1 THEN []
        WHEN 2 THEN ['', ' ', 'a,b', '"q"', '\\', '東京']
        WHEN 3 THEN ['twice', 'twice']
        ELSE [pick(entropy, 'tag', ['new', 'gold', 'silver', 'vip', 'b2b', 'été', '🎁'])]
    END AS tags,
    CASE
        WHEN number % 8 <> 0
        THEN list_transform(
            range(draw_below(entropy, 'addresses', 4)),
            lambda position: {
                'label': ['home', 'work', NULL][1 + position],
                'city': pick(xor(entropy, hash(position)), 'city', cities),
                'postal_code': printf(
                    postal_code,
                    draw_below(xor(entropy, hash(position)), 'post', 10000),
                    draw_below(xor(entropy, hash(position)), 'area', 100)
                )
            }
        )
    END AS addresses,
    CASE
        WHEN number % 4 = 0 THEN NULL
        WHEN number % 79 = 1 THEN ''::BLOB
        ELSE unhex(concat('89504e470d0a1a0a00ff', md5(user_id)))
    END AS avatar,
    CASE number % 6
        WHEN 0 THEN TIME '00:00:00'
        WHEN 1 THEN TIME '23:59:59.999999'
        WHEN 2 THEN TIME '00:00:00' + to_microseconds(draw_below(entropy, 'quiet', 86400000000))
        WHEN 3 THEN TIME '22:30:00'
    END AS quiet_hours,
    CASE number % 8
        WHEN 0 THEN NULL
        WHEN 1 THEN 'null'
        WHEN 2 THEN '{}'
        WHEN 3 THEN $odd_settings
        WHEN 4 THEN '[]'
        ELSE concat(
            '{"density":"', pick(entropy, 'density', ['compact', 'cosy']),
            '","limits":{"daily":', draw_below(entropy, 'daily', 100), '}}'
        )
    END AS settings,
    make_timestamptz(departure) AS deleted_at
FROM (
    SELECT
        *,
        signup + floor(
            draw_share(entropy, 'seen') * (coalesce(departure, $last) - signup)
        )::BIGINT AS last_seen
    FROM people
) AS people
JOIN locales ON locales.position = draw_below(entropy, 'locale', $locale_count)
ORDER BY number
"""
