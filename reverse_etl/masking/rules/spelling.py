"""Characters in which spellings of one value differ, beside their letters."""

#: What Python's `str.strip` takes away.
WHITE_SPACE = (
    "\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f \x85\xa0\u1680"
    "\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
#: Hyphen-minus, the dashes of U+2010 to U+2015, and the minus sign.
DASHES = "-\u2010\u2011\u2012\u2013\u2014\u2015\u2212"
