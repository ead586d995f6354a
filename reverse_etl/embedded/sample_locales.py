"""Where the sample's invented people live and what they are called: texts in many scripts.

Nobody here can be reached: telephone numbers come from ranges that regulators keep for fiction, or
that they never assign.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Locale:
    """One country's people. `phone` and `postal_code` are printf formats of two integers.

    For a phone they are below 100 and below 10,000; for a postal code the other way round.
    """

    country: str
    language: str
    cities: tuple[str, ...]
    postal_code: str
    phone: str
    given_names: tuple[str, ...]
    family_names: tuple[str, ...]
    is_family_name_first: bool = False


# Ofcom keeps 07700 900000-900999 for fiction; it stands in where a country keeps no such range.
_FICTITIOUS_PHONE = "+447700900%03d"

LOCALES = (
    Locale(
        country="JP",
        language="ja",
        cities=("東京都千代田区", "大阪市", "札幌市", "那覇市"),
        postal_code="1%2$02d-%1$04d",
        # No Japanese mobile number has a 0 after 090: none can be assigned.
        phone="090-0%03d-%04d",
        given_names=("花子", "太郎", "さくら", "ケンジ", "陽菜", "𠮷男"),
        family_names=("佐藤", "鈴木", "髙橋", "渡邉", "𠮷田", "五十嵐"),
        is_family_name_first=True,
    ),
    Locale(
        country="JP",
        language="ja",
        cities=("Tōkyō", "Kyōto", "Yokohama"),
        postal_code="〒2%2$02d-%1$04d",
        phone="+81900%03d%04d",
        given_names=("ﾊﾅｺ", "Yūko", "健二", "めぐみ"),
        family_names=("ｻﾄｳ", "Ōno", "山﨑", "神谷"),
        is_family_name_first=True,
    ),
    Locale(
        country="US",
        language="en",
        cities=("Springfield", "Saint Paul", "Coeur d'Alene", "Winston-Salem"),
        postal_code="0%04d",
        phone="+120255501%02d",
        given_names=("Alice", "Bob", "Siobhán", "D'Andre", "Mary-Jane"),
        family_names=("Smith", "O'Brien", "Null", "van der Berg", "Nguyễn"),
    ),
    Locale(
        country="FR",
        language="fr",
        cities=("Besançon", "L'Haÿ-les-Roses", "Saint-Étienne"),
        postal_code="7%04d",
        phone="+33 6 39 98 %02d 10",
        given_names=("Zoë", "Anaïs", "François", "Jérôme"),
        family_names=("Lefèvre", "d'Aubigné", "Nuñez", "Cœur"),
    ),
    Locale(
        country="DE",
        language="de",
        cities=("Köln", "Weißenfels", "Düsseldorf"),
        postal_code="5%04d",
        phone="+493023125%03d",
        given_names=("Jürgen", "Käthe", "Sören", "Łucja"),
        family_names=("Müller", "Groß", "von und zu Öttingen", "Şahin"),
    ),
    Locale(
        country="EG",
        language="ar",
        cities=("القاهرة", "الإسكندرية"),
        postal_code="1%04d",
        phone=_FICTITIOUS_PHONE,
        given_names=("محمد", "فاطمة", "مُنى"),
        family_names=("المصري", "عبد الله", "حسن"),
    ),
    Locale(
        country="IL",
        language="he",
        cities=("תל אביב-יפו", "חיפה"),
        postal_code="6%04d00",
        phone=_FICTITIOUS_PHONE,
        given_names=("שָׂרָה", "דוד", "נועה"),
        family_names=("כהן", "בן־דוד", "לוי"),
    ),
    Locale(
        country="IN",
        language="hi",
        cities=("नई दिल्ली", "मुंबई"),
        postal_code="11%04d",
        phone=_FICTITIOUS_PHONE,
        given_names=("प्रिया", "अर्जुन", "लक्ष्मी"),
        family_names=("शर्मा", "क्षत्रिय", "गुप्ता"),
    ),
    Locale(
        country="TH",
        language="th",
        cities=("กรุงเทพมหานคร", "เชียงใหม่"),
        postal_code="1%04d",
        phone=_FICTITIOUS_PHONE,
        given_names=("สมชาย", "กานต์", "น้ำฝน"),
        family_names=("แสงจันทร์", "ศรีสุข", "ทองดี"),
    ),
    Locale(
        country="KR",
        language="ko",
        cities=("서울특별시", "부산광역시"),
        postal_code="0%04d",
        phone=_FICTITIOUS_PHONE,
        given_names=("민준", "서연", "지우"),
        family_names=("김", "이", "남궁"),
        is_family_name_first=True,
    ),
    Locale(
        country="GR",
        language="el",
        cities=("Αθήνα", "Θεσσαλονίκη"),
        postal_code="1%04d",
        phone=_FICTITIOUS_PHONE,
        given_names=("Ελένη", "Γιώργος"),
        family_names=("Παπαδόπουλος", "Αγγέλου"),
    ),
)

#: Names that break assumptions: joined emoji, stacked marks, both writing directions, SQL, blanks.
ODD_NAMES = (
    "👩‍👩‍👧‍👦 Family",
    "🏳️‍🌈 🇯🇵 👍🏽",
    "Zoe\N{COMBINING DIAERESIS} Nu\N{COMBINING TILDE}ez",
    "Z\u0351\u036b\u0343a\u0329\u0321\u0353l\u0334\u0322\u0321g\u0321\u0331o\u0336\u0321",
    "\N{RIGHT-TO-LEFT OVERRIDE}gnihtyna\N{POP DIRECTIONAL FORMATTING} Smith",
    "سارة Smith כהן",
    "Robert'); DROP TABLE users;--",
    '"Ann" \\ O\'Neil',
    "\N{ZERO WIDTH NO-BREAK SPACE}Zero\N{ZERO WIDTH SPACE}Width",
    "NULL",
    " ",
    "",
)

#: Texts that break encoders: quotes, escapes, every control character, line separators, JSON, HTML.
ODD_BIOS = (
    'She said "hi" and it\'s at C:\\temp\\new\\u0041.',
    "line one\nline two\r\n\tindented, then a lone carriage return\rend",
    "".join(map(chr, range(0x20))) + "\x7f\x80\x9f",
    "line\N{LINE SEPARATOR}paragraph\N{PARAGRAPH SEPARATOR}next\N{NEXT LINE}end\N{NO-BREAK SPACE}",
    '</script><!-- & --> {"json": ["inside", null]} ]]> %s ${HOME} {{ mustache }}',
    "\N{ZERO WIDTH NO-BREAK SPACE}mark first, \uffff and \U0010ffff last",
    "🧑🏽‍🚀 👨‍👩‍👧‍👦 e\N{COMBINING ACUTE ACCENT} = é, ﷽, 𝔘𝔫𝔦𝔠𝔬𝔡𝔢",  # noqa: RUF001 - look-alikes are the point
)

#: Free text of ordinary people; also repeated into the very long ones.
PLAIN_BIOS = (
    "Cyclist, reader, keeper of three cats. Ask me about sourdough.",
    "旅と珈琲が好きです。週末は山に登ります。",
    "Musicienne à Besançon — j'aime les îles, l'été et le café noir.",
    "أحب القراءة والسفر والقهوة",
    "מורה, רץ למרחקים ארוכים",
    "मुझे क्रिकेट और चाय पसंद है। 🏏",
)

#: A JSON value with what JSON readers get wrong: an integer no double holds, escapes, null.
ODD_SETTINGS = (
    r'{"zoom":1.25,"pinned":[9007199254740993,-1,0],"label":"\"設定\" \\ \u2028","none":null}'
)

FULL_WIDTH_DIGITS = "".join(chr(0xFF10 + digit) for digit in range(10))
FULL_WIDTH_SPACE = "\N{IDEOGRAPHIC SPACE}"
