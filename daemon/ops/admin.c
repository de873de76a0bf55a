/* One request line, read strictly, and three pages; see admin.h. */
#include "daemon/ops/admin.h"
#include "daemon/base/address.h"
#include "daemon/ops/requests.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define PATIENCE_MS 5000

#define TEXT	    "text/plain; charset=utf-8"
#define CLASSIC	    "text/plain; version=0.0.4; charset=utf-8"
#define OPENMETRICS "application/openmetrics-text; version=1.0.0; charset=utf-8"

struct sb_admin {
	struct sb_requests *requests;
	const struct sb_admin_pages *pages;
	void *data;
	void (*on_closed)(void *data);
	void *closed_data;
};

static const char *status_words(int status)
{
	switch (status) {
	case 200:
		return "OK";
	case 400:
		return "Bad Request";
	case 404:
		return "Not Found";
	case 405:
		return "Method Not Allowed";
	case 431:
		return "Request Header Fields Too Large";
	case 505:
		return "HTTP Version Not Supported";
	default:
		return "Service Unavailable";
	}
}

static void answer(struct sb_request *request, int status, const char *type, const char *body,
		   size_t len)
{
	char *text;
	int head = asprintf(&text,
			    "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
			    "Cache-Control: no-store\r\n%sConnection: close\r\n\r\n",
			    status, status_words(status), type, len,
			    status == 405 ? "Allow: GET\r\n" : "");
	char *whole = head >= 0 ? realloc(text, (size_t)head + len + 1) : NULL;

	if (!whole) {
		if (head >= 0)
			free(text);
		sb_request_answer(request, NULL, 0);
		return;
	}
	memcpy(whole + head, body, len);
	sb_request_answer(request, whole, (size_t)head + len);
}

static void answer_words(struct sb_request *request, int status, const char *words)
{
	answer(request, status, TEXT, words, strlen(words));
}

/* ---- reading ---- */

struct asked {
	char path[64];
	bool openmetrics;
};

/* Field names are compared without case, RFC 9110 section 5.1; its value is searched as it is. */
static bool accepts_openmetrics(const char *headers)
{
	for (const char *line = strstr(headers, "\r\n"); line; line = strstr(line, "\r\n")) {
		size_t len;

		line += 2;
		len = strcspn(line, "\r");
		if (!strncasecmp(line, "Accept:", 7) &&
		    memmem(line, len, "application/openmetrics-text", 28))
			return true;
	}
	return false;
}

/* "GET /path HTTP/1.1": 0, or the status to refuse with. RFC 9112 section 3. */
static int read_request(const char *text, size_t len, struct asked *ret_asked)
{
	size_t method, path, i;

	for (i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];
		bool ends_line = c == '\r' && text[i + 1] == '\n';

		if (ends_line)
			i++;
		else if (c != '\t' && (c < 0x20 || c == 0x7f))
			return 400;
	}
	method = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
	if (!method || text[method] != ' ' || text[method + 1] != '/')
		return 400;
	path = strcspn(text + method + 1, " \r");
	text += method + 1;
	if (text[path] != ' ' || strncmp(text + path + 1, "HTTP/", 5))
		return 400;
	if (strncmp(text + path + 6, "1.1", 3) && strncmp(text + path + 6, "1.0", 3))
		return 505;
	if (text[path + 9] && text[path + 9] != '\r')
		return 400;
	if (method != 3 || strncmp(text - 4, "GET", 3))
		return 405;
	ret_asked->openmetrics = accepts_openmetrics(text + path);
	path = strcspn(text, " ?");
	if (path >= sizeof(ret_asked->path))
		return 404;
	memcpy(ret_asked->path, text, path);
	ret_asked->path[path] = '\0';
	return 0;
}

/* ---- the pages ---- */

static void show_metrics(struct sb_admin *admin, struct sb_request *request, bool openmetrics)
{
	struct sb_metrics metrics;

	sb_metrics_begin(&metrics, openmetrics);
	admin->pages->metrics(admin->data, &metrics);
	sb_metrics_end(&metrics);
	if (sb_text_failed(&metrics.text))
		answer_words(request, 503, "out of memory\n");
	else
		answer(request, 200, openmetrics ? OPENMETRICS : CLASSIC, metrics.text.data,
		       metrics.text.len);
	sb_text_fini(&metrics.text);
}

static void show_ready(struct sb_admin *admin, struct sb_request *request)
{
	char why[512] = "";

	if (admin->pages->is_ready(admin->data, why, sizeof(why) - 1)) {
		answer_words(request, 200, "ready\n");
		return;
	}
	why[strlen(why)] = '\n';
	answer_words(request, 503, why);
}

static void on_request(void *data, struct sb_request *request, const char *text, size_t len)
{
	struct sb_admin *admin = data;
	struct asked asked;
	int status = text ? read_request(text, len, &asked) : 431;

	if (status != 0)
		answer_words(request, status,
			     status == 405 ? "only GET\n" : "not a request that is understood\n");
	else if (!strcmp(asked.path, "/metrics"))
		show_metrics(admin, request, asked.openmetrics);
	else if (!strcmp(asked.path, "/healthz"))
		answer_words(request, 200, "ok\n");
	else if (!strcmp(asked.path, "/readyz"))
		show_ready(admin, request);
	else
		answer_words(request, 404, "there are /metrics, /healthz and /readyz\n");
}

/* ---- life ---- */

static int listen_at(uv_loop_t *loop, const char *address, const struct sb_requests_config *config,
		     struct sb_requests **ret_requests)
{
	struct sockaddr_storage parsed;
	int result = sb_address_parse(address, &parsed);

	return result == 0 ? sb_requests_listen(loop, (const struct sockaddr *)&parsed, config,
						ret_requests)
			   : result;
}

int sb_admin_open(uv_loop_t *loop, const char *address, int listener,
		  const struct sb_admin_pages *pages, void *data, struct sb_admin **ret_admin)
{
	struct sb_admin *admin = calloc(1, sizeof(*admin));
	const struct sb_requests_config config = {
		.terminator = "\r\n\r\n",
		.patience_ms = PATIENCE_MS,
		.on_request = on_request,
		.data = admin,
	};
	int result;

	if (!admin)
		return -ENOMEM;
	admin->pages = pages;
	admin->data = data;
	result = listener ? sb_requests_listen_on(loop, listener, &config, &admin->requests)
			  : listen_at(loop, address, &config, &admin->requests);
	if (result != 0) {
		free(admin);
		return result;
	}
	*ret_admin = admin;
	return 0;
}

uint16_t sb_admin_port(const struct sb_admin *admin)
{
	return sb_requests_port(admin->requests);
}

static void on_requests_closed(void *data)
{
	struct sb_admin *admin = data;

	admin->on_closed(admin->closed_data);
	free(admin);
}

void sb_admin_close(struct sb_admin *admin, void (*on_closed)(void *data), void *data)
{
	if (!admin)
		return;
	admin->on_closed = on_closed;
	admin->closed_data = data;
	sb_requests_close(admin->requests, on_requests_closed, admin);
}
