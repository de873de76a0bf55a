/*
 * A daemon that tells `acked` for more than it saved: by one. The off-by-one
 * that nobody sees as long as nothing goes wrong.
 */
#include "daemon/store/queries.h"

int __real_sb_pg_queries_save_ack(struct sb_pg_queries *queries,
				  const struct sb_save_ack *question);
int __wrap_sb_pg_queries_save_ack(struct sb_pg_queries *queries,
				  const struct sb_save_ack *question);

int __wrap_sb_pg_queries_save_ack(struct sb_pg_queries *queries, const struct sb_save_ack *question)
{
	struct sb_save_ack less = *question;

	less.cursor.seq--;
	return __real_sb_pg_queries_save_ack(queries, &less);
}
