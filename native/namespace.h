/*
 * What namespace.c (our side) and namespace-child.c (the first process of the new namespaces) agree on.
 * src/sys/namespace.ts holds the same numbers; both sides of every message are of one build.
 */
#ifndef TAPSTER_NAMESPACE_H
#define TAPSTER_NAMESPACE_H

#include "addon.h"

#include <stdint.h>

#define NAMESPACE_FILES_MAX 8
#define NAMESPACE_SYSCTLS_MAX 32

/* Descriptors in one message: tap, netlink, and one for each replaced file. */
#define NAMESPACE_DESCRIPTORS_MAX (2 + NAMESPACE_FILES_MAX)

struct namespace_pair {
  const char *path;
  const char *value;
};

/*
 * All that the child needs, made before it is cloned: it has a copy of our memory, in which another thread may have
 * held the lock of malloc, so it must not allocate.
 */
struct namespace_plan {
  int control;         /* the child's end of the control socket */
  const char *uid_map; /* empty: no user namespace was made */
  const char *gid_map;
  const char *tap_name; /* empty: no tap */
  int32_t tap_flags;
  int32_t vnet_header_bytes;
  int32_t files_count;
  int32_t sysctls_count;
  struct namespace_pair files[NAMESPACE_FILES_MAX];
  struct namespace_pair sysctls[NAMESPACE_SYSCTLS_MAX];
};

/* Messages on the control socket (SOCK_SEQPACKET): four words each. */
struct namespace_message {
  int32_t kind;
  int32_t value;
  int32_t index;
  int32_t error; /* errno */
};

/*
 * | from the child | value                                       | index                      | with it              |
 * | -------------- | ------------------------------------------- | -------------------------- | -------------------- |
 * | READY          | 1: the tap has virtio-net headers           | bit i: file i was replaced | tap, netlink, files  |
 * | FAILED         | the step; the child has ended               |                            |                      |
 * | WARNING        | the step; the child goes on without         | which file or sysctl       |                      |
 * | EXITED         | the command's exit status                   |                            |                      |
 * | SIGNALLED      | the signal that ended the command           |                            |                      |
 * | EXEC_FAILED    | the step: directory or exec                 |                            |                      |
 * | STOPPED        | the signal that stopped a command in a      |                            |                      |
 * |                | process group of its own                    |                            |                      |
 * | from us        |                                             |                            |                      |
 * | RUN            |                                             |                            | the command, a file  |
 * | SIGNAL         | a signal for the command                    |                            |                      |
 */
enum namespace_kind {
  NAMESPACE_READY = 1,
  NAMESPACE_FAILED = 2,
  NAMESPACE_WARNING = 3,
  NAMESPACE_EXITED = 4,
  NAMESPACE_SIGNALLED = 5,
  NAMESPACE_EXEC_FAILED = 6,
  NAMESPACE_STOPPED = 7,
  NAMESPACE_RUN = 16,
  NAMESPACE_SIGNAL = 17,
};

enum namespace_step {
  NAMESPACE_STEP_PROCESS = 1,
  NAMESPACE_STEP_SETGROUPS = 2,
  NAMESPACE_STEP_UID_MAP = 3,
  NAMESPACE_STEP_GID_MAP = 4,
  NAMESPACE_STEP_MOUNTS = 5,
  NAMESPACE_STEP_PROC = 6,
  NAMESPACE_STEP_FILES = 7,
  NAMESPACE_STEP_FILE = 8,
  NAMESPACE_STEP_LOOPBACK = 9,
  NAMESPACE_STEP_TUN_OPEN = 10,
  NAMESPACE_STEP_TUN_INTERFACE = 11,
  NAMESPACE_STEP_TUN_HEADER = 12,
  NAMESPACE_STEP_NETLINK = 13,
  NAMESPACE_STEP_SYSCTL = 14,
  NAMESPACE_STEP_DIRECTORY = 15,
  NAMESPACE_STEP_EXEC = 16,
};

/* namespace-child.c */
_Noreturn void namespace_child(const struct namespace_plan *plan);

/* Sends one message with `count` descriptors: 0, or -errno. Allocates nothing: both sides use it. */
int namespace_send(int control, struct namespace_message message, const int *descriptors, int count);

/*
 * Receives one message without waiting, and up to NAMESPACE_DESCRIPTORS_MAX descriptors, close-on-exec. 1: there was
 * one; 0: the other side is gone; -errno otherwise.
 */
int namespace_receive(int control, struct namespace_message *message, int *descriptors, int *count);

/* Takes `count` pairs of the zero-terminated strings between *at and end; false when there are not so many. */
bool namespace_pairs(struct namespace_pair *pairs, int32_t count, const char **at, const char *end);

/* A Uint8Array argument, or NULL with a TypeError. */
uint8_t *namespace_bytes(napi_env env, napi_value value, size_t *length);

/* namespace-open.c: queues of one tap that are opened at once (MAX_TAP_QUEUES of the kernel). */
#define NAMESPACE_OPEN_TAPS_MAX 256

enum namespace_open_step {
  NAMESPACE_OPEN_PROCESS = 1,
  NAMESPACE_OPEN_ENTER = 2,
  NAMESPACE_OPEN_NETLINK = 3,
  NAMESPACE_OPEN_TUN = 4,
};

/*
 * namespace-open.c: joins a network namespace, and the user namespace that owns it where that is needed: 0 or errno. For children with one
 * thread.
 */
int namespace_enter(int fd);

void namespace_open_register(napi_env env, napi_value exports);

/* netlink.c */
void netlink_register(napi_env env, napi_value exports);

#endif
