/* The inside of the app, for its own files. */
#ifndef SB_APP_APP_PRIVATE_H
#define SB_APP_APP_PRIVATE_H

#include "daemon/app/app.h"
#include "daemon/base/clock.h"
#include "daemon/ops/admin.h"
#include "daemon/ops/control.h"
#include "daemon/ops/inherited.h"
#include "daemon/ops/service.h"
#include "daemon/store/pg.h"
#include <stdbool.h>
#include <uv.h>

/* A reload on its way; see reload.c. */
struct sb_reload {
	uv_work_t work;
	bool running;
	bool again;		  /* asked for once more meanwhile */
	struct sb_request *asker; /* who waits for the answer, over the control socket; or NULL */
	struct sb_settings *next;
	char *problems; /* lines; owned */
	size_t problems_len;
	int problem_count;	 /* as sb_settings_read() returns it */
	uint64_t taken, refused; /* since the start */
};

/* What the service manager was told, and when it hears more; see report.c. */
struct sb_report {
	uint64_t feed_every_ms; /* the watchdog; 0: there is none */
	uint64_t feed_due_ms;
	uint64_t status_due_ms;
	uint64_t lag_ms;    /* the latest tick since the last status */
	bool database_up;   /* as the last status had it */
	const char *reload; /* of the last one, what is worth a word for as long as it lasts */
	char status[SB_SERVICE_STATUS_MAX + 64]; /* the last one */
};

struct sb_app {
	struct sb_clock clock; /* first: the clock's functions find the rest */
	uv_loop_t loop;
	const struct sb_settings_source *source;
	struct sb_settings *settings; /* in force; only a reload swaps it */
	struct sb_inherited inherited;
	struct sb_pg *pg;
	struct sb_hub *hub;
	struct sb_server *server;
	struct sb_control *control; /* NULL: none is wanted */
	struct sb_admin *admin;	    /* NULL: none is wanted */
	uint16_t port;		    /* that the server listens on */
	int64_t started_us;	    /* Unix time */
	uv_timer_t tick;
	uint64_t tick_due_ms; /* when it rings, while it is active */
	struct {	      /* when memory was last given back */
		uint64_t handshakes;
		size_t connections; /* the most since then */
		size_t seen;	    /* at the last tick */
	} trimmed;
	uv_prepare_t before_poll;
	uv_signal_t on_term, on_int, on_hup;
	struct sb_reload reload;
	struct sb_report report;
	uint64_t drain_until_ms; /* 0: not draining */
	bool hurried;		 /* told to drain a second time */
	bool ending;
};

/* ---- tick.c ---- */

void sb_app_tick_start(struct sb_app *app);
void sb_app_tick_close(struct sb_app *app);

/* ---- reload.c ---- */

/*
 * Reads the settings anew, in a thread of libuv's, and takes them over if all
 * of them are good. `asker`, who may be NULL, is answered then.
 */
void sb_app_reload(struct sb_app *app, struct sb_request *asker);

/* ---- report.c ---- */

/* All is there: the service manager is told so, and from now on how things are. */
void sb_app_report_start(struct sb_app *app);
/* Each tick, and how late it was. */
void sb_app_report_tick(struct sb_app *app, uint64_t late_ms);
/* When the manager must hear of us next, by the loop's clock. */
uint64_t sb_app_report_due_ms(const struct sb_app *app);
/* A reload is over: `news` now, and `lasting` ("": nothing) in each line until the next. Both are
 * constants. */
void sb_app_report_reload(struct sb_app *app, const char *news, const char *lasting);
/* The drain begins, and ends within `within_ms`. */
void sb_app_report_drain(struct sb_app *app, uint64_t within_ms);

/* ---- drain.c ---- */

/* The first time: no new clients, and goodbye to those there are. Each time more in a hurry. */
void sb_app_drain(struct sb_app *app);
/* Several times a second, once it has begun: ends the app when it is time. */
void sb_app_drain_tick(struct sb_app *app);

/* ---- control.c ---- */

/* What the control socket understands. */
extern const struct sb_control_command sb_app_commands[];

/* ---- metrics.c ---- */

/* What the admin listener shows. */
extern const struct sb_admin_pages sb_app_pages;

/* ---- app.c ---- */

/* Takes everything apart, in reverse; the loop ends by itself. */
void sb_app_end(struct sb_app *app);

#endif
