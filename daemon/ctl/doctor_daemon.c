/* The running daemon: what it says of itself, and what answers at its ports. */
#include "daemon/base/address.h"
#include "daemon/base/network.h"
#include "daemon/base/proxy_protocol.h"
#include "daemon/ctl/doctor.h"
#include "daemon/ctl/output.h"
#include "daemon/ctl/wire.h"
#include "daemon/ops/descriptors.h"
#include "protocol/version.h"
#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_AT_LOG "systemctl status slotbelld; journalctl -u slotbelld"

/* ---- where ---- */

static in_port_t *port_of(struct sockaddr_storage *address)
{
	return address->ss_family == AF_INET6 ? &((struct sockaddr_in6 *)(void *)address)->sin6_port
					      : &((struct sockaddr_in *)(void *)address)->sin_port;
}

/* Where to look for what listens there: this machine, where that is at any of its addresses. */
static bool reach_address(const char *text, struct sockaddr_storage *ret_address)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)(void *)ret_address;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)(void *)ret_address;

	if (sb_address_parse(text, ret_address) != 0)
		return false;
	if (ret_address->ss_family == AF_INET && v4->sin_addr.s_addr == htonl(INADDR_ANY)) {
		v4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	} else if (ret_address->ss_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&v6->sin6_addr)) {
		in_port_t port = v6->sin6_port;

		/* [::] takes IPv4 as well, and a machine without IPv6 has no ::1. */
		*v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = port};
		v4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	}
	return true;
}

static json_int_t told(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

/* ---- the port ---- */

static bool is_trusted_proxy(const struct sb_doctor *doctor, const struct sb_wire *wire)
{
	struct sockaddr_storage own = {0};
	socklen_t len = sizeof(own);
	struct sb_networks proxies;
	struct sb_ip ip;

	if (sb_networks_parse(doctor->config.listen_trusted_proxies, &proxies, NULL, 0) ||
	    getsockname(wire->fd, (struct sockaddr *)&own, &len) != 0)
		return false;
	ip = sb_ip_of((struct sockaddr *)&own);
	return sb_networks_have(&proxies, &ip);
}

bool sb_doctor_reach(const struct sb_doctor *doctor, struct sb_wire *wire, int64_t deadline_ms)
{
	char header[SB_PROXY_FIXED] = SB_PROXY_SIGNATURE;

	header[SB_PROXY_SIGNATURE_LEN] = SB_PROXY_COMMAND_LOCAL; /* and nothing follows */
	return sb_wire_open(wire, &doctor->port, deadline_ms) &&
	       (!is_trusted_proxy(doctor, wire) || sb_wire_write(wire, header, sizeof(header)));
}

/* The file's, or another one: since its start, or since the last reload. */
static bool shows_ours(const struct sb_doctor *doctor, const struct sb_wire *wire)
{
	X509 *shown = SSL_get1_peer_certificate(wire->ssl);
	bool same = doctor->certificates && shown &&
		    X509_cmp(shown, sk_X509_value(doctor->certificates, 0)) == 0;

	X509_free(shown);
	return same;
}

static void judge_tls(struct sb_doctor *doctor, struct sb_wire *wire, struct sb_finding *finding)
{
	if (!sb_wire_tls(wire, sb_doctor_paper(doctor, SB_PAPER_NAME))) {
		sb_saw(finding, SB_HEALTH_FAIL,
		       "port %u: something answers, but not as slotbelld: %s",
		       ntohs(*port_of(&doctor->port)), wire->why);
		sb_advise(finding, "who has the port? ss -ltnp%s",
			  *doctor->config.listen_trusted_proxies
				  ? "; or has listen.trusted_proxies changed since it was read?"
				  : "");
		return;
	}
	doctor->port_answers = true;
	if (!doctor->certificates || shows_ours(doctor, wire)) {
		sb_saw(finding, SB_HEALTH_OK, "port %u answers, by %s%s",
		       ntohs(*port_of(&doctor->port)), SSL_get_version(wire->ssl),
		       doctor->certificates ? ", with that certificate" : "");
		return;
	}
	sb_saw(finding, doctor->status ? SB_HEALTH_WARN : SB_HEALTH_FAIL,
	       "port %u: it shows another certificate than the file has",
	       ntohs(*port_of(&doctor->port)));
	sb_advise(finding, doctor->status ? "slotbellctl reload"
					  : "is it slotbelld that has the port (ss -ltnp)? Then: "
					    "slotbellctl reload");
}

void sb_check_port(struct sb_doctor *doctor, struct sb_finding *finding)
{
	struct sb_wire wire = {.fd = -1};
	json_int_t port = told(doctor->status, "port");

	if (!doctor->configured) {
		sb_not_checked(finding, "configuration");
		return;
	}
	(void)reach_address(doctor->config.listen_address, &doctor->port);
	if (port)
		*port_of(&doctor->port) = htons((uint16_t)port);
	if (sb_doctor_reach(doctor, &wire, sb_doctor_now_ms() + SB_DOCTOR_MS)) {
		judge_tls(doctor, &wire, finding);
	} else {
		sb_saw(finding, SB_HEALTH_FAIL, "port %u: %s", ntohs(*port_of(&doctor->port)),
		       wire.why);
		sb_advise(finding, doctor->status
					   ? "it runs, and listens elsewhere: listen.address "
					     "needs a restart"
					   : "slotbelld is not there: " LOOK_AT_LOG);
	}
	sb_wire_close(&wire);
}

/* ---- the process ---- */

static void no_daemon(const struct sb_doctor *doctor, struct sb_finding *finding)
{
	bool is_off = doctor->configured && doctor->port_answers && !*doctor->config.control_socket;

	sb_saw(finding, is_off ? SB_HEALTH_WARN : SB_HEALTH_FAIL, "%s",
	       doctor->status_why ? doctor->status_why : "it does not say how it is");
	if (is_off)
		sb_advise(finding, "the configuration has no [control] socket: with one, status, "
				   "reload and this check can speak to it");
	else
		sb_advise(finding, "%s%s", LOOK_AT_LOG,
			  doctor->port_answers ? "; something has the port all the same: ss -ltnp"
					       : "");
}

void sb_check_daemon(struct sb_doctor *doctor, struct sb_finding *finding)
{
	const json_t *status = doctor->status;
	const char *state = json_string_value(json_object_get(status, "state"));
	const char *version = json_string_value(json_object_get(status, "version"));
	const char *problem =
		json_string_value(json_object_get(json_object_get(status, "database"), "problem"));

	if (!state || !version) {
		no_daemon(doctor, finding);
	} else if (strcmp(state, "degraded") == 0) {
		sb_saw(finding, SB_HEALTH_FAIL, "degraded: %s",
		       problem ? problem : "it says no more");
		sb_advise(finding,
			  "its sessions stay, and nothing rings. What failed above is why; "
			  "it tries again by itself");
	} else if (strcmp(state, "draining") == 0) {
		sb_saw(finding, SB_HEALTH_WARN, "draining: it was told to end");
		sb_advise(finding, "wait for it, and see that it is started again");
	} else if (strcmp(version, SB_VERSION) != 0) {
		sb_saw(finding, SB_HEALTH_WARN, "version %s, and this is " SB_VERSION, version);
		sb_advise(finding, "after an upgrade: systemctl restart slotbelld");
	} else {
		sb_saw(finding, SB_HEALTH_OK,
		       "%s, process %" JSON_INTEGER_FORMAT ", %" JSON_INTEGER_FORMAT
		       " of %" JSON_INTEGER_FORMAT " sessions",
		       state, (json_int_t)doctor->brief.daemon_pid, told(status, "sessions"),
		       told(status, "sessions_max"));
	}
}

/* ---- descriptors ---- */

void sb_check_descriptors(struct sb_doctor *doctor, struct sb_finding *finding)
{
	const json_t *files = json_object_get(doctor->status, "descriptors");
	json_int_t limit = told(files, "limit");
	json_int_t wanted =
		(json_int_t)sb_descriptors_wanted((uint32_t)told(doctor->status, "sessions_max"));

	if (!doctor->status) {
		sb_not_checked(finding, "daemon");
	} else if (limit < wanted) {
		sb_saw(finding, SB_HEALTH_FAIL,
		       "it may open %" JSON_INTEGER_FORMAT
		       ", and sessions.max wants %" JSON_INTEGER_FORMAT,
		       limit, wanted);
		sb_advise(finding,
			  "LimitNOFILE=%" JSON_INTEGER_FORMAT " in the unit (ulimit -n "
			  "elsewhere) and a restart; or a lower sessions.max",
			  wanted);
	} else {
		sb_saw(finding, SB_HEALTH_OK,
		       "it may open %" JSON_INTEGER_FORMAT ", enough for sessions.max", limit);
	}
}

/* ---- readiness ---- */

/* The answer to GET /readyz, up to its end. */
static bool ask_ready(struct sb_wire *wire, char *answer, size_t size)
{
	static const char request[] = "GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n";
	size_t len = 0;
	ssize_t count;

	if (!sb_wire_write(wire, request, strlen(request)))
		return false;
	while (len < size - 1 && (count = sb_wire_read(wire, answer + len, size - 1 - len)) != 0) {
		if (count < 0)
			return false;
		len += (size_t)count;
	}
	answer[len] = '\0';
	return true;
}

static void judge_ready(struct sb_finding *finding, const char *answer)
{
	const char *body = strstr(answer, "\r\n\r\n");

	if (strncmp(answer, "HTTP/1.1 200 ", strlen("HTTP/1.1 200 ")) == 0) {
		sb_saw(finding, SB_HEALTH_OK, "/readyz says ready");
	} else if (strncmp(answer, "HTTP/1.1 503 ", strlen("HTTP/1.1 503 ")) == 0) {
		sb_saw(finding, SB_HEALTH_FAIL, "/readyz: %s", body ? body + 4 : "not ready");
		sb_advise(finding, "a balancer sends it no new clients until that is over");
	} else {
		sb_saw(finding, SB_HEALTH_FAIL, "/readyz: no answer as of slotbelld: %.60s",
		       answer);
		sb_advise(finding, "who has the port of listen.admin? ss -ltnp");
	}
}

void sb_check_ready(struct sb_doctor *doctor, struct sb_finding *finding)
{
	const char *text = doctor->config.listen_admin;
	json_int_t port = told(doctor->status, "admin_port");
	struct sockaddr_storage address;
	struct sb_wire wire = {.fd = -1};
	char answer[2048];
	bool is_known = reach_address(*text ? text : "127.0.0.1:0", &address);

	/* What it has, be it from the service manager; else what it should have. */
	if (port)
		*port_of(&address) = htons((uint16_t)port);
	if (!doctor->configured) {
		sb_not_checked(finding, "configuration");
	} else if (!*text && !port) {
		sb_saw(finding, SB_HEALTH_OK, "listen.admin is none: nothing monitors it");
	} else if (!is_known || !*port_of(&address)) {
		sb_not_checked(finding, "daemon");
	} else if (!sb_wire_open(&wire, &address, sb_doctor_now_ms() + SB_DOCTOR_MS) ||
		   !ask_ready(&wire, answer, sizeof(answer))) {
		sb_saw(finding, SB_HEALTH_FAIL, "port %u of listen.admin: %s",
		       ntohs(*port_of(&address)), wire.why);
		sb_advise(finding, LOOK_AT_LOG);
	} else {
		judge_ready(finding, answer);
	}
	sb_wire_close(&wire);
}
