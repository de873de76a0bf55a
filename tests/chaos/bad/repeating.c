/* A daemon that begins one event too early when a client comes back: it sends again what is acked.
 */
#include "daemon/core/hub.h"

void __real_sb_hub_authenticated(struct sb_hub *hub, uint64_t session_id,
				 const struct sb_authenticated *answer);
void __wrap_sb_hub_authenticated(struct sb_hub *hub, uint64_t session_id,
				 const struct sb_authenticated *answer);

void __wrap_sb_hub_authenticated(struct sb_hub *hub, uint64_t session_id,
				 const struct sb_authenticated *answer)
{
	struct sb_authenticated early = *answer;

	if (early.acked > 0)
		early.acked--;
	__real_sb_hub_authenticated(hub, session_id, &early);
}
