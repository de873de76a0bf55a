/* The inside of sb_http, for http.c and http_request.c. */
#ifndef SB_PLUGIN_HTTP_PRIVATE_H
#define SB_PLUGIN_HTTP_PRIVATE_H

#include "plugin-stub/frames.h"
#include "plugin-stub/http.h"
#include <curl/curl.h>
#include <stdbool.h>

struct sb_http {
	uv_loop_t *loop;
	uv_timer_t timer; /* libcurl's */
	CURLM *multi;	  /* with the connections that the server keeps */
	CURLSH *share;	  /* TLS sessions, which outlive those */
	struct sb_transport_options options;
	char *authorization; /* the whole header */
	struct sb_http_call *calls;
};

struct sb_http_call {
	struct sb_http_call *prev, *next;
	struct sb_http *http;
	struct sb_http_handler handler;
	CURL *easy;
	struct curl_slist *headers;
	char *body;	  /* owned */
	uint64_t sent_ms; /* when libcurl began to send the request; 0: it has not */
	size_t answer_max;
	struct sb_inbox in; /* what came and was not told yet */
	bool finished;
	CURLcode code; /* once finished */
	char error[CURL_ERROR_SIZE];
};

/* Each is a long, a pointer or a function: curl_easy_setopt() takes all of them. */
#define SB_CURL_SET(call, option, value) (curl_easy_setopt((call)->easy, option, value) == CURLE_OK)

/* What is asked, of whom, through which proxy, and whom to trust: false when out of memory. */
bool sb_http_set_request(struct sb_http_call *call, const struct sb_http_request *request);

#endif
