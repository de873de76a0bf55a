/* See shed.h. Whatever cannot be given up is an error, for the caller trusts in it. */
#include "daemon/ctl/shed.h"
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CAPABILITY_SETS 2

/* The ids of a process may be set apart from each other, so that one leads back. */
static bool is_now(const struct sb_identity *identity)
{
	gid_t groups[SB_GROUPS_MAX];
	uid_t uids[3];
	gid_t gids[3];
	int count = getgroups(SB_GROUPS_MAX, groups);

	if (getresuid(&uids[0], &uids[1], &uids[2]) != 0 ||
	    getresgid(&gids[0], &gids[1], &gids[2]) != 0 || count < 0 ||
	    (size_t)count > identity->group_count)
		return false;
	for (size_t i = 0; i < 3; i++) {
		if (uids[i] != identity->uid || gids[i] != identity->gid)
			return false;
	}
	return true;
}

static int become(const struct sb_identity *identity)
{
	/* -1 would mean: leave it. */
	if (identity->uid == 0 || identity->uid == (uid_t)-1 || identity->gid == (gid_t)-1)
		return -EINVAL;
	if (setgroups(identity->group_count, identity->groups) != 0 ||
	    setresgid(identity->gid, identity->gid, identity->gid) != 0 ||
	    setresuid(identity->uid, identity->uid, identity->uid) != 0)
		return -errno;
	return is_now(identity) ? 0 : -EPERM;
}

/* No id is left that another one could be set from. */
static int keep_real(void)
{
	return setresgid(getgid(), getgid(), getgid()) == 0 &&
			       setresuid(getuid(), getuid(), getuid()) == 0
		       ? 0
		       : -errno;
}

static int drop_capabilities(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct sets[CAPABILITY_SETS] = {{0}};

	(void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	if (syscall(SYS_capset, &header, sets) != 0)
		return -errno;
	if (syscall(SYS_capget, &header, sets) != 0)
		return -errno;
	for (size_t i = 0; i < CAPABILITY_SETS; i++) {
		if (sets[i].effective || sets[i].permitted || sets[i].inheritable)
			return -EPERM;
	}
	return 0;
}

int sb_shed(const struct sb_identity *identity)
{
	int result;

	/* Where keys are not to be had at all, there are none to be seen. */
	(void)syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return -errno;
	result = identity ? become(identity) : keep_real();
	if (result == 0 && getuid() != 0)
		result = drop_capabilities();
	if (result == 0 && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
		result = -errno;
	if (result == 0 && identity && (setuid(0) == 0 || seteuid(0) == 0))
		result = -EPERM;
	return result;
}

int sb_shed_to_print(pid_t parent)
{
	static const struct sb_identity nobody = {.uid = SB_NOBODY, .gid = SB_NOBODY};
	int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC), result;

	(void)setsid();
	if (nothing < 0 || dup2(nothing, STDIN_FILENO) < 0)
		return -errno;
	result = sb_shed(geteuid() == 0 || getuid() == 0 ? &nobody : NULL);
	/* Only now, for a change of ids takes it back. */
	if (result == 0 && prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0)
		result = -errno;
	return result == 0 && getppid() != parent ? -ESRCH : result;
}
