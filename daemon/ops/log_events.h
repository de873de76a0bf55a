/*
 * The events that an operator may want to be woken for, or to find again: each
 * has a MESSAGE_ID in the journal, by which journalctl finds it and explains it
 * (`journalctl -x`). Every line of level notice or worse is one of them.
 *
 * IDs are promises: alerts hang on them. config/slotbelld.catalog has the
 * explanations and docs/operating.md the table, and a test keeps all in step.
 * A new one: systemd-id128 new.
 */
#ifndef SB_OPS_LOG_EVENTS_H
#define SB_OPS_LOG_EVENTS_H

/*   the event, as sb_log() is told it  MESSAGE_ID */
#define SB_LOG_EVENTS(X)                                                     \
	X("ready", "ceeec762c116434181c3ae6db72a4371")                       \
	X("ended", "7840675c01fa4408872d9d8b99d20c35")                       \
	X("cannot start", "a3825188ae9a4117ab972aa6dff98561")                \
	X("certificate", "edbaef5bd53943c89eb2e0366a575144")                 \
	X("too few descriptors", "4b291edc8ff04f99875b1557218c3a7c")         \
	X("out of descriptors", "a41c7ba7efff408ba7bcabe65f2fa879")          \
	X("told to end", "6a06a69846604f549edbab061adaaae8")                 \
	X("draining", "aa3a569e0e52410b9fa7f5ec4fb67faf")                    \
	X("draining faster", "c6ac24832ae948b29f800ff19a723ca5")             \
	X("kicked", "db9a602dffe5473596e93e5f66d56d07")                      \
	X("reloaded", "c8c0b065bbfd4adcbf30f1772bba2fdd")                    \
	X("reload refused", "698662480424496fb527fc1ff24c7063")              \
	X("reload problem", "8d7e52d44c1249698ad937a77abd076a")              \
	X("needs a restart", "cddcbb273bda440d9a63fcbe0f85e562")             \
	X("database up", "3fcd2bc23bd6474fa745a710e5dd2dec")                 \
	X("database down", "30cbc14f54384b91993be12304b5de40")               \
	X("database problem", "ab154f9c092442158e2f6b6665b195e4")            \
	X("database rights", "87b893584f604cd6923cae83438c9965")             \
	X("database statement failed", "97775f5edcba40dba045a03d4d653eb3")   \
	X("cannot sweep", "b1e56057667043668ffd91ec13b1dcbd")                \
	X("sweeping", "797e75d18a2f436f9fdb18c90443c669")                    \
	X("turned away", "3f251ee5ab0646248e4aba54a1282084")                 \
	X("sessions replace each other", "8917ba3ad54741059e7f463df38655d6") \
	X("numbers came back", "c0068912f12045b0b00eb2e5798eb8e1")           \
	X("event unreadable", "4ef83009700b4ac1b0ddb128fb6546e2")            \
	X("log lines suppressed", "df7decf5c0804bfb9afae757e8aa4188")        \
	X("log lines lost", "f54eb2cb4eb047f8ada764c171ebc532")

/* NULL: it has none. */
const char *sb_log_event_id(const char *event);

#endif
