/*
 * A small world for core: a database in memory, clients without sockets, and a
 * clock that the test turns. Whole stories of loss and resumption run in it in
 * microseconds.
 *
 * The database answers in two steps, so that a test can let things happen
 * between a statement's snapshot and its answer: world_query() takes the
 * snapshots, world_answer() delivers what they showed.
 */
#ifndef SB_TESTS_WORLD_H
#define SB_TESTS_WORLD_H

#include "daemon/core/hub.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WORLD_MAILBOXES 8
#define WORLD_DEVICES	140
#define WORLD_EVENTS	512
#define WORLD_FETCH_MAX 8 /* events of one fetch: small, so that stories need several */

struct world_mailbox {
	struct sb_numbering numbering;
	int64_t seqs[WORLD_EVENTS];
	int64_t published_us[WORLD_EVENTS];
	size_t count;
};

struct world_device {
	int64_t mailbox;
	int64_t session_no, acked;
	enum sb_auth_outcome outcome;
	int64_t expires_at_s;
	int64_t sent_us[WORLD_EVENTS]; /* as acks say it, by seq */
	int64_t told_us[WORLD_EVENTS]; /* as news of what is not acked say it, by seq */
	size_t tells;
	int64_t on; /* live sessions that the database knows of */
	int64_t failed[WORLD_EVENTS];
	size_t failed_count;
};

struct question;

struct world {
	struct sb_clock clock; /* first */
	struct world_store {
		struct sb_store store; /* first */
		struct world *world;
	} store;
	struct sb_hub *hub;
	uint64_t now_ms;
	uint32_t random;
	struct world_mailbox mailboxes[WORLD_MAILBOXES + 1]; /* by id, from 1 */
	struct world_device devices[WORLD_DEVICES + 1];	     /* by id, from 1 */
	struct question *asked, *answers;
	size_t fetches, saves, authentications;
	bool deaf;	 /* notifications are lost */
	bool overtaking; /* answers to authentications come before all others, however old */
	bool failing;	 /* fetches fail */
	bool refusing;	 /* the store has no memory for another fetch */
	bool away;	 /* the database takes no statement */
};

struct client {
	struct sb_link link; /* first */
	struct world *world;
	struct sb_session *session;
	int64_t device;
	bool woken, cut, blocked, silent;
	char said[16384];  /* what it was sent: "welcome 0; booking 1; live 1" */
	char epoch[16];	   /* of the last cursor */
	int64_t last;	   /* the last event, or where a reset led */
	int64_t confirmed; /* the last acked */
	int close_code;	   /* 0: not closed */
	uint32_t come_back_ms;
};

/* Two mailboxes of epoch "aaa" from seq 0, devices 1 and 2 in mailbox 1, device 3 in mailbox 2. */
struct world *world_new(void);
struct world *world_new_with(const struct sb_hub_config *config);
void world_config(struct sb_hub_config *ret_config);
/* All clients are dropped before. */
void world_free(struct world *world);

/* In mailbox `id`, as the two after: a booking commits, and its notification goes out. */
void world_book(struct world *world, int64_t id);
/* A failover to a standby that knew everything up to `known`; nothing is numbered yet. */
void world_lose(struct world *world, int64_t id, int64_t known);
/* The first booking of the new history: new epoch, numbers 1,000,000 on. */
void world_new_epoch(struct world *world, int64_t id, const char *epoch);

void world_query(struct world *world);
void world_answer(struct world *world);
/* The answer at this place among those that wait, if there is one. */
void world_answer_at(struct world *world, size_t place);
/* A fetch of this mailbox is asked, and not answered. */
bool world_is_fetching(const struct world *world, int64_t id);
/* Whether core keeps its promises; world and clients look after each of their steps. */
void world_check(const struct world *world);
/* Everything happens until nothing does. */
void world_settle(struct world *world);
void world_pass(struct world *world, uint64_t ms);

/* NULL: of another test's link. */
const struct client *client_of(const struct sb_link *link);
void client_connect(struct client *client, struct world *world);
/* Connects and says hello: `more` is further JSON of it, as ",\"cursor\":\"aaa.1\"", or "". */
void client_hello(struct client *client, struct world *world, int64_t device, const char *more);
void client_say(struct client *client, const char *message);
void client_ack(struct client *client, int64_t seq);
/* Takes what there is, unless it is blocked. */
void client_pull(struct client *client);
void client_drop(struct client *client);
/* What it was sent since the last call. */
const char *client_said(struct client *client);

#endif
