/*
 * Every bound of the wire protocol and of a booking, in one place.
 *
 * config/sql enforces the same numbers at publish; a test compares the two.
 */
#ifndef SB_PROTOCOL_LIMITS_H
#define SB_PROTOCOL_LIMITS_H

/* One message of a client, in bytes; a longer one closes with 1009. */
#define SB_CLIENT_MESSAGE_MAX 16384
/*
 * One message of the server, in bytes, as clients bound it: an event, each of
 * whose bytes JSON may spell with six, and the frame around it.
 */
#define SB_SERVER_MESSAGE_MAX (8 * SB_EVENT_BYTES_MAX)
/* JSON nesting that a decoder follows; the message itself is 1. */
#define SB_JSON_DEPTH_MAX 16

/* A booking. Text is counted in characters (code points), as PostgreSQL's char_length does. */
#define SB_UID_MAX		255
#define SB_SUBJECT_MAX		255 /* what Outlook takes */
#define SB_TIME_ZONE_MAX	64
#define SB_NAME_MAX		255
#define SB_EMAIL_MAX		320 /* RFC 3696 erratum 1690: 64 + 1 + 255 */
#define SB_LOCATION_MAX		1024
#define SB_JOIN_URL_MAX		2048
#define SB_DESCRIPTION_MAX	32768 /* what Outlook takes in a body */
#define SB_ATTENDEES_MAX	500
#define SB_DURATION_MINUTES_MIN 1
#define SB_DURATION_MINUTES_MAX 44640 /* 31 days */
/* One event as the database holds it, all columns together, in bytes. */
#define SB_EVENT_BYTES_MAX 65536

/* Parts of messages, in bytes. */
#define SB_CLIENT_NAME_MAX    64
#define SB_CLIENT_VERSION_MAX 32
#define SB_DETAIL_MAX	      255
#define SB_SESSION_NAME_MAX   64
#define SB_FEATURES_MAX	      16
#define SB_FEATURE_MAX	      32
/* Failures that one ack may carry; the largest window. */
#define SB_FAILED_MAX 256
#define SB_WINDOW_MAX 256

/* How long GET /v1/bookings may wait; proxies cut after a minute of silence. */
#define SB_POLL_WAIT_MAX_SECONDS 50

#endif
