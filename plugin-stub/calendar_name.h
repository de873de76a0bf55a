/* The name of the file that a booking's appointment lies in. */
#ifndef SB_PLUGIN_CALENDAR_NAME_H
#define SB_PLUGIN_CALENDAR_NAME_H

#define SB_CALENDAR_NAME_MAX 200 /* bytes, ".ics" included, terminator not */

/*
 * Writes the file name for `uid` (not empty) and a terminator.
 *
 * Letters, digits, '_', '-', '=' and '@' stay, every other byte becomes %XX:
 * so no name leaves its folder, hides, or is one of our temporary files, and
 * two uids never share a name. What is too long then becomes its beginning,
 * '~' and its SHA-256. The first byte of what Windows keeps for devices (CON,
 * LPT1) becomes %XX too.
 *
 * 0, or -ENOMEM.
 */
int sb_calendar_name(const char *uid, char ret_name[SB_CALENDAR_NAME_MAX + 1]);

/* The same with '~' and the hash, however short `uid` is: for where another appointment has the
 * first name, as that of "a" has "A"'s on a file system that does not tell them apart. */
int sb_calendar_other_name(const char *uid, char ret_name[SB_CALENDAR_NAME_MAX + 1]);

#endif
