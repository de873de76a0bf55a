/* An HTTPS request for libcurl: target, headers, body, proxy, and whom to trust. */
#include "plugin-stub/http_private.h"

#include "plugin-stub/tls.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BASE_SIZE    (SB_HOST_MAX + 32)
#define ADDRESS_SIZE (BASE_SIZE + 2 * SB_PATH_MAX)

#define SET(option, value) SB_CURL_SET(call, option, value)

/* libcurl checks the name as well; whom to trust is ours alone, as for the websocket. */
static CURLcode on_tls(CURL *easy, void *ctx, void *user)
{
	const struct sb_transport_options *options = &((const struct sb_http *)user)->options;

	(void)easy;
	return sb_tls_rule(ctx, options->url.host, options->ca) == 0 ? CURLE_OK
								     : CURLE_SSL_CACERT_BADFILE;
}

static bool add_header(struct sb_http_call *call, const char *name, const char *value)
{
	struct curl_slist *longer;
	char *text;

	if (asprintf(&text, "%s%s", name, value) < 0)
		return false;
	longer = curl_slist_append(call->headers, text);
	explicit_bzero(text, strlen(text));
	free(text);
	if (longer)
		call->headers = longer;
	return longer != NULL;
}

static bool set_tls(struct sb_http_call *call)
{
	struct sb_http *http = call->http;

	return SET(CURLOPT_PROTOCOLS_STR, "https") && SET(CURLOPT_CAINFO, (char *)NULL) &&
	       SET(CURLOPT_CAPATH, (char *)NULL) && SET(CURLOPT_SSL_CTX_FUNCTION, on_tls) &&
	       SET(CURLOPT_SSL_CTX_DATA, http) && SET(CURLOPT_SHARE, http->share);
}

/* "" keeps libcurl from asking the environment. */
static bool set_proxy(struct sb_http_call *call)
{
	const struct sb_proxy *proxy = &call->http->options.proxy;
	char authority[SB_HOST_MAX + 16], address[sizeof(authority) + 8],
		login[SB_PROXY_AUTH_MAX + 1];
	bool good;
	char *colon;

	if (!SET(CURLOPT_NOPROXY, ""))
		return false;
	if (!proxy->host[0])
		return SET(CURLOPT_PROXY, "");
	sb_url_authority(proxy->host, proxy->port, authority, sizeof(authority));
	snprintf(address, sizeof(address), "http://%s", authority);
	if (!SET(CURLOPT_PROXY, address) || !SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L))
		return false;
	if (!proxy->auth[0])
		return true;
	snprintf(login, sizeof(login), "%s", proxy->auth);
	colon = strchr(login, ':');
	*colon = '\0'; /* url.c: there is one */
	good = SET(CURLOPT_PROXYUSERNAME, login) && SET(CURLOPT_PROXYPASSWORD, colon + 1);
	explicit_bzero(login, sizeof(login));
	return good;
}

static bool set_target(struct sb_http_call *call, const struct sb_http_request *request)
{
	struct sb_http *http = call->http;
	char authority[SB_HOST_MAX + 16], address[ADDRESS_SIZE], path[SB_PATH_MAX + 128];

	sb_url_authority(http->options.url.host, http->options.url.port, authority,
			 sizeof(authority));
	sb_url_sibling(&http->options.url, request->path, path, sizeof(path));
	snprintf(address, sizeof(address), "https://%s%s", authority, path);
	if (!SET(CURLOPT_URL, address) || !add_header(call, "", http->authorization))
		return false;
	if (request->last_event_id && !add_header(call, "Last-Event-ID: ", request->last_event_id))
		return false;
	if (request->body) {
		call->body = malloc(request->body_len);
		if (!call->body)
			return false;
		memcpy(call->body, request->body, request->body_len);
		if (!add_header(call, "", "Content-Type: application/json") ||
		    !add_header(call, "", "Expect:") || !SET(CURLOPT_POST, 1L) ||
		    !SET(CURLOPT_POSTFIELDSIZE, (long)request->body_len) ||
		    !SET(CURLOPT_POSTFIELDS, call->body))
			return false;
	}
	return SET(CURLOPT_HTTPHEADER, call->headers);
}

bool sb_http_set_request(struct sb_http_call *call, const struct sb_http_request *request)
{
	return set_tls(call) && set_proxy(call) && set_target(call, request);
}
