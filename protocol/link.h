/*
 * Whether a booking's join_url may be handed to a person as a link.
 *
 * A guest may have chosen it, and what opens it is another program. Events from
 * before publish() took https alone may hold anything. So this is asked by the
 * client that writes the appointment, and no decoder refuses a message for it.
 *
 * Good is:
 *
 *     https://HOST[:PORT][/PATH][?QUERY][#FRAGMENT]
 *
 * - the scheme is https, in letters of either case;
 * - HOST is a name of ASCII letters, digits, '-', '_' and '.', or an IPv6
 *   address in brackets; no user name stands before it, nothing in it is
 *   percent-encoded, and PORT is 1 to 65535;
 * - no blank in it, and no character that is not printable (clean.h);
 * - each '%' is followed by two hexadecimal digits, and decoding them gives no
 *   control character, in UTF-8 neither: no %0D, %0A, %00, %C2%85.
 */
#ifndef SB_PROTOCOL_LINK_H
#define SB_PROTOCOL_LINK_H

/* NULL: it is good. Else constant words that say what is wrong, and repeat nothing of it. */
const char *sb_link_problem(const char *link);

#endif
