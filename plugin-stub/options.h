/* The command line of slotbell-plugin(1). */
#ifndef SB_PLUGIN_OPTIONS_H
#define SB_PLUGIN_OPTIONS_H

#include "plugin-stub/url.h"
#include "protocol/token.h"
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>

/* What a program of ours ends with. */
enum sb_exit {
	SB_EXIT_DONE = 0,
	SB_EXIT_FAILED = 1,
	SB_EXIT_USAGE = 2,
	SB_EXIT_CONFIGURATION = 3, /* a file or folder that was named cannot be used */
};

enum sb_way_option { SB_USE_AUTO, SB_USE_WEBSOCKET, SB_USE_STREAM, SB_USE_POLL };

struct sb_options {
	const char *url_text; /* as typed; borrowed from argv, as all pointers here */
	struct sb_url url;
	struct sb_proxy proxy; /* host "": none */
	const char *token_file, *calendar, *ca;
	char state[PATH_MAX]; /* CALENDAR/.slotbell-state.json if not given */
	enum sb_way_option transport;
	uint32_t websocket_again_s; /* auto: how long until a blocked websocket is tried again */
	bool token_in_hello, once, json;
	char token[SB_TOKEN_MAX + 1]; /* sb_options_read_token() */
};

/*
 * Reads argv into *ret_options; words for people go to `err`, help and version
 * to `out`.
 *
 * True: go on. False: end with *ret_exit.
 */
bool sb_options_parse(int argc, char *argv[], FILE *out, FILE *err, struct sb_options *ret_options,
		      enum sb_exit *ret_exit);

/* Reads the token file: its first line. 0, or -1 with words in `err`. Whether it is a good token
 * the server says. */
int sb_options_read_token(struct sb_options *options, FILE *err);

#endif
