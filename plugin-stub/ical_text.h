/*
 * What a booking says, made fit for the three kinds of place that iCalendar has
 * for it. Each returns a copy to be freed, or NULL when there is no memory.
 */
#ifndef SB_PLUGIN_ICAL_TEXT_H
#define SB_PLUGIN_ICAL_TEXT_H

/* A TEXT value, for libical to escape: no control character but tab and line feed (RFC 5545
 * section 3.3.11). U+0085, U+2028 and U+2029, which some readers take for line ends, become line
 * feeds. What is not UTF-8 is left out. */
char *sb_ical_clean_text(const char *text);

/* A parameter's value: one line, no quotes in it (section 3.2), and '^' as RFC 6868 spells it. */
char *sb_ical_clean_parameter(const char *text);

/* A URI: what may not stand in one is percent-encoded (RFC 3986 section 2.1). */
char *sb_ical_clean_uri(const char *text);

/* A mailto: URI to one address and with no header fields (RFC 6068), whatever `email` is. Control
 * characters are left out. */
char *sb_ical_mailto(const char *email);

#endif
